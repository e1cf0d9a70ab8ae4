"""Workflows that are cancelled because their timeout is near, or because the execution that invoked them is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import attrs
import pytest

from durable_async import (
    DurableContext,
    ExecutionCancelledError,
    ExecutionTimedOutError,
    InvokeConfig,
    InvokeTimeoutError,
    durable_execution,
)
from durable_async.embedded import DurableService
from durable_async.embedded.cache import ExecutionCache
from durable_async.testing import VirtualTime
from tests.world import World

HOUR = timedelta(hours=1)


@attrs.define
class Saga:
    """A workflow that waits for a day and undoes what it did."""

    done: list[str] = attrs.field(factory=list[str])

    def note(self, what: str) -> None:
        self.done.append(what)

    def handler(self, days: int = 1) -> Any:
        @durable_execution
        async def saga(event: Any, ctx: DurableContext) -> str:
            async with ctx.compensations() as undo:
                await ctx.step(self.note, "charge", name="charge")
                undo.add(self.note, "refund", name="refund")
                await ctx.wait(days * timedelta(days=1), name="approval")
            return "shipped"

        return saga


# --- before a timeout ---


@pytest.fixture(params=[False, True], ids=["replayed", "cached"])
async def world(request):
    async with World(cache=ExecutionCache(10, 300) if request.param else None) as world:
        yield world


async def started(world, handler, **options):
    world.service.register("saga", world._function(handler.on_clock(world.clock)), **options)
    return (await world.service.invoke("saga:$LATEST", b"{}")).execution_arn


async def test_a_workflow_is_cancelled_before_its_timeout_and_ends_timed_out(world):
    saga = Saga()
    arn = await started(world, saga.handler(), execution_timeout=7200, cancel_before=600)
    began = world.clock()
    closed = await world.finish(arn)
    assert saga.done == ["charge", "refund"]
    assert world.clock() == began + 6600
    assert closed.status == "TIMED_OUT"
    assert closed.error == {
        "ErrorType": "durable_async.errors.ExecutionCancelledError",
        "ErrorMessage": "The execution times out 7200 seconds after its start.",
    }
    kinds = await world.event_types(arn)
    assert kinds.count("ExecutionCancellationRequested") == 1


async def test_a_workflow_that_goes_on_too_long_times_out_all_the_same(world):
    @durable_execution
    async def stubborn(event: Any, ctx: DurableContext) -> None:
        with suppress(ExecutionCancelledError):
            await ctx.wait(HOUR * 10)
        await ctx.wait(HOUR * 10)

    arn = await started(world, stubborn, execution_timeout=7200, cancel_before=600)
    began = world.clock()
    closed = await world.finish(arn)
    assert (closed.status, world.clock()) == ("TIMED_OUT", began + 7200)
    assert closed.error == {"ErrorMessage": "Execution timed out after 7200 seconds."}


async def test_one_that_ends_in_time_is_not_cancelled(world):
    saga = Saga()
    arn = await started(world, saga.handler(), execution_timeout=25 * 3600, cancel_before=3600 - 1)
    closed = await world.finish(arn)
    assert (closed.status, saga.done) == ("SUCCEEDED", ["charge"])


async def test_a_pause_defers_the_cancellation_as_it_defers_the_timeout(world):
    saga = Saga()
    arn = await started(world, saga.handler(), execution_timeout=7200, cancel_before=600)
    await world.settle()
    await world.service.pause(arn)
    world.clock.move_by(5000)
    await world.service.resume(arn)
    began = world.clock()
    assert (await world.finish(arn)).status == "TIMED_OUT"
    assert world.clock() == began + 6600


async def test_a_redriven_execution_has_its_whole_time_again(world):
    saga = Saga()
    arn = await started(world, saga.handler(), execution_timeout=7200, cancel_before=600)
    await world.finish(arn)
    await world.service.redrive(arn, start="approval")
    began = world.clock()
    assert (await world.finish(arn)).status == "TIMED_OUT"
    assert world.clock() == began + 6600
    assert saga.done == ["charge", "refund", "refund"]  # the wait and what followed it are done again


@pytest.mark.parametrize("cancel_before", [0, 7200])
async def test_a_time_that_is_not_before_the_timeout_is_refused(world, cancel_before):
    with pytest.raises(ValueError, match="less than the execution timeout of 7200 seconds"):
        await started(world, Saga().handler(), execution_timeout=7200, cancel_before=cancel_before)


async def test_the_embedded_service_knows_it_too():
    saga, clock = Saga(), VirtualTime()
    async with DurableService(clock=clock) as service:
        service.register(saga.handler(), execution_timeout=2 * HOUR, cancel_before=timedelta(minutes=10))
        execution = await service.start("saga", {})
        await service.api.idle()
        clock.move_by(6600)
        await service.api.fire_due()
        with pytest.raises(ExecutionTimedOutError, match="times out 7200 seconds after its start"):
            await execution.result()
    assert saga.done == ["charge", "refund"]


# --- with the parent ---


def parent_of(*, cancels):
    @durable_execution
    async def parent(event: Any, ctx: DurableContext) -> Any:
        config = InvokeConfig(cancel_with_parent=cancels)
        if event == "go on":
            invoked = asyncio.create_task(ctx.invoke("saga:$LATEST", None, config=config))
            await ctx.wait(HOUR)
            invoked.cancel()
            return "ended"
        return await ctx.invoke("saga:$LATEST", None, config=config, name="saga")

    return parent


async def family(world, *, cancels, event=b"{}", saga):
    """Start a parent, and return its ARN and that of the child that it invoked."""
    world.service.register("saga", world._function(saga.handler().on_clock(world.clock)))
    world.register(parent_of(cancels=cancels), "parent")
    arn = (await world.service.invoke("parent:$LATEST", event)).execution_arn
    await world.settle()
    (child,) = (await world.service.list_executions("saga")).items
    return arn, child.arn


ENDS = {
    "cancelled": lambda world, arn: world.service.cancel(arn, reason="too dear"),
    "stopped": lambda world, arn: world.service.stop(arn),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("cancels", [False, True])
async def test_a_child_is_cancelled_with_its_parent_or_left(world, end, cancels):
    saga = Saga()
    arn, child = await family(world, cancels=cancels, saga=saga)
    await ENDS[end](world, arn)
    assert (await world.service.wait(arn)).status == "STOPPED"
    closed = await world.finish(child)
    if not cancels:
        assert (closed.status, saga.done) == ("SUCCEEDED", ["charge"])
        return
    assert (closed.status, saga.done) == ("STOPPED", ["charge", "refund"])
    assert closed.error is not None
    how = "was cancelled" if end == "cancelled" else "ended STOPPED"
    assert closed.error["ErrorMessage"] == f"The execution that invoked it {how}."


async def test_a_child_does_not_outlive_a_parent_that_succeeds_without_it(world):
    saga = Saga()
    arn, child = await family(world, cancels=True, event=b'"go on"', saga=saga)
    assert (await world.finish(arn)).result == '"ended"'
    assert (await world.finish(child)).status == "STOPPED"
    assert saga.done == ["charge", "refund"]


async def test_grandchildren_are_cancelled_too(world):
    saga = Saga()
    arn, child = await family(world, cancels=True, saga=saga)

    @durable_execution
    async def grandparent(event: Any, ctx: DurableContext) -> Any:
        return await ctx.invoke("parent:$LATEST", {}, config=InvokeConfig(cancel_with_parent=True))

    world.register(grandparent, "grandparent")
    eldest = (await world.service.invoke("grandparent:$LATEST", b"{}")).execution_arn
    await world.settle()
    await world.service.cancel(eldest)
    await world.settle()
    sagas = {each.arn: each.status for each in (await world.service.list_executions("saga")).items}
    assert sagas.pop(child) == "RUNNING"
    assert [*sagas.values()] == ["STOPPED"]
    assert (await world.service.get_execution(arn)).status == "RUNNING"


async def test_on_a_service_without_cancellation_the_child_is_left(world):
    saga = Saga()
    world.extended = False
    arn, child = await family(world, cancels=True, saga=saga)
    await world.service.stop(arn)
    assert (await world.finish(child)).status == "SUCCEEDED"


async def test_a_child_that_times_out_after_its_compensations_is_timed_out_for_its_parent(world):
    @durable_execution
    async def parent(event: Any, ctx: DurableContext) -> str:
        try:
            return await ctx.invoke("saga:$LATEST", None, returns=str)
        except InvokeTimeoutError as error:
            return f"timed out: {error.error_type}"

    saga = Saga()
    options = {"execution_timeout": 7200, "cancel_before": 600}
    world.service.register("saga", world._function(saga.handler().on_clock(world.clock)), **options)
    closed = await world.run(parent)
    assert closed.result == '"timed out: ChainedInvoke.Timeout"'
    assert saga.done == ["charge", "refund"]


@pytest.mark.parametrize("when", ["parent first", "child first"])
async def test_a_service_that_starts_cancels_the_children_that_an_earlier_one_did_not_come_to(tmp_path, when):
    """The earlier service had only the parent registered, so that it could not tell the child's workflow."""
    saga, path = Saga(), tmp_path / "orders.db"
    handlers = {"parent": parent_of(cancels=True), "saga": saga.handler()}
    async with DurableService(path) as service:
        for name, handler in handlers.items():
            service.register(handler, name=name)
        execution = await service.start("parent", {})
        await service.api.idle()
    async with DurableService(path) as service:
        service.api._runner._chained.follow_parent = _lost  # it dies in between
        service.register(handlers["parent"], name="parent")
        await service.execution(execution.arn).stop()
    async with DurableService(path) as service:
        names = ["parent", "saga"] if when == "parent first" else ["saga", "parent"]
        for name in names:
            service.register(handlers[name], name=name)
        await service.api.idle()
        (child,) = [each async for each in service.executions("saga")]
        assert child.status == "STOPPED"
    assert saga.done == ["charge", "refund"]


async def _lost(execution_id: str) -> None:
    del execution_id
