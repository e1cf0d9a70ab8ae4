"""Child contexts and what is made of them: retried blocks, task groups, deadlines, compensation, derived values."""

import asyncio
import json
from datetime import timedelta

import pytest

from durable_async import (
    ChildConfig,
    ChildContextError,
    ContextMisuseError,
    DurableTimeoutError,
    RetryStrategy,
    StepConfig,
    StepError,
    durable_execution,
)
from durable_async._wire.ids import operation_id
from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from tests.world import World

HOUR = timedelta(hours=1)


async def one():
    return 1


# --- child contexts ---


async def test_a_child_context_is_recorded_as_one_and_not_entered_again():
    entered = []

    async def child(ctx, factor):
        entered.append(1)
        return factor * (await ctx.step(one, name="inner"))

    @durable_execution
    async def workflow(event, ctx):
        result = await ctx.run_in_child_context(child, 7)
        await ctx.wait(HOUR)
        return result

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert closed.result == "7"
    assert entered == [1]
    assert world.calls[:2] == [["START child", "START inner", "SUCCEED inner"], ["SUCCEED child"]]
    context, step = events[1], events[2]
    assert (context["SubType"], context["Id"]) == ("RunInChildContext", operation_id("", 1))
    assert (step["ParentId"], step["Id"]) == (context["Id"], operation_id(context["Id"], 1))


async def test_the_error_of_contexts_that_are_nested_too_deeply_says_so():
    async def deeper(ctx, left):
        return await ctx.run_in_child_context(deeper, left - 1) if left else 0

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.run_in_child_context(deeper, 1000)

    async with World() as world:
        closed = await world.finish(await world.start(workflow))
    assert closed.error["ErrorType"] == "RecursionError"
    assert "Child contexts are nested" in closed.error["ErrorMessage"]
    assert "in a loop" in closed.error["ErrorMessage"]


async def test_a_recursion_of_the_programs_own_is_not_taken_for_nested_contexts():
    def endless(n):
        return endless(n + 1)

    async def child(ctx):
        return endless(0)

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.run_in_child_context(child)

    async with World() as world:
        closed = await world.finish(await world.start(workflow))
    assert closed.error["ErrorMessage"] == "maximum recursion depth exceeded"


async def test_a_child_that_is_interrupted_goes_on_where_it_was():
    ran = []

    async def child(ctx):
        await ctx.step(ran.append, 1)
        await ctx.wait(HOUR)
        await ctx.step(ran.append, 2)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.run_in_child_context(child)

    async with World() as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        types = await world.event_types(arn)
    assert ran == [1, 2]
    assert types.count("ContextStarted") == types.count("ContextSucceeded") == 1


async def test_a_childs_error_is_recorded_once_and_the_same_on_a_replay():
    seen = []

    async def broken(ctx):
        await ctx.step(lambda: 1 / 0, name="divide")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.run_in_child_context(broken)
        except ChildContextError as error:
            seen.append(error)
        await ctx.wait(HOUR)

    async with World() as world:
        await world.run(workflow)
    first, replayed = seen
    assert first.args == replayed.args
    assert (first.error_type, first.message) == ("ZeroDivisionError", "division by zero")
    assert first.stack_trace


@pytest.mark.parametrize("summary", [None, lambda result: f"{len(result)} characters"])
async def test_a_result_over_the_limit_is_made_again_from_the_children(summary):
    entered, ran = [], []

    async def piece():
        ran.append(1)
        return "x" * 1000

    async def child(ctx):
        entered.append(1)
        return await ctx.step(piece) * (CONTEXT_RESULT_BYTES // 1000 + 1)

    @durable_execution
    async def workflow(event, ctx):
        result = await ctx.run_in_child_context(child, config=ChildConfig(summary=summary))
        await ctx.wait(HOUR)
        return len(result)

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        [event] = [event for event in await world.events(arn) if event["EventType"] == "ContextSucceeded"]
    size = CONTEXT_RESULT_BYTES // 1000 * 1000 + 1000
    assert closed.result == str(size)
    assert (entered, ran) == ([1, 1], [1])
    recorded = event["ContextSucceededDetails"]["Result"].get("Payload")
    assert recorded == (f"{size} characters" if summary else "")


async def test_tasks_that_a_child_leaves_behind_write_no_more():
    left = []

    async def child(ctx):
        async def late():
            while True:
                await asyncio.sleep(0)
                await ctx.step(one, name="late")

        await ctx.step(one, name="first")
        left.append(asyncio.create_task(late()))

    @durable_execution
    async def workflow(event, ctx):
        await ctx.run_in_child_context(child)
        for _ in range(20):
            await ctx.step(one, name="after")
        assert left[0].cancelled()  # long before the workflow ends

    async with World() as world:
        await world.run(workflow)
    assert not any("late" in update for call in world.calls for update in call)
    assert left[0].cancelled()


async def test_an_outer_handle_used_inside_belongs_to_the_inner_context():
    @durable_execution
    async def workflow(event, outer):
        async def child(ctx):
            assert ctx is outer
            await outer.step(one, name="inner")

        await outer.run_in_child_context(child)

    async with World() as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        events = await world.events(arn)
    assert events[2]["ParentId"] == events[1]["Id"]


async def test_each_context_has_its_own_replay_status():
    status = []

    async def child(ctx):
        status.append(("child starts", ctx.is_replaying))
        await ctx.step(one)
        status.append(("child after its step", ctx.is_replaying))
        await ctx.wait(HOUR)
        status.append(("child ends", ctx.is_replaying))

    @durable_execution
    async def workflow(event, ctx):
        status.append(("start", ctx.is_replaying))
        await ctx.step(one)
        status.append(("after the step", ctx.is_replaying))
        await ctx.run_in_child_context(child)
        status.append(("end", ctx.is_replaying))

    async with World() as world:
        await world.run(workflow)
    assert status == [
        ("start", False),
        ("after the step", False),
        ("child starts", False),
        ("child after its step", False),
        ("start", True),
        ("after the step", False),
        ("child starts", True),
        ("child after its step", True),  # the wait is on record as ended
        ("child ends", False),
        ("end", False),
    ]


@pytest.mark.parametrize("around", ["child", "retried"])
async def test_a_mismatch_inside_fails_the_execution_and_is_not_recorded_of_the_context(around):
    name, asked = ["a"], []

    async def child(ctx):
        await ctx.step(one, name=name[0])
        await ctx.wait(HOUR)

    def strategy(error, attempt):
        asked.append(error)
        return RetryStrategy.default().should_retry(error, attempt)

    @durable_execution
    async def workflow(event, ctx):
        try:
            if around == "child":
                await ctx.run_in_child_context(child)
            else:
                await ctx.with_retry(child, strategy=strategy)
        finally:
            name[0] = "b"

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        types = await world.event_types(arn)
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "ContextFailed" not in types
    assert not asked


# --- with_retry ---


async def test_a_block_is_retried_with_delays_that_the_service_keeps():
    attempts = []

    async def part():
        attempts.append(world.clock())
        return len(attempts)

    async def block(ctx):
        if await ctx.step(part) < 3:
            raise ValueError("not yet")
        return "done"

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.with_retry(block, strategy=RetryStrategy.fixed(delay=timedelta(minutes=1)))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"done"'
    assert [at - attempts[0] for at in attempts] == [0, 60, 120]
    assert sum(update == "SUCCEED part" for call in world.calls for update in call) == 3


async def test_a_block_that_uses_up_its_attempts_fails():
    async def block(ctx):
        raise ValueError("never")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.with_retry(block, strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=2))
        except ChildContextError as error:
            return [error.error_type, error.message]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["ValueError", "never"]


async def test_a_blocks_total_timeout_counts_recorded_time():
    starts = []

    async def block(ctx):
        await ctx.step(lambda: starts.append(world.clock()))
        await ctx.wait(timedelta(seconds=20))
        raise ValueError

    @durable_execution
    async def workflow(event, ctx):
        strategy = RetryStrategy.fixed(
            delay=timedelta(seconds=10), max_attempts=10, total_timeout=timedelta(seconds=70)
        )
        await ctx.with_retry(block, strategy=strategy)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert [at - starts[0] for at in starts] == [0, 30, 60]


# --- task groups ---


async def test_a_task_group_runs_branches_and_gives_their_results():
    async def branch(ctx, n):
        await ctx.wait(timedelta(minutes=n))
        return await ctx.step(lambda: n * 10)

    @durable_execution
    async def workflow(event, ctx):
        async with ctx.task_group() as group:
            handles = [group.start_soon(branch, n, name=f"branch {n}") for n in range(1, 4)]
        return [handle.result() for handle in handles]

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "[10, 20, 30]"


async def test_the_first_failure_cancels_the_siblings():
    cancelled = []

    async def fails(ctx):
        await ctx.step(lambda: 1 / 0)

    async def waits(ctx):
        try:
            await ctx.wait(HOUR)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.task_group() as group:
                group.start_soon(fails)
                group.start_soon(waits)
        except ExceptionGroup as errors:
            return [error.error_type for error in errors.exceptions]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["ZeroDivisionError"]
    assert cancelled and world.invocations == 1


# --- deadlines ---


async def test_a_deadline_that_is_kept_changes_nothing():
    @durable_execution
    async def workflow(event, ctx):
        async with ctx.timeout(HOUR, name="block"):
            await ctx.wait(timedelta(minutes=1))
            result = await ctx.step(one)
        await ctx.wait(timedelta(hours=2))  # the timer of the deadline comes due meanwhile, and nobody minds
        return result + await ctx.step(one)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "2"


async def test_a_deadline_that_passes_cancels_the_block_and_nothing_in_it_writes_any_more():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.timeout(HOUR, name="block"):
                seen.append(await ctx.step(one, name="inside"))
                try:
                    await ctx.wait(timedelta(days=1), name="too long")
                finally:
                    with pytest.raises(asyncio.CancelledError):
                        await ctx.step(one, name="in finally")
        except DurableTimeoutError as error:
            seen.append(str(error))
        result = await ctx.step(one, name="outside")
        await ctx.wait(HOUR)
        return result

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        seconds = world.clock() - (await world.events(arn))[0]["EventTimestamp"]
    assert closed.result == "1"
    assert seconds == 2 * 3600
    assert set(seen) == {1, "block block did not finish within 1:00:00"}
    assert not any("in finally" in update for call in world.calls for update in call)
    assert sum("SUCCEED outside" in call for call in world.calls) == 1


async def test_a_deadline_cuts_running_steps_and_tasks_short():
    cut = []

    @durable_execution
    async def workflow(event, ctx):
        async def slow(n):
            world.clock.move_by(3600)  # the answer to this step's START says that the timer has come due
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cut.append(n)
                raise

        try:
            async with ctx.timeout(HOUR), asyncio.TaskGroup() as group:
                group.create_task(ctx.step(slow, 1))
                group.create_task(ctx.step(slow, 2))
        except TimeoutError:
            return "timeout"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"timeout"'
    assert sorted(cut) == [1, 2]


async def test_a_deadline_cancels_what_its_block_waits_for_itself():
    cut = []

    @durable_execution
    async def workflow(event, ctx):
        async def slow(n):
            world.clock.move_by(3600)
            try:
                await asyncio.sleep(3600)
            finally:
                cut.append(n)

        try:
            async with ctx.timeout(HOUR):
                task = asyncio.create_task(ctx.step(slow, "in a task"))
                try:
                    await ctx.step(slow, "in the block")
                finally:
                    await asyncio.wait([task])
        except TimeoutError:
            return "timeout"

    async with World() as world:
        closed = await asyncio.wait_for(world.run(workflow), 10)
    assert closed.result == '"timeout"'
    assert sorted(cut) == ["in a task", "in the block"]


async def test_deadlines_nest():
    @durable_execution
    async def workflow(event, ctx):
        seen = []
        try:
            async with ctx.timeout(timedelta(hours=2), name="outer"):
                try:
                    async with ctx.timeout(timedelta(hours=1), name="inner"):
                        await ctx.wait(timedelta(days=1))
                except DurableTimeoutError as error:
                    seen.append(error.name)
                await ctx.wait(timedelta(days=1))
        except DurableTimeoutError as error:
            seen.append(error.name)
        return seen

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["inner", "outer"]


async def test_an_error_in_the_block_is_the_blocks_error():
    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.timeout(HOUR):
                await ctx.step(lambda: 1 / 0)
        except StepError as error:
            return error.message

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"division by zero"'


# --- compensation ---


async def test_compensations_run_in_reverse_on_failure_and_never_at_a_suspension():
    done = []

    @durable_execution
    async def workflow(event, ctx):
        async with ctx.compensations() as undo:
            undo.add_cleanup(done.append, "clean up")
            undo.add(done.append, "undo 1")
            await ctx.wait(HOUR)
            undo.add(done.append, "undo 2", name="undo 2")
            await ctx.step(lambda: 1 / 0)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorMessage"] == "division by zero"
    assert done == ["undo 2", "undo 1", "clean up"]


async def test_a_cancellation_is_no_failure_to_compensate():
    done = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.timeout(HOUR), ctx.compensations() as undo:
                undo.add(done.append, "undo")
                undo.add_cleanup(done.append, "clean up")
                await ctx.wait(timedelta(days=1))
        except DurableTimeoutError:
            return "timeout"

    async with World() as world:
        closed = await world.run(workflow)
    assert (closed.result, done) == ('"timeout"', [])


async def test_a_failed_siblings_cancellation_is_none_either():
    done = []

    @durable_execution
    async def workflow(event, ctx):
        async def strand():
            async with ctx.compensations() as undo:
                undo.add(done.append, "undo")
                await ctx.wait(HOUR)

        async def fails():
            await ctx.step(lambda: 1 / 0)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(strand())
                group.create_task(fails())
        except ExceptionGroup:
            return "failed"

    async with World() as world:
        closed = await world.run(workflow)
    assert (closed.result, done) == ('"failed"', [])


async def test_on_success_only_the_cleanups_run():
    done = []

    @durable_execution
    async def workflow(event, ctx):
        async with ctx.compensations() as undo:
            undo.add_cleanup(done.append, "clean up")
            undo.add(done.append, "undo")
            await ctx.wait(HOUR)
        return "done"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"done"' and done == ["clean up"]


async def test_compensations_survive_a_crash_in_the_middle():
    done = []

    @durable_execution
    async def workflow(event, ctx):
        async with ctx.compensations() as undo:
            for n in range(3):
                await ctx.step(one)
                undo.add(done.append, n, name=f"undo {n}")
            raise ValueError("stop")

    async with World() as world:
        world.crash_after = 3  # the first compensation is recorded, and then the process is gone
        closed = await world.run(workflow)
    assert closed.error["ErrorMessage"] == "stop"
    assert done == [2, 1, 0]


async def test_a_failed_compensation_does_not_keep_the_others_from_running():
    done = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.compensations() as undo:
                undo.add(done.append, "undo")
                undo.add(lambda: 1 / 0)
                raise ValueError("stop")
        except ExceptionGroup as group:
            return [str(error) for error in group.exceptions]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["stop", "division by zero"]
    assert done == ["undo"]


# --- derived values ---


async def test_derived_values_are_the_same_on_a_replay_and_cost_nothing():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        async def strand():
            return [str(ctx.uuid()), ctx.random().random()]

        values = [str(ctx.uuid()), str(ctx.uuid()), ctx.random().random(), ctx.now().isoformat()]
        values += await asyncio.gather(strand(), strand())
        await ctx.step(one, config=StepConfig())
        values.append(ctx.now().isoformat())
        await ctx.wait(HOUR)
        values.append(ctx.now().isoformat())
        seen.append(values)
        await ctx.wait(HOUR)
        seen.append(values)

    async with World() as world:
        await world.run(workflow)
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] != seen[0][1] and seen[0][4] != seen[0][5]
    assert seen[0][-2] < seen[0][-1]
    assert len(world.calls) == 3


async def test_derived_values_belong_to_the_workflow():
    @durable_execution
    async def workflow(event, ctx):
        def body():
            ctx.uuid()

        await ctx.step(body)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "durable_async.errors.ContextMisuseError"
    assert "inside the body of step" in closed.error["ErrorMessage"]
    assert issubclass(ContextMisuseError, Exception)
