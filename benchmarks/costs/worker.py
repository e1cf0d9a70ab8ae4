"""Measures one workflow on the SDK of one checkout, against a service in the same process.

Reads ``{"checkout": path or null, "workflow": name, "runs": n}`` from standard input, and prints
``{"cpu": seconds of the quickest run, "calls": own Python functions entered}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import process_time, time
from typing import Any

from benchmarks.adapters.stopwatch import own_calls
from benchmarks.service import STEP, Execution, new_execution

_task = json.load(sys.stdin)
if _task["checkout"]:
    sys.path.insert(0, _task["checkout"])

from durable_async import DurableContext, DurableHandler, durable_execution  # noqa: E402 - of that checkout

Workflow = Callable[[dict[str, Any], DurableContext], Awaitable[int]]


async def work(number: int) -> int:
    return number


async def one_strand(event: dict[str, Any], ctx: DurableContext) -> int:
    return sum([await ctx.step(work, number, name=STEP) for number in range(event["count"])])


async def gather(event: dict[str, Any], ctx: DurableContext) -> int:
    return sum(await asyncio.gather(*(ctx.step(work, number) for number in range(event["count"]))))


async def tasks(event: dict[str, Any], ctx: DurableContext) -> int:
    async def strand(number: int) -> int:
        total = await ctx.step(work, number)
        await ctx.wait(timedelta(hours=1))
        return total + await ctx.step(work, number) + await ctx.step(work, number)

    return sum(await asyncio.gather(*(strand(number) for number in range(event["count"]))))


async def mapped(event: dict[str, Any], ctx: DurableContext) -> int:
    async def item(ctx: DurableContext, number: int) -> int:
        return await ctx.step(work, number)

    return sum((await ctx.map(item, range(event["count"]))).results())


WORKFLOWS: dict[str, tuple[Workflow, int, int]] = {
    "1,000 steps, one after another": (one_strand, 1000, 0),
    "replay of 10,000 steps, one after another": (one_strand, 10_000, 10_000),
    "gather of 1,000 steps": (gather, 1000, 0),
    "300 tasks of three steps over a suspension": (tasks, 300, 0),
    "map of 1,000 steps": (mapped, 1000, 0),
}
"""How each one reads in the table: the workflow, its size, and how many of its steps are on record."""


class Client:
    """Calls the service without HTTP."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution

    async def checkpoint(self, _arn: str, token: str, updates: Any, _client_token: str) -> dict[str, Any]:
        return self.execution.checkpoint(token, updates)

    async def get_state(self, _arn: str, _token: str, _marker: str) -> Any:
        raise AssertionError("an envelope holds the whole record")


def end_waits(execution: Execution) -> None:
    for operation in execution.operations.values():
        if operation["Type"] == "WAIT":
            operation |= {"Status": "SUCCEEDED", "EndTimestamp": time()}


async def run(handler: DurableHandler[Any, Any], count: int, completed: int) -> None:
    """Run one execution to its end."""
    execution = new_execution({"count": count}, completed)
    while True:
        output = await handler.run(execution.begin(), client=Client(execution))  # type: ignore[arg-type]
        if output["Status"] != "PENDING":
            break
        end_waits(execution)
    factor = 3 if WORKFLOWS[_task["workflow"]][0] is tasks else 1
    assert output == {"Status": "SUCCEEDED", "Result": str(factor * sum(range(count)))}, output


async def timed(handler: DurableHandler[Any, Any], count: int, completed: int) -> float:
    began = process_time()
    await run(handler, count, completed)
    return process_time() - began


def main() -> None:
    workflow, *size = WORKFLOWS[_task["workflow"]]
    handler = durable_execution(workflow)
    with asyncio.Runner() as runner:
        cpu = min(runner.run(timed(handler, *size)) for _ in range(_task["runs"]))
        calls = own_calls("durable_async", lambda: runner.run(run(handler, *size)))
    print(json.dumps({"cpu": cpu, "calls": calls}))


if __name__ == "__main__":
    main()
