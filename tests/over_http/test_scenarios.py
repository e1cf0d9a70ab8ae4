"""What executions leave behind, from their start to their end, when every checkpoint goes over HTTP.

Every test says which events there are, how often the bodies ran and over how many invocations.
"""

import json
import uuid
from datetime import timedelta

import pytest

from durable_async import (
    DurableError,
    NonRetryableError,
    RetryStrategy,
    StepConfig,
    StepError,
    current_step,
    durable_execution,
)

from .remote import RemoteWorld

THREE_ATTEMPTS = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=10), max_attempts=3))
ENDED = ["InvocationCompleted", "ExecutionSucceeded"]


class CardDeclined(NonRetryableError):
    pass


def details(events, kind):
    """What the events of one type say, in their order, with their operation's name."""
    return [{"Name": event.get("Name"), **event[f"{kind}Details"]} for event in events if event["EventType"] == kind]


def types(events):
    return [event["EventType"] for event in events]


async def test_a_step_a_wait_and_a_step():
    ran = []

    async def reserve(item):
        ran.append("reserve")
        return {"reserved": item}

    def ship(reservation):
        ran.append("ship")
        return [reservation["reserved"], "shipped"]

    @durable_execution
    async def workflow(event, ctx):
        reservation = await ctx.step(reserve, event["item"])
        await ctx.wait(timedelta(seconds=30), name="cooling-off")
        return await ctx.step(ship, reservation)

    async with RemoteWorld() as world:
        started = world.clock()
        arn = await world.start(workflow, b'{"item": "b\xc3\xbccher"}')
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert types(events) == [
        "ExecutionStarted",
        *["StepStarted", "StepSucceeded", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", "StepStarted", "StepSucceeded", *ENDED],
    ]
    assert ran == ["reserve", "ship"]
    assert world.invocations == 2
    assert world.clock() - started == 30
    assert world.outputs[0] == {"Status": "PENDING"}
    assert world.calls == [["START reserve", "SUCCEED reserve"], ["START cooling-off"], ["START ship", "SUCCEED ship"]]
    assert json.loads(closed.result) == ["bücher", "shipped"]
    (waited,) = details(events, "WaitStarted")
    assert waited == {"Name": "cooling-off", "Duration": 30, "ScheduledEndTimestamp": started + 30}
    (succeeded,) = details(events, "ExecutionSucceeded")
    assert succeeded["Result"] == {"Payload": closed.result, "Truncated": False}


async def test_several_steps_in_a_row():
    ran = []

    async def multiply(x, y):
        ran.append((x, y))
        return x * y

    @durable_execution
    async def workflow(event, ctx):
        product = 1
        for factor in event["factors"]:
            product = await ctx.step(multiply, product, factor, name=f"by-{factor}")
        return product

    async with RemoteWorld() as world:
        arn = await world.start(workflow, b'{"factors": [2, 3, 5, 7]}')
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert types(events) == ["ExecutionStarted", *["StepStarted", "StepSucceeded"] * 4, *ENDED]
    assert ran == [(1, 2), (2, 3), (6, 5), (30, 7)]
    assert world.invocations == 1
    assert closed.result == "210"
    assert [(each["Name"], each["Result"]["Payload"]) for each in details(events, "StepSucceeded")] == [
        *[("by-2", "2"), ("by-3", "6"), ("by-5", "30"), ("by-7", "210")]
    ]
    assert [each["RetryDetails"] for each in details(events, "StepSucceeded")] == [{"CurrentAttempt": 1}] * 4


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        pytest.param(timedelta(seconds=1), 1, id="the shortest"),
        pytest.param(timedelta(milliseconds=2001), 3, id="rounded up"),
        pytest.param(timedelta(hours=25), 90_000, id="a day and an hour"),
        pytest.param(timedelta(days=366), 31_622_400, id="the longest"),
    ],
)
async def test_nothing_but_a_wait(duration, seconds):
    @durable_execution
    async def workflow(event, ctx):
        await ctx.wait(duration)

    async with RemoteWorld(default_execution_timeout=2 * 31_622_400) as world:
        started = world.clock()
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert types(events) == [
        *["ExecutionStarted", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", *ENDED],
    ]
    assert world.invocations == 2
    assert world.clock() - started == seconds
    assert details(events, "WaitStarted")[0]["Duration"] == seconds
    assert (closed.status, closed.result) == ("SUCCEEDED", "null")


async def test_a_longer_wait_between_invocations_that_remember_nothing_but_the_record():
    @durable_execution
    async def workflow(event, ctx):
        begun = await ctx.step(world.clock, name="begin")
        await ctx.wait(timedelta(days=30))
        await ctx.wait(timedelta(minutes=90))
        return await ctx.step(lambda: world.clock() - begun, name="end")

    async with RemoteWorld(default_execution_timeout=40 * 86_400) as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert types(events) == [
        *["ExecutionStarted", "StepStarted", "StepSucceeded", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", "StepStarted", "StepSucceeded", *ENDED],
    ]
    assert world.invocations == 3
    assert json.loads(closed.result) == 30 * 86_400 + 90 * 60


async def test_a_value_made_in_a_step_is_the_same_after_every_replay():
    made, seen = [], []

    async def new_order_id() -> uuid.UUID:
        made.append(uuid.uuid4())
        return made[-1]

    @durable_execution
    async def workflow(event, ctx):
        order_id = await ctx.step(new_order_id)
        for _ in range(3):
            seen.append((order_id, ctx.is_replaying))
            await ctx.wait(timedelta(hours=1))
        return order_id

    async with RemoteWorld() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    (order_id,) = made
    assert world.invocations == 4
    assert {each for each, _ in seen} == {order_id}
    assert [replaying for _, replaying in seen] == [False, *[True, False], *[True, True, False], *[True] * 3]
    assert json.loads(closed.result) == str(order_id)
    assert types(events).count("StepSucceeded") == 1


async def test_a_retry_that_succeeds():
    attempts = []

    async def charge():
        attempts.append((current_step().attempt, world.clock() - started))
        if len(attempts) < 3:
            raise ConnectionError(f"no line {len(attempts)}")
        return "charged"

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.step(charge, config=THREE_ATTEMPTS)

    async with RemoteWorld() as world:
        started = world.clock()
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert attempts == [(1, 0), (2, 10), (3, 20)]
    assert world.invocations == 3
    assert types(events) == [
        "ExecutionStarted",
        *["StepStarted", "StepFailed", "InvocationCompleted"] * 2,
        *["StepStarted", "StepSucceeded", *ENDED],
    ]
    assert [
        (each["Error"]["Payload"]["ErrorType"], each["Error"]["Payload"]["ErrorMessage"], each["RetryDetails"])
        for each in details(events, "StepFailed")
    ] == [("ConnectionError", f"no line {n}", {"CurrentAttempt": n, "NextAttemptDelaySeconds": 10}) for n in (1, 2)]
    assert details(events, "StepSucceeded")[0]["RetryDetails"] == {"CurrentAttempt": 3}
    assert closed.result == '"charged"'


async def test_retries_that_are_exhausted():
    attempts = []

    async def charge():
        attempts.append(current_step().attempt)
        raise ConnectionError(f"no line {len(attempts)}")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(charge, config=THREE_ATTEMPTS)

    async with RemoteWorld() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert attempts == [1, 2, 3]
    assert world.invocations == 3
    assert types(events) == [
        "ExecutionStarted",
        *["StepStarted", "StepFailed", "InvocationCompleted"] * 3,
        "ExecutionFailed",
    ]
    assert [each["RetryDetails"] for each in details(events, "StepFailed")] == [
        {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 10},
        {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 10},
        {"CurrentAttempt": 3},
    ]
    (failed,) = details(events, "ExecutionFailed")
    assert failed["Error"]["Payload"] == closed.error == world.outputs[-1]["Error"]
    assert closed.error["ErrorType"] == "ConnectionError"
    assert closed.error["ErrorMessage"] == "no line 3"
    assert "in charge" in closed.error["StackTrace"][-1]


@pytest.mark.parametrize(
    ("config", "error"),
    [
        pytest.param(StepConfig(), ValueError("no such card"), id="no strategy"),
        pytest.param(THREE_ATTEMPTS, CardDeclined("no such card"), id="an error that is not retried"),
    ],
)
async def test_a_step_that_fails_at_once(config, error):
    attempts = []

    def charge():
        attempts.append(current_step().attempt)
        raise error

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(charge, config=config)

    async with RemoteWorld() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert attempts == [1]
    assert world.invocations == 1
    assert types(events) == [
        *["ExecutionStarted", "StepStarted", "StepFailed", "InvocationCompleted", "ExecutionFailed"]
    ]
    (failed,) = details(events, "StepFailed")
    assert failed["RetryDetails"] == {"CurrentAttempt": 1}
    assert failed["Error"]["Payload"]["ErrorType"].endswith(type(error).__name__)
    assert (closed.status, closed.error["ErrorMessage"]) == ("FAILED", "no such card")


async def test_a_failed_step_that_the_workflow_handles_is_the_same_error_on_a_replay():
    caught = []

    def charge():
        raise KeyError("card")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.step(charge)
        except StepError as error:
            caught.append(error)
        await ctx.wait(timedelta(seconds=5))
        return await ctx.step(lambda: "refunded", name="refund")

    async with RemoteWorld() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        events = await world.events(arn)
    first, replayed = caught
    assert isinstance(first, DurableError)
    assert (first.error_type, first.message, first.operation_name) == ("KeyError", "'card'", "charge")
    assert first is not replayed and vars(first) == vars(replayed)
    assert closed.result == '"refunded"'
    assert types(events) == [
        *["ExecutionStarted", "StepStarted", "StepFailed", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", "StepStarted", "StepSucceeded", *ENDED],
    ]
