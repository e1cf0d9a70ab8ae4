"""Cancelling an execution: the workflow is told at its next operation, and its compensations run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from durable_async import (
    DurableContext,
    ExecutionCancelledError,
    ExecutionStoppedError,
    RetryStrategy,
    durable_execution,
)
from durable_async.embedded import DurableService
from durable_async.embedded.cache import ExecutionCache
from durable_async.replay import replay
from durable_async.service import ApiError
from durable_async.service.machine import Limits
from tests.world import World

DAY = timedelta(days=1)
REASON = "the customer called"
BOOKINGS = ["flight", "hotel", "car"]


class Trip:
    """A saga, and what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

        @durable_execution
        async def book(event: Any, ctx: DurableContext) -> str:
            async with ctx.compensations() as undo:
                for name in BOOKINGS:
                    await self.step(ctx, f"book {name}")
                    undo.add(self.body(f"cancel {name}"), name=f"cancel {name}")
                    await ctx.wait(DAY, name=f"after {name}")
                undo.add_cleanup(self.body("clean up"), name="clean up")
                return "booked"

        self.handler = book

    def body(self, name):
        async def body():
            self.done.append(name)

        return body

    def step(self, ctx, name):
        return ctx.step(self.body(name), name=name)


async def cancelled_after(days, *, cache=None, crash=None):
    trip = Trip()
    async with World(cache=cache) as world:
        arn = await world.start(trip.handler)
        await world.settle()
        for _ in range(days):
            world.clock.move_by(DAY.total_seconds())
            await world.service.fire_due()
            await world.settle()
        world.crash_after = crash
        await world.service.cancel(arn, reason=REASON)
        closed = await world.finish(arn)
        return trip, closed, await world.events(arn), arn


@pytest.mark.parametrize("days", range(3))
@pytest.mark.parametrize("cached", [False, True])
async def test_what_was_done_is_undone_in_reverse_order(days, cached):
    trip, closed, events, arn = await cancelled_after(days, cache=ExecutionCache(10, 300) if cached else None)
    booked = BOOKINGS[: days + 1]
    assert trip.done == [*(f"book {name}" for name in booked), *(f"cancel {name}" for name in reversed(booked))]
    assert closed.status == "STOPPED"
    assert closed.error == {
        "ErrorType": "durable_async.errors.ExecutionCancelledError",
        "ErrorMessage": REASON,
    }
    requested = next(event for event in events if event["EventType"] == "ExecutionCancellationRequested")
    assert requested["ExecutionCancellationRequestedDetails"]["Reason"]["Payload"] == REASON
    report = await replay(trip.handler, events, execution_arn=arn)
    assert report.passed, report


@pytest.mark.parametrize("days", range(3))
@pytest.mark.parametrize("crash", range(8))
async def test_a_crash_after_any_checkpoint_undoes_nothing_twice_on_record(days, crash):
    _, closed, events, _ = await cancelled_after(days, crash=crash)
    booked = BOOKINGS[: days + 1]
    undone = [event["Name"] for event in events if event["EventType"] == "StepSucceeded"]
    assert closed.status == "STOPPED"
    assert [name for name in undone if name.startswith("cancel ")] == [f"cancel {name}" for name in reversed(booked)]


async def test_a_timer_that_ends_after_the_cancellation_changes_nothing():
    """The replay is told at the wait, although that has ended meanwhile."""

    async def undo():
        return None

    @durable_execution
    async def slow(event: Any, ctx: DurableContext) -> None:
        try:
            await ctx.wait(DAY, name="a day")
        except ExecutionCancelledError:
            await ctx.wait(3 * DAY, name="three days to undo")
            await ctx.step(undo, name="undo")
            raise

    async with World() as world:
        arn = await world.start(slow)
        await world.settle()
        await world.service.cancel(arn)
        closed = await world.finish(arn)
        names = [event.get("Name") for event in await world.events(arn) if event["EventType"] == "StepSucceeded"]
    assert closed.status == "STOPPED"
    assert closed.error["ErrorMessage"] == "The execution was cancelled."
    assert names == ["cancellation", "undo"]


async def test_a_workflow_may_refuse():
    @durable_execution
    async def stubborn(event: Any, ctx: DurableContext) -> str:
        try:
            await ctx.wait(DAY)
        except ExecutionCancelledError as error:
            await ctx.wait(DAY)
            return f"no: {error.reason}"
        return "done"

    async with World() as world:
        arn = await world.start(stubborn)
        await world.settle()
        await world.service.cancel(arn, reason=REASON)
        await world.settle()
        with pytest.raises(ApiError, match=r"was cancelled before, and its code continued\. Stop it instead"):
            await world.service.cancel(arn)
        closed = await world.finish(arn)
    assert (closed.status, closed.result) == ("SUCCEEDED", f'"no: {REASON}"')


async def test_a_step_that_runs_ends_first():
    began, go = asyncio.Event(), asyncio.Event()

    async def charge():
        began.set()
        await go.wait()

    @durable_execution
    async def order(event: Any, ctx: DurableContext) -> None:
        await ctx.step(charge, name="charge")
        await ctx.wait(DAY)

    async with DurableService() as service:
        service.register(order)
        execution = await service.start(order, {})
        await began.wait()
        await execution.cancel(REASON)
        await execution.cancel("again")
        go.set()
        with pytest.raises(ExecutionStoppedError, match=REASON):
            await execution.result(timeout=timedelta(seconds=20))
        names = [event.name for event in await execution.history() if event.type == "StepSucceeded"]
        with pytest.raises(ApiError, match="is STOPPED and cannot be cancelled"):
            await execution.cancel()
    assert names[0] == "charge"


async def test_it_reaches_what_runs_in_contexts_and_tasks():
    undone: list[str] = []

    @durable_execution
    async def nested(event: Any, ctx: DurableContext) -> None:
        async def strand(name):
            async def body(ctx):
                async with ctx.compensations() as undo:
                    undo.add(lambda: undone.append(name), name=f"undo {name}")
                    await ctx.wait(DAY, name=name)

            await ctx.run_in_child_context(body, name=name)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(strand("left"))
            tasks.create_task(strand("right"))

    async with World() as world:
        arn = await world.start(nested)
        await world.settle()
        await world.service.cancel(arn, reason=REASON)
        closed = await world.finish(arn)
    assert closed.status == "STOPPED"
    assert closed.error["ErrorMessage"].startswith(REASON)
    assert len(undone) == 1, "one strand is told; the other is cancelled with it, as by any failure"


async def test_a_block_with_retries_is_not_tried_again():
    attempts: list[int] = []

    @durable_execution
    async def order(event: Any, ctx: DurableContext) -> None:
        async def block(ctx):
            attempts.append(1)
            await ctx.wait(DAY)

        await ctx.with_retry(block, strategy=RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=9))

    async with World(cache=ExecutionCache(10, 300)) as world:
        arn = await world.start(order)
        await world.settle()
        await world.service.cancel(arn, reason=REASON)
        assert (await world.finish(arn)).status == "STOPPED"
    assert len(attempts) == 1


async def test_a_compensation_that_fails_is_told_of():
    def refuse():
        raise RuntimeError("no refund")

    @durable_execution
    async def order(event: Any, ctx: DurableContext) -> None:
        async with ctx.compensations() as undo:
            undo.add(refuse, name="refund")
            await ctx.wait(DAY)

    async with World() as world:
        arn = await world.start(order)
        await world.settle()
        await world.service.cancel(arn, reason=REASON)
        closed = await world.finish(arn)
    assert closed.status == "STOPPED"
    assert closed.error["ErrorMessage"].startswith(f"{REASON} While it was cancelled, it failed: ")
    assert "no refund" in closed.error["ErrorMessage"]


async def test_a_long_record_is_told_of_it_on_its_first_page():
    @durable_execution
    async def long(event: Any, ctx: DurableContext) -> None:
        for number in range(12):
            await ctx.step(lambda: None, name=f"step {number}")
        try:
            await ctx.wait(DAY, name="a day")
        except ExecutionCancelledError:
            await ctx.wait(2 * DAY, name="two days")
            raise

    async with World(limits=Limits(page_operations=3)) as world:
        arn = await world.start(long)
        await world.settle()
        await world.service.cancel(arn, reason=REASON)
        assert (await world.finish(arn)).status == "STOPPED"


async def test_a_cancelled_execution_is_redriven_as_if_it_had_not_been_cancelled(tmp_path):
    done: list[str] = []

    @durable_execution
    async def order(event: Any, ctx: DurableContext) -> str:
        await ctx.step(lambda: done.append("charge"), name="charge")
        callback = await ctx.create_callback(name="approval")
        return await callback.result()

    async with DurableService(tmp_path / "orders.db") as service:
        service.register(order)
        execution = await service.start(order, {}, name="order-1")
        await service.api.idle()
        await execution.cancel(REASON)
        with pytest.raises(ExecutionStoppedError, match=REASON):
            await execution.result(timeout=timedelta(seconds=20))
        await execution.redrive()
        await service.api.idle()
        events = await execution.history()
        started = next(event for event in events if event.type == "CallbackStarted")
        await service.succeed_callback(started.details["CallbackId"], b"yes")
        assert await execution.result(timeout=timedelta(seconds=20)) == "yes"
    assert done == ["charge"]
