"""The programs. ``step(label)`` runs a step that takes a random time and returns its label; ``saw(...)`` notes what the
program goes by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

Step = Callable[[str], Awaitable[str]]
Saw = Callable[..., None]
Program = Callable[[Step, Saw], Awaitable[None]]


async def _two_steps(step: Step, n: int) -> int:
    await step(f"{n}, first")
    await step(f"{n}, second")
    return n


async def _consume(step: Step, saw: Saw, consumers: int) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def produce(n: int) -> None:
        for k in range(2):
            await queue.put(await step(f"make {n}.{k}"))

    async def consume(n: int) -> None:
        while True:
            item = await queue.get()
            saw(n, item)
            await step(f"{n} uses {item}")
            queue.task_done()

    workers = [asyncio.create_task(consume(n)) for n in range(consumers)]
    await asyncio.gather(*(produce(n) for n in range(3)))
    await queue.join()
    for worker in workers:
        worker.cancel()


async def queue_with_one_consumer(step: Step, saw: Saw) -> None:
    await _consume(step, saw, 1)


async def queue_with_two_consumers(step: Step, saw: Saw) -> None:
    await _consume(step, saw, 2)


async def lock(step: Step, saw: Saw) -> None:
    lock = asyncio.Lock()

    async def one(n: int) -> None:
        await step(f"{n} comes")
        async with lock:
            saw(n)
            await step(f"{n} has the lock")

    await asyncio.gather(*(one(n) for n in range(4)))


async def event(step: Step, saw: Saw) -> None:
    event = asyncio.Event()

    async def one(n: int) -> None:
        await step(f"{n} comes")
        if n == 0:
            event.set()
        elif n == 1:
            await event.wait()
        saw(n, event.is_set())
        await step(f"{n} goes on, set: {event.is_set()}")

    await asyncio.gather(*(one(n) for n in range(4)))


async def condition(step: Step, saw: Saw) -> None:
    condition, stock = asyncio.Condition(), list[str]()

    async def takes(n: int) -> None:
        async with condition:
            await condition.wait_for(lambda: len(stock) >= 2)
            taken = [stock.pop(), stock.pop()]
        saw(n, taken)
        await step(f"{n} takes {taken[0]} and {taken[1]}")

    async def brings(n: int) -> None:
        brought = await step(f"{n}")
        async with condition:
            stock.append(brought)
            condition.notify_all()

    await asyncio.gather(*(takes(n) for n in range(2)), *(brings(n) for n in range(4)))


async def semaphore(step: Step, saw: Saw) -> None:
    semaphore, places = asyncio.Semaphore(2), count(1)

    async def one(n: int) -> None:
        async with semaphore:
            await step(f"{n} works")
        place = next(places)
        saw(n, place)
        await step(f"{n} is number {place}")

    await asyncio.gather(*(one(n) for n in range(4)))


async def wait_first_completed(step: Step, saw: Saw) -> None:
    pending = {asyncio.ensure_future(_two_steps(step, n)) for n in range(4)}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            saw(task.result())
            await step(f"after {task.result()}")


async def as_completed(step: Step, saw: Saw) -> None:
    for following in asyncio.as_completed([_two_steps(step, n) for n in range(4)]):
        n = await following
        saw(n)
        await step(f"after {n}")


async def done_callbacks(step: Step, saw: Saw) -> None:
    order: list[int] = []
    tasks = [asyncio.ensure_future(_two_steps(step, n)) for n in range(4)]
    for task in tasks:
        task.add_done_callback(lambda task: order.append(task.result()))
    await asyncio.gather(*tasks)
    for n in order:
        saw(n)
        await step(f"after {n}")


async def first_come_first_served(step: Step, saw: Saw) -> None:
    seats = count(1)

    async def guest(n: int) -> None:
        await step(f"{n} comes")
        seat = next(seats)
        saw(n, seat)
        await step(f"seat {seat} for {n}")

    await asyncio.gather(*(guest(n) for n in range(5)))


async def tasks_as_results_come(step: Step, saw: Saw) -> None:
    todo = list(range(2, 6))
    running = {asyncio.ensure_future(_two_steps(step, n)) for n in range(2)}
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            saw(task.result())
            if todo:
                running.add(asyncio.ensure_future(_two_steps(step, todo.pop(task.result() % 2 - 1))))


PROGRAMS: dict[str, Program] = {
    each.__name__: each
    for each in (
        queue_with_one_consumer,
        queue_with_two_consumers,
        lock,
        event,
        condition,
        semaphore,
        wait_first_completed,
        as_completed,
        done_callbacks,
        first_come_first_served,
        tasks_as_results_come,
    )
}
