"""A cancellation from outside decides nothing about an execution; one by the workflow's own code does."""

import asyncio
from datetime import timedelta

import pytest

from durable_async import durable_execution
from durable_async.embedded import DurableService
from durable_async.embedded.cache import ExecutionCache
from tests.world import World

HOUR = timedelta(hours=1)


def cancel_all(but):
    """What ``asyncio.run`` does before the clean-up begins."""
    for task in asyncio.all_tasks() - but:
        task.cancel()


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


async def one(value):
    return value


SHAPES = {}


def shape(workflow):
    SHAPES[workflow.__name__] = workflow
    return workflow


@shape
async def a_wait(ctx):
    await ctx.wait(HOUR)


@shape
async def gathered(ctx):
    await asyncio.gather(ctx.wait(HOUR), ctx.wait(HOUR * 2))


@shape
async def in_a_group(ctx):
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.wait(HOUR))


@shape
async def mapped(ctx):
    await ctx.map(lambda ctx, _: ctx.wait(HOUR), range(3))


@shape
async def that_takes_it_for_an_error(ctx):
    try:
        await ctx.wait(HOUR)
    except asyncio.CancelledError:
        raise ValueError("cancelled") from None


@shape
async def that_goes_on_as_if_nothing_were(ctx):
    try:
        await ctx.wait(HOUR)
    except asyncio.CancelledError:
        await ctx.step(one, "gave up")


@pytest.mark.parametrize("workflow", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("hot", [1000, 0], ids=["hot", "replayed"])
async def test_all_tasks_are_cancelled_while_it_waits(workflow, hot):
    of_the_test_runner = asyncio.all_tasks()

    @durable_execution
    async def handler(event, ctx):
        await workflow(ctx)
        return await ctx.step(one, "done")

    async with World(cache=ExecutionCache(hot, 1e9)) as world:
        arn = await world.start(handler)
        await world.settle()
        cancel_all(of_the_test_runner)
        await turns()
        closed = await world.finish(arn)
    assert (closed.status, closed.result) == ("SUCCEEDED", '"done"')


async def test_one_who_cancels_a_running_workflows_task_decides_nothing():
    tasks = []

    @durable_execution
    async def handler(event, ctx):
        tasks.append(asyncio.current_task())
        if len(tasks) == 1:
            await asyncio.sleep(3600)
        return "done"

    async with World() as world:
        arn = await world.start(handler)
        while not tasks:
            await asyncio.sleep(0)
        await turns()
        tasks[0].cancel()
        closed = await world.finish(arn)
        ends = [e["InvocationCompletedDetails"] for e in await world.events(arn) if "InvocationCompletedDetails" in e]
    assert (closed.status, closed.result) == ("SUCCEEDED", '"done"')
    assert "was cancelled" in ends[0]["Error"]["Payload"]["ErrorMessage"]


async def raises_it():
    raise asyncio.CancelledError


async def awaits_what_it_cancelled():
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task


@pytest.mark.parametrize("body", [raises_it, awaits_what_it_cancelled])
async def test_a_workflow_that_ends_with_a_cancellation_of_its_own_fails(body):
    @durable_execution
    async def handler(event, ctx):
        await ctx.wait(HOUR)
        await body()

    async with World() as world:
        closed = await world.run(handler)
    assert (closed.status, closed.error["ErrorMessage"]) == ("FAILED", "the workflow cancelled itself")


async def test_an_execution_survives_that_all_tasks_are_cancelled_and_the_clean_up_takes_long(tmp_path):
    of_the_test_runner = asyncio.all_tasks()

    @durable_execution
    async def handler(event, ctx):
        await ctx.wait(timedelta(seconds=1))
        return "done"

    async def program():
        async with DurableService(tmp_path / "x.db") as service:
            service.register(handler)
            execution = await service.start(handler, None, name="one")
            while not any(e.type == "InvocationCompleted" for e in await execution.history()):
                await asyncio.sleep(0.01)
            waits.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return await execution.result()  # the timer comes due now

    waits = asyncio.Event()
    task = asyncio.create_task(program())
    await waits.wait()
    await asyncio.sleep(0)
    cancel_all(of_the_test_runner)
    async with asyncio.timeout(20):
        assert await task == "done"
