"""On Lambda, envelopes have times in milliseconds. Ends have the same order in a first run as in a replay all the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from durable_async import durable_execution
from tests.world import World


async def turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("extended", [True, False], ids=["our own service", "Lambda"])
async def test_steps_that_end_in_one_checkpoint_have_one_order_in_each_invocation(extended):
    orders = []

    @durable_execution
    async def workflow(event, ctx):
        order = []
        orders.append(order)

        async def one(name, number):
            await ctx.step(turns, number, name=name)
            order.append(name)

        await asyncio.gather(one("first", 0), one("a", 9), one("b", 6), one("c", 3))
        await ctx.wait(timedelta(hours=1))

    async def answer_when_all_have_ended(world):
        while not world.held:
            await asyncio.sleep(0)
        await turns(50)
        world.hold.set()

    async with World() as world, asyncio.timeout(30):
        world.extended = extended
        world.hold = asyncio.Event()
        _, ended = await asyncio.gather(answer_when_all_have_ended(world), world.run(workflow))
    assert ended.status == "SUCCEEDED"
    assert ["SUCCEED c", "SUCCEED b", "SUCCEED a"] in world.calls
    first, second = orders
    assert first == second == ["first", *("cba" if extended else "abc")]
