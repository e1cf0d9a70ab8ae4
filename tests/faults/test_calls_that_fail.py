"""Whatever happens to a call to the service, and whichever call it is, the execution ends as if nothing had."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from durable_async import EngineLimits, MapConfig, StepConfig, StepError, StepSemantics, durable_execution
from durable_async._wire.limits import RESPONSE_BYTES
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import InProcessClient
from durable_async.errors import ServiceCallError
from tests.world import World

SECOND = timedelta(seconds=1)
LIMITS = EngineLimits(show_start=0.0, busy_delay=0.0001, busy_delay_max=0.0001)


def lost():
    return ServiceCallError("checkpoint", "connection reset")


def busy():
    return ServiceCallError("checkpoint", "Rate exceeded", "TooManyRequestsException", 429)


def odd():
    return ValueError("the client has a fault")


class Faulty(World):
    """Its call with the number ``at`` fails, before or after the service has done what was asked."""

    def __init__(self, at, error, *, accepted, **options):
        super().__init__(**options)
        self.at, self.error, self.accepted = at, error, accepted
        self.calls_made = 0

    async def outcome(self, call):
        self.calls_made += 1
        if self.calls_made - 1 != self.at:
            return await call
        if self.accepted:
            await call
        else:
            call.close()
        raise self.error()

    def client(self):
        return Client(InProcessClient(self.service), self)


class Client:
    def __init__(self, client, world):
        self.client, self.world = client, world

    async def checkpoint(self, *args):
        return await self.world.outcome(self.client.checkpoint(*args))

    async def get_state(self, *args):
        return await self.world.outcome(self.client.get_state(*args))


class Whole:
    """Most kinds of operations, several at a time, and a loser that is cancelled while it is being recorded."""

    result = "[true, 1, [1, 2, 3], 4, true]"

    def __init__(self):
        self.charged = 0

        @durable_execution(limits=LIMITS)
        async def workflow(event, ctx):
            new = await ctx.patched("new")
            with suppress(StepError):  # it may have been interrupted
                await ctx.step(self._charge, config=StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY))
            loser = asyncio.create_task(ctx.step(_number, 0, name="loser"))
            first = await ctx.step(_number, 1, name="first")
            loser.cancel()
            batch, child = await asyncio.gather(
                ctx.map(_item, [1, 2, 3], config=MapConfig(max_concurrency=2)), ctx.run_in_child_context(_item, 4)
            )
            late = False
            try:
                async with ctx.timeout(SECOND):
                    await ctx.wait(SECOND * 60)
            except TimeoutError:
                late = True
            async with ctx.compensations() as undo:
                undo.add_cleanup(_number, 5)
            return [new, first, batch.results(), child, late]

        self.handler = workflow

    async def _charge(self):
        self.charged += 1


class Leaving:
    """Returns while operations are on their way that it never awaits. Its result is recorded by a call of its own."""

    result = f'"{"x" * RESPONSE_BYTES}"'

    def __init__(self):
        self.charged = 0
        self.left = []

        @durable_execution(limits=LIMITS)
        async def workflow(event, ctx):
            await ctx.wait(SECOND)
            self.left = [
                asyncio.create_task(ctx.step(_number, 1)),
                asyncio.create_task(ctx.wait(SECOND)),
                asyncio.create_task(ctx.run_in_child_context(_item, 2)),
                asyncio.create_task(ctx.map(_item, [1, 2])),
            ]
            await ctx.step(_number, 3)
            return "x" * RESPONSE_BYTES

        self.handler = workflow


async def _number(n):
    return n


async def _item(ctx, n):
    await ctx.wait(SECOND * n)
    return await ctx.step(_number, n)


async def _ended(program, at, error, *, accepted, hot):
    """How the execution ended, and how many calls it made."""
    async with Faulty(at, error, accepted=accepted, cache=ExecutionCache(10, 1e9) if hot else None) as world:
        return await world.run(program.handler), world.calls_made


@pytest.mark.parametrize("hot", [False, True], ids=["replayed", "hot"])
@pytest.mark.parametrize("accepted", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("error", [lost, busy, odd, asyncio.CancelledError])
@pytest.mark.parametrize("program", [Whole, Leaving])
async def test_each_call_fails_once(program, error, accepted, hot):
    calls = at = 0
    while at <= calls:  # the last one finds no call to let fail
        trial = program()
        closed, calls = await _ended(trial, at, error, accepted=accepted, hot=hot)
        assert (closed.status, closed.result) == ("SUCCEEDED", program.result), at
        assert trial.charged <= 1, at
        at += 1
    assert at > 3
