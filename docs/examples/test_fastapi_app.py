"""Tests of the shop: a payment that fails in three ways, an approval over days, and what is undone."""

import asyncio
from datetime import timedelta

import fastapi_app
import pytest
from fastapi_app import Order, fulfil

from durable_async import RetryAfterError
from durable_async.testing import TestService, explore

pytestmark = pytest.mark.anyio
ORDER = Order(17, 4250)


@pytest.mark.parametrize("trouble", [RetryAfterError(timedelta(seconds=90)), ConnectionError("500")])
async def test_a_payment_is_tried_again(trouble):
    async with TestService(fulfil) as service:
        service.replace("charge", outcomes=[trouble, trouble, "paid"])
        execution = await service.start(ORDER)
        await execution.until_callback("approval").succeed()
        await execution.finish()
        assert execution.step("charge").attempts == 3


async def test_a_payment_that_hangs_is_given_up():
    async with TestService(fulfil) as service:
        service.replace("charge", calls=lambda _: asyncio.Event().wait())
        execution = await service.start(ORDER)
        assert (await execution.failure()).operation_name == "charge"
        assert execution.step("charge").took > timedelta(minutes=6)


@pytest.mark.parametrize("answered", [True, False], ids=["rejected", "not answered"])
async def test_an_order_that_is_not_approved_is_paid_back(answered):
    async with TestService(fulfil) as service:
        execution = await service.start(ORDER)
        approval = await execution.until_callback("approval")
        await (approval.fail(ValueError("no")) if answered else approval.time_out())
        await execution.failure()
        assert execution.step("refund").status == "SUCCEEDED"


async def test_an_order_survives_every_crash():
    (await explore(fulfil, ORDER, callbacks={"approval": ValueError("no")}, hash_seeds=())).check()


async def test_the_application_starts_approves_and_shows_an_order():
    async with TestService(fulfil) as service:
        fastapi_app.app.state.service = service.embedded
        await fastapi_app.place(17, {"cents": 4250})
        await service.advance(timedelta(days=2))
        await fastapi_app.approve(17)
        await service.advance(timedelta(0))
        assert await fastapi_app.status(17) == {"status": "SUCCEEDED", "receipt": "parcel for 42.50"}
