"""What the kill tests run and kill. The file that ``DURABLE_ASYNC_JOURNAL`` names says what really happened."""

import asyncio
import os
import random
import time
import uuid
from datetime import timedelta

from durable_async import RetryStrategy, StepConfig, StepSemantics, current_step, durable_execution

STEPS = 4  # of each kind in one execution
ATTEMPTS = 3
PARCELS = 2  # executions that an order invokes, one after the other

ONCE = StepConfig(
    semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
    retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=ATTEMPTS),
)


def note(what, value="-"):
    """One line, in one write to the end of the file: what is there happened, and a kill leaves no half of it."""
    step = current_step()
    words = [what, step.execution_arn, step.name, step.attempt, os.getpid(), f"{time.time():.6f}", value]
    file = os.open(os.environ["DURABLE_ASYNC_JOURNAL"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    try:
        os.write(file, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(file)


async def a_while():
    await asyncio.sleep(random.uniform(0.05, 0.1))


async def draw(before):
    """May run twice. A number that no other run would draw, and the one before it, so that none is lost unseen."""
    note("begin")
    await a_while()
    number = uuid.uuid4().hex
    note("end", number)
    return [before, number]


async def charge():
    """Must not run twice in one attempt."""
    note("begin")
    await a_while()
    note("effect")
    await a_while()
    note("end")
    return current_step().attempt


async def pack(number):
    note("begin")
    await a_while()
    note("end")
    return number


@durable_execution
async def parcel(event, ctx):
    return await ctx.step(pack, event)


@durable_execution
async def order(event, ctx):
    """Three strands side by side, so that one kill hits a step of each kind. A charge that fails for good fails it all,
    but not before the other strands are done."""

    async def drawing():
        drawn = [None]
        for n in range(STEPS):
            before, number = await ctx.step(draw, drawn[-1], name=f"draw-{n}")
            assert before == drawn[-1]
            drawn.append(number)
        return drawn[1:]

    async def charging():
        return [await ctx.step(charge, name=f"charge-{n}", config=ONCE) for n in range(STEPS)]

    async def packing():
        return [await ctx.invoke("parcel:$LATEST", n, name=f"parcel-{n}", returns=int) for n in range(PARCELS)]

    drawn, charged, packed = await asyncio.gather(drawing(), charging(), packing(), return_exceptions=True)
    for each in (drawn, charged, packed):
        if isinstance(each, BaseException):
            raise each
    return {"drawn": drawn, "charged": charged, "packed": packed}


HANDLERS = {"order": order, "parcel": parcel}
