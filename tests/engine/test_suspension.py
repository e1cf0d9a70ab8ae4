"""Suspension: cancellation of the workflow, and only when nothing can progress."""

import asyncio
import json
import logging
from datetime import timedelta

import anyio
import pytest

from durable_async import EngineLimits, RetryStrategy, StepConfig, durable_execution
from durable_async._engine import invocation
from durable_async.embedded.local import in_process_handler
from tests.world import World

HOUR = timedelta(hours=1)


async def test_a_waiting_sibling_does_not_cut_a_running_step_short():
    cut = []

    @durable_execution
    async def workflow(event, ctx):
        async def slow():
            try:
                for _ in range(200):
                    await asyncio.sleep(0)
                return "whole"
            except asyncio.CancelledError:
                cut.append(True)
                raise

        return (await asyncio.gather(ctx.wait(HOUR), ctx.step(slow)))[1]

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"whole"'
    assert not cut and world.invocations == 2


def _nested(inner, depth):
    return inner if depth == 0 else _nested(asyncio.gather(inner), depth - 1)


@pytest.mark.parametrize("depth", [1, 7, 60])
async def test_a_deep_nest_of_gather_does_not_suspend_early(depth):
    """The result of the step climbs the nest one turn of the loop at a time, while a sibling waits."""

    after = []

    @durable_execution
    async def workflow(event, ctx):
        async def strand():
            await _nested(asyncio.ensure_future(ctx.step(lambda: 1, name="inner")), depth)
            await ctx.step(lambda: after.append(world.invocations), name="after")

        await asyncio.gather(strand(), ctx.wait(HOUR))

    async with World() as world:
        await world.run(workflow)
    assert after == [1]
    assert world.invocations == 2


async def test_finally_runs_and_may_await_but_not_call_operations():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.wait(HOUR)
        finally:
            await asyncio.sleep(0)
            try:
                await ctx.step(seen.append, "a step")
            except asyncio.CancelledError:
                seen.append("refused")
                raise
        return "done"

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        assert seen == ["refused"]
        closed = await world.finish(arn)
    assert closed.result == '"done"'
    assert seen == ["refused", "a step"]


async def test_code_that_swallows_every_cancellation_starts_nothing_and_is_left_behind(caplog):
    ran = []
    free = False

    @durable_execution
    async def stubborn(event, ctx):
        while not free:
            try:
                await ctx.wait(HOUR)
            except BaseException:
                if free:
                    return
                try:
                    await ctx.step(ran.append, 1)
                except BaseException:
                    continue

    async with World() as world:
        arn = await world.start(stubborn)
        await world.settle()
        assert await world.event_types(arn) == ["ExecutionStarted", "WaitStarted", "InvocationCompleted"]
    assert ran == []
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "abandoned" in record.getMessage() and "stubborn" in record.getMessage()
    [left] = invocation._abandoned
    assert left not in asyncio.all_tasks()  # or the loop could never be shut down
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        left.get_coro().cr_await.close()
    free = True
    left.get_coro().cr_await.close()
    invocation._abandoned.clear()


async def test_cleaning_up_may_take_no_longer_than_the_limit(caplog):
    @durable_execution(limits=EngineLimits(clean_up=0.01))
    async def slow_to_end(event, ctx):
        try:
            await ctx.wait(HOUR)
        finally:
            await never

    never = asyncio.get_running_loop().create_future()
    async with World() as world:
        await world.start(slow_to_end)
        await world.settle()
    assert "abandoned" in caplog.text and "slow_to_end" in caplog.text
    [left] = invocation._abandoned
    never.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await left
    invocation._abandoned.clear()


async def test_a_result_returned_after_the_cancellation_is_ignored():
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        try:
            await ctx.wait(HOUR)
        except asyncio.CancelledError:
            return "swallowed"
        return "done"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"done"' and len(runs) == 2


async def test_an_error_raised_after_the_cancellation_is_logged(caplog):
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        try:
            await ctx.wait(HOUR)
        finally:
            if len(runs) == 1:
                raise ValueError("while cleaning up")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "while cleaning up" in caplog.text and "ignored" in record.getMessage()


async def test_a_timer_that_comes_due_while_other_work_runs_resumes_in_place():
    """One invocation: the waiting strand goes on while the step still runs."""
    order = []

    @durable_execution
    async def workflow(event, ctx):
        waited = asyncio.Event()

        async def slow():
            world.clock.move_by(5)
            await asyncio.wait_for(waited.wait(), 10)
            order.append("step")

        async def strand():
            await ctx.wait(timedelta(seconds=1), name="short")
            order.append("waited")
            waited.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(strand())
            while not world.calls:
                await asyncio.sleep(0)
            group.create_task(ctx.step(slow))

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
    assert closed.status == "SUCCEEDED"
    assert order == ["waited", "step"]
    assert world.invocations == 1


async def test_a_retry_that_comes_due_while_other_work_runs_resumes_in_place():
    attempts = []

    @durable_execution
    async def workflow(event, ctx):
        succeeded = asyncio.Event()

        async def flaky():
            attempts.append(1)
            if len(attempts) == 1:
                raise ValueError
            succeeded.set()

        async def slow():
            while not any("RETRY flaky" in call for call in world.calls):
                await asyncio.sleep(0)
            world.clock.move_by(5)
            await asyncio.wait_for(succeeded.wait(), 10)

        config = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=1)))
        await asyncio.gather(ctx.step(flaky, config=config), ctx.step(slow))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED" and len(attempts) == 2
    assert world.invocations == 1


async def test_a_timer_due_within_the_stay_is_waited_for_in_place():
    @durable_execution(max_inline_wait=timedelta(seconds=1))
    async def workflow(event, ctx):
        await ctx.wait(timedelta(seconds=3))
        return "done"

    async with World() as world:
        world.register(workflow)
        workflow._clock = lambda: world.clock() + 2.98  # by the handler's clock it is due in a moment
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        while ["START WAIT"] not in world.calls:
            await asyncio.sleep(0)
        world.clock.move_by(3)
        closed = await world.finish(started.execution_arn)
    assert closed.result == '"done"'
    assert world.invocations == 1


async def test_a_timer_that_is_due_by_our_clock_alone_is_asked_after_again():
    @durable_execution
    async def workflow(event, ctx):
        waited = asyncio.Event()

        async def strand():
            await ctx.wait(timedelta(seconds=10), name="wait")
            waited.set()

        async def busy():
            while [] not in world.calls:  # the first question, which comes too early for the service
                await asyncio.sleep(0.001)
            world.clock.move_by(10)
            await asyncio.wait_for(waited.wait(), 10)

        await asyncio.gather(strand(), ctx.step(busy))

    async with World() as world:
        world.register(workflow)
        workflow._clock = lambda: world.clock() + 60
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        closed = await world.finish(started.execution_arn)
    assert closed.status == "SUCCEEDED"
    assert world.invocations == 1


async def test_a_service_that_repeats_what_is_known_is_not_asked_without_end():
    """Its answer names a timer that is past by our clock, and says nothing new of it."""

    @durable_execution
    async def workflow(event, ctx):
        async def busy():
            for _ in range(500):
                await asyncio.sleep(0)

        await asyncio.gather(ctx.wait(timedelta(seconds=10), name="wait"), ctx.step(busy))

    async with World() as world:
        world.register(workflow)
        world.repeats = True
        workflow._clock = lambda: world.clock() + 60
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        closed = await world.finish(started.execution_arn)
    assert closed.status == "SUCCEEDED"
    assert world.invocations == 2
    assert len([call for call in world.calls if not call]) == 1


async def test_what_was_enqueued_is_flushed_on_suspension():
    """A START that nobody waits for is not lost: its step is on record when the invocation ends."""

    @durable_execution
    async def workflow(event, ctx):
        async def never():
            await asyncio.sleep(3600)

        step = asyncio.create_task(ctx.step(never, name="never"))
        await asyncio.sleep(0)
        step.cancel()
        await ctx.wait(HOUR, name="wait")

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        types = await world.event_types(arn)
    assert types == ["ExecutionStarted", "StepStarted", "WaitStarted", "InvocationCompleted"]


async def test_a_checkpoint_that_somebody_waits_for_is_not_cut_short():
    ran = []

    @durable_execution
    async def workflow(event, ctx):
        wait = asyncio.create_task(ctx.wait(HOUR, name="wait"))
        while not world.calls:
            await asyncio.sleep(0)
        world.hold = asyncio.Event()  # the next call takes its time
        asyncio.get_running_loop().call_later(0.05, world.hold.set)
        await ctx.step(lambda: ran.append(world.invocations), name="step")
        await ctx.step(lambda: ran.append(world.invocations), name="next")
        await wait

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    assert ran == [1, 1]


async def test_what_is_on_its_way_is_waited_for_on_suspension():
    lands = asyncio.Event()

    @durable_execution(limits=EngineLimits(show_start=0.0))
    async def workflow(event, ctx):
        async def never():
            await asyncio.sleep(3600)

        wait = asyncio.create_task(ctx.wait(HOUR, name="wait"))
        while not world.calls:
            await asyncio.sleep(0)
        world.hold = lands  # the next call takes its time
        step = asyncio.create_task(ctx.step(never, name="never"))
        while not world.held:
            await asyncio.sleep(0)
        step.cancel()
        asyncio.get_running_loop().call_later(0.05, lands.set)
        await wait

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        types = await world.event_types(arn)
    assert types == ["ExecutionStarted", "WaitStarted", "StepStarted", "InvocationCompleted"]


@pytest.mark.parametrize("steps", [1, 300], ids=["on its way", "in the outbox"])
async def test_an_update_is_waited_for_on_suspension_though_whoever_waited_for_it_was_cancelled(steps):
    lands, ended = asyncio.Event(), []

    @durable_execution
    async def workflow(event, ctx):
        async def body():
            ended.append(True)

        wait = asyncio.create_task(ctx.wait(HOUR, name="wait"))
        while not world.calls:
            await asyncio.sleep(0)
        world.hold = lands  # the next call takes its time
        tasks = [asyncio.create_task(ctx.step(body)) for _ in range(steps)]
        while not world.held or len(ended) < steps:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        asyncio.get_running_loop().call_later(0.05, lands.set)
        await wait

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        types = await world.event_types(arn)
    assert types.count("StepSucceeded") == steps
    assert types[-1] == "InvocationCompleted"


async def test_a_cancellation_from_outside_passes_through_and_decides_nothing():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        async def body():
            seen.append("running")
            await asyncio.sleep(3600)

        try:
            await ctx.step(body)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async with World() as world:
        arn = await world.start(workflow)
        while not seen:
            await asyncio.sleep(0)
    assert seen == ["running", "cancelled"]
    assert world.calls in ([], [["START body"]])
    assert arn


async def test_an_invocation_that_is_cancelled_while_it_cleans_up_still_waits_for_its_tasks(caplog):
    cleaning = asyncio.Event()

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.wait(HOUR)
        finally:
            cleaning.set()
            await asyncio.sleep(3600)

    async with World() as world:
        await world.start(workflow)
        await cleaning.wait()
    assert "abandoned" not in caplog.text
    assert not invocation._abandoned


async def test_an_invocation_that_is_cancelled_twice_abandons_no_task_that_ends_at_once(caplog):
    waiting = asyncio.Event()

    @durable_execution
    async def workflow(event, ctx):
        try:
            waiting.set()
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)

    class CancelledTwice:
        async def run(self, envelope, *, client, lambda_context=None):
            running = asyncio.ensure_future(workflow.run(envelope, client=client))
            await waiting.wait()
            running.cancel()
            await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
            ended.set_result(running.cancelled())
            await asyncio.sleep(3600)

    ended = asyncio.get_running_loop().create_future()
    async with World() as world:
        world.service.register("twice", in_process_handler(CancelledTwice(), world.service))
        await world.service.invoke("twice", b"{}", qualifier="$LATEST")
        assert await ended
    assert "abandoned" not in caplog.text
    assert not invocation._abandoned


async def test_a_bare_sleep_does_not_hold_an_invocation():
    @durable_execution
    async def workflow(event, ctx):
        await asyncio.gather(asyncio.sleep(3600), ctx.wait(timedelta(seconds=1)))

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        assert await world.event_types(arn) == ["ExecutionStarted", "WaitStarted", "InvocationCompleted"]


async def test_anyio_cancel_scopes_and_groups_survive_suspension():
    @durable_execution
    async def workflow(event, ctx):
        results = []

        async def strand(n):
            await ctx.wait(timedelta(seconds=n + 1))
            results.append(await ctx.step(lambda: n, name=f"step {n}"))

        async with anyio.create_task_group() as group:
            for n in range(3):
                group.start_soon(strand, n)
        return sorted(results)

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [0, 1, 2]


async def test_tasks_left_behind_by_the_workflow_write_no_more():
    @durable_execution
    async def workflow(event, ctx):
        async def late():
            await asyncio.sleep(0)
            await ctx.step(lambda: 1, name="late")

        workflow.task = asyncio.create_task(late())
        return "done"

    async with World() as world:
        closed = await world.run(workflow)
        assert closed.result == '"done"'
        assert world.calls == []
        assert workflow.task.cancelled()


@pytest.mark.parametrize("waits", [1, 1000])
async def test_waits_together_cost_few_calls(waits):
    @durable_execution
    async def workflow(event, ctx):
        await asyncio.gather(*(ctx.wait(HOUR, name=f"wait {n}") for n in range(waits)))

    async with World() as world:
        await world.run(workflow)
    assert len(world.calls) == -(-waits // 250)
    assert world.invocations == 2


@pytest.mark.parametrize("turns", range(4))
async def test_a_task_that_has_just_been_started_begins_before_it_is_cancelled(turns, caplog):
    """Code that starts a task may rely on it to tell when it ends, as anyio's start does."""

    async def service(*, task_status):
        await asyncio.Event().wait()

    async def starts():
        for _ in range(turns):
            await asyncio.sleep(0)
        async with anyio.create_task_group() as group:
            await group.start(service)

    @durable_execution
    async def workflow(event, ctx):
        started.add(asyncio.create_task(starts()))

    started = set()
    async with World() as world:
        await world.run(workflow)
    assert "abandoned" not in caplog.text
