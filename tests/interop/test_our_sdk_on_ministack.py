"""Our handlers on ministack, which invokes them in its proxy mode.

It departs from AWS in what it records (docs/explanation/compatibility.md), so this looks at results alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from .environments import Environment
from .examples import EXAMPLES, start
from .services import Ministack

UNSUPPORTED = {
    "retried": "after a RETRY the step is STARTED again, and the attempt is not counted",
    "condition": "the state that a RETRY carries is not kept",
    "invoking": "nothing invokes the function again when the one that it invoked has ended",
}
"""What ministack cannot do, and why; seen in what it answers and in its source."""
NAMES = [name for name in EXAMPLES if name not in UNSUPPORTED]


@pytest.fixture(scope="module")
async def emulator(ministack: Environment, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Ministack]:
    async with Ministack.running(tmp_path_factory.mktemp("ministack") / "log") as emulator:
        yield emulator


@pytest.fixture(scope="module")
async def started(emulator: Ministack) -> dict[str, str]:
    return await start(emulator, NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_the_result(emulator, started, name):
    closed = await emulator.caller.closed(started[name])
    assert closed.status == "SUCCEEDED", closed
    assert closed.result == EXAMPLES[name].result


async def test_a_failure(emulator):
    closed = await emulator.caller.closed(await emulator.start("failing", {}))
    assert closed.status == "FAILED"
    assert closed.error["ErrorMessage"] == "no such card"


async def test_a_callback(emulator):
    arn = await emulator.start("asking", {"timeout": 3600})
    await emulator.caller.api.send_durable_execution_callback_success(
        CallbackId=await emulator.caller.callback_id(arn), Result=b'{"by": "ann"}'
    )
    assert (await emulator.caller.closed(arn)).result == {"answer": {"by": "ann"}}
