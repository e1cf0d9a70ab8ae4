"""Workflows that the commands are tried on."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

from durable_async import DurableContext, DurableHandler, RetryStrategy, StepConfig, durable_execution
from durable_async.service.functions.base import InvocationFailed


async def double(number):
    print("doubling", number)
    return 2 * number


async def refuse():
    raise LookupError("no such \x1b[31morder\n\u202e")


@durable_execution
async def fulfil(event: dict, ctx: DurableContext) -> int:
    await ctx.map(lambda branch, number: branch.step(double, number), [1, 2], name="each")
    await ctx.wait(timedelta(seconds=event.get("seconds", 1)), name="cooling off")
    return await ctx.step(double, event.get("number", 21), name="last")


@durable_execution
async def fail(event: dict, ctx: DurableContext) -> None:
    twice = RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=2)
    await ctx.step(refuse, config=StepConfig(retry_strategy=twice))


@durable_execution
async def ask(event: dict, ctx: DurableContext) -> str:
    answer = await ctx.create_callback(name="approval")
    return await answer.result()


async def ask_by_mail(callback_id):
    pass


@durable_execution
async def ask_twice(event: dict, ctx: DurableContext) -> list[str]:
    async def branch(name):
        return await ctx.wait_for_callback(ask_by_mail, name=name)

    return list(await asyncio.gather(branch("buyer"), branch("seller")))


@durable_execution
async def count(event: int, ctx: DurableContext) -> int:
    """So many steps, for a history of more than a page."""
    for number in range(event):
        await ctx.step(lambda number=number: number, name=f"step {number}")
    return event


@durable_execution
async def sleep_long(event: dict, ctx: DurableContext) -> str:
    await ctx.wait(timedelta(days=30), name="a month")
    await ctx.invoke("count:$LATEST", 1, name="the other handler")
    return "awake"


def die_once(mark):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@durable_execution
async def be_killed_once(event: str, ctx: DurableContext) -> str:
    """:param event: a file that says that it happened"""
    await ctx.step(lambda: "before", name="before")
    die_once(Path(event))
    return await ctx.step(lambda: "after", name="after")


@durable_execution
async def hang(event: dict, ctx: DurableContext) -> None:
    await ctx.wait(timedelta(days=1), name="a day")


class Broken(DurableHandler):
    """Gives no answer to an invocation."""

    def __init__(self, name, error):
        async def workflow(event, ctx):
            pass

        workflow.__name__ = name
        super().__init__(workflow)
        self.error = error

    def invocation(self, envelope, client, lambda_context, **options):
        raise self.error


crash = Broken("crash", InvocationFailed({"ErrorType": "Runtime.ExitError", "ErrorMessage": "out of memory"}))
give_up = Broken("give_up", LookupError("no such \x1b[31mconfiguration"))


def plain(event, context):
    return event


not_a_handler = 5

HANDLERS = {handler.__name__: handler for handler in (fulfil, fail, ask, ask_twice, count)} | {"plain": plain}
