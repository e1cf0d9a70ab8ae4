"""What batches return and take. Only checked, never run: each ``type: ignore`` asserts an error."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_type

from durable_async import (
    BatchItem,
    BatchProgress,
    BatchResult,
    BatchStatus,
    ChildContextError,
    CompletionConfig,
    DurableContext,
    MapConfig,
    NestingType,
    ParallelConfig,
)


@dataclass
class Order:
    total: int


async def price(ctx: DurableContext, order: Order) -> float:
    return order.total


async def any_price(ctx: DurableContext, order: object) -> float:
    return 1.0


async def fetch(name: str) -> bytes:
    return name.encode()


async def left(ctx: DurableContext) -> int:
    return 1


async def right(ctx: DurableContext) -> int:
    return 2


async def text(ctx: DurableContext) -> str:
    return ""


class Shop:
    async def stock(self, ctx: DurableContext, name: str) -> int:
        return len(name)


def enough(progress: BatchProgress) -> BatchStatus | None:
    return BatchStatus.SUCCEEDED if progress.succeeded > 3 else None


CompletionConfig(custom=enough)
CompletionConfig(custom=lambda progress: BatchStatus.FAILED if progress.failed else None)
MapConfig(max_concurrency=3, nesting=NestingType.FLAT, item_namer=lambda item, index: f"{item}-{index}")
MapConfig(summary=lambda batch: f"{batch.success_count} prices")
CompletionConfig(custom=lambda progress: progress.succeeded > 3)  # type: ignore  # pyright: ignore
ParallelConfig(item_namer=lambda item, index: "")  # type: ignore  # pyright: ignore


async def maps(ctx: DurableContext, orders: list[Order], names: dict[str, int]) -> None:
    batch = await ctx.map(price, orders, name="prices", config=MapConfig(max_concurrency=3))
    assert_type(batch, BatchResult[float])
    assert_type(batch.results(), list[float])
    assert_type(batch.results(partial=True), list[float])
    await ctx.map(price, orders, config=None)
    assert_type(batch.errors(), list[ChildContextError])
    assert_type(batch.items, tuple[BatchItem[float], ...])
    assert_type(batch.failed[0].result, float | None)
    assert_type(await ctx.map(price, (Order(n) for n in range(3))), BatchResult[float])
    assert_type(await ctx.map(any_price, orders), BatchResult[float])
    assert_type(await ctx.map(Shop().stock, names), BatchResult[int])
    assert_type(await ctx.map(lambda ctx, name: ctx.step(fetch, name), ["a"]), BatchResult[bytes])
    await ctx.map(price, ["a"])  # type: ignore  # pyright: ignore
    await ctx.map(fetch, ["a"])  # type: ignore  # pyright: ignore
    await ctx.map(price(ctx, orders[0]), orders)  # type: ignore  # pyright: ignore
    await ctx.map(lambda ctx, name: len(name), ["a"])  # type: ignore  # pyright: ignore
    await ctx.map(price, orders, config=ParallelConfig())  # type: ignore  # pyright: ignore


async def branches(ctx: DurableContext, given: list[Callable[[DurableContext], Awaitable[Order]]]) -> None:
    assert_type(await ctx.parallel([left, right]), BatchResult[int])
    assert_type(await ctx.parallel([("left", left), ("right", right)]), BatchResult[int])
    assert_type(await ctx.parallel(given, name="orders"), BatchResult[Order])
    await ctx.parallel([left(ctx)])  # type: ignore  # pyright: ignore
    await ctx.parallel([left], config=MapConfig())  # type: ignore  # pyright: ignore


async def races(ctx: DurableContext) -> None:
    assert_type(await ctx.race(left, right), int)
    assert_type(await ctx.race(left, ("right", right), name="race"), int)
    winner: int | str = await ctx.race(left, text)
    assert winner
    await ctx.race([left, right])  # type: ignore  # pyright: ignore
