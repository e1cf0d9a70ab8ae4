"""New executions with the record of another: of this service, or of an exported history."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from datetime import timedelta
from typing import Any

import attrs
import pytest

from durable_async import (
    DurableContext,
    ExecutionFailedError,
    NonRetryableError,
    durable_execution,
)
from durable_async.embedded import DurableService
from durable_async.service import ApiError
from durable_async.service.http import event_json


@attrs.define
class Shop:
    """A workflow with a step after a step, what its steps did, and what is wrong with it."""

    done: Counter[str] = attrs.field(factory=Counter[str])
    down: bool = True

    async def do(self, what: str, order: str) -> str:
        self.done[what] += 1
        if what == "ship" and self.down:
            raise NonRetryableError("the carrier is down")
        return f"{what} {order}"

    def handler(self) -> Any:
        @durable_execution
        async def fulfil(order: str, ctx: DurableContext) -> list[str]:
            reserved = await ctx.step(self.do, "reserve", order, name="reserve")
            packed = await ctx.run_in_child_context(self.pack, order, name="pack")
            charged = await ctx.step(self.do, "charge", order, name="charge")
            return [reserved, packed, charged, await ctx.step(self.do, "ship", order, name="ship")]

        return fulfil

    async def pack(self, ctx: DurableContext, order: str) -> str:
        await ctx.step(self.do, "wrap", order, name="wrap")
        return await ctx.step(self.do, "label", order, name="label")


@pytest.fixture(params=[None, "orders.db"], ids=["memory", "sqlite"])
async def service(request, tmp_path):
    async with DurableService(request.param and tmp_path / request.param) as service:
        yield service


async def failed(service, shop):
    service.register(shop.handler(), name="fulfil")
    execution = await service.start("fulfil", "lamp", name="order-1")
    with pytest.raises(ExecutionFailedError):
        await execution.result()
    shop.down = False
    shop.done.clear()
    return execution


ALL = ["reserve lamp", "label lamp", "charge lamp", "ship lamp"]


@pytest.mark.parametrize(
    ("before", "again"),
    [
        (None, ["ship"]),
        ("ship", ["ship"]),
        ("charge", ["charge", "ship"]),
        ("label", ["label", "charge", "ship"]),
        ("pack", ["wrap", "label", "charge", "ship"]),
        ("reserve", ["reserve", "wrap", "label", "charge", "ship"]),
    ],
)
async def test_a_fork_goes_on_from_the_record_and_leaves_the_other_as_it_is(service, before, again):
    shop = Shop()
    execution = await failed(service, shop)
    history = await execution.history()
    fork = await execution.fork(before, name="order-1-again", tags={"fork": "yes"})
    assert await fork.result() == ALL
    assert shop.done == Counter(again)
    assert fork.name == "order-1-again"
    assert (await fork.describe()).tags == {"fork": "yes"}
    assert (await fork.history())[0].details["ForkedFrom"] == execution.arn
    assert await execution.history() == history


async def test_a_fork_may_have_another_event_and_other_results(service):
    shop = Shop()
    execution = await failed(service, shop)
    fork = await execution.fork("charge", event="bulb", replace={"reserve": "reserved by hand", "charge": "paid"})
    assert await fork.result() == ["reserved by hand", "label lamp", "paid", "ship bulb"]
    assert shop.done == Counter(["ship"])


async def test_a_result_is_replaced_within_a_context_that_had_ended(service):
    shop = Shop()
    execution = await failed(service, shop)
    fork = await execution.fork(replace={"label": "new label"})
    assert (await fork.result())[1] == "new label"
    assert shop.done == Counter(["ship"])
    fork = await execution.fork(replace={"pack": "packed by hand", "ship": "carried"})
    assert await fork.result() == ["reserve lamp", "packed by hand", "charge lamp", "carried"]


async def test_a_fork_of_a_fork_of_a_redriven_execution(service):
    shop = Shop()
    execution = await failed(service, shop)
    shop.down = True
    await execution.redrive("charge")
    with pytest.raises(ExecutionFailedError):
        await execution.result()
    shop.down = False
    shop.done.clear()
    first = await execution.fork()
    assert await first.result() == ALL
    second = await first.fork("charge")
    assert await second.result() == ALL
    assert shop.done == Counter(["ship", "charge", "ship"])


async def test_a_forked_history_is_whole_and_replays(service, tmp_path):
    from durable_async.replay import Replays, replay

    shop = Shop()
    execution = await failed(service, shop)
    fork = await execution.fork("charge")
    await fork.result()
    history = await fork.history()
    assert [event.id for event in history] == [*range(1, len(history) + 1)]
    times = [event.at_us for event in history]
    assert times == sorted({*times})
    assert isinstance((await replay(shop.handler(), history, execution_arn=fork.arn)).finding, Replays)


async def test_a_fork_survives_a_restart(tmp_path):
    shop = Shop()
    async with DurableService(tmp_path / "orders.db") as service:
        execution = await failed(service, shop)
    async with DurableService(tmp_path / "orders.db") as service:
        registered = service.register
        started = await _forked_without_running(service, shop, execution.arn)
    async with DurableService(tmp_path / "orders.db") as service:
        registered = service.register
        registered(shop.handler(), name="fulfil")
        assert await service.execution(started).result() == ALL
    assert shop.done == Counter(["ship"])


async def _forked_without_running(service, shop, arn):
    service.register(shop.handler(), name="fulfil")
    service.api._runner.commands._perform = lambda *_: None  # it dies before it invokes anything
    return (await service.execution(arn).fork()).arn


async def test_what_is_still_waited_for_goes_on_in_the_fork(service):
    @durable_execution
    async def waits(event: Any, ctx: DurableContext) -> list[Any]:
        async def approval() -> Any:
            return await ctx.wait_for_callback(lambda _: None, name="approval", returns=str)

        first, _ = await asyncio.gather(approval(), ctx.wait(timedelta(seconds=1)))
        return [first]

    service.register(waits)
    execution = await service.start(waits, {})
    await service.api.idle()
    fork = await execution.fork()
    await service.api.idle()
    (of_fork,), (of_other,) = await fork.callbacks(), await execution.callbacks()
    assert of_fork.name == of_other.name == "approval"
    assert of_fork.id != of_other.id
    await service.succeed_callback(of_fork.id, "by Ada")
    assert await fork.result() == ["by Ada"]
    assert await execution.status() == "RUNNING"


async def test_what_a_cancelled_execution_was_told_is_not_told_to_its_fork(service):
    done = []

    @durable_execution
    async def book(event: Any, ctx: DurableContext) -> str:
        async with ctx.compensations() as undo:
            await ctx.step(lambda: done.append("book"), name="book")
            undo.add(lambda: done.append("cancel"), name="cancel")
            await ctx.create_callback(name="approval")
            await ctx.wait(timedelta(days=1) if len(done) < 3 else timedelta(seconds=1), name="cooling off")
        return "booked"

    service.register(book)
    execution = await service.start(book, {})
    await service.api.idle()
    await execution.cancel("too dear")
    await service.api.idle()
    assert done == ["book", "cancel"]
    done.append("more")
    fork = await execution.fork("cooling off")
    assert await fork.result() == "booked"
    assert done == ["book", "cancel", "more"]


# --- from elsewhere ---


async def exported(execution):
    return {"Events": [event_json(event) for event in await execution.history()]}


async def test_an_exported_history_continues_on_another_service_with_chosen_steps_replaced(service):
    shop = Shop()
    history = json.loads(json.dumps(await exported(await failed(service, shop))))
    async with DurableService() as laptop:
        laptop.register(shop.handler(), name="fulfil")
        fork = await laptop.fork_history(
            "fulfil", history, before="charge", name="order-1", replace={"charge": "paid in production"}
        )
        assert await fork.result() == ["reserve lamp", "label lamp", "paid in production", "ship lamp"]
        assert "ForkedFrom" not in (await fork.history())[0].details
    assert shop.done == Counter(["ship"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"before": "shipping"}, "no operation with the id or the name 'shipping'"),
        ({"replace": {"nothing": 1}}, "no operation with the id or the name 'nothing'"),
        ({"name": "order-1"}, "An execution named order-1 exists already."),
        ({"name": "a b"}, "DurableExecutionName must be"),
        ({"tags": {"": ""}}, "key of a tag"),
    ],
)
async def test_what_cannot_be_forked_is_refused_and_nothing_is_started(service, change, message):
    execution = await failed(service, Shop())
    with pytest.raises(ApiError, match=message):
        await execution.fork(**{"before": "charge"} | change)
    assert len([each async for each in service.executions("fulfil")]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda history: history["Events"].pop(0), "does not begin with ExecutionStarted"),
        (lambda history: history["Events"].pop(3), "event 4 is missing"),
        (lambda history: history.pop("Events"), "is not a list of JSON objects"),
    ],
)
async def test_a_history_that_is_not_whole_is_refused(service, change, message):
    history = await exported(await failed(service, Shop()))
    change(history)
    with pytest.raises(ApiError, match=message):
        await service.fork_history("fulfil", history)


@pytest.fixture
def threads_take_short_turns():
    """Between two threads that both have work, the interpreter switches often, however fast the machine is."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


async def test_the_event_loop_goes_on_while_a_long_record_is_forked(service, threads_take_short_turns):
    @durable_execution
    async def count(number: int, ctx: DurableContext) -> int:
        return len(await asyncio.gather(*(ctx.run_in_child_context(nothing, key=str(each)) for each in range(number))))

    async def nothing(_ctx: DurableContext) -> None:
        pass

    service.register(count)
    counted = await service.start(count, 1000)
    assert await counted.result() == 1000
    turns = 0
    forking = asyncio.create_task(counted.fork())
    while not forking.done():
        turns += 1
        await asyncio.sleep(0)
    assert await (await forking).result() == 1000
    assert turns > 50
