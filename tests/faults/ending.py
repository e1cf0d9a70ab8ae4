"""A program with one execution that ends it, and one that does not: ``python -m tests.faults.ending FILE HOW``."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import InvocationRetryPolicy

CRASHES = 3


async def in_an_async_step(ctx: DurableContext, error: BaseException) -> None:
    async def body() -> None:
        await asyncio.sleep(0)
        raise error

    await ctx.step(body)


async def in_a_sync_step(ctx: DurableContext, error: BaseException) -> None:
    def body() -> None:
        raise error

    await ctx.step(body)


async def in_a_gathered_step(ctx: DurableContext, error: BaseException) -> None:
    await asyncio.gather(in_an_async_step(ctx, error), ctx.step(asyncio.sleep, 3600, name="other"))


async def in_a_map(ctx: DurableContext, error: BaseException) -> None:
    await ctx.map(lambda ctx, _: in_an_async_step(ctx, error), range(2))


async def in_a_child(ctx: DurableContext, error: BaseException) -> None:
    async def child(ctx: DurableContext) -> None:
        await ctx.step(lambda: None, name="sync")
        raise error

    await ctx.run_in_child_context(child)


async def in_the_workflow(ctx: DurableContext, error: BaseException) -> None:
    raise error


async def in_a_task(ctx: DurableContext, error: BaseException) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(in_the_workflow(ctx, error))
        group.create_task(asyncio.sleep(3600))


async def in_a_task_of_a_gathering(ctx: DurableContext, error: BaseException) -> None:
    await asyncio.gather(in_the_workflow(ctx, error))


async def in_a_plain_function(ctx: DurableContext, error: BaseException) -> None:
    await ctx.invoke("plain", str(type(error).__name__))


WAYS = {
    way.__name__: way
    for way in (
        in_an_async_step,
        in_a_sync_step,
        in_a_gathered_step,
        in_a_map,
        in_a_child,
        in_the_workflow,
        in_a_task,
        in_a_task_of_a_gathering,
        in_a_plain_function,
    )
}
ERRORS = {"SystemExit": SystemExit(3), "KeyboardInterrupt": KeyboardInterrupt()}


def plain(event: str, context: object) -> None:
    raise ERRORS[event]


def leaves_a_thread(event: object, context: object) -> None:
    threading.Thread(target=time.sleep, args=(60,)).start()
    raise SystemExit


@durable_execution
async def ends(event: str, ctx: DurableContext) -> str:
    way, error = event.split()
    await ctx.step(time.sleep, 0.1, name="harmless")
    await WAYS[way](ctx, ERRORS[error])
    return "survived"


over = asyncio.Event()
"""The guilty execution cannot end the program any more."""


@durable_execution
async def innocent(event: object, ctx: DurableContext) -> str:
    await ctx.step(over.wait)
    return "done"


async def main(file: str, how: str) -> None:
    retries = InvocationRetryPolicy(quarantine_after=CRASHES)
    async with DurableService(file, retries=retries) as service:
        for function in (ends, innocent, plain):
            service.register(function)
        waits = await service.start(innocent, None, name="innocent")
        guilty = await service.start(ends, how, name="guilty")
        while await guilty.status() == "RUNNING":
            await asyncio.sleep(0.01)
        over.set()
        await waits.result()


def program(file: str, how: str) -> None:
    began = time.monotonic()
    try:
        asyncio.run(main(file, how))
    finally:
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("durable-async")]
        print("threads left:", left, "seconds:", time.monotonic() - began < 8)
        asyncio.run(open_again(file))


async def open_again(file: str) -> None:
    async with DurableService(file) as service:
        for kind in (ends, innocent):
            async for summary in service.executions(kind.__name__):
                history = await service.execution(summary.arn).history()
                errors = [event.details.get("Error") for event in history if event.type == "InvocationCompleted"]
                crashes = [error for error in errors if error and "Exit" in str(error)]
                print(summary.name, summary.status, len(crashes))


if __name__ == "__main__":
    program(*sys.argv[1:])
