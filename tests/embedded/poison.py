"""A program with one execution that ends it, and others that do not: ``python -m tests.embedded.poison FILE``."""

from __future__ import annotations

import asyncio
import os
import sys

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import InvocationRetryPolicy

CRASHES = 4
INNOCENT = 20


async def work(value: int) -> int:
    await asyncio.sleep(0.01)
    return value


@durable_execution
async def innocent(event: int, ctx: DurableContext) -> int:
    return sum([await ctx.step(work, event, name=f"step-{n}") for n in range(10)])


@durable_execution
async def poison(event: None, ctx: DurableContext) -> None:
    await ctx.step(asyncio.sleep, 0.03, name="harmless")
    os._exit(1)


async def main(file: str) -> None:
    async with DurableService(file, retries=InvocationRetryPolicy(quarantine_after=CRASHES)) as service:
        service.register(innocent)
        service.register(poison)
        ends = await service.start(poison, None, name="poison")
        others = [await service.start(innocent, n, name=f"n-{n}") for n in range(INNOCENT)]
        assert await asyncio.gather(*(each.result() for each in others)) == [10 * n for n in range(INNOCENT)]
        while await ends.status() == "RUNNING":
            await asyncio.sleep(0.05)
        print(await ends.status(), (await ends.describe()).pause.reason)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
