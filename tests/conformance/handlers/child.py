"""Suite ``child``: child contexts, their names, errors and results, and what a replay runs again."""

import os
import tempfile
from pathlib import Path

from durable_async import (
    ChildConfig,
    ChildContextError,
    DurableContext,
    SerializerContext,
    StepConfig,
    StepSemantics,
    current_step,
    durable_execution,
)

from .common import A_SECOND, FAILS_AT_ONCE, TWO_ATTEMPTS, fail, same


async def one_step(ctx: DurableContext, value):
    return await ctx.step(same, value)


async def step_and_wait(ctx: DurableContext, value):
    result = await ctx.step(same, value)
    await ctx.wait(A_SECOND)
    return result


@durable_execution
async def basic(event, ctx: DurableContext):
    return await ctx.run_in_child_context(one_step, event)


@durable_execution
async def named(event, ctx: DurableContext):
    return await ctx.run_in_child_context(one_step, event["value"], name=event["name"])


@durable_execution
async def two_steps(event, ctx: DurableContext):
    async def child(ctx: DurableContext, value):
        return await ctx.step(same, await ctx.step(same, value))

    return await ctx.run_in_child_context(child, event, name="child")


async def failing_child(ctx: DurableContext):
    await ctx.step(fail, config=FAILS_AT_ONCE)


@durable_execution
async def failing_step(event, ctx: DurableContext):
    await ctx.run_in_child_context(failing_child, name="child")


@durable_execution
async def caught_failure(event, ctx: DurableContext):
    try:
        await ctx.run_in_child_context(failing_child, name="child")
    except ChildContextError:
        return await ctx.step(same, event)


@durable_execution
async def nested(event, ctx: DurableContext):
    async def outer(ctx: DurableContext, value):
        value = await ctx.step(same, value)
        return await ctx.run_in_child_context(one_step, value, name="inner")

    return await ctx.run_in_child_context(outer, event, name="outer")


@durable_execution
async def retried_step(event, ctx: DurableContext):
    async def fail_once(value):
        if current_step().attempt == 1:
            raise ConnectionError("the first attempt fails")
        return value

    async def child(ctx: DurableContext, value):
        return await ctx.step(fail_once, value, config=StepConfig(retry_strategy=TWO_ATTEMPTS))

    return await ctx.run_in_child_context(child, event, name="child")


@durable_execution
async def exhausted_step(event, ctx: DurableContext):
    async def child(ctx: DurableContext):
        await ctx.step(fail, config=StepConfig(retry_strategy=TWO_ATTEMPTS))

    await ctx.run_in_child_context(child, name="child")


@durable_execution
async def then_wait(event, ctx: DurableContext):
    result = await ctx.run_in_child_context(one_step, event, name="child")
    await ctx.wait(A_SECOND)
    return result


@durable_execution
async def with_step_and_wait(event, ctx: DurableContext):
    return await ctx.run_in_child_context(step_and_wait, event, name="child")


@durable_execution
async def large_result(event, ctx: DurableContext):
    async def child(ctx: DurableContext, value):
        ctx.logger.info(value)
        small = await ctx.step(same, value)
        return small * (300 * 1024 // len(small))

    ctx.logger.log_while_replaying = True
    large = await ctx.run_in_child_context(child, event, name="child")
    await ctx.wait(A_SECOND)
    return len(large)


def is_there(marker: Path) -> bool:
    return marker.exists()


@durable_execution
async def interrupted(event, ctx: DurableContext):
    async def child(ctx: DurableContext, value):
        marker = Path(tempfile.gettempdir(), str(ctx.uuid()))
        crashed = is_there(marker)

        def crash_once(value):
            if not crashed:
                marker.touch()
                os._exit(1)
            marker.unlink()
            return value

        # At most once, only so that the step's start is sure to be on record when the process dies.
        semantics = StepSemantics.AT_LEAST_ONCE_PER_RETRY if crashed else StepSemantics.AT_MOST_ONCE_PER_RETRY
        return await ctx.step(crash_once, value, config=StepConfig(semantics=semantics))

    return await ctx.run_in_child_context(child, event)


@durable_execution
async def wait_then_step_outside(event, ctx: DurableContext):
    async def child(ctx: DurableContext, value):
        await ctx.wait(A_SECOND)
        return value

    return await ctx.step(same, await ctx.run_in_child_context(child, event, name="child"))


class UppercaseText:
    """Writes a string in upper case, without JSON's quotes."""

    def serialize(self, value: str, context: SerializerContext) -> str:
        return value.upper()

    def deserialize(self, text: str, context: SerializerContext) -> str:
        return text


@durable_execution
async def custom_serializer(event, ctx: DurableContext):
    config = ChildConfig(serializer=UppercaseText())
    return await ctx.run_in_child_context(one_step, event, name="child", config=config)


@durable_execution
async def failing_body(event, ctx: DurableContext):
    async def child(ctx: DurableContext):
        await fail()

    await ctx.run_in_child_context(child, name="child")


@durable_execution
async def null_result(event, ctx: DurableContext):
    async def child(ctx: DurableContext):
        return None

    return await ctx.run_in_child_context(child, name="child")


@durable_execution
async def logging_only(event, ctx: DurableContext):
    async def child(ctx: DurableContext, value):
        ctx.logger.info(value)
        return value

    ctx.logger.log_while_replaying = True
    result = await ctx.run_in_child_context(child, event, name="child")
    await ctx.wait(A_SECOND)
    return result


@durable_execution
async def operations_inside_and_after(event, ctx: DurableContext):
    value = await ctx.run_in_child_context(step_and_wait, event, name="child")
    return await step_and_wait(ctx, value)


HANDLERS = {
    "3-1": basic,
    "3-2": named,
    "3-3": two_steps,
    "3-4": failing_step,
    "3-5": caught_failure,
    "3-6": nested,
    "3-7": retried_step,
    "3-8": exhausted_step,
    "3-9": then_wait,
    "3-10": with_step_and_wait,
    "3-11": large_result,
    "3-12": interrupted,
    "3-13": wait_then_step_outside,
    "3-14": custom_serializer,
    "3-15": failing_body,
    "3-16": null_result,
    "3-17": logging_only,
    "3-18": operations_inside_and_after,
}
