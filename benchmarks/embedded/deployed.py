"""Three workflows that wait, in today's version, or in tomorrow's if ``TOMORROW`` is set: it breaks five executions."""

from __future__ import annotations

import os
from datetime import timedelta

from durable_async import DurableContext, durable_execution

DAY = timedelta(days=1)
BREAKS = ("0", "3", "600", "1", "400") if "TOMORROW" in os.environ else ()


def done(order: str) -> str:
    return order


@durable_execution
async def fulfil(order: str, ctx: DurableContext) -> None:
    await ctx.step(done, order, name="charge the card" if order in BREAKS else "charge")
    await ctx.step(done, order, name="pack")
    await ctx.wait(DAY, name="cooling off")
    await ctx.step(done, order, name="ship")


@durable_execution
async def remind(order: str, ctx: DurableContext) -> None:
    await ctx.step(done, order, name="memo" if order in BREAKS else "note")
    await ctx.wait(DAY, name="a while")


@durable_execution
async def archive(order: str, ctx: DurableContext) -> None:
    await ctx.wait(DAY, name="a day")


HANDLERS = (fulfil, remind, archive)
