"""Conditions: how often they are checked, from which state, and how they end."""

import asyncio
import json
import random
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_async import (
    WaitDecision,
    WaitForConditionConfig,
    WaitForConditionError,
    WaitStrategy,
    current_step,
    durable_execution,
)
from durable_async._operations.condition import last_state
from durable_async._wire.limits import PAYLOAD_BYTES
from tests.property_runs import examples
from tests.world import NO_START_BEFORE_ITS_END, World

HOUR = timedelta(hours=1)


def below(limit, **options):
    return WaitStrategy.fixed(lambda state: state < limit, delay=timedelta(seconds=10), **options)


async def increment(state):
    return state + 1


async def seen_twice(world, call):
    """What a condition gives at the first run and at a replay, which must be equal, and its events."""
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            seen.append(await call(ctx))
        except WaitForConditionError as error:
            seen.append(error)
        await ctx.wait(HOUR)

    arn = await world.start(workflow)
    closed = await world.finish(arn)
    assert closed.status == "SUCCEEDED", closed.error
    first, *replayed = seen
    assert replayed
    for again in replayed:
        if isinstance(first, WaitForConditionError):
            assert again is not first and again.args == first.args
        else:
            assert again == first
    return first, [event for event in await world.events(arn) if event["EventType"].startswith("Step")]


async def test_it_is_checked_until_the_strategy_is_content():
    async with World() as world:
        began = world.clock()
        result, events = await seen_twice(world, lambda ctx: ctx.wait_for_condition(increment, 0, below(3)))
    assert result == 3
    assert world.clock() - began == 20 + 3600
    assert [event["EventType"] for event in events] == ["StepStarted", "StepSucceeded"] * 3
    assert {event["SubType"] for event in events} == {"WaitForCondition"}
    assert [event["StepSucceededDetails"] for event in events[1::2]] == [
        {
            "Result": {"Payload": "1", "Truncated": False},
            "RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 10},
        },
        {
            "Result": {"Payload": "2", "Truncated": False},
            "RetryDetails": {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 10},
        },
        {"Result": {"Payload": "3", "Truncated": False}, "RetryDetails": {"CurrentAttempt": 3}},
    ]
    assert world.calls[:3] == [
        *[["START increment", "RETRY increment"]] * 2,
        ["START increment", "SUCCEED increment"],
    ]


async def test_one_that_is_met_at_once_costs_one_call():
    checked = []

    @durable_execution
    async def workflow(event, ctx):
        async def check(state):
            checked.append(state)
            return state

        return [await ctx.wait_for_condition(check, 5, below(5)), ctx.is_replaying]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [5, False]
    assert checked == [5] and world.invocations == 1 and len(world.calls) == 1


async def test_a_check_knows_its_step_on_the_loop_and_in_a_thread():
    seen = []

    def check(state):
        seen.append((threading.current_thread() is threading.main_thread(), current_step().attempt))
        return state + 1

    async def check_on_the_loop(state):
        return check(state)

    async with World() as world:
        await seen_twice(world, lambda ctx: ctx.wait_for_condition(check, 0, below(2)))
    async with World() as world:
        await seen_twice(world, lambda ctx: ctx.wait_for_condition(check_on_the_loop, 0, below(2)))
    assert seen == [(False, 1), (False, 2), (True, 1), (True, 2)]


@dataclass
class Poll:
    done: bool = False
    tried: tuple[int, ...] = ()
    log: list[str] = field(default_factory=list)


async def test_states_are_of_the_type_that_the_check_returns():
    async def check(state) -> Poll:
        assert isinstance(state, Poll) and isinstance(state.tried, tuple)
        return Poll(len(state.tried) == 2, (*state.tried, current_step().attempt))

    def strategy(state, attempt):
        assert isinstance(state, Poll)
        return WaitDecision.stop() if state.done else WaitDecision.continue_after(timedelta(seconds=1))

    async with World() as world:
        result, _ = await seen_twice(world, lambda ctx: ctx.wait_for_condition(check, Poll(), strategy))
    assert result == Poll(True, (1, 2, 3))


async def test_without_a_type_they_are_plain_json_from_the_first_check_on():
    states = []

    async def check(state):
        states.append(state)
        return (*state, 1)

    async with World() as world:
        strategy = WaitStrategy.fixed(lambda state: len(state) < 2, delay=timedelta(seconds=1))
        result, _ = await seen_twice(world, lambda ctx: ctx.wait_for_condition(check, (), strategy))
    assert states == [[], [1]] and result == [1, 1]


async def test_nobody_can_change_a_state_behind_the_records_back():
    initial = {"checks": 0}

    async def check(state):
        state["checks"] += 1
        return state

    def strategy(state, attempt):
        done = state["checks"] == 2
        state["checks"] = 100
        return WaitDecision.stop() if done else WaitDecision.continue_after(timedelta(seconds=1))

    async with World() as world:
        result, _ = await seen_twice(world, lambda ctx: ctx.wait_for_condition(check, initial, strategy))
    assert result == {"checks": 2} and initial == {"checks": 0}


@settings(max_examples=examples(25), deadline=None)
@given(
    states=st.lists(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**53), 2**53)
            | st.text(st.characters(exclude_categories=["Cs"])),
            lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.sampled_from("abc"), inner),
            max_leaves=6,
        ),
        min_size=2,
        max_size=4,
    )
)
async def test_whatever_the_states_each_check_gets_the_last_one_and_a_replay_the_same_end(states):
    got = []

    async def check(state):
        got.append(state)
        return states[current_step().attempt]

    def strategy(state, attempt):
        got.append(state)
        return WaitDecision.stop() if attempt == len(states) - 1 else WaitDecision.continue_after(timedelta(seconds=1))

    async with World() as world:
        result, _ = await seen_twice(world, lambda ctx: ctx.wait_for_condition(check, states[0], strategy))
    through_text = [json.loads(json.dumps(state)) for state in states]
    assert got == [each for pair in pairwise(through_text) for each in pair]
    assert result == through_text[-1]


async def test_a_serializer_writes_and_reads_the_states():
    class Hex:
        async def serialize(self, value, context):
            return value.encode().hex()

        async def deserialize(self, text, context):
            return bytes.fromhex(text).decode()

    async def drop_one(state):
        return state[1:]

    strategy = WaitStrategy.fixed(lambda state: state != "", delay=timedelta(seconds=1))
    config = WaitForConditionConfig(serializer=Hex())
    async with World() as world:
        result, events = await seen_twice(
            world, lambda ctx: ctx.wait_for_condition(drop_one, "ab", strategy, config=config)
        )
    assert result == ""
    assert events[1]["StepSucceededDetails"]["Result"]["Payload"] == "62"


# --- the end without success ---


async def test_when_no_further_check_is_allowed_the_last_state_is_told():
    async with World() as world:
        error, events = await seen_twice(
            world, lambda ctx: ctx.wait_for_condition(increment, 0, below(10, max_attempts=3), name="poll")
        )
    assert error.error_type == "durable_async.errors.WaitForConditionError"
    assert (error.message, error.data, error.operation_name) == (
        "the condition was not met after 3 checks",
        "3",
        "poll",
    )
    assert [event["EventType"] for event in events][-2:] == ["StepStarted", "StepFailed"]


async def test_a_condition_that_is_met_at_the_last_check_is_met():
    async with World() as world:
        result, _ = await seen_twice(world, lambda ctx: ctx.wait_for_condition(increment, 0, below(3, max_attempts=3)))
    assert result == 3


def raising(state, attempt=None):
    raise ZeroDivisionError("not today")


@pytest.mark.parametrize(
    ("check", "initial", "strategy", "expected"),
    [
        pytest.param(raising, 0, below(1), ("ZeroDivisionError", "not today"), id="the check"),
        pytest.param(increment, 0, raising, ("ZeroDivisionError", "not today"), id="the strategy"),
        pytest.param(
            increment,
            0,
            lambda state, attempt: True,
            ("TypeError", "must return a WaitDecision"),
            id="a strategy that answers something else",
        ),
        pytest.param(
            lambda state: object(),
            0,
            below(1),
            ("durable_async.errors.SerializationError", "object"),
            id="a state that cannot be written",
        ),
        pytest.param(
            increment,
            object(),
            below(1),
            ("durable_async.errors.SerializationError", "object"),
            id="an initial state that cannot be written",
        ),
        pytest.param(
            lambda state: "x" * PAYLOAD_BYTES,
            0,
            below(1),
            ("durable_async.errors.PayloadTooLargeError", "more than"),
            id="a state that is too large",
        ),
    ],
)
async def test_whatever_raises_is_the_conditions_failure_and_final(check, initial, strategy, expected):
    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        error, events = await seen_twice(
            world, lambda ctx: ctx.wait_for_condition(check, initial, strategy, name="poll")
        )
    error_type, message = expected
    assert error.error_type == error_type and message in error.message
    assert [event["EventType"] for event in events] == ["StepStarted", "StepFailed"]
    assert world.calls[0] == ["START poll", "FAIL poll"]


async def test_a_durable_call_in_a_check_is_refused():
    @durable_execution
    async def workflow(event, ctx):
        async def check(state):
            await ctx.step(print)

        await ctx.wait_for_condition(check, None, below(1))

    async with World() as world:
        closed = await world.run(workflow)
    assert "inside the body of step 'check'" in closed.error["ErrorMessage"]


# --- what is on record when it is looked at again ---


@pytest.mark.parametrize("interrupted", [1, 2], ids=["the first check", "the second check"])
async def test_an_interrupted_check_is_made_again_from_the_same_state_without_a_second_start(interrupted):
    checks = []

    async def check(state):
        checks.append((current_step().attempt, state))
        if [attempt for attempt, _ in checks].count(interrupted) == 1 and current_step().attempt == interrupted:
            await asyncio.sleep(3600)  # the START is sent meanwhile, and the process is gone
        return state + 10

    async with World() as world:
        world.crash_after = interrupted - 1
        result, events = await seen_twice(world, lambda ctx: ctx.wait_for_condition(check, 0, below(20)))
    expected = [(1, 0), (2, 10)]
    expected.insert(interrupted - 1, expected[interrupted - 1])
    assert checks == expected
    assert result == 20
    assert [event["EventType"] for event in events].count("StepStarted") == 2


async def test_a_crash_after_any_checkpoint_changes_nothing():
    for point in range(4):
        async with World() as world:
            world.crash_after = point
            result, events = await seen_twice(world, lambda ctx: ctx.wait_for_condition(increment, 0, below(3)))
        assert result == 3, point
        assert [event["EventType"] for event in events] == ["StepStarted", "StepSucceeded"] * 3


async def test_while_something_runs_the_next_check_is_made_in_place():
    @durable_execution
    async def workflow(event, ctx):
        async def work():
            for _ in range(200):
                await asyncio.sleep(0)
            world.clock.move_by(10)
            await world.service.fire_due()

        strategy = below(2)
        polled = asyncio.gather(ctx.wait_for_condition(increment, 0, strategy))
        await ctx.step(work)
        return await polled

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "[2]"
    assert world.invocations == 1


@pytest.mark.parametrize(
    ("result", "attempt", "state"),
    [
        pytest.param(None, 1, None, id="new"),
        pytest.param("1", 2, "1", id="the state of the check before"),
        pytest.param(None, 2, None, id="the service has dropped it"),
        pytest.param("", 1, None, id="an empty result of a check that never ended is none"),
    ],
)
def test_each_state_to_check_from(result, attempt, state):
    details = {} if result is None else {"Result": result}
    record = {"Id": "1", "Type": "STEP", "Status": "STARTED", "StepDetails": details}
    assert last_state(record, attempt) == state


async def test_another_operation_in_its_place_fails_the_execution():
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        if len(runs) == 1:
            await ctx.wait_for_condition(increment, 0, below(3), name="poll")
        await ctx.step(lambda: 1, name="poll")  # the same type, another subtype

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "WaitForCondition 'poll'" in closed.error["ErrorMessage"]


# --- arguments ---


@pytest.mark.parametrize("strategy", [None, 3, WaitStrategy])
async def test_what_is_no_strategy_is_refused_at_the_call(strategy):
    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(TypeError, match="strategy must be"):
            ctx.wait_for_condition(increment, 0, strategy)
        return await ctx.step(lambda: 1, name="next")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "1"


async def test_the_default_delays_grow_with_full_jitter():
    times = []

    @durable_execution
    async def workflow(event, ctx):
        async def check(state):
            times.append(world.clock())
            return state + 1

        strategy = WaitStrategy.exponential(lambda state: state < 4, uniform=random.Random(1).uniform)
        return await ctx.wait_for_condition(check, 0, strategy)

    async with World() as world:
        await world.run(workflow)
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert all(1 <= delay <= most for delay, most in zip(delays, [5, 8, 12], strict=True))


def test_what_is_no_serializer_is_refused():
    with pytest.raises(TypeError, match="serializer"):
        WaitForConditionConfig(serializer=json)
