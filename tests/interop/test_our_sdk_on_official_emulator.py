"""Our handlers on the emulator of the official SDK's testing package.

Not with its ``--skip-time``, which loses an execution now and then: it ends a wait and, before it has invoked the
function again, cancels that task because the invocation that asked for the wait has ended.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import pytest

from .environments import Environment
from .examples import EXAMPLES, start
from .services import OfficialEmulator

ENDED = ["InvocationCompleted", "ExecutionSucceeded"]


@pytest.fixture(scope="module")
async def emulator(official: Environment, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[OfficialEmulator]:
    async with OfficialEmulator.running(tmp_path_factory.mktemp("emulator") / "log") as emulator:
        yield emulator


@pytest.fixture(scope="module")
async def started(emulator: OfficialEmulator) -> dict[str, str]:
    return await start(emulator, EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_result(emulator, started, name):
    closed = await emulator.caller.closed(started[name])
    assert closed.status == "SUCCEEDED", closed
    assert closed.result == EXAMPLES[name].result


@pytest.mark.parametrize(
    ("name", "types"),
    [
        pytest.param(
            "steps",
            [
                *["StepStarted", "StepSucceeded", "WaitStarted", "InvocationCompleted"],
                *["WaitSucceeded", "StepStarted", "StepSucceeded", *ENDED],
            ],
            id="step, wait, step",
        ),
        pytest.param(
            "retried",
            [*["StepStarted", "StepFailed", "InvocationCompleted"] * 2, "StepStarted", "StepSucceeded", *ENDED],
            id="retries",
        ),
        pytest.param("at_most_once", ["StepStarted", "StepSucceeded", *ENDED], id="at most once"),
        pytest.param(
            "nested",
            [
                *["ContextStarted", "StepStarted", "StepSucceeded", "ContextStarted", "WaitStarted"],
                *["InvocationCompleted", "WaitSucceeded", "StepStarted", "StepSucceeded"],
                *["ContextSucceeded", "ContextSucceeded", "WaitStarted", "InvocationCompleted", "WaitSucceeded"],
                *ENDED,
            ],
            id="contexts",
        ),
    ],
)
async def test_the_history(emulator, started, name, types):
    closed = await emulator.caller.closed(started[name])
    assert closed.types == ["ExecutionStarted", *types]


async def test_nothing_is_done_twice(emulator, started):
    """The names of the steps that succeeded, over all invocations."""
    succeeded = {name: (await emulator.caller.closed(arn)).named("StepSucceeded") for name, arn in started.items()}
    assert succeeded["retried_block"] == ["count-1", "count-2", "count-3"]
    assert succeeded["compensated"] == ["reserve", "release"]
    assert succeeded["large_child"] == [f"part-{n}" for n in range(4)]
    assert succeeded["long_record"] == [f"part-{n}" for n in range(40)]


async def test_a_callback_that_succeeds(emulator):
    arn = await emulator.start("asking", {"timeout": 3600})
    callback_id = await emulator.caller.callback_id(arn)
    await emulator.caller.api.send_durable_execution_callback_heartbeat(CallbackId=callback_id)
    await emulator.caller.api.send_durable_execution_callback_success(CallbackId=callback_id, Result=b'{"by": "ann"}')
    closed = await emulator.caller.closed(arn)
    assert closed.result == {"answer": {"by": "ann"}}
    assert "CallbackSucceeded" in closed.types


async def test_a_callback_that_fails(emulator):
    arn = await emulator.start("asking", {"timeout": 3600})
    await emulator.caller.api.send_durable_execution_callback_failure(
        CallbackId=await emulator.caller.callback_id(arn), Error={"ErrorType": "Refused", "ErrorMessage": "not today"}
    )
    closed = await emulator.caller.closed(arn)
    assert closed.result == {"refusal": "not today", "as": "CallbackFailedError"}


async def test_a_callback_that_times_out(emulator):
    closed = await emulator.caller.closed(await emulator.start("asking", {"timeout": 1}))
    assert closed.result["as"] == "CallbackTimeoutError"
    assert "CallbackTimedOut" in closed.types


async def test_waiting_for_a_callback(emulator):
    arn = await emulator.start("waiting", {})
    await emulator.caller.api.send_durable_execution_callback_success(
        CallbackId=await emulator.caller.callback_id(arn), Result=b"yes"
    )
    closed = await emulator.caller.closed(arn)
    assert closed.result == "yes"
    assert closed.named("ContextSucceeded") == ["approval"]


async def test_a_failure(emulator):
    closed = await emulator.caller.closed(await emulator.start("failing", {}))
    assert closed.status == "FAILED"
    assert (closed.error["ErrorType"], closed.error["ErrorMessage"]) == (
        "durable_async.errors.NonRetryableError",
        "no such card",
    )
    assert closed.types == ["ExecutionStarted", "StepStarted", "StepFailed", "InvocationCompleted", "ExecutionFailed"]


# aiohttp would rather have the large body as a file; aiobotocore gives it bytes.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_result_too_large_for_an_answer(emulator):
    """Between the largest answer of an invocation and the largest result of an execution."""
    size = 6 * 1024 * 1024 - 10
    arn = await emulator.start("large_result", {"size": size})
    closed = await emulator.caller.closed(arn)
    assert emulator.endpoint.outputs[arn] == [{"Status": "SUCCEEDED", "Result": ""}]
    assert closed.execution["Result"] == json.dumps("x" * size)
