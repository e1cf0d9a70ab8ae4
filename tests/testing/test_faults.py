"""Crashes and other faults happen where the test says, and an execution survives them."""

import asyncio
from datetime import timedelta

import pytest

from durable_async import (
    DurableContext,
    RetryStrategy,
    StepConfig,
    StepError,
    StepSemantics,
    current_step,
    durable_execution,
)
from durable_async.testing import TestService

pytestmark = pytest.mark.anyio

ONCE = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, retry_strategy=RetryStrategy.none())


class Shop:
    """A workflow, and how often each of its bodies ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

        async def work(name: str) -> str:
            self.ran.append(f"{name} {current_step().attempt}")
            return name

        @durable_execution
        async def shop(event: dict, ctx: DurableContext) -> list[str]:
            first = await ctx.step(work, "reserve", name="reserve")
            await ctx.wait(timedelta(days=1))
            return [first, await ctx.step(work, "ship", name="ship")]

        self.workflow = shop


async def test_a_crash_after_a_body_runs_it_again():
    shop = Shop()
    async with TestService(shop.workflow) as service:
        service.crash_in("reserve")
        execution = await service.start({})
        assert await execution.finish() == ["reserve", "ship"]
        assert shop.ran == ["reserve 1", "reserve 1", "ship 1"]
        assert execution.invocations == 3


async def test_a_crash_before_a_body_does_not_run_it():
    shop = Shop()
    async with TestService(shop.workflow) as service:
        service.crash_in("ship", when="before")
        await (await service.start({})).finish()
    assert shop.ran == ["reserve 1", "ship 1"]


async def test_a_crash_interrupts_an_at_most_once_attempt():
    ran = []

    @durable_execution
    async def once(event: dict, ctx: DurableContext) -> str:
        try:
            await ctx.step(lambda: ran.append(1), name="charge", config=ONCE)
        except StepError as error:
            return error.error_type.rpartition(".")[2]
        return "charged"

    async with TestService(once) as service:
        service.crash_in("charge")
        assert await (await service.start({})).finish() == "StepInterruptedError"
    assert ran == [1]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_crash_at_any_checkpoint_changes_nothing(number, when):
    shop = Shop()
    async with TestService(shop.workflow) as service:
        service.crash_at_checkpoint(number, when=when)
        execution = await service.start({})
        assert await execution.finish() == ["reserve", "ship"]
        assert execution.invocations == 3


async def test_a_crash_in_a_later_attempt_waits_for_that_attempt():
    @durable_execution
    async def retried(event: dict, ctx: DurableContext) -> int:
        def attempt() -> int:
            ran.append(current_step().attempt)
            if current_step().attempt < 3:
                raise ConnectionError
            return current_step().attempt

        strategy = RetryStrategy.fixed(delay=timedelta(hours=1))
        return await ctx.step(attempt, config=StepConfig(retry_strategy=strategy))

    ran = []
    async with TestService(retried) as service:
        service.crash_in("attempt", attempt=2)
        assert await (await service.start({})).finish() == 3
    assert ran == [1, 2, 2, 3]


async def test_lost_replies_throttling_and_duplicates_change_nothing():
    shop = Shop()
    async with TestService(shop.workflow) as service:
        service.lose_reply(1)
        service.throttle(2, times=3)
        service.duplicate_invocation(1)
        execution = await service.start({})
        assert await execution.finish() == ["reserve", "ship"]
        assert [each.attempts for each in execution.operations] == [1, 1, 1]
    assert shop.ran.count("reserve 1") == 2  # both deliveries ran it, and one was recorded


async def test_a_fault_that_does_not_happen_fails_the_test_and_the_names_that_ran_are_said():
    shop = Shop()
    with pytest.raises(
        AssertionError, match=r"did not happen: crash_in\('reserv', when='after'\)\..* ran: 'reserve', 'ship'\."
    ):
        async with TestService(shop.workflow) as service:
            service.crash_in("reserv")
            await (await service.start({})).finish()


async def test_a_replacement_that_is_not_used_fails_the_test_unless_it_is_optional():
    shop = Shop()
    with pytest.raises(
        AssertionError, match=r"did not happen: replace\('reserv'\), replace_function\('billing'\)\..* ran: 'reserve'"
    ):
        async with TestService(shop.workflow) as service:
            service.replace("reserv", returns="reserved")
            service.replace_function("billing", returns=1)
            service.replace("ship", returns="shipped")
            await (await service.start({})).finish()
    async with TestService(shop.workflow) as service:
        service.replace("reserv", returns="reserved", optional=True)
        service.replace_function("billing", returns=1, optional=True)
        await (await service.start({})).finish()


async def test_a_crash_cancels_nothing_else_of_the_test():
    shop = Shop()
    async with TestService(shop.workflow) as service:
        beside = asyncio.create_task(asyncio.sleep(10, "slept"))
        service.crash_in("reserve")
        await (await service.start({})).finish()
        assert await beside == "slept"


async def test_an_impossible_fault_is_refused_at_once():
    async with TestService(Shop().workflow) as service:
        with pytest.raises(ValueError, match='when must be "before" or "after"'):
            service.crash_in("reserve", when="during")
        with pytest.raises(ValueError, match="numbered from 1"):
            service.crash_at_checkpoint(0)
