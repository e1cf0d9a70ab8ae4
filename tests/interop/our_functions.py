"""Our handlers, for the other services. They know neither where they run nor who invokes them."""

from __future__ import annotations

import asyncio
import math
import os
from datetime import timedelta
from typing import Any

from durable_async import (
    CallbackConfig,
    CallbackError,
    CompletionConfig,
    DurableContext,
    DurableHandler,
    DurableTimeoutError,
    InvokeError,
    MapConfig,
    NonRetryableError,
    RetryStrategy,
    StepConfig,
    StepError,
    StepSemantics,
    WaitStrategy,
    current_step,
    durable_execution,
)

SECOND = timedelta(seconds=1)
THREE_ATTEMPTS = StepConfig(retry_strategy=RetryStrategy.fixed(delay=SECOND, max_attempts=3))
AT_MOST_ONCE = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)


async def same(value: Any) -> Any:
    return value


@durable_execution
async def steps(event: dict[str, Any], ctx: DurableContext) -> list[str]:
    reserved = await ctx.step(same, {"reserved": event["item"]}, name="reserve")
    await ctx.wait(timedelta(seconds=event.get("wait", 1)), name="cooling-off")
    return await ctx.step(lambda: [reserved["reserved"], "shipped"], name="ship")


async def charge_at_the_third_attempt() -> int:
    attempt = current_step().attempt
    if attempt < 3:
        raise ConnectionError(f"no line {attempt}")
    return attempt


@durable_execution
async def retried(event: dict[str, Any], ctx: DurableContext) -> int:
    return await ctx.step(charge_at_the_third_attempt, name="charge", config=THREE_ATTEMPTS)


async def decline() -> None:
    raise NonRetryableError("no such card")


@durable_execution
async def failing(event: dict[str, Any], ctx: DurableContext) -> None:
    await ctx.step(decline, config=THREE_ATTEMPTS)


@durable_execution
async def handled(event: dict[str, Any], ctx: DurableContext) -> dict[str, str]:
    try:
        await ctx.step(decline)
    except StepError as error:
        await ctx.wait(SECOND)
        return {"type": error.error_type or "", "message": error.message or ""}
    raise AssertionError


@durable_execution
async def at_most_once(event: dict[str, Any], ctx: DurableContext) -> str:
    return await ctx.step(same, "charged", name="charge", config=AT_MOST_ONCE)


@durable_execution
async def gathered(event: dict[str, Any], ctx: DurableContext) -> list[int]:
    async def branch(ctx: DurableContext, number: int) -> int:
        await ctx.wait(SECOND * (1 + number % 2))
        return await ctx.step(same, number * number, name=f"square-{number}")

    return await asyncio.gather(
        *(ctx.run_in_child_context(branch, number, name=f"branch-{number}") for number in event["numbers"])
    )


@durable_execution
async def nested(event: dict[str, Any], ctx: DurableContext) -> int:
    async def inner(ctx: DurableContext) -> int:
        await ctx.wait(SECOND)
        return await ctx.step(same, 2, name="two")

    async def outer(ctx: DurableContext) -> int:
        one = await ctx.step(same, 1, name="one")
        return one + await ctx.run_in_child_context(inner)

    total = await ctx.run_in_child_context(outer)
    await ctx.wait(SECOND)
    return total


@durable_execution
async def retried_block(event: dict[str, Any], ctx: DurableContext) -> list[str]:
    attempts: list[str] = []

    async def block(ctx: DurableContext) -> None:
        attempts.append("attempt")
        await ctx.step(same, len(attempts), name=f"count-{len(attempts)}")
        if len(attempts) < 3:
            raise ConnectionError

    strategy = RetryStrategy.fixed(delay=SECOND, max_attempts=3)
    await ctx.with_retry(block, strategy=strategy, name="block")
    return attempts


@durable_execution
async def late(event: dict[str, Any], ctx: DurableContext) -> str:
    try:
        async with ctx.timeout(SECOND * 2):
            await ctx.wait(timedelta(days=30))
    except DurableTimeoutError:
        return await ctx.step(same, "too late", name="give-up")
    raise AssertionError


@durable_execution
async def patched(event: dict[str, Any], ctx: DurableContext) -> list[str]:
    audited = [await ctx.step(same, "audited", name="audit")] if await ctx.patched("audit-2026") else []
    await ctx.wait(SECOND)
    return [*audited, await ctx.step(same, "charged", name="charge")]


@durable_execution
async def compensated(event: dict[str, Any], ctx: DurableContext) -> str:
    try:
        async with ctx.compensations() as undo:
            await ctx.step(same, "reserved", name="reserve")
            undo.add(same, "released", name="release")
            await ctx.wait(SECOND)
            await ctx.step(decline)
    except StepError as error:
        return error.message or ""
    raise AssertionError


@durable_execution
async def mapped(event: dict[str, Any], ctx: DurableContext) -> dict[str, list[Any]]:
    async def root(ctx: DurableContext, number: int) -> float:
        await ctx.wait(SECOND)
        return await ctx.step(math.sqrt, number, name=f"root-{number}")

    config = MapConfig(max_concurrency=2, completion=CompletionConfig(tolerated_failures=1))
    batch = await ctx.map(root, event["numbers"], name="roots", config=config)
    await ctx.wait(SECOND)
    return {"succeeded": batch.results(partial=True), "failed": [item.index for item in batch.failed]}


@durable_execution
async def raced(event: dict[str, Any], ctx: DurableContext) -> str:
    async def slow(ctx: DurableContext) -> str:
        await ctx.wait(timedelta(days=1))
        return "slow"

    async def fast(ctx: DurableContext) -> str:
        await ctx.wait(SECOND)
        return "fast"

    return await ctx.race(slow, ("fast", fast))


@durable_execution
async def condition(event: dict[str, Any], ctx: DurableContext) -> int:
    async def increment(state: int) -> int:
        return state + 1

    return await ctx.wait_for_condition(increment, 0, WaitStrategy.fixed(lambda state: state < 3, delay=SECOND))


@durable_execution
async def invoking(event: dict[str, Any], ctx: DurableContext) -> dict[str, Any]:
    durable = await ctx.invoke("echo:$LATEST", event, name="echo")
    ordinary = await ctx.invoke("plain", event)
    try:
        await ctx.invoke("nobody", event)
    except InvokeError as error:
        return {"durable": durable, "ordinary": ordinary, "nobody": error.error_type}
    raise AssertionError


@durable_execution
async def echo(event: dict[str, Any], ctx: DurableContext) -> dict[str, Any]:
    await ctx.wait(SECOND)
    return {"echo": event}


@durable_execution
async def asking(event: dict[str, Any], ctx: DurableContext) -> dict[str, Any]:
    """Waits for a callback; an answer is JSON."""
    callback = await ctx.create_callback(
        name="approve", returns=dict, config=CallbackConfig(timeout=timedelta(seconds=event["timeout"]))
    )
    await ctx.step(same, callback.callback_id, name="tell")
    try:
        return {"answer": await callback.result()}
    except CallbackError as error:
        return {"refusal": error.message, "as": type(error).__name__}


@durable_execution
async def waiting(event: dict[str, Any], ctx: DurableContext) -> str:
    return await ctx.wait_for_callback(same, name="approval", timeout=timedelta(hours=1))


@durable_execution
async def large_child(event: dict[str, Any], ctx: DurableContext) -> int:
    async def produce(ctx: DurableContext) -> str:
        return "".join([await ctx.step(same, f"{n}" * 100_000, name=f"part-{n}") for n in range(4)])

    text = await ctx.run_in_child_context(produce)
    await ctx.wait(SECOND)
    return len(text)


@durable_execution
async def large_result(event: dict[str, Any], ctx: DurableContext) -> str:
    return "x" * event["size"]


@durable_execution
async def long_record(event: dict[str, Any], ctx: DurableContext) -> int:
    texts = [await ctx.step(same, f"{n:02}" * 100_000, name=f"part-{n}") for n in range(event["parts"])]
    await ctx.wait(SECOND)
    return sum(len(text) for text in texts)


@durable_execution
async def survivor(event: dict[str, Any], ctx: DurableContext) -> dict[str, Any]:
    """Its process dies in a step that must not be repeated."""
    first = await ctx.step(os.getpid, name="first")
    try:
        await ctx.step(os._exit, 1, name="die", config=AT_MOST_ONCE)
    except StepError as error:
        died = error.error_type
    attempts = await ctx.step(charge_at_the_third_attempt, config=THREE_ATTEMPTS)
    second = await ctx.step(os.getpid, name="second")
    return {"died": died, "attempts": attempts, "same process": first == second}


def plain(event: dict[str, Any], context: object) -> dict[str, Any]:
    return {"plain": event}


DURABLE = [name for name, value in vars().items() if isinstance(value, DurableHandler)]
