"""What serves an ``async with`` block says so when it is used outside of it, or entered twice."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from durable_async import ContextMisuseError, DurableContext, ExecutionFailedError, durable_execution
from durable_async.embedded import DurableService
from durable_async.testing import TestService, run
from tests.world import World

pytestmark = pytest.mark.anyio


@durable_execution
async def waits(event: dict, ctx: DurableContext) -> str:
    await ctx.wait(timedelta(days=1))
    return "waited"


async def one(ctx: DurableContext) -> int:
    return await ctx.step(lambda: 1, name="one")


async def fails(ctx: DurableContext) -> None:
    raise ValueError("no")


async def before_its_block(ctx):
    ctx.task_group().start_soon(one)


async def after_its_block(ctx):
    async with ctx.task_group() as group:
        pass
    group.start_soon(one)


async def entered_twice(ctx):
    group = ctx.task_group()
    async with group:
        pass
    async with group:
        pass


async def after_a_failure(ctx):
    async with ctx.task_group() as group:
        group.start_soon(fails)
        try:
            await ctx.wait(timedelta(days=1))
        finally:
            group.start_soon(one)


async def a_result_in_the_block(ctx):
    async with ctx.task_group() as group:
        group.start_soon(one).result()


async def a_step(ctx):
    async with ctx.task_group() as group:
        group.start_soon(lambda: 1, 2)


MISUSES = [
    (before_its_block, ContextMisuseError, "was called before its block, which waits for the branches: call it inside"),
    (after_its_block, ContextMisuseError, "was called after its block"),
    (entered_twice, ContextMisuseError, "entered twice. It serves one 'async with' block: call ctx.task_group() for"),
    (after_a_failure, ContextMisuseError, "was called after a branch of the group had failed"),
    (a_result_in_the_block, asyncio.InvalidStateError, "Read its result after the block of ctx.task_group()"),
    (a_step, TypeError, "group.start_soon got <lambda>, which takes no argument, and 2 are given"),
]


@pytest.mark.parametrize(("misuse", "kind", "text"), MISUSES, ids=[misuse.__name__ for misuse, _, _ in MISUSES])
async def test_a_task_group_says_how_it_is_used(misuse, kind, text):
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            await misuse(ctx)
        except* kind as raised:
            seen.extend(raised.exceptions)

    async with World() as world:
        await world.run(workflow)
    assert any(text in str(error) for error in seen), seen


async def test_a_service_that_runs_is_not_entered_again_and_goes_on():
    service = DurableService()
    async with service:
        service.register(waits)
        with pytest.raises(RuntimeError, match="runs already: enter it once"):
            async with service:
                pass
        execution = await service.start(waits, {})
        with pytest.raises(TimeoutError, match=rf"'{execution.name}' is still open after 0:00:00.01.*, and continues"):
            await execution.result(timeout=timedelta(milliseconds=10))


@pytest.mark.parametrize("option", ["grace", "retention", "max_cached_idle", "execution_timeout", "takeover"])
def test_seconds_in_place_of_a_timedelta_are_refused_by_the_service(option, tmp_path):
    with pytest.raises(
        TypeError, match=rf"{option} must be a datetime\.timedelta, not 3: write timedelta\(seconds=3\)"
    ):
        DurableService(tmp_path / "orders.db", **{option: 3})


async def test_seconds_in_place_of_a_timedelta_are_refused_by_a_result():
    async with DurableService() as service:
        service.register(waits)
        execution = await service.start(waits, {})
        with pytest.raises(TypeError, match=r"timeout must be a datetime\.timedelta, not 3: write timedelta"):
            await execution.result(timeout=3)


def test_an_unknown_durability_is_refused(tmp_path):
    with pytest.raises(ValueError, match="durability must be 'full' or 'normal', not 'fast'"):
        DurableService(tmp_path / "orders.db", durability="fast")


async def test_a_test_service_is_entered_once():
    service = TestService(waits)
    async with service:
        pass
    with pytest.raises(RuntimeError, match="a TestService is entered once: make another one"):
        await service.__aenter__()


async def test_a_second_test_service_beside_the_first_is_told_how_to_test_two_handlers():
    async with TestService(waits):
        with pytest.raises(RuntimeError, match=r"Enter one TestService in a test, and give it all handlers"):
            await TestService(waits).__aenter__()


async def test_an_execution_cannot_be_driven_after_its_test_service():
    async with TestService(waits) as service:
        execution = await service.start({})
    with pytest.raises(RuntimeError, match="drive executions inside the block of 'async with TestService"):
        await execution.finish()


async def test_the_testing_kit_says_what_it_takes():
    with pytest.raises(TypeError, match=r"wait is not a durable handler\. Put @durable_execution above it"):
        TestService(asyncio.wait)
    with pytest.raises(RuntimeError, match="In an async test, write 'async with TestService"):
        run(waits, {})
    async with TestService(waits) as service:
        with pytest.raises(TypeError, match=r"the time to advance by must be a datetime\.timedelta, not 5"):
            await service.advance(5)


async def test_the_context_of_an_execution_that_has_ended_is_refused_in_another_one():
    kept: list[DurableContext] = []

    @durable_execution
    async def first(event: dict, ctx: DurableContext) -> str:
        kept.append(ctx)
        return ctx.execution_arn

    @durable_execution
    async def second(event: dict, ctx: DurableContext) -> str:
        with pytest.raises(ContextMisuseError, match=r"the context of execution \S+:first:\S+ was used in execution"):
            await kept[0].step(lambda: 1)
        return "went on"

    async with DurableService() as service:
        service.register(first)
        service.register(second)
        await (await service.start(first, {})).result()
        assert await (await service.start(second, {})).result() == "went on"


async def test_the_context_of_an_execution_that_has_ended_is_refused_outside_of_any_workflow():
    kept: list[DurableContext] = []

    @durable_execution
    async def first(event: dict, ctx: DurableContext) -> None:
        kept.append(ctx)

    @durable_execution
    async def fails_first(event: dict, ctx: DurableContext) -> None:
        kept.append(ctx)
        raise ValueError("no")

    def in_a_thread(ctx: DurableContext) -> None:
        ctx.wait(timedelta(days=1))

    async with DurableService() as service:
        for handler in (first, fails_first):
            service.register(handler)
            execution = await service.start(handler, {}, name="a")
            with contextlib.suppress(ExecutionFailedError):
                await execution.result()
    for ctx in kept:
        for _ in range(2):  # the second call in a task must not wait for ever
            with pytest.raises(ContextMisuseError, match=r"the context of execution \S+/a/\S+ was used after"):
                await ctx.step(lambda: 1)
        with pytest.raises(ContextMisuseError, match="was used after"):
            ctx.now()
        with pytest.raises(ContextMisuseError, match="was used after"):
            await asyncio.to_thread(in_a_thread, ctx)
