from __future__ import annotations

import asyncio

from async_durable_execution import durable_callable, durable_execution, step

from benchmarks.gathered.workflow import BRANCHES, STEPS, body, pause, read_task, report_output


@durable_callable
async def work(branch, number):
    return body(branch, number)


async def branch_of(branch):
    results = []
    for number in range(STEPS):
        await pause()
        results.append(await step(work(branch, number)))
    return results


@durable_execution
async def handler(_event):
    return await asyncio.gather(*(branch_of(branch) for branch in range(BRANCHES)))


if __name__ == "__main__":
    report_output(handler(read_task()["envelope"], None))
