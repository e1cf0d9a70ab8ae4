"""Steps, end to end on the service: what is recorded, how often bodies run, what comes back."""

import asyncio
import json
import threading
from datetime import timedelta

import pytest

from durable_async import (
    NonDeterminismError,
    RetryAfterError,
    RetryDecision,
    RetryStrategy,
    StepConfig,
    StepError,
    StepSemantics,
    WaitDecision,
    current_context,
    current_step,
    durable_execution,
)
from durable_async._wire.ids import operation_id
from durable_async._wire.limits import PAYLOAD_BYTES
from durable_async.embedded.local import InProcessClient
from tests.world import NO_START_BEFORE_ITS_END, World

AT_MOST_ONCE = StepSemantics.AT_MOST_ONCE_PER_RETRY
SOON = RetryStrategy.fixed(delay=timedelta(seconds=10), max_attempts=3)


async def test_a_step_costs_one_call_and_its_start_rides_along():
    async def double(x):
        return 2 * x

    @durable_execution
    async def workflow(event, ctx):
        return [await ctx.step(double, n, name=f"double {n}") for n in range(3)]

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        closed = await world.run(workflow)
    assert closed.result == "[0, 2, 4]"
    assert world.calls == [[f"START double {n}", f"SUCCEED double {n}"] for n in range(3)]
    assert world.invocations == 1


async def test_a_failed_step_is_retried_by_the_service_until_it_succeeds():
    attempts = []

    async def flaky():
        attempts.append(current_step().attempt)
        if len(attempts) < 3:
            raise ValueError(f"no {len(attempts)}")
        return "at last"

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.step(flaky, config=StepConfig(retry_strategy=SOON))

    async with World() as world:
        started = world.clock()
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert closed.result == '"at last"'
    assert attempts == [1, 2, 3]
    assert world.invocations == 3
    assert world.clock() - started == 20
    assert [event["EventType"] for event in events] == [
        "ExecutionStarted",
        *["StepStarted", "StepFailed", "InvocationCompleted"] * 2,
        *["StepStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"],
    ]
    failed = [event["StepFailedDetails"] for event in events if event["EventType"] == "StepFailed"]
    assert [each["Error"]["Payload"]["ErrorMessage"] for each in failed] == ["no 1", "no 2"]
    assert [each["RetryDetails"] for each in failed] == [
        {"CurrentAttempt": n, "NextAttemptDelaySeconds": 10} for n in (1, 2)
    ]


async def test_a_step_that_uses_up_its_attempts_fails_with_the_last_error():
    async def broken():
        raise KeyError("gone")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(broken, name="broken", config=StepConfig(retry_strategy=SOON))
        except StepError as error:
            return [error.error_type, error.message, error.operation_name, bool(error.stack_trace)]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["KeyError", "'gone'", "broken", True]
    assert world.invocations == 3


async def test_without_a_strategy_the_first_error_is_the_last():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(lambda: 1 / 0, name="divide")

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"] == "ZeroDivisionError"
    assert closed.error["ErrorMessage"] == "division by zero"
    assert world.calls == [["START divide", "FAIL divide"]]


async def test_an_error_is_the_same_on_the_first_run_and_on_a_replay():
    seen = []

    async def broken():
        raise LookupError("gone")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(broken)
        except StepError as error:
            seen.append(error)
        await ctx.wait(timedelta(hours=1))

    async with World() as world:
        await world.run(workflow)
    first, replayed = seen
    assert first is not replayed
    assert first.args == replayed.args and first.stack_trace
    assert type(first) is type(replayed)


async def test_the_first_run_returns_what_a_replay_returns():
    seen = []

    async def lossy():
        return {"pair": (1, 2)}

    @durable_execution
    async def workflow(event, ctx):
        seen.append(await ctx.step(lossy))
        await ctx.wait(timedelta(hours=1))

    async with World() as world:
        await world.run(workflow)
    assert seen == [{"pair": [1, 2]}] * 2


async def test_a_body_that_finished_is_not_run_again():
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        for n in range(3):
            await ctx.step(runs.append, n)
            await ctx.wait(timedelta(minutes=1))

    async with World() as world:
        await world.run(workflow)
    assert runs == [0, 1, 2]
    assert world.invocations == 4


async def test_at_least_once_an_interrupted_attempt_is_run_again_under_its_number():
    attempts = []

    @durable_execution
    async def workflow(event, ctx):
        async def body():
            attempts.append(current_step().attempt)
            if len(attempts) == 1:
                await asyncio.sleep(3600)  # the START is sent meanwhile, and the process is gone

        await ctx.step(body, name="body")

    async with World() as world:
        world.crash_after = 0
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        types = await world.event_types(arn)
    assert closed.status == "SUCCEEDED"
    assert attempts == [1, 1]
    assert types.count("StepStarted") == 1
    assert world.calls == [["START body"], ["SUCCEED body"]]


async def test_at_most_once_the_start_is_on_record_before_the_body_runs():
    calls_before_the_body = []

    @durable_execution
    async def workflow(event, ctx):
        async def body():
            calls_before_the_body.extend(world.calls)

        await ctx.step(body, name="body", config=StepConfig(semantics=AT_MOST_ONCE))

    async with World() as world:
        await world.run(workflow)
    assert calls_before_the_body == [["START body"]]


@pytest.mark.parametrize("attempts_allowed", [1, 2])
async def test_at_most_once_an_interrupted_attempt_goes_to_the_strategy_and_is_not_run_again(attempts_allowed):
    ran, asked = [], []

    def strategy(error, attempt):
        asked.append((type(error).__name__, attempt))
        return RetryStrategy.fixed(delay=timedelta(seconds=5), max_attempts=attempts_allowed).should_retry(
            error, attempt
        )

    @durable_execution
    async def workflow(event, ctx):
        async def body():
            ran.append(current_step().attempt)
            return "done"

        config = StepConfig(semantics=AT_MOST_ONCE, retry_strategy=strategy)
        return await ctx.step(body, name="body", config=config)

    async with World() as world:
        world.crash_after = 0  # the START is recorded, and then the process is gone
        arn = await world.start(workflow)
        closed = await world.finish(arn)
    assert asked == [("StepInterruptedError", 1)]
    if attempts_allowed == 1:
        assert ran == []
        assert closed.status == "FAILED" and "interrupted" in closed.error["ErrorMessage"]
    else:
        assert ran == [2]
        assert closed.result == '"done"'


async def test_sync_bodies_run_in_a_thread_and_know_their_step():
    def body(x):
        return [threading.current_thread() is threading.main_thread(), current_step().name, current_step().attempt, x]

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.step(body, 7)

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [False, "body", 1, 7]


async def test_a_function_that_returns_an_awaitable_is_awaited():
    async def later(x):
        return x

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.step(lambda: later(5))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "5"


async def test_the_idempotency_key_is_the_steps_own_and_stays():
    keys = []

    async def flaky():
        keys.append(current_step().idempotency_key)
        if len(keys) == 1:
            raise ValueError

    async def other():
        keys.append(current_step().idempotency_key)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(flaky, config=StepConfig(retry_strategy=SOON))
        await ctx.step(other)

    async with World() as world:
        await world.run(workflow)
    first, second, others = keys
    assert first == second != others
    assert len(first) == 64


async def test_a_key_finds_its_record_in_reordered_code():
    runs = []
    order = ["a", "b"]

    async def body(name):
        runs.append(name)
        return name.upper()

    @durable_execution
    async def workflow(event, ctx):
        results = {name: await ctx.step(body, name, name=name, key=name) for name in order}
        await ctx.wait(timedelta(seconds=1))
        order.reverse()
        return results

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        order.reverse()
        closed = await world.finish(arn)
    assert runs == ["a", "b"]
    assert json.loads(closed.result) == {"b": "B", "a": "A"}


async def test_a_step_that_takes_too_long_has_failed():
    cancelled = []

    async def slow():
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    @durable_execution
    async def workflow(event, ctx):
        config = StepConfig(timeout=timedelta(milliseconds=20), retry_strategy=SOON)
        try:
            await ctx.step(slow, config=config)
        except StepError as error:
            return error.error_type

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"durable_async.errors.StepTimeoutError"'
    assert cancelled == [True] * 3


async def test_a_body_whose_own_task_was_cancelled_has_failed():
    async def body():
        task = asyncio.create_task(asyncio.sleep(3600))
        task.cancel()
        await task

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(body)
        except StepError as error:
            return error.message

    async with World() as world:
        closed = await world.run(workflow)
    assert "CancelledError" in closed.result


@pytest.mark.parametrize("in_thread", [False, True], ids=["on the loop", "in a thread"])
async def test_a_durable_call_in_a_steps_body_is_refused_and_not_retried(in_thread):
    @durable_execution
    async def workflow(event, ctx):
        async def outer():
            assert current_context() is None
            await ctx.step(print)

        def outer_in_thread():
            ctx.step(print)

        await ctx.step(outer_in_thread if in_thread else outer, name="outer", config=StepConfig(retry_strategy=SOON))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert "inside the body of step 'outer'" in closed.error["ErrorMessage"]
    assert world.invocations == 1


async def test_tasks_that_a_body_starts_are_nobodys_business():
    @durable_execution
    async def workflow(event, ctx):
        async def body():
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(asyncio.sleep(0))

        await ctx.step(body)
        return await asyncio.gather(ctx.step(lambda: 1), ctx.step(lambda: 2))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "[1, 2]"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(lambda ctx: ctx.step(print, name="a"), lambda ctx: ctx.step(print, name="b"), id="name"),
        pytest.param(
            lambda ctx: ctx.step(print, name="a"), lambda ctx: ctx.wait(timedelta(seconds=1), name="a"), id="type"
        ),
        pytest.param(
            lambda ctx: ctx.step(print, name="a"),
            lambda ctx: ctx.wait_for_condition(abs, 1, lambda state, attempt: WaitDecision.stop(), name="a"),
            id="subtype",
        ),
    ],
)
@pytest.mark.parametrize("caught", [False, True], ids=["", "caught"])
async def test_another_operation_in_its_place_fails_the_execution(first, second, caught):
    replay = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            await (second(ctx) if replay else first(ctx))
        except NonDeterminismError:
            if not caught:
                raise
        replay.append(True)
        await ctx.wait(timedelta(seconds=1))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "Step 'a'" in closed.error["ErrorMessage"]


async def test_another_type_is_told_from_a_record_that_has_no_subtype():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(print)

    recorded = {"Id": operation_id("", 1), "Type": "WAIT", "Status": "SUCCEEDED", "Name": "print"}
    execution = {"Id": "x", "Type": "EXECUTION", "Status": "STARTED", "ExecutionDetails": {}}
    state = {"Operations": [execution, recorded]}
    envelope = {"DurableExecutionArn": "arn", "CheckpointToken": "token", "InitialExecutionState": state}
    async with World() as world:
        output = await workflow.run(envelope, client=InProcessClient(world.service))
    assert output["Status"] == "FAILED"
    assert "expected WAIT 'print'" in output["Error"]["ErrorMessage"]


async def test_a_result_over_the_limit_is_one_error_before_anything_is_sent():
    @durable_execution
    async def workflow(event, ctx):
        async def huge():
            return "x" * PAYLOAD_BYTES

        try:
            await ctx.step(huge, config=StepConfig(retry_strategy=SOON))
        except StepError as error:
            return [error.error_type, error.message]

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        closed = await world.run(workflow)
    type_, message = json.loads(closed.result)
    assert type_ == "durable_async.errors.PayloadTooLargeError"
    assert f"Step 'huge': {PAYLOAD_BYTES + 2} bytes" in message
    assert world.calls == [["START huge", "FAIL huge"]]


async def test_a_value_that_cannot_be_recorded_is_one_error_and_not_retried():
    @durable_execution
    async def workflow(event, ctx):
        async def odd():
            return {"items": [object()]}

        await ctx.step(odd, config=StepConfig(retry_strategy=SOON))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert "odd" in closed.error["ErrorMessage"] and "items" in closed.error["ErrorMessage"]
    assert world.invocations == 1


async def test_a_strategy_that_raises_fails_the_step_with_what_it_raised():
    def strategy(error, attempt):
        raise RuntimeError("broken strategy")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(lambda: 1 / 0, name="divide", config=StepConfig(retry_strategy=strategy))

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert closed.error["ErrorMessage"] == "broken strategy"
    assert [event["Name"] for event in events if event["EventType"] == "StepFailed"] == ["divide"]


@pytest.mark.parametrize("timeout", [None, timedelta(hours=1)])
@pytest.mark.parametrize("raised", [TimeoutError("too slow"), RuntimeError("no running engine")], ids=repr)
@pytest.mark.parametrize("in_thread", [True, False])
async def test_an_error_of_the_body_is_not_taken_for_one_of_the_engine(raised, timeout, in_thread):
    def sync_body():
        raise raised

    async def body():
        raise raised

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(sync_body if in_thread else body, config=StepConfig(timeout=timeout))
        except StepError as error:
            return [error.error_type, error.message]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [type(raised).__name__, str(raised)]


async def test_a_sync_body_that_needs_the_loop_is_told_to_be_async():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(lambda: asyncio.get_running_loop().time())

    async with World() as world:
        closed = await world.run(workflow)
    assert "is not an 'async def', so it ran in a worker thread" in closed.error["ErrorMessage"]


async def test_retry_after_moves_the_next_attempt():
    attempts = []

    @durable_execution
    async def workflow(event, ctx):
        def limited():
            attempts.append(world.clock())
            if len(attempts) == 1:
                raise RetryAfterError(timedelta(minutes=5))

        await ctx.step(limited, config=StepConfig(retry_strategy=SOON))

    async with World() as world:
        await world.run(workflow)
    assert attempts[1] - attempts[0] == 300


async def test_no_retry_is_scheduled_past_the_total_timeout():
    attempts = []

    @durable_execution
    async def workflow(event, ctx):
        def broken():
            attempts.append(world.clock())
            raise ValueError

        strategy = RetryStrategy.fixed(
            delay=timedelta(seconds=40), max_attempts=10, total_timeout=timedelta(seconds=100)
        )
        await ctx.step(broken, config=StepConfig(retry_strategy=strategy))

    async with World() as world:
        await world.run(workflow)
    assert [at - attempts[0] for at in attempts] == [0, 40, 80]


async def test_a_callable_is_a_strategy():
    attempts = []

    @durable_execution
    async def workflow(event, ctx):
        def flaky():
            attempts.append(1)
            if len(attempts) < 2:
                raise ValueError

        config = StepConfig(retry_strategy=lambda error, attempt: RetryDecision.retry_after(timedelta(seconds=1)))
        await ctx.step(flaky, config=config)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED" and len(attempts) == 2


@pytest.mark.parametrize("name", ["naïve", "x" * 257, "line\nbreak"])
async def test_a_name_that_the_service_would_refuse_is_refused_at_the_call(name):
    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(ValueError, match="printable ASCII"):
            ctx.step(print, name=name)
        return await ctx.step(lambda: 1, name="next")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "1"


async def test_current_step_outside_a_step_says_so():
    with pytest.raises(RuntimeError, match="outside the body of a step"):
        current_step()
