"""The tasks of a context that ends, and those of contexts inside of it, are cancelled together and once."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import suppress
from datetime import timedelta

import anyio
import pytest

from durable_async import CompletionConfig, ParallelConfig, durable_execution
from durable_async.testing import run

SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)


async def quick(child):
    await child.step(asyncio.sleep, 1)


async def goes_on():
    await asyncio.sleep(YEAR.total_seconds())


async def in_tasks(levels, function):
    """Await ``function()`` in a task that a task awaits, and so on."""
    task = asyncio.create_task(in_tasks(levels - 1, function) if levels else function())
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
        await asyncio.wait([task])


def group_in_tasks(woken, seen):
    """Return the function of a child context. Its task waits for another one, which has a group of anyio's with a
    branch that calls an operation once it is ``woken``. A branch that alone is cancelled ends such a group quietly."""

    async def function(child):
        async def calls():
            try:
                await woken.wait()
                await child.step(goes_on)
            except asyncio.CancelledError:
                seen.append("cancelled" if asyncio.current_task().cancelling() else "refused")
                raise

        async def group():
            async with anyio.create_task_group() as branches:
                branches.start_soon(calls)
                branches.start_soon(child.step, goes_on)
            seen.append("the group ended quietly")

        await in_tasks(3, group)

    return function


def test_a_deadline_cancels_at_once_what_runs_in_inner_contexts():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        woken = asyncio.Event()

        async def wakes():
            try:
                await ctx.step(goes_on)
            finally:
                woken.set()

        async with ctx.timeout(SECOND):
            await asyncio.gather(wakes(), ctx.run_in_child_context(group_in_tasks(woken, seen)))

    assert run(workflow, None).status == "FAILED"
    assert seen == ["cancelled"]


def test_a_batch_that_is_decided_cancels_at_once_what_runs_in_inner_contexts():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        woken = asyncio.Event()

        def first(progress):
            if progress.completed:
                woken.set()
                return "SUCCEEDED"
            return None

        branches = [quick, group_in_tasks(woken, seen)]
        await ctx.parallel(branches, config=ParallelConfig(completion=CompletionConfig(custom=first)))

    assert run(workflow, None).status == "SUCCEEDED"
    assert seen == ["cancelled"]


def test_a_body_that_ends_the_program_is_cancelled_with_what_runs_beside_it(caplog):
    seen = []

    async def ends_the_program():
        sys.exit()

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(ends_the_program)
        finally:
            seen.append(asyncio.current_task().cancelling())

    with pytest.raises(SystemExit):
        run(workflow, None)
    assert seen == [1]
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def cleans_up(log):
    try:
        await goes_on()
    finally:
        await asyncio.sleep(1)
        log.append("clean")


async def steps_of_a_group(context, log):
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(context.step(cleans_up, log))


async def steps_of_a_group_in_a_child_context(context, log):
    async def function(child):
        await steps_of_a_group(child, log)

    await context.run_in_child_context(function)


async def steps_of_a_map(context, log):
    async def function(child, item):
        await steps_of_a_group(child, log)

    await context.map(function, [1])


@pytest.mark.parametrize("steps", [steps_of_a_group, steps_of_a_group_in_a_child_context, steps_of_a_map])
def test_the_clean_up_of_a_step_in_a_group_is_not_cancelled_when_a_deadline_passes(steps):
    log = []

    @durable_execution
    async def workflow(event, ctx):
        async with ctx.timeout(SECOND):
            await steps(ctx, log)

    run(workflow, None)
    assert log == ["clean", "clean"]


@pytest.mark.parametrize("steps", [steps_of_a_group, steps_of_a_group_in_a_child_context])
def test_the_clean_up_of_a_step_in_a_group_is_not_cancelled_when_a_race_is_lost(steps):
    log = []

    @durable_execution
    async def workflow(event, ctx):
        async def slow(child):
            await steps(child, log)

        await ctx.race(quick, slow)

    assert run(workflow, None).status == "SUCCEEDED"
    assert log == ["clean", "clean"]


def test_the_loser_of_a_race_is_cancelled_although_a_cancellation_of_it_is_pending():
    """As in a task that caught the failure of an asyncio.TaskGroup, up to Python 3.12."""
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        async def slow(child):
            asyncio.current_task().cancel()
            with suppress(asyncio.CancelledError):
                await goes_on()
            try:
                await goes_on()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        await ctx.race(quick, slow)
        seen.append("race has ended")

    assert run(workflow, None).status == "SUCCEEDED"
    assert seen == ["cancelled", "race has ended"]


def test_a_future_may_start_a_task_when_a_deadline_cancels_it(caplog):
    class Announcing(asyncio.Future):
        def cancel(self, msg=None):
            self.announcing = asyncio.get_running_loop().create_task(asyncio.sleep(0))
            return super().cancel(msg)

    async def waits():
        await Announcing()

    @durable_execution
    async def workflow(event, ctx):
        async with ctx.timeout(SECOND):
            await asyncio.wait([asyncio.create_task(waits()) for _ in range(3)])

    assert run(workflow, None).status == "FAILED"
    assert [record for record in caplog.records if record.name == "asyncio"] == []
