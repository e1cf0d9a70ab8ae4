"""This project."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.adapters import stopwatch
from durable_async import DurableContext, durable_execution


async def work(number: int, seconds: float) -> int:
    stopwatch.body_ran()
    if seconds:
        await asyncio.sleep(seconds)
    return number


@durable_execution
async def handler(event: dict[str, Any], ctx: DurableContext) -> int:
    total = 0
    for number in range(event["steps"]):
        total += await ctx.step(work, number, event["body_seconds"])
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(handler)
