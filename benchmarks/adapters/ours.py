"""This project."""

from __future__ import annotations

from benchmarks.adapters import stopwatch
from durable_async import DurableContext, durable_execution


async def work(number: int) -> int:
    stopwatch.body_ran()
    return number


@durable_execution
async def handler(event: dict[str, int], ctx: DurableContext) -> int:
    total = 0
    for number in range(event["steps"]):
        total += await ctx.step(work, number)
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(handler)
