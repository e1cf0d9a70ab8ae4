"""What is measured of ours alone, each in a process of its own: ``python -m benchmarks.embedded.inside NAME FILE ...``.

Prints the figures as JSON, times in seconds.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from benchmarks.embedded import deployed
from durable_async import durable_execution
from durable_async.embedded import DurableService
from durable_async.testing import VirtualTime

DAY = timedelta(days=1)


async def body(value: int) -> int:
    return value


@durable_execution
async def steps(count: int, ctx) -> int:
    for number in range(count):
        await ctx.step(body, number)
    return count


@durable_execution
async def sleeps(value: int, ctx) -> int:
    await ctx.wait(DAY)
    return await ctx.step(body, value)


@durable_execution
async def waits(count: int, ctx) -> int:
    for _ in range(count):
        await ctx.wait(timedelta(seconds=1))
    return count


@durable_execution
async def ends(value: int, ctx) -> int:
    return value


async def step(file: str, durability: str) -> dict[str, float]:
    """A step, among a thousand in a row."""
    async with DurableService(file or None, durability=durability) as service:  # type: ignore[arg-type]
        service.register(steps)
        await (await service.start(steps, 50)).result()
        wall, cpu = time.perf_counter(), time.process_time()
        await (await service.start(steps, 1000)).result()
        return {"wall": (time.perf_counter() - wall) / 1000, "cpu": (time.process_time() - cpu) / 1000}


async def suspend(file: str, count: str) -> dict[str, float]:
    """Leave executions behind that wait for a day."""
    async with DurableService(file, durability="normal", max_cached_executions=0) as service:
        service.register(sleeps)
        wall = time.perf_counter()
        for first in range(0, int(count), 500):
            await asyncio.gather(*(service.start(sleeps, first + number) for number in range(500)))
        await service.api.idle()
        return {"wall": time.perf_counter() - wall}


async def open_ones(file: str, count: str) -> dict[str, float]:
    """Leave executions of three handlers behind that wait."""
    async with DurableService(file, durability="normal") as service:
        for handler in deployed.HANDLERS:
            service.register(handler)
        for number in range(int(count)):
            handler = deployed.HANDLERS[number % len(deployed.HANDLERS)]
            await service.start(handler, str(number), name=f"order-{number}")
        await service.api.idle()
        return {}


async def recover(file: str, count: str) -> dict[str, float]:
    """Take them up: until a new execution is done, and, a day later, until all are."""
    clock = VirtualTime(datetime.now(UTC))
    begun = time.perf_counter()
    async with DurableService(file, durability="normal", clock=clock) as service:
        service.register(sleeps)
        service.register(ends)
        await (await service.start(ends, 1)).result()
        ready = time.perf_counter() - begun
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        clock.move_by(DAY.total_seconds() + 3600)
        begun = time.perf_counter()
        await service.api.fire_due()
        await service.api.idle()
        finished = time.perf_counter() - begun
        done = [summary async for summary in service.executions(sleeps, statuses=["SUCCEEDED"])]
        assert len(done) == int(count), len(done)
        return {"ready": ready, "finished": finished, "memory": memory}


async def fill(file: str, count: str) -> dict[str, float]:
    """Store closed executions, and one in ten that waits."""
    async with DurableService(file, durability="normal", max_cached_executions=0) as service:
        service.register(ends)
        service.register(sleeps)
        wall = time.perf_counter()
        for first in range(0, int(count), 500):
            numbers = range(first, first + 500)
            await asyncio.gather(*(service.start(ends if n % 10 else sleeps, n, name=f"n-{n}") for n in numbers))
            await service.api.idle()
        return {"wall": time.perf_counter() - wall}


async def flat(file: str) -> dict[str, float]:
    """What common calls cost beside what is stored."""
    clock = VirtualTime(datetime.now(UTC))
    begun = time.perf_counter()
    async with DurableService(file, durability="normal", clock=clock, max_cached_executions=0) as service:
        service.register(ends)
        service.register(sleeps)
        await (await service.start(ends, 0)).result()
        costs = {"open": time.perf_counter() - begun}

        async def listing() -> None:
            await service.api.list_executions("ends", max_items=100)

        async def by_status() -> None:
            await service.api.list_executions("sleeps", statuses=["RUNNING"], max_items=100)

        async def by_name() -> None:
            assert await service.find(ends, "n-1") is not None

        async def start() -> None:
            await (await service.start(ends, 1)).result()

        async def timer() -> None:
            execution = await service.start(sleeps, 1)
            await service.api.idle()
            await execution.stop()

        for name, call in (("list", listing), ("list RUNNING", by_status), ("find", by_name)):
            costs[name] = await median_of(call, 200)
        costs["start"] = await median_of(start, 200)
        costs["timer"] = await median_of(timer, 200)
        return costs


async def hot(file: str, max_cached_executions: str) -> dict[str, float]:
    """An execution that waits a thousand times, a second each, on a clock that jumps."""
    clock = VirtualTime(datetime.now(UTC))
    async with DurableService(
        file or None, durability="normal", clock=clock, max_cached_executions=int(max_cached_executions)
    ) as service:
        service.register(waits)
        wall, cpu = time.perf_counter(), time.process_time()
        execution = await service.start(waits, 1000)
        while True:
            await service.api.idle()
            if await execution.status() != "RUNNING":
                break
            due = service.api.next_due()
            assert due is not None
            clock.move_to(due)
            await service.api.fire_due()
        assert await execution.result() == 1000
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


async def median_of(call, times: int) -> float:
    spent: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        await call()
        spent.append(time.perf_counter() - begun)
    return sorted(spent)[times // 2]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))))
