"""An operation that was called and never awaited does not end as a success."""

import asyncio
import gc
import inspect
import warnings
from datetime import timedelta

import pytest

from durable_async import ContextMisuseError, DurableContext, MapConfig, NestingType, durable_execution
from durable_async.embedded.cache import ExecutionCache
from tests.world import World

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def charge(cents: int = 1) -> int:
    return cents


async def ship() -> str:
    return "shipped"


async def ended(workflow, **options):
    """How an execution ends, with no warning of Python's on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with World(**options) as world:
            closed = await world.run(durable_execution(workflow))
        gc.collect()
    return closed


def line_of(workflow, text):
    lines, first = inspect.getsourcelines(workflow)
    return next(first + n for n, line in enumerate(lines) if text in line)


def message(closed):
    assert closed.status == "FAILED", closed
    return closed.error["ErrorMessage"]


async def test_a_step_that_nobody_awaits_fails_the_execution_with_its_name_and_line():
    async def fulfil(event, ctx: DurableContext) -> str:
        ctx.step(charge, 100)
        return await ctx.step(ship)

    closed = await ended(fulfil)
    assert closed.error["ErrorType"] == "durable_async.errors.ContextMisuseError"
    assert (
        f"Step 'charge' (test_never_awaited.py:{line_of(fulfil, 'charge, 100')}) was called and never awaited"
        in message(closed)
    )


CALLS = {
    "step": lambda ctx: ctx.step(charge),
    "wait": lambda ctx: ctx.wait(HOUR),
    "child": lambda ctx: ctx.run_in_child_context(lambda ctx: ctx.step(charge)),
    "with_retry": lambda ctx: ctx.with_retry(lambda ctx: ctx.step(charge), strategy=lambda error, attempt: None),
    "map": lambda ctx: ctx.map(lambda ctx, n: ctx.step(charge, n), [1]),
    "parallel": lambda ctx: ctx.parallel([lambda ctx: ctx.step(charge)]),
    "race": lambda ctx: ctx.race(lambda ctx: ctx.step(charge)),
    "create_callback": lambda ctx: ctx.create_callback(),
    "wait_for_callback": lambda ctx: ctx.wait_for_callback(lambda callback_id: None),
    "invoke": lambda ctx: ctx.invoke("other:1"),
    "condition": lambda ctx: ctx.wait_for_condition(lambda state: state, 1, lambda state, attempt: None),
    "timeout": lambda ctx: ctx.timeout(HOUR),
}


@pytest.mark.parametrize("call", CALLS)
async def test_each_operation_is_found(call):
    async def workflow(event, ctx):
        CALLS[call](ctx)

    assert "was called and never awaited" in message(await ended(workflow))


async def in_child(ctx, body):
    await ctx.run_in_child_context(body)


async def in_retried(ctx, body):
    await ctx.with_retry(body, strategy=lambda error, attempt: None)


async def in_map(ctx, body):
    (await ctx.map(lambda ctx, _: body(ctx), [1])).throw_if_error()


async def in_flat_map(ctx, body):
    (await ctx.map(lambda ctx, _: body(ctx), [1], config=MapConfig(nesting=NestingType.FLAT))).throw_if_error()


async def in_parallel(ctx, body):
    (await ctx.parallel([body])).throw_if_error()


async def in_race(ctx, body):
    await ctx.race(body)


async def in_group(ctx, body):
    async with ctx.task_group() as group:
        group.start_soon(body)


async def in_deadline(ctx, body):
    async with ctx.timeout(HOUR):
        await body(ctx)


async def in_task(ctx, body):
    await asyncio.create_task(body(ctx))


PLACES = [in_child, in_retried, in_map, in_flat_map, in_parallel, in_race, in_group, in_deadline, in_task]


@pytest.mark.parametrize("place", PLACES)
async def test_each_context_is_looked_at_when_it_returns(place):
    async def body(ctx):
        await ctx.step(ship)
        ctx.step(charge)
        return 1

    async def workflow(event, ctx):
        try:
            await place(ctx, body)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    assert "Step 'charge'" in message(await ended(workflow))


@pytest.mark.parametrize("place", [in_child, in_map, in_deadline])
async def test_a_context_that_raises_keeps_its_own_error(place):
    async def body(ctx):
        ctx.step(charge)
        raise ValueError("the real reason")

    async def workflow(event, ctx):
        await place(ctx, body)

    assert message(await ended(workflow)) == "the real reason"


async def test_a_workflow_that_raises_keeps_its_own_error():
    async def workflow(event, ctx):
        ctx.step(charge)
        raise ValueError("the real reason")

    assert message(await ended(workflow)) == "the real reason"


@pytest.mark.parametrize(
    "cache", [None, lambda: ExecutionCache(10, 1e6), lambda: ExecutionCache(10, 0.0)], ids=["cold", "hot", "evicted"]
)
async def test_an_operation_made_first_and_awaited_after_a_wait_is_right_and_silent(cache):
    async def workflow(event, ctx):
        early = ctx.step(charge, 7)
        inner = ctx.run_in_child_context(lambda ctx: ctx.step(charge, 8))
        await ctx.wait(HOUR)
        first = await early
        await ctx.wait(HOUR)
        return [first, await inner]

    closed = await ended(workflow, cache=cache and cache())
    assert (closed.status, closed.result) == ("SUCCEEDED", "[7, 8]")


async def test_what_is_forgotten_before_a_wait_is_found_after_the_replay():
    async def workflow(event, ctx):
        await ctx.step(ship)
        ctx.step(charge)
        await ctx.wait(HOUR)
        return await ctx.step(ship)

    assert "Step 'charge'" in message(await ended(workflow))


async def test_a_task_made_of_an_operation_that_had_no_turn_is_cancelled_with_the_workflow():
    async def workflow(event, ctx):
        task = asyncio.create_task(ctx.step(charge))
        gathered = asyncio.gather(ctx.step(ship), ctx.wait(HOUR))
        del task, gathered
        return 1

    closed = await ended(workflow)
    assert (closed.status, closed.result) == ("SUCCEEDED", "1")


async def test_an_operation_given_to_a_task_that_had_no_turn_belongs_to_that_task():
    async def helper(operations):
        for operation in operations:
            await operation

    async def workflow(event, ctx):
        asyncio.create_task(helper([ctx.step(charge)]))
        return 1

    assert (await ended(workflow)).result == "1"


async def test_what_a_task_keeps_that_goes_on_is_cancelled_with_it():
    async def strand(ctx):
        later = ctx.step(charge)
        await ctx.wait(HOUR)
        await later

    async def workflow(event, ctx):
        asyncio.create_task(strand(ctx))
        await ctx.step(ship)
        await ctx.step(ship)
        return 1

    assert (await ended(workflow)).result == "1"


async def test_several_are_named_in_order():
    async def workflow(event, ctx):
        ctx.step(ship)
        ctx.wait(HOUR, name="pause")

    text = message(await ended(workflow))
    assert text.index("Step 'ship'") < text.index("Wait 'pause'") and "were called" in text


async def test_the_error_can_be_caught_around_a_block():
    async def workflow(event, ctx):
        try:
            async with ctx.timeout(HOUR):
                ctx.step(charge)
        except ContextMisuseError:
            return "caught"

    assert (await ended(workflow)).result == '"caught"'


async def test_an_operation_taken_out_of_its_block_is_refused_in_the_block():
    async def workflow(event, ctx):
        async with ctx.timeout(HOUR):
            late = ctx.step(charge)
        return await late

    assert "Step 'charge'" in message(await ended(workflow))


async def test_an_error_from_a_coroutine_taken_for_a_result_names_the_call():
    async def fulfil(event, ctx: DurableContext) -> str:
        paid = ctx.step(charge, 100)
        return paid.upper()

    async def in_a_block(event, ctx: DurableContext) -> str:
        return await ctx.run_in_child_context(lambda ctx: fulfil(event, ctx), name="block")

    for workflow in (fulfil, in_a_block):
        closed = await ended(workflow)
        assert message(closed) == "'coroutine' object has no attribute 'upper'"
        note = f"Step 'charge' (test_never_awaited.py:{line_of(fulfil, 'charge, 100')}) was called and never awaited"
        assert note in "".join(closed.error["StackTrace"])


async def test_another_error_does_not_mention_calls_that_were_to_be_awaited_later():
    async def fulfil(event, ctx: DurableContext) -> None:
        later = ctx.step(charge, 100)
        raise TypeError("no")
        await later

    assert "never awaited" not in "".join((await ended(fulfil)).error["StackTrace"])


async def test_a_coroutine_as_the_result_is_told_to_be_awaited():
    async def fulfil(event, ctx: DurableContext):
        return unawaited

    unawaited = ship()
    assert "JSON cannot hold a value of class coroutine. Write 'await' before it" in message(await ended(fulfil))
    unawaited.close()


async def test_a_task_that_nobody_awaits_is_named_in_a_warning_when_the_workflow_returns(caplog):
    async def fulfil(event, ctx: DurableContext) -> str:
        asyncio.create_task(ctx.step(charge, 100))
        asyncio.create_task(ctx.wait(HOUR, name="reminder"))
        return "shipped"

    assert (await ended(fulfil)).status == "SUCCEEDED"
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "which cancels their operations: Step 'charge', Wait 'reminder'. Await the tasks" in warned


async def test_tasks_that_are_cancelled_or_in_no_operation_are_not_named(caplog):
    async def fulfil(event, ctx: DurableContext) -> str:
        async def worker(queue):
            while True:
                await ctx.step(charge, await queue.get())
                queue.task_done()

        queue = asyncio.Queue()
        queue.put_nowait(1)
        helper = asyncio.create_task(worker(queue))
        slow = asyncio.create_task(ctx.wait(HOUR))
        await queue.join()
        slow.cancel()
        return f"shipped {helper.done()}"

    assert (await ended(fulfil)).result == '"shipped False"'
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
