"""A shop whose payment answers 429, 500 or not at all, whose orders wait days for an approval, and that pays back."""

import asyncio
from datetime import timedelta

import pytest

from durable_async import (
    CallbackConfig,
    DurableContext,
    RetryAfterError,
    RetryStrategy,
    StepConfig,
    current_step,
    durable_execution,
)
from durable_async.testing import Ledger, TestService, explore

pytestmark = pytest.mark.anyio
PATIENT = StepConfig(
    timeout=timedelta(seconds=30), retry_strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=5)
)
ledger = Ledger()


async def charge(cents: int) -> str:
    ledger.record(f"charge {cents}", key=current_step().idempotency_key)
    return f"payment of {cents}"


async def refund(payment: str) -> None:
    ledger.record(f"refund {payment}", key=current_step().idempotency_key)


@durable_execution
async def fulfil(cents: int, ctx: DurableContext) -> str:
    async with ctx.compensations() as undo:
        payment = await ctx.step(charge, cents, config=PATIENT)
        undo.add(refund, payment)
        approval = await ctx.create_callback(name="approval", config=CallbackConfig(timeout=timedelta(days=3)))
        await approval.result()
        return payment


async def hang(cents: int) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("trouble", [RetryAfterError(timedelta(seconds=90)), ConnectionError("500")])
async def test_a_payment_is_tried_again(trouble):
    async with TestService(fulfil) as service:
        service.replace("charge", outcomes=[trouble, trouble, "paid"])
        execution = await service.start(4200)
        await execution.until_callback("approval").succeed()
        assert await execution.finish() == "paid"
        assert execution.step("charge").attempts == 3


async def test_a_payment_that_hangs_is_given_up():
    async with TestService(fulfil) as service:
        service.replace("charge", calls=hang)
        execution = await service.start(4200)
        assert (await execution.failure()).operation_name == "charge"
        assert execution.step("charge").took > timedelta(minutes=6)


@pytest.mark.parametrize("rejected", [True, False], ids=["rejected", "no answer"])
async def test_an_order_that_is_not_approved_is_paid_back(rejected):
    async with TestService(fulfil) as service:
        ledger.clear()
        approval = await (execution := await service.start(4200)).until_callback("approval")
        await (approval.fail(ValueError("no")) if rejected else approval.time_out())
        await execution.failure()
        assert [each.what for each in ledger.effects] == ["charge 4200", "refund payment of 4200"]


async def test_it_survives_every_crash():
    (await explore(fulfil, 4200, ledger=ledger, callbacks={"approval": ValueError("no")}, hash_seeds=())).check()


async def test_a_year_twenty_retries_and_three_days_are_one_test():
    @durable_execution
    async def slow(event: dict, ctx: DurableContext) -> None:
        await ctx.wait(timedelta(days=360))
        hourly = RetryStrategy.fixed(delay=timedelta(hours=1), max_attempts=21)
        await ctx.step(charge, 1, config=StepConfig(retry_strategy=hourly))
        await ctx.create_callback(name="approval", config=CallbackConfig(timeout=timedelta(days=3)))
        await ctx.wait(timedelta(days=4))

    async with TestService(slow) as service:
        service.replace("charge", outcomes=[ConnectionError()] * 20 + ["paid"])
        execution = await service.start({})
        await execution.until_callback("approval").time_out()
        assert execution.step("charge").attempts == 21
