"""Workflows whose executions the page shows."""

import asyncio
from datetime import timedelta

import attrs

from durable_async import DurableContext, RetryStrategy, StepConfig, durable_execution

HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\"><b>bold</b>"

NO_RETRY = StepConfig(retry_strategy=RetryStrategy.none())
A_MINUTE = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=3))


async def mail(callback_id):
    pass


@durable_execution
async def fulfil(event: dict, ctx: DurableContext) -> dict:
    """An order as the guide shows it: it waits for an approval."""
    await ctx.step(lambda: {"warehouse": "north"}, name="reserve stock")
    await ctx.map(lambda branch, number: branch.step(lambda: number, name=f"pack {number}"), [*range(12)], name="pack")
    await ctx.wait(timedelta(seconds=1), name="cooling off")
    answer = await ctx.wait_for_callback(mail, name="approval")
    return {"answer": answer, "order": event.get("id")}


@durable_execution
async def gated(event: dict, ctx: DurableContext) -> str:
    """Goes one step further with each answer."""
    for number in range(1, 4):
        await ctx.wait_for_callback(mail, name=f"gate {number}")
        await ctx.step(lambda number=number: number, name=f"step {number}")
    return "through"


@attrs.frozen
class Decision:
    approved: bool
    limit: int
    note: str = ""


@durable_execution
async def typed(event: dict, ctx: DurableContext) -> str:
    decision = await ctx.wait_for_callback(mail, name="decision", returns=Decision)
    return f"{decision.approved} up to {decision.limit}: {decision.note}"


@durable_execution
async def compensated(event: dict, ctx: DurableContext) -> str:
    async with ctx.compensations() as undo:
        await ctx.step(lambda: "booked", name="book a room")
        undo.add(lambda: "cancelled", name="cancel the room")
        await ctx.wait_for_callback(mail, name="confirmation")
    return "travelled"


async def decline():
    try:
        raise KeyError("no such account")
    except KeyError as error:
        raise ValueError("the card was declined") from error


@durable_execution
async def failing(event: dict, ctx: DurableContext) -> None:
    await ctx.step(lambda: "ok", name="check")
    await ctx.step(decline, name="charge", config=NO_RETRY)


@durable_execution
async def retrying(event: dict, ctx: DurableContext) -> None:
    await ctx.step(decline, name="charge", config=A_MINUTE)


@durable_execution
async def hostile(event: dict, ctx: DurableContext) -> dict:
    await ctx.step(lambda: {HOSTILE: HOSTILE}, name=HOSTILE[:60])
    return {"html": HOSTILE, "large": 2**70, "long": "x" * 5000}


@durable_execution
async def crowded(event: int, ctx: DurableContext) -> None:
    """Waits for a callback, after which as many steps were done as its event says."""
    waiting = asyncio.create_task(ctx.wait_for_callback(mail, name="the first"))
    for number in range(event):
        await ctx.step(lambda: None, name=f"step {number}")
    await waiting


@durable_execution
async def many(event: int, ctx: DurableContext) -> int:
    """Has as many operations as its event says."""
    await asyncio.gather(*(ctx.step(lambda: None, name=f"step {number}", key=f"{number}") for number in range(event)))
    return event


HANDLERS = {
    each.__name__: each for each in (fulfil, gated, typed, compensated, failing, retrying, hostile, crowded, many)
}
