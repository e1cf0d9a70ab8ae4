"""How many of its own functions the service goes through for a checkpoint, from its socket to SQLite and back.

Counted on the event loop's thread, resumed coroutines again. No busy machine can disturb the figure.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.adapters.stopwatch import calls_of_this_thread
from durable_async.service import LambdaApi, SqliteStore
from durable_async.service.functions.base import InProcessFunction
from durable_async.service.http.server import serve

NAME = "checkpoint-calls"
_WARM_UP, _COUNT = 20, 50

Checkpoint = Callable[[list[dict[str, str]]], Awaitable[None]]


def compare() -> None:
    print(f"{NAME}: own functions entered for a checkpoint over HTTP to SQLite, on the event loop")
    for count in (1, 2):
        print(f"  {count} of its updates{asyncio.run(calls_of_checkpoint(count)):>14.1f}")
    print()


async def calls_of_checkpoint(count: int) -> float:
    """Return the mean number of calls of a checkpoint with ``count`` (1 or 2) updates: a step's end, and its start."""
    with tempfile.TemporaryDirectory() as folder:
        async with _running_invocation(Path(folder) / "calls.db") as checkpoint:

            async def several(first: int, number: int) -> None:
                for at in range(first, first + number):
                    await checkpoint(_updates_of_step(at)[-count:])

            await several(0, _WARM_UP)
            with calls_of_this_thread("durable_async") as calls:
                await several(_WARM_UP, _COUNT)
    return len(calls) / _COUNT


def _updates_of_step(number: int) -> list[dict[str, str]]:
    step = {"Id": f"step-{number}", "Type": "STEP", "SubType": "Step", "Name": "step"}
    return [{**step, "Action": "START"}, {**step, "Action": "SUCCEED", "Payload": "1"}]


@asynccontextmanager
async def _running_invocation(file: Path) -> AsyncGenerator[Checkpoint]:
    """Yield what sends a checkpoint of one running invocation to a service on ``file``."""
    from aiohttp import ClientSession

    invoked: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    async def function(event: object, _request: object) -> object:
        invoked.set_result(event)
        await ended.wait()
        return {"Status": "SUCCEEDED", "Result": "1"}

    async with LambdaApi(store=SqliteStore(file)) as api:
        api.register("function", InProcessFunction(function, durable=True))
        async with serve(api) as url, ClientSession() as session:
            await api.invoke("function:$LATEST", b"{}")
            envelope = await invoked
            where = f"{url}/2025-12-01/durable-executions/{quote(envelope['DurableExecutionArn'], safe='')}/checkpoint"
            token = envelope["CheckpointToken"]

            async def checkpoint(updates: list[dict[str, str]]) -> None:
                nonlocal token
                request = {"CheckpointToken": token, "Updates": updates, "ClientToken": token}
                async with session.post(where, json=request) as response:
                    answer = await response.json()
                    assert response.status == 200, answer
                token = answer["CheckpointToken"]

            yield checkpoint
            ended.set()
            await api.idle()
