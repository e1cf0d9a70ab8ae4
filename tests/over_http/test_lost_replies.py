"""The line breaks in the middle of a call, and nothing is lost, done twice or recorded twice.

What a lost reply leaves open, whether the service has recorded the call, is settled by repeating it: under the same
client token the service gives the answer that it gave before.
"""

import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from botocore.config import Config

from durable_async import RetryStrategy, StepConfig, StepSemantics, current_step, durable_execution
from durable_async.service import Limits

from .relay import Loss, Relay
from .remote import RemoteWorld

SOON = RetryStrategy.fixed(delay=timedelta(seconds=10), max_attempts=3)
AT_MOST_ONCE = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, retry_strategy=SOON)
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1})


class Story:
    """A workflow with every kind of call: an at-least-once step, an at-most-once one, a retry, a wait, pages."""

    def __init__(self):
        self.ran = []
        self.handler = durable_execution(self.workflow)

    async def body(self, name):
        self.ran.append((name, current_step().attempt))
        if self.ran[-1] == ("b", 1):
            raise ConnectionError
        return name

    async def workflow(self, event, ctx):
        steps = [
            await ctx.step(self.body, "a", name="a"),
            await ctx.step(self.body, "b", name="b", config=AT_MOST_ONCE),
        ]
        await ctx.wait(timedelta(minutes=1), name="wait")
        return [*steps, await ctx.step(self.body, "c", name="c")]


CALLS = [
    *["SUCCEED a", "START b", "RETRY b"],
    *["page", "START b", "SUCCEED b", "START wait"],
    *["page", "SUCCEED c"],
]
EVENTS = [
    *["ExecutionStarted", "StepStarted a", "StepSucceeded a", "StepStarted b", "StepFailed b", "InvocationCompleted"],
    *["StepStarted b", "StepSucceeded b", "WaitStarted wait", "InvocationCompleted"],
    *["WaitSucceeded wait", "StepStarted c", "StepSucceeded c", "InvocationCompleted", "ExecutionSucceeded"],
]
A1, B1, B2, B3, C1 = ("a", 1), ("b", 1), ("b", 2), ("b", 3), ("c", 1)
RAN = [A1, B1, B2, C1]


@asynccontextmanager
async def relayed(losses, **client):
    async with RemoteWorld(limits=Limits(page_operations=2)) as world, Relay.before(world.url, losses) as relay:
        await world.reach(relay.url, **client)
        yield world, relay


async def happened(world, arn):
    """The events, with the names of the operations: the execution's own is another each time."""
    return [
        event["EventType"]
        if event["EventType"].startswith("Execution") or "Name" not in event
        else f"{event['EventType']} {event['Name']}"
        for event in await world.events(arn)
    ]


def says(passed):
    """A call in the words of ``CALLS``: of a checkpoint, its last update."""
    if not passed.body:
        return "page"
    update = json.loads(passed.body)["Updates"][-1]
    return f"{update['Action']} {update['Name']}"


async def test_on_a_good_line_the_story_goes_like_this():
    story = Story()
    async with relayed({}) as (world, relay):
        arn = await world.start(story.handler)
        closed = await world.finish(arn)
        events = await happened(world, arn)
    assert [says(passed) for passed in relay.passed] == CALLS
    assert events == EVENTS
    assert story.ran == RAN
    assert json.loads(closed.result) == ["a", "b", "c"]
    assert len({passed.connection for passed in relay.passed}) == 1


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("lost", [pytest.param(n, id=f"{n} {call}") for n, call in enumerate(CALLS)])
async def test_whatever_is_lost_the_call_is_repeated_and_the_story_goes_on(lost, loss):
    story = Story()
    async with relayed({lost: loss}) as (world, relay):
        arn = await world.start(story.handler)
        closed = await world.finish(arn)
        events = await happened(world, arn)
    calls = [says(passed) for passed in relay.passed]
    assert calls == [*CALLS[:lost], CALLS[lost], *CALLS[lost:]]
    first, repeated = relay.passed[lost], relay.passed[lost + 1]
    assert first.body == repeated.body  # so with the same client token and the same checkpoint token
    assert first.connection != repeated.connection
    assert first.answer == (repeated.answer if loss is Loss.REPLY else None)
    assert events == EVENTS
    assert story.ran == RAN
    assert json.loads(closed.result) == ["a", "b", "c"]


async def test_every_reply_is_lost_once():
    story = Story()
    async with relayed(dict.fromkeys(range(0, 2 * len(CALLS), 2), Loss.REPLY)) as (world, relay):
        arn = await world.start(story.handler)
        closed = await world.finish(arn)
        events = await happened(world, arn)
    assert [says(passed) for passed in relay.passed] == [call for call in CALLS for _ in range(2)]
    assert events == EVENTS
    assert story.ran == RAN
    assert json.loads(closed.result) == ["a", "b", "c"]


RAN_FOR_GOOD = {
    # At least once: an attempt that nobody knows of is made again.
    (0, Loss.REQUEST): [A1, A1, B1, B2, C1],
    (8, Loss.REQUEST): [A1, B1, B2, C1, C1],
    # At most once: an attempt is not made, or not made again, once its START is recorded. It is the strategy's.
    (1, Loss.REPLY): [A1, B2, C1],
    (4, Loss.REPLY): [A1, B1, B3, C1],
    (5, Loss.REQUEST): [A1, B1, B2, B3, C1],
}
"""What ran instead of ``RAN``, by what was lost."""


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("lost", [pytest.param(n, id=f"{n} {call}") for n, call in enumerate(CALLS)])
async def test_what_is_lost_for_good_breaks_the_invocation_and_the_next_finds_what_is_recorded(lost, loss):
    story = Story()
    # A page is asked for with a GET, which aiohttp itself sends once more when a used connection turns out to be dead.
    losses = {lost: loss, lost + 1: loss} if CALLS[lost] == "page" else {lost: loss}
    async with relayed(losses, config=ONE_ATTEMPT) as (world, _):
        arn = await world.start(story.handler)
        closed = await world.finish(arn)
        events = await world.events(arn)
    (broken,) = [
        event["InvocationCompletedDetails"]["Error"]["Payload"]
        for event in events
        if "Error" in event.get("InvocationCompletedDetails", {})
    ]
    assert broken["ErrorType"] == "ServiceCallError"
    assert world.invocations == len(world.outputs) + 1
    assert story.ran == RAN_FOR_GOOD.get((lost, loss), RAN)
    kinds = [(event["EventType"], event.get("Name")) for event in events]
    assert [kinds.count(("StepSucceeded", name)) for name in "abc"] == [1, 1, 1]
    assert json.loads(closed.result) == ["a", "b", "c"]


async def test_every_call_of_an_invocation_is_lost_for_good_until_the_line_is_mended():
    story = Story()
    async with relayed(dict.fromkeys(range(5), Loss.REQUEST), config=ONE_ATTEMPT) as (world, _):
        arn = await world.start(story.handler)
        closed = await world.finish(arn)
    assert story.ran == [*[A1] * 5, *RAN]
    assert json.loads(closed.result) == ["a", "b", "c"]


# aiohttp would rather have the large body as a file; aiobotocore gives it bytes.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("loss", Loss)
async def test_the_call_that_closes_the_execution_is_lost(loss):
    @durable_execution
    async def workflow(event, ctx):
        return "x" * (6 * 1024 * 1024 - 10)

    async with relayed({0: loss}) as (world, relay):
        closed = await world.run(workflow)
    first, repeated = relay.passed
    assert first.body == repeated.body
    assert closed.status == "SUCCEEDED"
    assert world.outputs == [{"Status": "SUCCEEDED", "Result": ""}]
