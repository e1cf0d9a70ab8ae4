"""What ``ctx.step`` returns and takes. Only checked, never run: each ``type: ignore`` asserts an error."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, assert_type

from durable_async import (
    DurableContext,
    DurableHandler,
    RetryDecision,
    RetryStrategy,
    StepConfig,
    current_context,
    durable_execution,
)

T = TypeVar("T")


@dataclass
class Order:
    total: int


async def quote(carrier: str, weight: float = 1.0) -> float:
    return weight


def charge(card: str, amount: int) -> Order:
    return Order(amount)


async def nothing() -> None: ...


class Shop:
    async def price(self, item: str) -> int:
        return len(item)


async def first(items: list[T]) -> T:
    return items[0]


class Strategy:
    def should_retry(self, error: BaseException, attempt: int, /) -> RetryDecision:
        return RetryDecision.do_not_retry()


def decide(error: Exception, attempt: int) -> RetryDecision:
    return RetryDecision.retry_after(timedelta(seconds=attempt))


StepConfig(retry_strategy=RetryStrategy.default())
StepConfig(retry_strategy=Strategy())
StepConfig(retry_strategy=decide)
StepConfig(retry_strategy=lambda error, attempt: RetryDecision.do_not_retry())
StepConfig(retry_strategy=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def calls(ctx: DurableContext) -> None:
    assert_type(await ctx.step(quote, "x"), float)
    assert_type(await ctx.step(quote, "x", 2.0), float)
    assert_type(await ctx.step(charge, "card", 3, name="charge"), Order)
    assert_type(await ctx.step(nothing), None)
    assert_type(await ctx.step(Shop().price, "x"), int)
    assert_type(await ctx.step(partial(quote, weight=2.0), "x"), float)
    assert_type(await ctx.step(lambda: 3), int)
    assert_type(await ctx.step(eval, "3", returns=int), int)
    assert_type(await ctx.step(charge, "card", 3, returns=dict[str, int]), dict[str, int])
    assert_type(await ctx.step(charge, "card", 3, returns=int | None), Any)
    assert_type(await ctx.step(first, [1, 2]), int)
    assert_type(await ctx.wait(timedelta(seconds=1)), None)
    assert_type(current_context(), DurableContext | None)
    async with ctx.compensations() as undo:
        undo.add(charge, "card", -3, name="refund", config=StepConfig(retry_strategy=decide), returns=Order)
        undo.add(charge, "card", "three")  # type: ignore  # pyright: ignore
        undo.add_cleanup(nothing, nmae="close")  # type: ignore  # pyright: ignore
        undo.add_cleanup(nothing, config=3)  # type: ignore  # pyright: ignore
    await ctx.step(charge, "card", "three")  # type: ignore  # pyright: ignore
    await ctx.step(charge, "card")  # type: ignore  # pyright: ignore
    await ctx.step(quote("x"))  # type: ignore  # pyright: ignore
    await ctx.wait(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@durable_execution
async def workflow(order: Order, ctx: DurableContext) -> float:
    return await ctx.step(quote, "x")


@durable_execution(max_inline_wait=timedelta(seconds=1))
async def configured(order: Order, ctx: DurableContext) -> list[int]:
    return []


assert_type(workflow, DurableHandler[Order, float])
assert_type(configured, DurableHandler[Order, list[int]])
