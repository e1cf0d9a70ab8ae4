from __future__ import annotations

from datetime import timedelta

from async_durable_execution import durable_execution, step, wait
from async_durable_execution import map as durable_map

from benchmarks.adapters import stopwatch
from benchmarks.adapters.fork import work


@durable_execution
async def handler(event):
    async def one_step(number):
        return await step(work(number, event["body_seconds"]))

    async def one_wait(_number):
        stopwatch.body_ran()
        await wait(timedelta(hours=1))
        raise AssertionError("an hour has not passed")

    results = await durable_map(one_step if event["workflow"] == "map" else one_wait, range(event["steps"]))
    total = sum(results.get_results())
    stopwatch.workflow_returns()
    return total


if __name__ == "__main__":
    stopwatch.measure(lambda envelope: handler(envelope, None))
