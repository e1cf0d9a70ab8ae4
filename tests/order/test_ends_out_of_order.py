"""An end whose time lies before one that the workflow has already got: a replay would see the other order."""

from __future__ import annotations

import asyncio
import logging

import attrs

from durable_async import durable_execution
from tests.world import World


@attrs.define
class Backdated:
    """A handler whose service says of some operations that they ended long ago."""

    handler: object
    names: set[str]
    _clock: object = None

    async def run(self, envelope, *, client, **options):
        return await self.handler.run(envelope, client=_Client(client, self.names), **options)


@attrs.define
class _Client:
    client: object
    names: set[str]

    async def checkpoint(self, *call):
        result = await self.client.checkpoint(*call)
        for operation in result["NewExecutionState"]["Operations"]:
            if operation.get("Name") in self.names and "EndTimestamp" in operation:
                operation["EndTimestamp"] -= 3600
        return result

    async def get_state(self, *call):
        return await self.client.get_state(*call)


def workflow_of(order):
    async def body(turns):
        for _ in range(turns):
            await asyncio.sleep(0)

    @durable_execution
    async def workflow(event, ctx):
        async def one(name, turns):
            await ctx.step(body, turns, name=name)
            order.append(name)

        await asyncio.gather(one("first", 0), one("second", 60), one("third", 120), one("fourth", 180))

    return workflow


async def run_with(names, caplog):
    order = []
    with caplog.at_level(logging.WARNING, logger="durable_async"):
        async with World() as world:
            await world.run(Backdated(workflow_of(order), names))
    return order, [record.getMessage() for record in caplog.records]


async def test_an_end_that_comes_too_late_for_its_time_is_logged_with_both_operations(caplog):
    order, logged = await run_with({"second"}, caplog)
    assert order == ["first", "second", "third", "fourth"]
    assert len(logged) == 1
    assert "'first'" in logged[0] and "'second'" in logged[0]


async def test_it_is_logged_once_however_many_such_ends_come(caplog):
    order, logged = await run_with({"second", "fourth"}, caplog)
    assert order == ["first", "second", "third", "fourth"]
    assert len(logged) == 1


async def test_nothing_is_logged_of_ends_that_come_in_the_order_of_their_times(caplog):
    assert await run_with(set(), caplog) == (["first", "second", "third", "fourth"], [])
