"""The body of a step that is cancelled and takes time to end holds back the ends of other operations."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from threading import Event

import anyio
import pytest

from durable_async import DurableTimeoutError, MapConfig, StepError, durable_execution
from durable_async.testing import run

HOUR = timedelta(hours=1)
NOW = Event()
NOW.set()


def now():
    return asyncio.get_running_loop().time()


async def turns_after(began, number):
    while not began.is_set():
        await asyncio.sleep(0)
    for _ in range(number):
        await asyncio.sleep(0)


async def fails(once):
    await turns_after(once, 0)
    raise ValueError("on purpose")


async def leaves_after(seconds):
    try:
        await asyncio.sleep(HOUR.total_seconds())
    finally:
        await asyncio.sleep(seconds)


async def group_that_fails(ctx, body, *args, once=NOW):
    """Cancel ``body`` in a step, because its sibling fails ``once`` an event is set."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(body, *args))
            group.create_task(ctx.step(fails, once))
    except* StepError:
        pass


def seconds_until_a_step_ends_beside(other, seconds=1):
    """Return after how long a step of ``seconds`` has ended for the workflow, which runs ``other(ctx)`` beside it."""
    ended_after = []

    @durable_execution
    async def workflow(event, ctx):
        began = now()

        async def beside():
            await ctx.step(asyncio.sleep, seconds)
            ended_after.append(now() - began)

        await asyncio.gather(other(ctx), beside())

    run(workflow, None)
    return ended_after[0]


def orders_beside(group):
    """Return the order in which ``group(ctx)`` and a step of one second end, in each of two invocations."""
    orders = []

    @durable_execution
    async def workflow(event, ctx):
        order = []
        orders.append(order)

        async def grouped():
            await group(ctx)
            order.append("group")

        async def beside():
            await ctx.step(asyncio.sleep, 1)
            order.append("step")

        await asyncio.gather(grouped(), beside())
        await ctx.wait(HOUR)

    done = run(workflow, None)
    assert done.status == "SUCCEEDED"
    assert done.invocations == 2
    return orders


def orders_of(body, *args):
    """Return the orders beside a group that fails and cancels ``body`` in a step."""
    return orders_beside(lambda ctx: group_that_fails(ctx, body, *args))


def test_an_end_waits_for_a_cancelled_body_as_on_the_replay_where_it_does_not_run():
    assert orders_of(leaves_after, 3) == [["group", "step"]] * 2


def test_an_end_waits_for_the_tasks_of_a_cancelled_body():
    async def gathers():
        await asyncio.gather(leaves_after(2), leaves_after(3))

    assert orders_of(gathers) == [["group", "step"]] * 2


async def item(ctx, seconds=3):
    await ctx.step(leaves_after, seconds)


async def nested(ctx, _):
    await ctx.map(item, [1, 3])


async def submits(_):
    await leaves_after(3)


BATCHES = {
    "map": lambda ctx: ctx.map(item, [1, 3]),
    "map with one at a time": lambda ctx: ctx.map(item, [3, 3], config=MapConfig(max_concurrency=1)),
    "parallel": lambda ctx: ctx.parallel([item, item]),
    "race": lambda ctx: ctx.race(item, item),
    "map in a map": lambda ctx: ctx.map(nested, [0]),
    "map in a child context": lambda ctx: ctx.run_in_child_context(nested, 0),
    "wait for a callback": lambda ctx: ctx.wait_for_callback(submits),
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_an_end_waits_for_the_cancelled_bodies_of_a_batch_that_is_cancelled_itself(batch):
    """It ends when they have, and how it ends is not recorded."""

    async def group(ctx):
        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(batch(ctx))
                tasks.create_task(ctx.step(fails, NOW))
        assert failed.group_contains(StepError)

    assert orders_beside(group) == [["group", "step"]] * 2


def test_an_inner_deadline_does_not_pass_while_the_bodies_of_a_batch_end_that_an_outer_one_cancelled():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        log = []
        seen.append(log)
        with suppress(DurableTimeoutError):
            async with ctx.timeout(timedelta(seconds=5), name="outer"):
                try:
                    async with ctx.timeout(timedelta(seconds=5.4), name="inner"):
                        await asyncio.gather(ctx.map(item, [3]), return_exceptions=True)
                except BaseException as error:
                    log.append(type(error))
                    raise
        await ctx.wait(HOUR)

    assert run(workflow, None).status == "SUCCEEDED"
    assert seen == [[asyncio.CancelledError]] * 2


async def a_group_of_asyncio(ctx, blocks, began):
    await group_that_fails(ctx, blocks, once=began)


async def a_group_of_anyio(ctx, blocks, began):
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(ctx.step, blocks)
            group.start_soon(ctx.step, fails, began)
    except* StepError:
        pass


@pytest.mark.parametrize("group", [a_group_of_asyncio, a_group_of_anyio])
def test_a_group_does_not_wait_for_the_thread_of_a_cancelled_body(group):
    began, ends, ended = Event(), Event(), Event()

    def blocks():
        began.set()
        if ends.wait(5):
            ended.set()

    @durable_execution
    async def workflow(event, ctx):
        await group(ctx, blocks, began)
        ends.set()

    assert run(workflow, None).status == "SUCCEEDED"
    assert ended.wait(5)


def test_a_body_that_goes_on_after_its_own_timeout_holds_nothing_back():
    async def body():
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(HOUR.total_seconds())
        except TimeoutError:
            await asyncio.sleep(HOUR.total_seconds())

    assert seconds_until_a_step_ends_beside(lambda ctx: ctx.step(body), 2) < 3


def test_a_body_that_ignores_its_cancellation_holds_ends_back_for_a_while_and_is_named(caplog):
    async def stubborn():
        try:
            await asyncio.sleep(HOUR.total_seconds())
        except asyncio.CancelledError:
            await asyncio.sleep(HOUR.total_seconds())

    with caplog.at_level(logging.WARNING, "durable_async"):
        seconds = seconds_until_a_step_ends_beside(lambda ctx: group_that_fails(ctx, stubborn))
    assert 5 <= seconds < 6
    (message,) = [record.message for record in caplog.records if "cancelled" in record.message]
    assert "the body of step 'stubborn' still runs 5 seconds after it was cancelled" in message


def test_a_cancelled_body_holds_nothing_back_in_a_context_beside_its_own():
    ended_after = []

    @durable_execution
    async def workflow(event, ctx):
        began = now()

        async def with_group(child):
            await group_that_fails(child, leaves_after, 3)

        async def beside(child):
            await asyncio.gather(child.step(asyncio.sleep, 1, name="one"), child.step(asyncio.sleep, 1, name="other"))
            ended_after.append(now() - began)

        await ctx.parallel([with_group, beside])

    run(workflow, None)
    assert ended_after[0] < 2


def test_the_losers_of_a_race_hold_nothing_back():
    async def quick(child):
        return "quick"

    async def slow(child):
        await child.step(leaves_after, 3)

    assert seconds_until_a_step_ends_beside(lambda ctx: ctx.race(quick, slow)) < 2
