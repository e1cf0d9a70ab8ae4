"""Libraries for asyncio: retries, streams, schedulers, limits, caches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import anyio

from durable_async import StepError, require_context

from .playing import LibraryPlay, program, step, step_at, wait


async def two_steps(n: int) -> str:
    first = await step(f"{n}, first")
    if n % 2:
        await wait(1 + n // 2, f"{n} waits")
    return first + await step(f"{n}, second")


# --- retries ---


async def durable_sleep(seconds: float) -> None:
    await require_context().wait(timedelta(seconds=seconds))


@program
async def tenacity(play: LibraryPlay) -> Any:
    from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    order: list[str] = []

    async def one(n: int) -> None:
        retrying = AsyncRetrying(
            sleep=durable_sleep,
            wait=wait_exponential_jitter(1, 5),
            stop=stop_after_attempt(3),
            retry=retry_if_exception_type(StepError),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    await step(f"{n}, attempt {number}", fails=number <= n)
        except RetryError:
            order.append(f"{n} failed")
        else:
            order.append(f"{n} succeeded")
        play.saw(order[-1])
        await step(f"{order[-1]} as number {len(order)}")

    await asyncio.gather(*(one(n) for n in range(4)))
    return order


@program
async def tenacity_as_decorator(play: LibraryPlay) -> Any:
    import tenacity

    @tenacity.retry(sleep=durable_sleep, wait=tenacity.wait_fixed(2), stop=tenacity.stop_after_attempt(4))
    async def flaky(n: int) -> str:
        number = flaky.statistics["attempt_number"]
        return await step(f"{n}, attempt {number}", fails=number < 3)

    return await asyncio.gather(flaky(0), two_steps(1), two_steps(2))


@program
async def tenacity_with_its_own_sleep(play: LibraryPlay) -> Any:
    """It sleeps again on each replay, which changes nothing for code that nothing runs beside."""
    import tenacity

    @tenacity.retry(wait=tenacity.wait_fixed(2), stop=tenacity.stop_after_attempt(4))
    async def flaky() -> str:
        number = flaky.statistics["attempt_number"]
        await wait(1, f"before attempt {number}")
        return await step(f"attempt {number}", fails=number < 3)

    return await flaky()


# --- streams ---


async def source(n: int) -> AsyncIterator[str]:
    for k in range(3):
        yield await step(f"{n}.{k}")
        if n == k:
            await wait(1 + n, f"{n} pauses")


async def take(play: LibraryPlay, items: Any) -> list[str]:
    order: list[str] = []
    async with items.stream() as streamer:
        async for item in streamer:
            order.append(str(item))
            play.saw(order[-1])
            await step(f"{len(order)}: {order[-1]}")
    return order


@program
async def aiostream_merge(play: LibraryPlay) -> Any:
    from aiostream import stream

    return await take(play, stream.merge(*(source(n) for n in range(3))))


@program
async def aiostream_zip(play: LibraryPlay) -> Any:
    from aiostream import stream

    return await take(play, stream.ziplatest(*(source(n) for n in range(3))))


@program
async def aiostream_flatten(play: LibraryPlay) -> Any:
    from aiostream import pipe, stream

    return await take(play, stream.range(4) | pipe.map(source) | pipe.flatten(task_limit=2))


@program
async def aiostream_map(play: LibraryPlay) -> Any:
    from aiostream import pipe, stream

    return await take(play, stream.range(6) | pipe.map(two_steps, ordered=False, task_limit=3))


@program
async def aiostream_map_ordered(play: LibraryPlay) -> Any:
    from aiostream import pipe, stream

    return await take(play, stream.range(6) | pipe.map(two_steps, ordered=True, task_limit=3) | pipe.chunks(2))


@program
async def asyncstdlib(play: LibraryPlay) -> Any:
    from asyncstdlib import builtins, heapq, itertools

    order: list[str] = []
    async with itertools.tee(source(0), n=2) as (left, right):
        async for pair in builtins.zip(left, itertools.chain(right)):
            play.saw(pair)
            order.append(await step(f"pair {pair}"))
    async for each in heapq.merge(source(1), source(2)):
        play.saw(each)
        order.append(await step(f"merged {each}"))
    return order


# --- task groups, schedulers, limits ---


@program
async def anyio_groups_with_start(play: LibraryPlay) -> Any:
    order: list[str] = []
    send, receive = anyio.create_memory_object_stream[str](2)

    async def service(n: int, *, task_status: Any) -> None:
        ready = await step(f"{n} starts")
        task_status.started(ready)
        await send.send(await two_steps(n))

    async with anyio.create_task_group() as group, send, receive:
        for n in range(3):
            play.saw(await group.start(service, n))
        for _ in range(3):
            order.append(await receive.receive())
            play.saw(order[-1])
            await step(f"received {order[-1]}")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(two_steps, 4)
                await step("inner")
                scope.cancel()
        await step("after the scope")
    return order


@program
async def asyncer(play: LibraryPlay) -> Any:
    import asyncer

    async with asyncer.create_task_group() as group:
        values = [group.soonify(two_steps)(n) for n in range(4)]
    doubled = await asyncer.asyncify(lambda: [value.value * 2 for value in values])()
    return await step("end", doubled)


@program
async def aiojobs(play: LibraryPlay) -> Any:
    import aiojobs

    order: list[str] = []

    async def job(n: int) -> str:
        got = await two_steps(n)
        order.append(got)
        play.saw(got)
        return got

    async with aiojobs.Scheduler() as scheduler:
        jobs = [await scheduler.spawn(job(n)) for n in range(4)]
        for each in jobs:
            await step(f"saw {await each.wait()} of {len(order)}")
    return order


@program
async def aiojobs_limited(play: LibraryPlay) -> Any:
    """A job that had to wait is started by a callback, so it has a key."""
    import aiojobs

    order: list[str] = []

    async def job(n: int) -> None:
        order.append(await step_at(f"job {n}", f"job {n}"))
        play.saw(n)

    async with aiojobs.Scheduler(limit=2) as scheduler:
        jobs = [await scheduler.spawn(job(n)) for n in range(6)]
        for each in jobs:
            await each.wait()
            await step(f"saw job of {len(order)}")
    return order


@program
async def aiometer(play: LibraryPlay) -> Any:
    import aiometer

    order: list[str] = []
    async with aiometer.amap(two_steps, range(6), max_at_once=3) as results:
        async for result in results:
            order.append(result)
            play.saw(result)
            await step(f"{len(order)}: {result}")
    order += await aiometer.run_all([partial(step, f"last {n}") for n in range(3)], max_at_once=2)
    return order


# --- caches, locks ---


@program
async def async_lru(play: LibraryPlay) -> Any:
    from async_lru import alru_cache

    @alru_cache(maxsize=2)
    async def look_up(n: int) -> str:
        return await two_steps(n)

    async def one(n: int) -> str:
        got = await look_up(n % 3)
        play.saw(n, got)
        return await step(f"{n} got {got}")

    return await asyncio.gather(*(one(n) for n in range(6)))


@program
async def aiorwlock(play: LibraryPlay) -> Any:
    from aiorwlock import RWLock

    lock, order = RWLock(), list[str]()

    async def reads(n: int) -> None:
        async with lock.reader:
            await step(f"read {n}")
            play.saw("read", n, len(order))

    async def writes(n: int) -> None:
        await step(f"before {n}")
        async with lock.writer:
            order.append(await step(f"write {n} as number {len(order)}"))
            play.saw("wrote", n)
            await wait(1, f"{n} waits")

    await asyncio.gather(*(reads(n) for n in range(3)), *(writes(n) for n in range(3)))
    return order


# --- reactive streams ---


@program
async def reactivex(play: LibraryPlay) -> Any:
    import reactivex as rx
    from reactivex import operators as ops

    order: list[str] = []
    tasks = [asyncio.ensure_future(two_steps(n)) for n in range(4)]
    numbered = rx.merge(*map(rx.from_future, tasks)).pipe(ops.map_indexed(lambda each, n: f"{n}: {each}"))

    def note(each: str) -> None:
        order.append(each)
        play.saw(each)

    await numbered.pipe(ops.do_action(note), ops.to_list())
    for each in order:
        await step(f"after {each}")
    return order


@program
async def reactivex_flat_map(play: LibraryPlay) -> Any:
    """The callback of an observable starts a task, whose operations have a key."""
    import reactivex as rx
    from reactivex import operators as ops

    async def one(n: int) -> str:
        return await step_at(f"item {n}", f"item {n}") + await step_at(f"item {n} again", f"again {n}")

    async def then(text: str) -> str:
        return await step_at(f"then {text}", f"then {text}")

    started = rx.from_iterable(range(4)).pipe(
        ops.flat_map(lambda n: rx.from_future(asyncio.ensure_future(one(n)))),
        ops.flat_map(lambda text: rx.from_future(asyncio.ensure_future(then(text)))),
        ops.do_action(play.saw),
        ops.to_list(),
    )
    return await started
