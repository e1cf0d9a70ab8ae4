"""Executions of three steps, one after another or many at once: ours. Prints seconds and CPU seconds as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from durable_async import durable_execution
from durable_async.embedded import DurableService


async def step(value: int) -> int:
    return value + 1


@durable_execution
async def workflow(value: int, ctx) -> int:
    for _ in range(3):
        value = await ctx.step(step, value)
    return value


async def main(file: str | None, durability: str, count: int, at_once: int) -> None:
    async with DurableService(file, durability=durability) as service:  # type: ignore[arg-type]
        service.register(workflow)

        async def one(number: int) -> None:
            execution = await service.start(workflow, number)
            assert await execution.result() == number + 3

        async def several(numbers: range) -> None:
            for number in numbers:
                await one(number)

        await several(range(10))
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(several(range(first, count, at_once)) for first in range(at_once)))
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] or None, sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
