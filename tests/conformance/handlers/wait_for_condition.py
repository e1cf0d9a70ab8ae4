"""Suite ``wait_for_condition``: a state that is checked until a wait strategy is content with it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from durable_async import (
    DurableContext,
    SerializerContext,
    WaitForConditionConfig,
    WaitForConditionError,
    WaitStrategy,
    durable_execution,
)

from .common import A_SECOND, fail


async def increment(state: int) -> int:
    return state + 1


def every_second_while(should_continue: Callable[[Any], bool], *, max_attempts: int = 10) -> WaitStrategy[Any]:
    return WaitStrategy.fixed(should_continue, delay=A_SECOND, max_attempts=max_attempts)


def every_second_below(threshold: int) -> WaitStrategy[int]:
    return every_second_while(lambda state: state < threshold)


@durable_execution
async def polls_until_threshold(event, ctx: DurableContext):
    return await ctx.wait_for_condition(increment, 0, every_second_below(event))


@durable_execution
async def met_at_once(event, ctx: DurableContext):
    async def unchanged(state):
        return state

    return await ctx.wait_for_condition(unchanged, 5, every_second_below(5))


@durable_execution
async def named(event, ctx: DurableContext):
    return await ctx.wait_for_condition(increment, 0, every_second_below(event), name="poll-status")


@durable_execution
async def initial_state(event, ctx: DurableContext):
    return await ctx.wait_for_condition(increment, 5, every_second_below(event))


@durable_execution
async def every_two_seconds(event, ctx: DurableContext):
    strategy = WaitStrategy.fixed(lambda state: state < event, delay=timedelta(seconds=2))
    return await ctx.wait_for_condition(increment, 0, strategy)


@durable_execution
async def exhausted(event, ctx: DurableContext):
    return await ctx.wait_for_condition(increment, 0, every_second_while(lambda state: True, max_attempts=3))


async def failing_check(state: int) -> int:
    await fail()
    return state


@durable_execution
async def failing(event, ctx: DurableContext):
    return await ctx.wait_for_condition(failing_check, 0, every_second_below(1))


@durable_execution
async def caught_failure(event, ctx: DurableContext):
    try:
        return await ctx.wait_for_condition(failing_check, 0, every_second_below(1))
    except WaitForConditionError:
        return "recovered"


@durable_execution
async def object_state(event, ctx: DurableContext):
    async def check(state):
        attempts = state["attempts"] + 1
        return {"status": "DONE" if attempts >= 2 else "PENDING", "attempts": attempts}

    strategy = every_second_while(lambda state: state["status"] == "PENDING")
    return await ctx.wait_for_condition(check, {"status": "PENDING", "attempts": 0}, strategy)


@durable_execution
async def null_state(event, ctx: DurableContext):
    async def check(state):
        return None

    return await ctx.wait_for_condition(check, None, every_second_while(lambda state: False))


class HexSerializer:
    """Encodes a string as hexadecimal digits."""

    def serialize(self, value: str, context: SerializerContext) -> str:
        return value.encode().hex()

    def deserialize(self, text: str, context: SerializerContext) -> str:
        return bytes.fromhex(text).decode()


@durable_execution
async def custom_serializer(event, ctx: DurableContext):
    async def append(state):
        return f"{state}x"

    strategy = every_second_while(lambda state: len(state) < 2)
    return await ctx.wait_for_condition(append, "", strategy, config=WaitForConditionConfig(serializer=HexSerializer()))


@durable_execution
async def then_a_step(event, ctx: DurableContext):
    async def times_ten(value):
        return value * 10

    return await ctx.step(times_ten, await ctx.wait_for_condition(increment, 0, every_second_below(event)))


@durable_execution
async def two_in_sequence(event, ctx: DurableContext):
    first = await ctx.wait_for_condition(increment, 0, every_second_below(2))
    return await ctx.wait_for_condition(increment, first, every_second_below(4))


HANDLERS = {
    "6-1": polls_until_threshold,
    "6-2": met_at_once,
    "6-3": named,
    "6-4": initial_state,
    "6-5": every_two_seconds,
    "6-6": exhausted,
    "6-7": failing,
    "6-8": caught_failure,
    "6-9": object_state,
    "6-10": null_state,
    "6-11": custom_serializer,
    "6-12": then_a_step,
    "6-13": two_in_sequence,
}
