"""Workflows that write down in the folder they run in what they did, for the tests that end their server."""

import os
import time
from datetime import timedelta
from pathlib import Path

from durable_async import DurableContext, durable_execution

BEGUN: list[str] = []  # in this process


def note(name, text):
    with Path(name).open("a") as file:
        file.write(f"{text}\n")


def work(order: int, number: int) -> int:
    note(f"order-{order}", number)
    time.sleep(0.05)
    return order * number


@durable_execution
async def fulfil(order: int, ctx: DurableContext) -> int:
    """Ten steps and a wait."""
    total = 0
    for number in range(10):
        total += await ctx.step(work, order, number)
        if number == 5:
            await ctx.wait(timedelta(seconds=1))
    return total


@durable_execution
async def pay(order: int, ctx: DurableContext) -> str:
    callback = await ctx.create_callback(name="paid")
    await ctx.step(note, "payments", f"asked {order}")
    return f"paid: {await callback.result()}"


@durable_execution
async def slow(order: int, ctx: DurableContext) -> int:
    def pack() -> int:
        note("packing", order)
        while not Path("go").exists():
            time.sleep(0.01)
        note("packed", order)
        return os.getpid()

    return await ctx.step(pack)


@durable_execution
async def talk(word: str, ctx: DurableContext) -> dict:
    BEGUN.append(word)
    ctx.logger.info("talking")
    await ctx.wait(timedelta(seconds=1))
    await ctx.step(lambda: None, name="after the wait")
    return {"pid": os.getpid(), "begun": len(BEGUN), "event": word}


def leave_a_note(event, context):
    note("notes", event["text"] + 1)


def where(event, context):
    return {"pid": os.getpid(), "event": event}
