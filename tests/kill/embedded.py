"""A program with an embedded service and many executions in it, made to be killed: ``python -m tests.kill.embedded``.

It starts its executions, or finds them again, answers their callbacks, and ends when all have ended.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from durable_async import DurableContext, RetryStrategy, StepConfig, StepSemantics, current_step, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import ApiError

SOON = RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=1000)
ONCE = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, retry_strategy=SOON)
PATIENT = StepConfig(retry_strategy=SOON)
ITEMS = 5
CHILDREN = 2

_, _FILE, _FOLDER, _COUNT, _DURABILITY = [*sys.argv, "", "", "0", "full"][:5]


def note(what: str, detail: str = "") -> None:
    """One line in the journal, which survives the process. Appending a short line is atomic."""
    step = current_step()
    execution = step.execution_arn.split("/")[-2]
    name = str(step.name).replace(" ", "-")
    line = f"{what} {execution} {name} {step.attempt} {os.getpid()} {time.time():.6f} {detail or '-'}\n"
    journal = os.open(f"{_FOLDER}/journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


async def work(value: int) -> int:
    note("begin")
    await asyncio.sleep(0.002)
    note("end")
    return value


async def flaky(failures: int) -> int:
    note("begin")
    if current_step().attempt <= failures:
        raise ConnectionError("not yet")
    return failures


async def ask(callback_id: str) -> None:
    """Somebody outside gets the id: a file that outlives this process."""
    note("begin", callback_id)
    letter = Path(_FOLDER, "letters", current_step().execution_arn.split("/")[-2])
    await asyncio.to_thread(letter.write_text, callback_id)


async def double(ctx: DurableContext, item: int) -> int:
    return await ctx.step(work, 2 * item, name=f"double-{item}")


async def grow(ctx: DurableContext, item: int) -> int:
    return await ctx.invoke("child:$LATEST", item, name=f"child-{item}", returns=int)


@durable_execution
async def child(number: int, ctx: DurableContext) -> int:
    before = await ctx.step(work, number, name="before")
    await ctx.wait(timedelta(seconds=1), name="child-pause")
    return await ctx.step(work, before + 1, name="after", config=ONCE)


@durable_execution
async def workflow(number: int, ctx: DurableContext) -> list[Any]:
    grown = await ctx.map(grow, range(CHILDREN), name="grown")
    plain = await ctx.step(work, number, name="plain")
    charged = await ctx.step(work, number + 1, name="charge", config=ONCE)
    await ctx.wait(timedelta(seconds=1), name="pause")
    failed = await ctx.step(flaky, number % 3, name="flaky", config=PATIENT)
    doubled = await ctx.map(double, range(ITEMS), name="doubled")
    answer = await ctx.wait_for_callback(ask, name="asked", returns=str)
    last = await ctx.step(work, number + 2, name="last", config=ONCE)
    return [grown.results(), plain, charged, failed, doubled.results(), answer, last]


def expected(number: int) -> list[Any]:
    grown = [item + 1 for item in range(CHILDREN)]
    return [grown, number, number + 1, number % 3, [2 * item for item in range(ITEMS)], "yes", number + 2]


async def answer_letters(service: DurableService) -> None:
    """The world outside: it answers, and again if it does not know whether its answer arrived."""
    answered: set[str] = set()
    while True:
        for letter in Path(_FOLDER, "letters").iterdir():
            callback_id = letter.read_text()
            if callback_id and callback_id not in answered:
                try:
                    await service.succeed_callback(callback_id, "yes")
                except ApiError as refused:
                    if refused.code != "InvalidParameterValueException":  # completed already
                        raise
                answered.add(callback_id)
        await asyncio.sleep(0.05)


async def main() -> None:
    Path(_FOLDER, "letters").mkdir(exist_ok=True)
    async with DurableService(_FILE, durability=_DURABILITY) as service:  # type: ignore[arg-type]
        service.register(workflow)
        service.register(child)
        world = asyncio.create_task(answer_letters(service))
        print("open", flush=True)
        executions = [await service.start(workflow, number, name=f"n-{number}") for number in range(int(_COUNT))]
        print("started", flush=True)
        results = await asyncio.gather(*(execution.result() for execution in executions))
        assert results == [expected(number) for number in range(int(_COUNT))]
        world.cancel()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
