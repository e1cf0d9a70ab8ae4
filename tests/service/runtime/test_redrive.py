"""Closed executions that go on from what succeeded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durable_async import (
    CompletionConfig,
    DurableContext,
    MapConfig,
    NonRetryableError,
    WaitForCallbackConfig,
    current_step,
    durable_execution,
)
from durable_async.embedded import DurableService
from durable_async.errors import ExecutionFailedError
from durable_async.replay import replay
from durable_async.service import ApiError
from durable_async.service.machine.derive import derive
from durable_async.service.model.exported import read_history
from tests.world import World

DAY = timedelta(days=1)


class Shop:
    """Steps that fail while they are told to, and a workflow that calls them."""

    def __init__(self, workflow) -> None:
        self.workflow = workflow
        self.ran: list[str] = []
        self.keys: list[tuple[str, str]] = []
        self.failing: set[str] = set()

        @durable_execution
        async def handler(event: Any, ctx: DurableContext) -> Any:
            return await self.workflow(self, ctx)

        self.handler = handler

    def step(self, ctx, name):
        async def body():
            self.ran.append(name)
            self.keys.append((name, current_step().idempotency_key))
            if name in self.failing:
                raise NonRetryableError(f"no {name}")
            return name

        return ctx.step(body, name=name)


async def order(shop, ctx):
    await shop.step(ctx, "charge")
    await ctx.wait(DAY, name="cooling off")
    await shop.step(ctx, "ship")
    return await shop.step(ctx, "thank")


async def failed_and_redriven(workflow, failing, start=None, then=None):
    """What ran before and after the redrive, and how it ended."""
    shop = Shop(workflow)
    shop.failing = set(failing)
    async with World() as world:
        arn = await world.start(shop.handler)
        assert (await world.finish(arn)).status == "FAILED"
        before, shop.ran = shop.ran, []
        shop.failing = set()
        shop.workflow = then or workflow
        await world.service.redrive(arn, start=start)
        closed = await world.finish(arn)
        return before, shop.ran, closed, shop, await world.events(arn), arn


async def test_a_failed_execution_goes_on_from_what_succeeded():
    before, after, closed, shop, events, _ = await failed_and_redriven(order, ["ship"])
    assert before == ["charge", "ship"]
    assert after == ["ship", "thank"]
    assert (closed.status, closed.result) == ("SUCCEEDED", '"thank"')
    ship = [key for name, key in shop.keys if name == "ship"]
    assert len(set(ship)) == 1, "the idempotency key is the same"
    kinds = [event["EventType"] for event in events]
    redriven = next(event for event in events if event["EventType"] == "ExecutionRedriven")
    assert kinds.index("ExecutionFailed") == kinds.index("ExecutionRedriven") - 1
    cleared = [event["Id"] for event in events if event["EventType"] == "StepFailed"]
    assert redriven["ExecutionRedrivenDetails"]["Cleared"] == cleared


async def test_a_mistake_in_the_workflow_is_corrected_and_nothing_is_done_twice():
    async def with_a_slip(shop, ctx):
        await shop.step(ctx, "charge")
        await ctx.wait(DAY, name="cooling off")
        raise AttributeError("a slip")

    before, after, closed, *_ = await failed_and_redriven(with_a_slip, [], then=order)
    assert (before, after) == (["charge"], ["ship", "thank"])
    assert closed.status == "SUCCEEDED"


async def test_a_handled_failure_stays():
    async def with_a_coupon(shop, ctx):
        try:
            await shop.step(ctx, "coupon")
        except Exception:
            await shop.step(ctx, "no coupon")
        await shop.step(ctx, "charge")
        await shop.step(ctx, "ship")

    before, after, closed, *_ = await failed_and_redriven(with_a_coupon, ["coupon", "ship"])
    assert before == ["coupon", "no coupon", "charge", "ship"]
    assert after == ["ship"]
    assert closed.status == "SUCCEEDED"


async def test_a_failure_in_contexts_opens_them_and_keeps_what_is_in_them():
    async def nested(shop, ctx):
        async def inner(ctx):
            await shop.step(ctx, "charge")
            await shop.step(ctx, "ship")

        async def outer(ctx):
            await shop.step(ctx, "reserve")
            await ctx.run_in_child_context(inner, name="inner")

        await ctx.run_in_child_context(outer, name="outer")
        return await shop.step(ctx, "thank")

    before, after, closed, *_ = await failed_and_redriven(nested, ["ship"])
    assert before == ["reserve", "charge", "ship"]
    assert after == ["ship", "thank"]
    assert closed.status == "SUCCEEDED"


async def test_of_a_batch_the_items_that_failed_are_done_again():
    async def patient(shop, ctx):
        done = await ctx.map(
            lambda ctx, item: shop.step(ctx, item),  # noqa: PLW0108 - a batch wants a function of two
            ["a", "b", "c", "d"],
            name="each",
            config=MapConfig(completion=CompletionConfig.all_completed()),
        )
        return done.results()

    before, after, closed, *_ = await failed_and_redriven(patient, ["b", "d"])
    assert (sorted(before), sorted(after)) == (["a", "b", "c", "d"], ["b", "d"])
    assert (closed.status, closed.result) == ("SUCCEEDED", '["a", "b", "c", "d"]')


async def test_a_batch_that_failed_without_a_failed_item_is_decided_anew():
    def batch(completion):
        async def workflow(shop, ctx):
            config = MapConfig(completion=CompletionConfig(custom=completion))
            done = await ctx.map(lambda ctx, item: shop.step(ctx, item), ["a", "b"], config=config)  # noqa: PLW0108
            return done.results()

        return workflow

    def mistaken(progress):
        return 1 / (progress.succeeded - 2) and None  # once both items have succeeded

    before, after, closed, *_ = await failed_and_redriven(batch(mistaken), [], then=batch(lambda progress: None))
    assert (sorted(before), after) == (["a", "b"], [])
    assert (closed.status, closed.result) == ("SUCCEEDED", '["a", "b"]')


async def saga(shop, ctx):
    async with ctx.compensations() as undo:
        await shop.step(ctx, "charge")
        undo.add(lambda: shop.ran.append("refund"), name="refund")
        await shop.step(ctx, "ship")


async def test_a_compensated_execution_is_refused_unless_an_operation_is_named():
    shop = Shop(saga)
    shop.failing = {"ship"}
    async with World() as world:
        arn = await world.start(shop.handler)
        assert (await world.finish(arn)).status == "FAILED"
        before = await world.events(arn)
        with pytest.raises(ApiError, match="'refund' succeeded after the failure, as compensations do"):
            await world.service.redrive(arn)
        assert await world.events(arn) == before
        shop.failing, shop.ran = set(), []
        await world.service.redrive(arn, start="charge")
        assert (await world.finish(arn)).status == "SUCCEEDED"
    assert shop.ran == ["charge", "ship"]


async def test_an_execution_may_be_redriven_from_any_operation_and_several_times():
    shop = Shop(order)
    shop.failing = {"ship"}
    async with World() as world:
        arn = await world.start(shop.handler)
        await world.finish(arn)
        for _ in range(3):
            await world.service.redrive(arn)
            assert (await world.finish(arn)).status == "FAILED"
        assert shop.ran == ["charge", *["ship"] * 4]
        shop.failing = set()
        operation = next(each["Id"] for each in await world.events(arn) if each.get("Name") == "charge")
        await world.service.redrive(arn, start=operation)
        assert (await world.finish(arn)).status == "SUCCEEDED"
    assert shop.ran[-3:] == ["charge", "ship", "thank"]


async def test_a_callback_that_timed_out_is_made_anew_and_handed_out_anew():
    handed_out: list[str] = []

    async def asking(shop, ctx):
        await shop.step(ctx, "charge")
        config = WaitForCallbackConfig(timeout=timedelta(hours=1))
        return await ctx.wait_for_callback(handed_out.append, name="approval", config=config)

    shop = Shop(asking)
    async with World() as world:
        arn = await world.start(shop.handler)
        assert (await world.finish(arn)).status == "FAILED"
        await world.service.redrive(arn)
        await world.settle()
        with pytest.raises(ApiError):
            await world.service.callback_succeeded(handed_out[0], b"too late")
        await world.service.callback_succeeded(handed_out[1], b"yes")
        closed = await world.finish(arn)
    assert (closed.status, closed.result, shop.ran) == ("SUCCEEDED", '"yes"', ["charge"])
    assert len(set(handed_out)) == 2


async def test_a_stopped_execution_waits_again_for_what_it_waited_for():
    shop = Shop(order)
    async with World() as world:
        arn = await world.start(shop.handler)
        await world.settle()
        await world.service.stop(arn)
        world.clock.move_by(3 * DAY.total_seconds())
        await world.service.redrive(arn)
        assert (await world.finish(arn)).status == "SUCCEEDED"
    assert shop.ran == ["charge", "ship", "thank"]


async def test_an_execution_that_timed_out_has_its_whole_timeout_again():
    shop = Shop(order)
    async with World(default_execution_timeout=3600 * 20) as world:
        arn = await world.start(shop.handler)
        assert (await world.finish(arn)).status == "TIMED_OUT"
        await world.service.redrive(arn)
        assert (await world.finish(arn)).status == "SUCCEEDED"
    assert shop.ran == ["charge", "ship", "thank"]


@pytest.mark.parametrize("start", ["no such operation", "twice"])
async def test_an_operation_that_is_not_one_is_refused(start):
    async def twice(shop, ctx):
        await shop.step(ctx, "twice")
        await shop.step(ctx, "twice")
        raise ValueError

    shop = Shop(twice)
    async with World() as world:
        arn = await world.start(shop.handler)
        await world.finish(arn)
        with pytest.raises(ApiError, match=r"no operation with|2 operations are named"):
            await world.service.redrive(arn, start=start)
        assert (await world.finish(arn)).status == "FAILED"


async def test_an_execution_that_is_open_or_has_succeeded_is_refused():
    shop = Shop(order)
    async with World() as world:
        arn = await world.start(shop.handler)
        await world.settle()
        with pytest.raises(ApiError, match="The execution is RUNNING and cannot be redriven"):
            await world.service.redrive(arn)
        await world.finish(arn)
        with pytest.raises(ApiError, match="The execution is SUCCEEDED and cannot be redriven"):
            await world.service.redrive(arn)


async def test_its_history_replays():
    *_, shop, events, arn = await failed_and_redriven(order, ["ship"])
    report = await replay(shop.handler, events, execution_arn=arn)
    assert str(report).startswith("replays: the same operations, the same end")


async def test_the_history_tells_what_is_cleared_and_what_is_open_again():
    async def nested(shop, ctx):
        async def inner(ctx):
            await shop.step(ctx, "charge")
            await shop.step(ctx, "ship")

        await ctx.run_in_child_context(inner, name="inner")
        return await shop.step(ctx, "thank")

    shop = Shop(nested)
    shop.failing = {"ship"}
    async with World() as world:
        arn = await world.start(shop.handler)
        await world.finish(arn)
        shop.failing = set()
        await world.service.redrive(arn)
        await world.finish(arn)
        derived = derive(read_history(await world.events(arn)).events)
        kept = await world.service._find.execution(arn)
    shown = [(each.sequence, each.id, each.status, each.end_us, each.result) for each in derived.operations]
    assert shown == [(each.sequence, each.id, each.status, each.end_us, each.result) for each in kept.operations]
    assert [str(each.status) for each in kept.operations].count("CLEARED") == 1


async def test_an_execution_in_a_file_is_redriven_by_the_next_service(tmp_path):
    shop = Shop(order)
    shop.failing = {"ship"}

    async def quick(shop, ctx):
        await shop.step(ctx, "charge")
        await shop.step(ctx, "ship")
        callback = await ctx.create_callback(name="approval")
        return await callback.result()

    shop.workflow = quick
    async with DurableService(tmp_path / "orders.db") as service:
        service.register(shop.handler, name="fulfil")
        execution = await service.start("fulfil", {}, name="order-1")
        with pytest.raises(ExecutionFailedError):
            await execution.result()
    shop.failing = set()
    async with DurableService(tmp_path / "orders.db") as service:
        service.register(shop.handler, name="fulfil")
        execution = await service.find("fulfil", "order-1")
        await execution.redrive()
        await service.api.idle()
    assert shop.ran == ["charge", "ship", "ship"]
    async with DurableService(tmp_path / "orders.db") as service:  # what was cleared is read back as cleared
        service.register(shop.handler, name="fulfil")
        execution = await service.find("fulfil", "order-1")
        events = [event async for event in _until_started(execution)]
        await service.succeed_callback(events[-1].details["CallbackId"], "yes")
        assert await execution.result(timeout=timedelta(seconds=20)) == '"yes"'
        kinds = [event.type async for event in execution.events()]
        assert kinds[-1] == "ExecutionSucceeded"
        assert "ExecutionFailed" in kinds
    assert shop.ran == ["charge", "ship", "ship"]


async def _until_started(execution):
    async for event in execution.events():
        yield event
        if event.type == "CallbackStarted":
            return


async def test_the_children_of_a_redriven_execution_are_asked_again():
    async def child(shop, ctx):
        return await shop.step(ctx, "child")

    async def parent(shop, ctx):
        return await ctx.invoke("child:$LATEST", {}, name="child")

    parents, children = Shop(parent), Shop(child)
    children.failing = {"child"}
    async with World() as world:
        world.register(children.handler, "child")
        arn = await world.start(parents.handler)
        assert (await world.finish(arn)).status == "FAILED"
        children.failing = set()
        await world.service.redrive(arn)
        closed = await world.finish(arn)
    assert (closed.status, closed.result) == ("SUCCEEDED", '"child"')
