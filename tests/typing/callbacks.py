"""What callbacks, invokes and conditions return and take. Only checked, never run: each ``type: ignore`` asserts an
error."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from durable_async import (
    Callback,
    CallbackConfig,
    CallbackTimeoutError,
    DurableContext,
    InvokeConfig,
    WaitDecision,
    WaitForCallbackConfig,
    WaitForConditionConfig,
    WaitStrategy,
)


@dataclass
class Order:
    total: int


async def submit(callback_id: str) -> None: ...


def submit_in_a_thread(callback_id: str) -> int:
    return len(callback_id)


async def increment(state: int) -> int:
    return state + 1


def is_below_3(state: int) -> bool:
    return state < 3


def poll(order: Order) -> Order:
    return order


def decide(state: Order, attempt: int) -> WaitDecision:
    return WaitDecision.continue_after(timedelta(seconds=attempt))


async def total_of(callback: Callback[Order]) -> int:
    return (await callback.result()).total


async def callbacks(ctx: DurableContext) -> None:
    typed = await ctx.create_callback(name="ask", config=CallbackConfig(timeout=timedelta(days=3)), returns=Order)
    assert_type(typed, Callback[Order])
    assert_type(typed.callback_id, str)
    assert_type(await typed.result(), Order)
    assert_type(await total_of(typed), int)
    assert_type(await ctx.create_callback(), Callback[str | None])
    assert_type(await ctx.create_callback(config=CallbackConfig()), Callback[Any])  # it may have a serializer
    assert_type(await (await ctx.create_callback(returns=list[int])).result(), list[int])
    text = await ctx.create_callback(returns=str)
    await total_of(text)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.create_callback("ask")  # type: ignore  # pyright: ignore

    assert_type(await ctx.wait_for_callback(submit, returns=Order), Order)
    assert_type(await ctx.wait_for_callback(submit_in_a_thread, timeout=timedelta(days=3)), str | None)
    assert_type(await ctx.wait_for_callback(submit, config=WaitForCallbackConfig()), Any)
    assert_type(await ctx.wait_for_callback(lambda callback_id: len(callback_id) > 3, returns=bool), bool)
    await ctx.wait_for_callback(increment)  # type: ignore  # pyright: ignore
    await ctx.wait_for_callback(submit, timeout=3)  # type: ignore  # pyright: ignore
    await ctx.wait_for_callback(submit, config=CallbackConfig())  # type: ignore  # pyright: ignore
    await ctx.create_callback(config=WaitForCallbackConfig())  # it is one, and tells more
    try:
        await typed.result()
    except CallbackTimeoutError as error:
        assert_type(error.heartbeat, bool)


async def invokes(ctx: DurableContext) -> None:
    assert_type(await ctx.invoke("ship:$LATEST", Order(3), returns=Order), Order)
    assert_type(await ctx.invoke("ship", config=InvokeConfig(tenant_id="blue")), Any)
    await ctx.invoke(submit)  # type: ignore  # pyright: ignore


async def conditions(ctx: DurableContext) -> None:
    at_least_3 = WaitStrategy.exponential(is_below_3)
    assert_type(await ctx.wait_for_condition(increment, 0, WaitStrategy.fixed(lambda state: state < 3)), int)
    assert_type(await ctx.wait_for_condition(increment, 0, at_least_3), int)
    assert_type(await ctx.wait_for_condition(poll, Order(0), decide), Order)
    assert_type(await ctx.wait_for_condition(increment, 0, lambda state, attempt: WaitDecision.stop()), int)
    assert_type(
        await ctx.wait_for_condition(poll, Order(0), decide, name="poll", config=WaitForConditionConfig()), Order
    )
    await ctx.wait_for_condition(increment, "0", at_least_3)  # type: ignore  # pyright: ignore
    await ctx.wait_for_condition(poll, Order(0), 3)  # type: ignore  # pyright: ignore
