"""The line breaks in the middle of a call, and nothing is lost, done twice or recorded twice.

What a lost reply leaves open, whether the service has recorded the call, is settled by repeating it: under the same
client token the service gives the answer that it gave before.
"""

import itertools
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
LARGE = "x" * (6 * 1024 * 1024 - 10)


@asynccontextmanager
async def relayed(**client):
    async with RemoteWorld(limits=Limits(page_operations=2)) as world, Relay.before(world.url) as relay:
        await world.reach(relay.url, **client)
        yield world, relay


class Story:
    """One workflow with every kind of call: a committed START, steps, a failure, a wait, pages, a large result."""

    def __init__(self):
        self.ran = []
        self.handler = durable_execution(self.workflow)

    async def body(self, name):
        self.ran.append((name, current_step().attempt))
        if len(self.ran) == 2:
            raise ConnectionError("once")
        return name

    async def workflow(self, event, ctx):
        await ctx.step(self.body, "a", name="a")
        await ctx.step(self.body, "b", name="b", config=AT_MOST_ONCE)
        await ctx.wait(timedelta(minutes=1), name="wait")
        await ctx.step(self.body, "c", name="c")
        return LARGE

    async def told(self, world):
        """What there is to see of it afterwards."""
        arn = await world.start(self.handler)
        closed = await world.finish(arn)
        events = [(event["EventType"], event.get("Name")) for event in await world.events(arn)]
        return {"ran": self.ran, "events": events, "closed": closed}


CALLS = 11
"""That the story makes: six checkpoints, and a page or two in every invocation after the first."""


async def test_the_story_makes_so_many_calls():
    story = Story()
    async with relayed() as (world, relay):
        told = await story.told(world)
    assert len(relay.passed) == CALLS
    assert story.ran == [("a", 1), ("b", 1), ("b", 2), ("c", 1)]
    assert told["closed"].status == "SUCCEEDED"
