"""Workflows with one fault each. ``explore`` has to find it."""

import asyncio
import random
from datetime import datetime, timedelta

from durable_async import DurableContext, current_step, durable_execution
from durable_async.testing import Ledger

ledger = Ledger()
DAY = timedelta(days=1)


async def work(value: str) -> str:
    return value


@durable_execution
async def random_outside_a_step(event: dict, ctx: DurableContext) -> str:
    chosen = random.choice(["a", "b", "c"])
    return await ctx.step(work, chosen)


def _stamp() -> str:
    return _now().isoformat()


def _now() -> datetime:
    return datetime.now()


@durable_execution
async def clock_two_calls_deep_in_a_branch(event: dict, ctx: DurableContext) -> str:
    async def branch(ctx: DurableContext) -> str:
        _stamp()
        return await ctx.step(work, "done")

    return (await ctx.parallel([branch])).results()[0]


@durable_execution
async def effect_outside_a_step(event: dict, ctx: DurableContext) -> None:
    ledger.record("mail")
    await ctx.wait(DAY)


@durable_execution
async def set_iterated_into_map(event: dict, ctx: DurableContext) -> list[str]:
    async def item(ctx: DurableContext, name: str) -> str:
        return await ctx.step(work, name, name=name)

    return (await ctx.map(item, {"north", "south", "east", "west", "up", "down"})).results()


@durable_execution
async def step_that_is_not_idempotent(event: dict, ctx: DurableContext) -> None:
    async def charge() -> None:
        ledger.record("charge 42")

    await ctx.step(charge)


@durable_execution
async def cancellation_swallowed(event: dict, ctx: DurableContext) -> str:
    try:
        await ctx.wait(DAY)
    except BaseException:
        return "gave up"
    return "waited"


@durable_execution
async def missing_await_of_an_operation(event: dict, ctx: DurableContext) -> None:
    ctx.step(work, "never")
    await ctx.step(work, "done")


async def notify() -> None: ...


@durable_execution
async def missing_await_of_a_coroutine(event: dict, ctx: DurableContext) -> None:
    notify()
    await ctx.step(work, "done")


@durable_execution
async def state_shared_with_a_body(event: dict, ctx: DurableContext) -> int:
    seen = []

    async def remember() -> None:
        seen.append(1)

    await ctx.step(remember)
    return len(seen)


shared = []


@durable_execution
async def state_of_the_module_shared_with_a_body(event: dict, ctx: DurableContext) -> int:
    async def remember() -> None:
        shared[:] = [1]

    await ctx.step(remember)
    return len(shared)


@durable_execution
async def sleep_in_the_workflow(event: dict, ctx: DurableContext) -> None:
    await asyncio.sleep(10)
    await ctx.step(work, "done")


@durable_execution
async def without_fault(event: dict, ctx: DurableContext) -> list[str]:
    async def charge() -> str:
        ledger.record("charge 42", key=current_step().idempotency_key)
        return datetime.now().isoformat()[:0] + str(ctx.uuid())[:0]

    async def branch(ctx: DurableContext, name: str) -> str:
        ctx.logger.info("at %s", name)
        await ctx.wait(DAY)
        return await ctx.step(work, name, name=name)

    names = sorted({"north", "south", "east"})
    done = (await ctx.map(branch, names)).results()
    await ctx.step(lambda: "", name="charge")
    task = asyncio.create_task(ctx.step(work, "aside"))
    return [*done, str(ctx.uuid()), str(ctx.random().random()), ctx.now().isoformat(), await task]
