"""The programs. Each one takes decisions by the order in which operations end, and notes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

import anyio

from durable_async import (
    CallbackConfig,
    CompletionConfig,
    DurableTimeoutError,
    MapConfig,
    NestingType,
    RetryStrategy,
    StepError,
    WaitDecision,
)

from .play import Play, Program

PROGRAMS: dict[str, Program] = {}
VARYING: set[str] = set()
"""Those in which two executions of one seed may differ: sets of tasks iterate alike within one execution only, and an
answer from outside is seen when the invocation next hears of the service."""


def program(play: Program) -> Program:
    PROGRAMS[play.__name__] = play
    return play


def varying(play: Program) -> Program:
    VARYING.add(play.__name__)
    return program(play)


# --- queues and streams ---


async def _produce(play: Play, queue: asyncio.Queue[str], producer: int) -> None:
    for n in range(3):
        await queue.put(await play.step(f"make {producer}.{n}"))
        if n == producer:
            await play.wait(n + 1)


async def _consume(play: Play, queue: asyncio.Queue[str], consumer: int) -> None:
    while True:
        item = await queue.get()
        play.saw(consumer, item)
        await play.step(f"{consumer} uses {item}")
        if item.endswith("1"):
            await play.wait(2)
        queue.task_done()


async def _through_a_queue(play: Play, queue: asyncio.Queue[str], consumers: int) -> str:
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(_consume(play, queue, n)) for n in range(consumers)]
        async with asyncio.TaskGroup() as producers:
            for n in range(3):
                producers.create_task(_produce(play, queue, n))
        await queue.join()
        for worker in workers:
            worker.cancel()
    return await play.step("all used")


@program
async def a_queue_with_one_consumer(play: Play) -> Any:
    return await _through_a_queue(play, asyncio.Queue(), 1)


@program
async def a_queue_with_several_consumers(play: Play) -> Any:
    return await _through_a_queue(play, asyncio.Queue(), 3)


@program
async def a_full_queue(play: Play) -> Any:
    return await _through_a_queue(play, asyncio.Queue(1), 2)


@program
async def workers_that_share_out_what_is_there(play: Play) -> Any:
    """No names show whose item it is: only results tell."""
    items = [f"item {n}" for n in range(6)]
    results: dict[str, list[str]] = {}

    async def worker(n: int) -> None:
        while items:
            item = items.pop(0)
            play.saw(n, item)

            async def use(item: str = item) -> str:
                await play._run.nap(item)
                return item

            first = await play.ctx.step(use, name="use")
            await play.wait(1)
            results[item] = [first, await play.ctx.step(use, name="use again")]

    await asyncio.gather(*(worker(n) for n in range(3)))
    assert results == {item: [item, item] for item in results}, results
    return sorted(results)


@program
async def a_memory_stream(play: Play) -> Any:
    send, receive = anyio.create_memory_object_stream[str](1)

    async def sender(n: int, mine: Any) -> None:
        async with mine:
            for k in range(2):
                await mine.send(await play.step(f"send {n}.{k}"))
                await play.wait(1 + n)

    async def receiver(n: int, mine: Any) -> None:
        async with mine:
            async for item in mine:
                play.saw(n, item)
                await play.step(f"{n} got {item}")

    async with AsyncExitStack() as ends:  # also of those whose task is cancelled before it begins
        senders = [ends.push_async_exit(send.clone()) for _ in range(3)]
        receivers = [ends.push_async_exit(receive.clone()) for _ in range(2)]
        async with anyio.create_task_group() as group, send, receive:
            for n, mine in enumerate(senders):
                group.start_soon(sender, n, mine)
            for n, mine in enumerate(receivers):
                group.start_soon(receiver, n, mine)
    return await play.step("end")


# --- what tasks wait for ---


@program
async def a_lock(play: Play) -> Any:
    lock, order = asyncio.Lock(), list[int]()

    async def worker(n: int) -> None:
        for k in range(2):
            await play.step(f"{n}.{k} before")
            async with lock:
                order.append(n)
                play.saw(n, k)
                await play.step(f"{n} is number {len(order)}")
                if n == k:
                    await play.wait(1)

    await asyncio.gather(*(worker(n) for n in range(3)))
    return order


@program
async def an_anyio_lock_and_limiter(play: Play) -> Any:
    lock, limiter, order = anyio.Lock(), anyio.CapacityLimiter(2), list[int]()

    async def worker(n: int) -> None:
        async with limiter:
            await play.step(f"{n} is one of two")
            async with lock:
                order.append(n)
                play.saw(n)
                await play.step(f"{n} is number {len(order)}")
                await play.wait(1)

    async with anyio.create_task_group() as group:
        for n in range(4):
            group.start_soon(worker, n)
    return order


@program
async def an_event(play: Play) -> Any:
    event, order = asyncio.Event(), list[str]()

    async def waits(n: int) -> None:
        await play.step(f"{n} before")
        if n % 2:
            await event.wait()
        order.append(f"{n}")
        play.saw(n, event.is_set())
        await play.step(f"{n} is number {len(order)}, set: {event.is_set()}")

    async def sets() -> None:
        await play.step("before it is set")
        await play.wait(1)
        event.set()

    await asyncio.gather(*(waits(n) for n in range(5)), sets())
    return order


@program
async def a_condition(play: Play) -> Any:
    condition, stock, order = asyncio.Condition(), list[str](), list[list[str]]()

    async def takes(n: int) -> None:
        await play.step(f"{n} comes")
        async with condition:
            await condition.wait_for(lambda: len(stock) >= 2)
            taken = [stock.pop(), stock.pop()]
        order.append(taken)
        play.saw(n, taken)
        await play.step(f"{n} takes {taken}")

    async def brings(n: int) -> None:
        brought = await play.step(f"bring {n}")
        if n == 2:
            await play.wait(2)
        async with condition:
            stock.append(brought)
            condition.notify_all()

    await asyncio.gather(*(takes(n) for n in range(3)), *(brings(n) for n in range(6)))
    return order


@program
async def a_semaphore(play: Play) -> Any:
    semaphore, order = asyncio.Semaphore(2), list[int]()

    async def worker(n: int) -> None:
        async with semaphore:
            await play.step(f"{n} works")
            if n % 2:
                await play.wait(1)
        order.append(n)
        play.saw(n)
        await play.step(f"{n} is number {len(order)}")

    await asyncio.gather(*(worker(n) for n in range(5)))
    return order


@program
async def a_barrier(play: Play) -> Any:
    barrier, order = asyncio.Barrier(3), list[int]()

    async def worker(n: int) -> None:
        await play.step(f"{n} comes")
        place = await barrier.wait()
        order.append(n)
        play.saw(n, place)
        await play.step(f"{n} has place {place}")
        await play.wait(1)

    await asyncio.gather(*(worker(n) for n in range(6)))
    return order


# --- who is first ---


def _noting(play: Play, order: list[str]) -> Callable[[str], Awaitable[None]]:
    """Return a function that notes what came next, and records it with its number."""

    async def note(what: str) -> None:
        order.append(what)
        play.saw(what)
        await play.step(f"{len(order)}: {what}")

    return note


async def _two_steps(play: Play, n: int) -> str:
    first = await play.step(f"{n}, first")
    if n % 2:
        await play.wait(1 + n // 2)
    return first + await play.step(f"{n}, second")


@varying
async def wait_for_the_first(play: Play) -> Any:
    """The loop of every framework, over sets: what is done in one turn comes out of a set."""
    pending = {asyncio.ensure_future(_two_steps(play, n)) for n in range(5)}
    order: list[str] = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            order.append(task.result())
            play.saw(task.result())
            await play.step(f"number {len(order)} is {task.result()}")
    return order


@varying
async def wait_for_the_first_error(play: Play) -> Any:
    async def one(n: int) -> str:
        await _two_steps(play, n)
        return await play.step(f"{n} ends", fails=n in (1, 3))

    pending = {asyncio.ensure_future(one(n)) for n in range(5)}
    seen: list[list[str]] = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        ends = [str(task.exception() or task.result()) for task in done]
        seen.append(ends)
        play.saw(ends)
        await play.step(f"{len(seen)}: {len(ends)} ended")
    return seen


@varying
async def wait_for_all(play: Play) -> Any:
    """What is done comes out of a set, and the loop over it calls operations by position."""
    done, _ = await asyncio.wait({asyncio.ensure_future(_two_steps(play, n)) for n in range(5)})
    order: list[str] = []
    for task in done:
        order.append(task.result())
        play.saw(task.result())
        await play.step(f"number {len(order)} is {task.result()}")
        await play.wait(1)
    return order


@program
async def as_completed(play: Play) -> Any:
    order: list[str] = []
    for following in asyncio.as_completed([_two_steps(play, n) for n in range(4)]):
        order.append(await following)
        play.saw(order[-1])
        await play.step(f"number {len(order)} is {order[-1]}")
    return order


@program
async def as_completed_over_a_set_of_tasks(play: Play) -> Any:
    order: list[str] = []
    for following in asyncio.as_completed({asyncio.ensure_future(_two_steps(play, n)) for n in range(4)}):
        order.append(await following)
        play.saw(order[-1])
        await play.step(f"number {len(order)} is {order[-1]}")
    return order


@program
async def done_callbacks(play: Play) -> Any:
    order: list[str] = []

    def note(task: asyncio.Task[str]) -> None:
        if not task.cancelled():
            order.append(task.result())
            play.saw(task.result())

    tasks = [asyncio.ensure_future(_two_steps(play, n)) for n in range(4)]
    for task in tasks:
        task.add_done_callback(note)
    for n, task in enumerate(tasks):
        await task
        await play.step(f"after {n} there are {order}"[:200])
    return order


@program
async def first_come_first_served(play: Play) -> Any:
    seats = count(1)

    async def guest(n: int) -> int:
        await play.step(f"{n} comes")
        seat = next(seats)
        play.saw(n, seat)
        await play.step(f"seat {seat} for {n}")
        if seat == 2:
            await play.wait(1)
        return seat

    return await asyncio.gather(*(guest(n) for n in range(5)))


@program
async def tasks_started_by_tasks_in_the_order_of_results(play: Play) -> Any:
    order: list[str] = []

    async with asyncio.TaskGroup() as group:

        async def follow(label: str) -> None:
            order.append(await play.step(f"{label} as number {len(order)}"))
            play.saw(order[-1])

        async def lead(n: int) -> None:
            for k in range(2):
                label = await play.step(f"{n}.{k}")
                if n == k:
                    await play.wait(1)
                group.create_task(follow(label))
                if len(order) % 2:
                    await asyncio.create_task(follow(f"{label} again"))

        for n in range(3):
            group.create_task(lead(n))
    return order


@program
async def tasks_started_by_callbacks(play: Play) -> Any:
    """As a scheduler with a limit does: the end of a job starts the next one."""
    order: list[str] = []
    waiting = list(range(6))
    all_done = asyncio.get_running_loop().create_future()

    async def job(n: int) -> None:
        order.append(await _two_steps(play, n))
        play.saw(order[-1])
        await play.step(f"{order[-1]} is number {len(order)}")

    def start(ended: asyncio.Task[None] | None = None) -> None:
        if ended is not None and ended.cancelled():
            return
        if waiting:
            asyncio.ensure_future(job(waiting.pop(0))).add_done_callback(start)
        elif len(order) == 6 and not all_done.done():
            all_done.set_result(None)

    for _ in range(2):
        asyncio.get_running_loop().call_soon(start)
    await play.step("beside the first jobs")
    await all_done
    return order


@program
async def tasks_started_by_callbacks_that_wait_first(play: Play) -> Any:
    """Their numbers are given when they first call an operation, several of them in one turn of the loop."""
    loop, event, queue = asyncio.get_running_loop(), asyncio.Event(), asyncio.Queue[str]()
    order: list[str] = []

    async def job(n: int) -> None:
        if n % 3 == 0:
            await event.wait()
        elif n % 3 == 1:
            play.saw(n, await queue.get())
        else:
            for _ in range(n):
                await asyncio.sleep(0)
        order.append(await play.step(f"{n}"))
        play.saw(order[-1])
        await play.step(f"{n} is number {len(order)}")

    async def opens() -> None:
        await play.step("open")
        event.set()

    async def fills() -> None:
        for n in range(3):
            queue.put_nowait(await play.step(f"item {n}"))

    jobs: list[asyncio.Task[None]] = []
    for n in range(9):
        loop.call_soon(lambda n=n: jobs.append(loop.create_task(job(n))))
    await asyncio.gather(opens(), fills())
    await play.wait(1)
    for each in jobs:
        await each
    return order


@program
async def callbacks_that_call_each_other(play: Play) -> Any:
    """Between the end of a step and what the workflow does next lie many turns of the loop, in which no task runs."""
    loop, order = asyncio.get_running_loop(), list[str]()

    def pass_on(turns: int, arrived: asyncio.Future[None]) -> None:
        if arrived.cancelled():
            return
        if turns:
            loop.call_soon(pass_on, turns - 1, arrived)
        else:
            arrived.set_result(None)

    async def called_back(n: int) -> None:
        for k in range(2):
            label = await play.step(f"{n}.{k}")
            arrived = loop.create_future()
            pass_on(20 * (n + 1), arrived)
            await arrived
            order.append(label)
            play.saw(label)
            await play.step(f"{label} is number {len(order)}")
            await play.wait(1)

    async def shielded(n: int) -> None:
        following: asyncio.Future[str] = asyncio.ensure_future(_two_steps(play, n))
        for _ in range(20):
            following = asyncio.shield(following)
        order.append(await following)
        play.saw(order[-1])
        await play.step(f"{order[-1]} is number {len(order)}")

    await asyncio.gather(*(called_back(n) for n in range(3)), *(shielded(n) for n in range(3, 6)))
    return order


@program
async def tasks_made_without_the_factory(play: Play) -> Any:
    """As langgraph does, which calls a task factory of its own choice."""
    make: Any = getattr(asyncio, "eager_task_factory", lambda loop, coro: asyncio.Task(coro, loop=loop))
    order: list[str] = []

    async def node(n: int) -> None:
        inner = asyncio.create_task(_two_steps(play, n))
        order.append(await play.step(f"node {n} as number {len(order)}"))
        play.saw(order[-1])
        order.append(await inner)

    nodes = [make(asyncio.get_running_loop(), node(n)) for n in range(4)]
    try:
        for each in nodes:
            await each
            await play.step(f"after {len(order)}")
    finally:
        for each in nodes:
            each.cancel()
    return order


@varying
async def one_loop_starts_tasks_as_results_come(play: Play) -> Any:
    """Tasks that the main task starts are numbered in an order that results decide."""
    todo, order = list(range(6)), list[str]()
    running = {asyncio.ensure_future(_two_steps(play, todo.pop(0))) for _ in range(2)}
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            order.append(task.result())
            play.saw(task.result())
            if todo:
                running.add(asyncio.ensure_future(_two_steps(play, todo.pop(len(order) % 2 - 1))))
    return order


@program
async def errors_caught_in_order(play: Play) -> Any:
    caught: list[str] = []

    async def one(n: int) -> None:
        if n % 2:
            await play.wait(1)
        try:
            await play.step(f"{n}", fails=n % 3 != 0)
        except StepError as error:
            caught.append(str(error))
            play.saw(str(error))
            await play.step(f"{n} is error {len(caught)}")

    await asyncio.gather(*(one(n) for n in range(6)))
    return caught


@program
async def shared_variables(play: Play) -> Any:
    """Who finds what in variables that all tasks write."""
    state = {"turn": 0, "last": "nobody"}

    async def one(n: int) -> None:
        for k in range(2):
            before = dict(state)
            await play.step(f"{n}.{k} comes")
            play.saw(n, k, before, dict(state))
            state["turn"] += 1
            await play.step(f"{n}.{k} in turn {state['turn']} after {state['last']}")
            state["last"] = f"{n}"
            await play.wait(1)

    await asyncio.gather(*(one(n) for n in range(3)))
    return state


# --- other operations ---


@program
async def timers_beside_steps(play: Play) -> Any:
    order: list[str] = []

    async def note(what: str) -> None:
        order.append(what)
        play.saw(what)
        await play.step(f"{what} is number {len(order)}")

    async def steps(n: int) -> None:
        for k in range(2):
            await note(await play.step(f"step {n}.{k}"))

    async def timer(n: int) -> None:
        await play.wait(n)
        await note(f"timer {n}")

    await asyncio.gather(*(steps(n) for n in range(3)), *(timer(n) for n in range(1, 5)))
    return order


@program
async def child_contexts(play: Play) -> Any:
    """The order inside a context is its own; that of the ends of contexts is the outer one's."""
    order: list[str] = []

    async def child(ctx: Any, n: int) -> str:
        inner: list[int] = []

        async def strand(k: int) -> None:
            await play.step(f"{n}.{k}")
            inner.append(k)
            await play.step(f"{n}.{k} is number {len(inner)} of the child")

        await asyncio.gather(*(strand(k) for k in range(2)))
        if n == 1:
            await play.wait(1)
        return f"child {n} {inner}"

    async def one(n: int) -> None:
        await play.step(f"before {n}")
        order.append(await play.ctx.run_in_child_context(child, n))
        play.saw(order[-1])
        await play.step(f"number {len(order)} is {order[-1]}")

    await asyncio.gather(*(one(n) for n in range(3)), _two_steps(play, 9))
    return order


@varying
async def callbacks_answered_in_random_order(play: Play) -> Any:
    order: list[str] = []

    async def note(answer: str) -> None:
        order.append(answer)
        play.saw(answer)
        await play.step(f"{answer} is number {len(order)}")

    async def waits_for(n: int) -> None:
        async def ask(callback_id: str) -> None:
            await play.hand_out(callback_id, f"answer {n}")

        await note(await play.ctx.wait_for_callback(ask, name=f"ask {n}"))

    async def creates(n: int) -> None:
        created = await play.ctx.create_callback(name=f"create {n}", config=CallbackConfig(timeout=timedelta(hours=1)))
        await note(f"created {n}")
        await play.ctx.step(play.hand_out, created.callback_id, f"answer {n}", name=f"hand out {n}")
        await note(await created.result())

    await asyncio.gather(*(waits_for(n) for n in range(3)), *(creates(n) for n in range(3, 5)), _two_steps(play, 9))
    return order


@varying
async def a_framework_that_waits_for_tools(play: Play) -> Any:
    """As agent frameworks do: a callback, a sub-agent and steps, taken as they come."""

    async def ask(callback_id: str) -> None:
        await play.hand_out(callback_id, "approved")

    async def asks() -> str:
        return await play.ctx.wait_for_callback(ask, name="ask")

    async def sub_agent(ctx: Any) -> str:
        await asyncio.gather(play.step("sub 1"), play.step("sub 2"))
        return "sub"

    tools = [asks(), play.ctx.run_in_child_context(sub_agent, name="sub"), _two_steps(play, 0), _two_steps(play, 1)]
    pending = {asyncio.create_task(tool) for tool in tools}
    transcript: list[str] = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            transcript.append(task.result())
            play.saw(task.result())
        await play.step(f"model call after {len(transcript)}: {transcript[-1]}")
    return transcript


@program
async def races_and_batches_beside_steps(play: Play) -> Any:
    order: list[str] = []

    note = _noting(play, order)

    async def raced() -> None:
        await note("winner " + await play.ctx.race(lambda ctx: play.step("left"), lambda ctx: play.step("right")))

    async def batch(nesting: NestingType) -> None:
        async def item(ctx: Any, n: int) -> str:
            await play.step(f"item {n} {nesting}")
            await play.wait(1)
            return await play.step(f"item {n} {nesting} again")

        config = MapConfig(completion=CompletionConfig(min_successful=2), nesting=nesting, max_concurrency=2)
        done = await play.ctx.map(item, range(4), config=config)
        await note(f"batch {nesting} {[each.status.value for each in done.items]}")

    await asyncio.gather(raced(), batch(NestingType.NESTED), batch(NestingType.FLAT), _two_steps(play, 9))
    return order


@program
async def deadlines_beside_steps(play: Play) -> Any:
    order: list[str] = []

    note = _noting(play, order)

    async def in_time(n: int) -> None:
        try:
            async with play.ctx.timeout(timedelta(seconds=2), name=f"deadline {n}"):
                for k in range(3):
                    await play.step(f"under {n}.{k}")
                    play.saw(n, k)
            await note(f"{n} in time")
        except DurableTimeoutError:
            await note(f"{n} too late")

    await asyncio.gather(*(in_time(n) for n in range(3)), _two_steps(play, 9), _two_steps(play, 10))
    return order


@program
async def cancelled_bodies_that_take_time_to_leave(play: Play) -> Any:
    """A body that is cancelled waits for tasks of its own, which clean up. Meanwhile other operations end."""
    order: list[str] = []

    note = _noting(play, order)

    async def part(label: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await play._run.nap(label)

    async def body(n: int) -> None:
        async with asyncio.TaskGroup() as parts:
            for k in range(2):
                parts.create_task(part(f"part {n}.{k}"))

    async def group(n: int) -> None:
        try:
            async with asyncio.TaskGroup() as strands:
                strands.create_task(play.ctx.step(body, n, name=f"body {n}"))
                strands.create_task(play.step(f"fails {n}", fails=True))
        except* StepError:
            await note(f"group {n} failed")

    async def beside(n: int) -> None:
        for k in range(5):
            await note(await play.step(f"beside {n}.{k}"))

    await asyncio.gather(*map(group, range(2)), *map(beside, range(2)))
    return order


@program
async def groups_that_fail(play: Play) -> Any:
    """Which of the siblings have got how far when one fails."""
    order: list[str] = []

    async def strand(n: int) -> None:
        for k in range(2):
            order.append(await play.step(f"strand {n}.{k}"))
            play.saw(order[-1])
        if n == 1:
            await play.step("the failing one", fails=True)
        await play.wait(1)

    try:
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(strand(n))
    except* StepError:
        play.saw("failed")
        await play.step(f"after {len(order)}: {order[-1]}")
    return order


@program
async def durable_groups_that_fail(play: Play) -> Any:
    order: list[str] = []

    async def branch(ctx: Any, n: int) -> None:
        await play.step(f"branch {n}", fails=n == 1)
        await play.wait(1)

    async def group() -> None:
        try:
            async with play.ctx.task_group() as group:
                for n in range(3):
                    group.start_soon(branch, n)
        except* Exception:
            order.append("failed")
            play.saw("failed")
            await play.step(f"failed after {len(order)}")

    async def other() -> None:
        for n in range(3):
            order.append(await play.step(f"beside {n}"))
            play.saw(order[-1])
            await play.step(f"beside {n} is number {len(order)}")

    await asyncio.gather(group(), other())
    return order


@varying
async def retries_and_conditions_beside_steps(play: Play) -> Any:
    order: list[str] = []

    note = _noting(play, order)

    async def retried() -> None:
        attempts = count(1)

        async def attempt(ctx: Any) -> str:
            number = next(attempts)
            await play.step(f"attempt {number}", fails=number < 2)
            return f"attempt {number}"

        strategy = RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=3)
        await note(await play.ctx.with_retry(attempt, strategy=strategy, name="retried"))

    async def polled() -> None:
        async def check(done: int) -> int:
            await play._run.nap("check")
            return done + 1

        def strategy(done: int, attempt: int) -> Any:
            return WaitDecision.stop() if done == 2 else WaitDecision.continue_after(timedelta(seconds=1))

        await note(f"met after {await play.ctx.wait_for_condition(check, 0, strategy, name='poll')}")

    async def compensated() -> None:
        try:
            async with play.ctx.compensations() as undo:
                undo.add(lambda: "undone", name="undo")
                await play.step("fails", fails=True)
        except StepError:
            await note("compensated")

    async def invoked() -> None:
        event = {"place": "there", "fails": False}
        await note(await play.ctx.invoke("durable-target:$LATEST", event, name="invoke"))

    await asyncio.gather(retried(), polled(), compensated(), invoked(), _two_steps(play, 9))
    return order


@program
async def time_in_gathered_tasks(play: Play) -> Any:
    began = play.ctx.now()

    async def one(n: int) -> None:
        for k in range(2):
            before = play.ctx.now()
            await play.step(f"{n}.{k}")
            now = play.ctx.now()
            assert now >= before
            play.saw(n, k, (now - began).total_seconds())
            if n == k:
                await play.wait(1)
        play.saw(n, str(play.ctx.uuid()), play.ctx.random().random())

    slow = asyncio.create_task(_two_steps(play, 9))
    await asyncio.gather(*(one(n) for n in range(3)))
    play.saw((play.ctx.now() - began).total_seconds())
    await slow


@varying
async def tasks_in_sets_and_dictionaries(play: Play) -> Any:
    """Sets of tasks iterate in the order of hashes."""
    tasks = {asyncio.ensure_future(_two_steps(play, n)): n for n in range(6)}
    for task in set(tasks):
        play.saw(tasks[task])
        await play.step(f"visit {tasks[task]}")
    rng = Random(play.ctx.random().random())
    for task in rng.sample(list(set(tasks)), 3):
        play.saw(await task)
        await play.step(f"sampled {tasks[task]}")
    await asyncio.gather(*tasks)
