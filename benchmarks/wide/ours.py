from __future__ import annotations

from datetime import timedelta
from typing import Any

from benchmarks.adapters import stopwatch
from benchmarks.adapters.ours import work
from durable_async import DurableContext, durable_execution


@durable_execution
async def handler(event: dict[str, Any], ctx: DurableContext) -> int:
    async def one_step(ctx: DurableContext, number: int) -> int:
        return await ctx.step(work, number, event["body_seconds"])

    async def one_wait(ctx: DurableContext, _number: int) -> int:
        stopwatch.body_ran()
        await ctx.wait(timedelta(hours=1))
        raise AssertionError("an hour has not passed")

    results = await ctx.map(one_step if event["workflow"] == "map" else one_wait, range(event["steps"]))
    total = sum(results.results())
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(handler)
