"""A program whose executions are all in their step at the same time: ``python -m tests.faults.together FILE hold|end``.

It says ``together`` when they are. Then it holds them there, to be killed; or it lets them end, and says ``ended``.
"""

from __future__ import annotations

import asyncio
import sys

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService

COUNT = 20
together: asyncio.Barrier
end: asyncio.Event


async def work(value: int) -> int:
    await together.wait()
    await end.wait()
    return value


@durable_execution
async def innocent(event: int, ctx: DurableContext) -> int:
    return await ctx.step(work, event)


async def main(file: str, then: str) -> None:
    global together, end
    together, end = asyncio.Barrier(COUNT + 1), asyncio.Event()
    async with asyncio.timeout(60), DurableService(file) as service:
        service.register(innocent)
        found = [await service.start(innocent, number, name=f"n-{number}") for number in range(COUNT)]
        await together.wait()
        print("together", flush=True)
        if then == "end":
            end.set()
        assert await asyncio.gather(*(each.result() for each in found)) == [*range(COUNT)]
    print("ended", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
