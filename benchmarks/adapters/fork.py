"""The community's asyncio fork of AWS's SDK, with its httpx transport."""

from __future__ import annotations

import asyncio

from async_durable_execution import durable_callable, durable_execution, step

from benchmarks.adapters import stopwatch


@durable_callable
async def work(number, seconds):
    stopwatch.body_ran()
    if seconds:
        await asyncio.sleep(seconds)
    return number


@durable_execution
async def handler(event):
    total = 0
    for number in range(event["steps"]):
        total += await step(work(number, event["body_seconds"]))
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(lambda envelope: handler(envelope, None))
