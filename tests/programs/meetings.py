"""Where the branches of a program meet, and go on in the order in which they come.

Each function runs all branches, and calls ``met`` once for each, with the branch's number, in the order of their coming.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from .program import Concurrency

Branches = list[Callable[[], Coroutine[Any, Any, None]]]
Met = Callable[[int], Awaitable[None]]
Meeting = Callable[[Branches, Met], Coroutine[Any, Any, None]]


async def _queue(branches: Branches, met: Met, consumers: int = 1) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    left = [*branches]

    async def produce(n: int) -> None:
        await branches[n]()
        await queue.put(n)

    async def consume() -> None:
        while left:
            left.pop()
            await met(await queue.get())

    async with asyncio.TaskGroup() as group:
        for _ in range(consumers):
            group.create_task(consume())
        for n in range(len(branches)):
            group.create_task(produce(n))


async def _queues(branches: Branches, met: Met) -> None:
    await _queue(branches, met, consumers=2)


async def _each(branches: Branches, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for n in range(len(branches)):
            group.create_task(work(n))


async def _lock(branches: Branches, met: Met) -> None:
    lock = asyncio.Lock()

    async def work(n: int) -> None:
        await branches[n]()
        async with lock:
            await met(n)

    await _each(branches, work)


async def _event(branches: Branches, met: Met) -> None:
    event = asyncio.Event()

    async def work(n: int) -> None:
        await branches[n]()
        if n == 0:
            event.set()
        elif n % 2:
            await event.wait()
        await met(n)

    await _each(branches, work)


async def _condition(branches: Branches, met: Met) -> None:
    condition, came = asyncio.Condition(), set[int]()

    async def work(n: int) -> None:
        await branches[n]()
        async with condition:
            came.add(n)
            condition.notify_all()
            await condition.wait_for(lambda: len(came) > n)
        await met(n)

    await _each(branches, work)


async def _semaphore(branches: Branches, met: Met) -> None:
    semaphore = asyncio.Semaphore(2)

    async def work(n: int) -> None:
        async with semaphore:
            await branches[n]()
        await met(n)

    await _each(branches, work)


async def _shared(branches: Branches, met: Met) -> None:
    async def work(n: int) -> None:
        await branches[n]()
        await met(n)

    await _each(branches, work)


async def _stream(branches: Branches, met: Met) -> None:
    send, receive = anyio.create_memory_object_stream[int]()

    async def work(n: int) -> None:
        await branches[n]()
        await send.send(n)

    async def consume() -> None:
        for _ in branches:
            await met(await receive.receive())

    async with send, receive, anyio.create_task_group() as group:
        group.start_soon(consume)
        for n in range(len(branches)):
            group.start_soon(work, n)


async def _numbered(n: int, branch: Callable[[], Awaitable[None]]) -> int:
    await branch()
    return n


@contextmanager
def _tasks(branches: Branches) -> Iterator[list[asyncio.Task[int]]]:
    tasks = [asyncio.create_task(_numbered(n, branch)) for n, branch in enumerate(branches)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()


async def _wait(branches: Branches, met: Met, return_when: str = asyncio.FIRST_COMPLETED) -> None:
    with _tasks(branches) as tasks:
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=return_when)
            for task in done:
                await met(task.result())


async def _wait_for_all(branches: Branches, met: Met) -> None:
    await _wait(branches, met, asyncio.ALL_COMPLETED)


async def _as_completed(branches: Branches, met: Met) -> None:
    with _tasks(branches) as tasks:
        for following in asyncio.as_completed(tasks):
            await met(await following)


async def _callbacks(branches: Branches, met: Met) -> None:
    came: list[int] = []

    def note(task: asyncio.Task[int]) -> None:
        if not task.cancelled():
            came.append(task.result())

    with _tasks(branches) as tasks:
        for task in tasks:
            task.add_done_callback(note)
        await asyncio.gather(*tasks)
    for n in came:
        await met(n)


MEETINGS: dict[Concurrency, Meeting] = {
    Concurrency.QUEUE: _queue,
    Concurrency.QUEUES: _queues,
    Concurrency.LOCK: _lock,
    Concurrency.EVENT: _event,
    Concurrency.CONDITION: _condition,
    Concurrency.SEMAPHORE: _semaphore,
    Concurrency.FIRST: _wait,
    Concurrency.ALL: _wait_for_all,
    Concurrency.AS_COMPLETED: _as_completed,
    Concurrency.CALLBACKS: _callbacks,
    Concurrency.STREAM: _stream,
    Concurrency.SHARED: _shared,
}
