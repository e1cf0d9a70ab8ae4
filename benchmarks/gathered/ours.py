from __future__ import annotations

import asyncio

from benchmarks.gathered.workflow import BRANCHES, STEPS, body, pause, read_task, report_output
from durable_async import DurableContext, durable_execution


async def work(branch: int, number: int) -> str:
    return body(branch, number)


async def branch_of(ctx: DurableContext, branch: int) -> list[str]:
    results = []
    for number in range(STEPS):
        await pause()
        results.append(await ctx.step(work, branch, number))
    return results


@durable_execution
async def handler(_event: None, ctx: DurableContext) -> list[list[str]]:
    return await asyncio.gather(*(branch_of(ctx, branch) for branch in range(BRANCHES)))


if __name__ == "__main__":
    report_output(handler(read_task()["envelope"]))
