"""A shop whose code changes under orders that wait. A ledger outside says what was charged."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest

from durable_async import DurableContext, ExecutionFailedError, durable_execution
from durable_async.embedded import DurableService
from durable_async.replay import replay_open

ORDERS = [f"order-{number}" for number in range(10)]
SOON = timedelta(seconds=20)


@attrs.define
class Ledger:
    """What a payment provider has seen."""

    charges: Counter[str] = attrs.field(factory=Counter[str])
    shipped: list[str] = attrs.field(factory=list[str])

    async def charge(self, order: str) -> str:
        self.charges[order] += 1
        return f"receipt {order}"

    async def ship(self, order: str) -> str:
        self.shipped.append(order)
        return f"parcel {order}"

    def check(self) -> None:
        assert self.charges == Counter(ORDERS), "charged twice, or not at all"
        assert sorted(self.shipped) == ORDERS


def shop(ledger: Ledger, *, charge="charge", patched=False, bug=False):
    """A version of the shop's code."""

    @durable_execution
    async def fulfil(order: str, ctx: DurableContext) -> str:
        name = charge
        if patched:
            name = charge if await ctx.patched("the card is charged") else "charge"
        await ctx.step(ledger.charge, order, name=name)
        approval = await ctx.create_callback(name="approval", returns=str)
        await approval.result()
        if bug:
            raise AttributeError("a slip")
        return await ctx.step(ledger.ship, order, name="ship")

    return fulfil


async def begun(place) -> Ledger:
    """Start all orders on the first version of the code. Each is charged, and waits for its approval."""
    ledger = Ledger()
    async with DurableService(place) as service:
        service.register(shop(ledger))
        for order in ORDERS:
            await service.start("fulfil", order, name=order)
        await service.api.idle()
    return ledger


async def answer_all(service):
    for order in ORDERS:
        execution = await service.find("fulfil", order)
        for event in await execution.history():
            if event.type == "CallbackStarted":
                await service.succeed_callback(event.details["CallbackId"], "yes")
    await service.api.idle()


async def statuses(service) -> Counter[str]:
    return Counter([each.status async for each in service.executions("fulfil")])


async def results(service) -> list[Any]:
    return [await (await service.find("fulfil", order)).result(timeout=SOON) for order in ORDERS]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "orders.db"


async def test_orders_that_wait_survive_a_renamed_step_that_is_rolled_back(place, caplog):
    ledger = await begun(place)
    async with DurableService(place) as service:
        service.register(shop(ledger, charge="charge the card"))
        await answer_all(service)
        assert await statuses(service) == {"PAUSED": 10}
        pause = (await (await service.find("fulfil", "order-3")).describe()).pause
        assert pause.reason.startswith("Parked: expected Step 'charge', which is recorded as operation ")
        assert "but the workflow now calls Step 'charge the card' (test_changed_code.py:" in pause.reason
        assert sum("Parked: " in record.getMessage() for record in caplog.records) == 10
    async with DurableService(place) as service:
        service.register(shop(ledger))
        assert await results(service) == [f"parcel {order}" for order in ORDERS]
    ledger.check()


def with_a_task(step):
    @durable_execution
    async def fulfil(event: object, ctx: DurableContext) -> None:
        approval = await ctx.create_callback(name="approval")
        waiting = asyncio.create_task(approval.result())
        await ctx.step(str, name=step)
        await waiting

    return fulfil


async def test_tasks_of_a_parked_workflow_leave_no_errors_behind(place, caplog):
    async with DurableService(place) as service:
        service.register(with_a_task("charge"))
        await service.start("fulfil", None, name="order-1")
        await service.api.idle()
    async with DurableService(place) as service:
        replayed = await replay_open(service, {"fulfil": with_a_task("charge the card")})
        assert not replayed.passed
        service.register(with_a_task("charge the card"))
        execution = await service.find("fulfil", "order-1")
        (approval,) = await execution.callbacks()
        await service.succeed_callback(approval.id, b"yes")
        await service.api.idle()
        assert await execution.status() == "PAUSED"
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_parked_orders_go_on_with_a_patch(place):
    ledger = await begun(place)
    async with DurableService(place) as service:
        service.register(shop(ledger, charge="charge the card"))
        await answer_all(service)
        assert await statuses(service) == {"PAUSED": 10}
    async with DurableService(place) as service:
        handler = shop(ledger, charge="charge the card", patched=True)
        assert (await replay_open(service, {"fulfil": handler})).passed
        service.register(handler)
        assert await results(service) == [f"parcel {order}" for order in ORDERS]
        ledger.check()
        new = await service.start(handler, "another", name="another")
        await service.api.idle()
        names = [event.name for event in await new.history()]
    assert "charge the card" in names


async def test_orders_that_failed_by_a_slip_in_the_code_are_redriven_on_corrected_code(place):
    ledger = await begun(place)
    async with DurableService(place) as service:
        service.register(shop(ledger, bug=True))
        await answer_all(service)
        assert await statuses(service) == {"FAILED": 10}
    async with DurableService(place) as service:
        service.register(shop(ledger))
        for order in ORDERS:
            await (await service.find("fulfil", order)).redrive()
        assert await results(service) == [f"parcel {order}" for order in ORDERS]
    ledger.check()


async def test_code_that_still_does_not_fit_parks_again_at_each_start(place):
    ledger = await begun(place)
    for attempt in range(1, 4):
        async with DurableService(place) as service:
            service.register(shop(ledger, charge="pay"))
            if attempt == 1:
                await answer_all(service)
            await service.api.idle()
            assert await statuses(service) == {"PAUSED": 10}
            execution = await service.find("fulfil", "order-1")
            kinds = [event.type for event in await execution.history()]
        assert (kinds.count("ExecutionPaused"), kinds.count("ExecutionResumed")) == (attempt, attempt - 1)
    assert ledger.charges == Counter(ORDERS)


async def test_a_resumed_execution_is_tried_on_the_code_that_there_is(place):
    ledger = await begun(place)
    async with DurableService(place) as service:
        service.register(shop(ledger, charge="pay"))
        await answer_all(service)
        execution = await service.find("fulfil", "order-1")
        await execution.resume()
        await service.api.idle()
        assert await execution.status() == "PAUSED"
        kinds = [event.type for event in await execution.history()]
    assert kinds.count("ExecutionPaused") == 2


async def test_the_policy_fail_lets_them_fail(place):
    ledger = await begun(place)
    async with DurableService(place) as service:
        service.register(shop(ledger, charge="pay"), on_mismatch="fail")
        await answer_all(service)
        with pytest.raises(ExecutionFailedError, match="NonDeterminismError"):
            await (await service.find("fulfil", "order-1")).result(timeout=SOON)


async def test_an_event_that_no_longer_reads_parks_and_a_new_one_fails(place):
    @attrs.frozen
    class Order:
        id: str

    @attrs.frozen
    class PricedOrder:
        id: str
        total: int

    def version(kind):
        async def fulfil(order, ctx: DurableContext) -> None:
            await ctx.step(lambda: None, name="note")
            callback = await ctx.create_callback(name="approval")
            await callback.result()

        fulfil.__annotations__["order"] = kind
        return durable_execution(fulfil)

    async with DurableService(place) as service:
        service.register(version(Order))
        await service.start("fulfil", {"id": "1"}, name="old")
        await service.api.idle()
    async with DurableService(place) as service:
        service.register(version(PricedOrder))
        old = await service.find("fulfil", "old")
        started = next(event for event in await old.history() if event.type == "CallbackStarted")
        await service.succeed_callback(started.details["CallbackId"])
        await service.api.idle()
        assert await old.status() == "PAUSED"
        assert "$.total: is missing. Roll back or correct the code" in (await old.describe()).pause.reason
        new = await service.start("fulfil", {"id": "2"}, name="new")
        with pytest.raises(ExecutionFailedError, match="total"):
            await new.result(timeout=SOON)


def test_another_policy_is_refused():
    with pytest.raises(ValueError, match="on_mismatch must be 'park' or 'fail'"):
        DurableService().register(shop(Ledger()), on_mismatch="ignore")  # type: ignore[arg-type]
