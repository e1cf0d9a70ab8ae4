"""Workflows that stay in memory while they wait: what the service and the user see is what they would see otherwise."""

import asyncio
from datetime import timedelta

import anyio
import pytest

from durable_async import (
    CallbackConfig,
    CompletionConfig,
    DurableTimeoutError,
    MapConfig,
    RetryStrategy,
    StepConfig,
    WaitDecision,
    durable_execution,
)
from durable_async._wire.limits import RESPONSE_BYTES
from durable_async.embedded.cache import ExecutionCache
from durable_async.service.functions.base import in_process_function
from tests.world import World

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
TWICE = StepConfig(retry_strategy=RetryStrategy.fixed(delay=HOUR, max_attempts=2))
SHAPES = {}


def shape(workflow):
    SHAPES[workflow.__name__] = workflow
    return workflow


async def same(value):
    """The body of a step, on the event loop: threads would take turns at random."""
    return value


async def stepped(ctx, n, wait=HOUR):
    await ctx.step(same, n, name=f"before {n}")
    await ctx.wait(wait, name=f"wait {n}")
    return await ctx.step(same, n, name=f"after {n}")


@shape
async def in_a_row(ctx, world):
    return [await stepped(ctx, n) for n in range(3)]


@shape
async def gathered(ctx, world):
    return await asyncio.gather(*(stepped(ctx, n, HOUR * (3 - n)) for n in range(3)))


@shape
async def task_group(ctx, world):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stepped(ctx, n, HOUR * (n + 1))) for n in range(3)]
    return [task.result() for task in tasks]


@shape
async def anyio_group(ctx, world):
    async with anyio.create_task_group() as group:
        for n in range(3):
            group.start_soon(stepped, ctx, n, HOUR * (n + 1))


@shape
async def a_failing_group(ctx, world):
    async def fails():
        await ctx.wait(HOUR)
        raise ValueError("enough")

    try:
        async with ctx.task_group() as group:
            group.start_soon(stepped, 1, HOUR * 2)
            group.start_soon(lambda _: fails(), name="fails")
    except ExceptionGroup as errors:
        return [str(error) for error in errors.exceptions]


@shape
async def mapped(ctx, world):
    config = MapConfig(max_concurrency=2, completion=CompletionConfig.all_completed())
    batch = await ctx.map(lambda ctx, n: stepped(ctx, n, SECOND * (n + 1)), range(5), config=config)
    return [item.result for item in batch.items]


@shape
async def raced(ctx, world):
    slow, quick = (lambda ctx, n=n: stepped(ctx, n, HOUR * n) for n in (2, 1))
    winner = await ctx.race(slow, quick)
    await ctx.wait(HOUR * 5)
    return winner


@shape
async def in_parallel(ctx, world):
    batch = await ctx.parallel([lambda ctx, n=n: stepped(ctx, n, HOUR * n) for n in (1, 2)])
    return [item.result for item in batch.items]


@shape
async def a_large_child(ctx, world):
    async def child(ctx):
        return [await stepped(ctx, 1), "x" * 300_000]

    return len((await ctx.run_in_child_context(child))[1])


@shape
async def a_deadline_that_passes(ctx, world):
    try:
        async with ctx.timeout(HOUR):
            await stepped(ctx, 1, HOUR * 2)
    except DurableTimeoutError as error:
        return str(error)


@shape
async def a_deadline_that_is_kept(ctx, world):
    async with ctx.timeout(HOUR * 2):
        return await stepped(ctx, 1)


@shape
async def retries(ctx, world):
    def flaky():
        world.attempts = getattr(world, "attempts", 0) + 1
        if world.attempts == 1:
            raise ValueError("not yet")
        return world.attempts

    return await ctx.step(flaky, config=TWICE)


@shape
async def a_condition(ctx, world):
    def strategy(state, attempt):
        return WaitDecision.stop() if state == 3 else WaitDecision.continue_after(HOUR)

    return await ctx.wait_for_condition(lambda state: state + 1, 0, strategy, name="counts")


@shape
async def an_invoke(ctx, world):
    return await asyncio.gather(ctx.invoke("other:$LATEST", 1), ctx.invoke("plain", 2))


@shape
async def a_callback_that_times_out(ctx, world):
    callback = await ctx.create_callback(config=CallbackConfig(timeout=HOUR))
    errors = []
    for _ in range(2):
        try:
            await callback.result()
        except Exception as error:
            errors.append(str(error))
        await ctx.wait(HOUR)
    return errors


@shape
async def an_answered_callback(ctx, world):
    first = await ctx.wait_for_callback(world.ids.append, name="ask")
    callback = await ctx.create_callback(name="once more")
    await ctx.step(world.ids.append, callback.callback_id, name="tell")
    return [first, await callback.result(), await callback.result()]


@shape
async def compensated(ctx, world):
    try:
        async with ctx.compensations() as undo:
            undo.add(lambda: None, name="undo")
            await ctx.wait(HOUR)
            raise ValueError("no")
    except ValueError:
        await ctx.wait(HOUR)
    return "undone"


@shape
async def failing(ctx, world):
    await ctx.wait(HOUR)
    raise ValueError("at last")


@shape
async def a_large_result(ctx, world):
    await ctx.wait(HOUR)
    return "x" * RESPONSE_BYTES


@shape
async def derived_values(ctx, world):
    before = ctx.now()
    await ctx.wait(HOUR)
    return [before.isoformat(), ctx.now().isoformat()]


@durable_execution
async def other(event, ctx):
    await ctx.wait(HOUR)
    return event


async def plain(event, context):
    return event


def bare(value):
    """Without what differs between any two executions."""
    if isinstance(value, dict):
        return {
            key: bare(each)
            for key, each in value.items()
            if not key.endswith(("Timestamp", "RequestId", "CallbackId", "StackTrace", "DurableExecutionArn"))
        }
    return [*map(bare, value)] if isinstance(value, list) else value


class Story:
    """An execution of a shape: how it went, as the service tells it, and how often the workflow was started."""

    def __init__(self, name, cache):
        self.shape = SHAPES[name]
        self.world = World(cache)
        self.world.ids = []
        self.starts = 0

    async def told(self):
        @durable_execution
        async def workflow(event, ctx):
            self.starts += 1
            return await self.shape(ctx, world)

        async with self.world as world:
            world.register(other, "other")
            world.service.register("plain", in_process_function(plain))
            arn = await world.start(workflow)
            await world.settle()
            for callback_id in world.ids:  # which grows by those that the answers lead to
                await world.service.callback_succeeded(callback_id, b"yes")
                await world.settle()
            closed = await world.finish(arn)
            # Those of the execution itself name it, and say what ``closed`` does.
            events = [event for event in await world.events(arn) if not event["EventType"].startswith("Execution")]
            return closed.status, closed.result, bare(closed.error), *map(bare, events)


@pytest.mark.parametrize("room", [0, 1, 2, 1000])
@pytest.mark.parametrize("name", SHAPES)
async def test_a_workflow_that_stays_in_memory_does_the_same(name, room):
    cold, hot = Story(name, None), Story(name, ExecutionCache(room, idle=3600.0))
    assert await hot.told() == await cold.told()
    assert cold.starts > 1
    assert hot.starts == (cold.starts if room == 0 else 1 if room == 1000 else hot.starts)
    assert hot.world.invocations == cold.world.invocations
