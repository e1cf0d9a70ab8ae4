"""Suite ``wait_for_callback``: a callback and the step that hands out its id, in one operation."""

import json
from datetime import timedelta

from durable_async import (
    CallbackFailedError,
    CallbackTimeoutError,
    DurableContext,
    SerializerContext,
    WaitForCallbackConfig,
    durable_execution,
)

from .common import A_SECOND, TWO_ATTEMPTS, same

THREE_SECONDS_TIMEOUT = WaitForCallbackConfig(timeout=timedelta(seconds=3))


async def submit(callback_id):
    """Completes without doing anything: the case's runner finds the callback in the history."""


async def submit_in_vain(callback_id):
    raise ConnectionError("nobody takes the callback id")


@durable_execution
async def basic(event, ctx: DurableContext):
    return await ctx.wait_for_callback(submit, name=event)


@durable_execution
async def static_name(event, ctx: DurableContext):
    return await ctx.wait_for_callback(submit, name="approval")


@durable_execution
async def anonymous_submitter(event, ctx: DurableContext):
    return await ctx.wait_for_callback(lambda callback_id: None)


@durable_execution
async def caught_failure(event, ctx: DurableContext):
    try:
        return await ctx.wait_for_callback(submit, name=event)
    except CallbackFailedError:
        return "recovered"


@durable_execution
async def caught_timeout(event, ctx: DurableContext):
    try:
        return await ctx.wait_for_callback(submit, name=event, config=THREE_SECONDS_TIMEOUT)
    except CallbackTimeoutError:
        return "timed-out-handled"


def configured(config: WaitForCallbackConfig):
    @durable_execution
    async def wait_for_callback(event, ctx: DurableContext):
        return await ctx.wait_for_callback(submit, name=event, config=config)

    return wait_for_callback


@durable_execution
async def exhausted_submitter(event, ctx: DurableContext):
    config = WaitForCallbackConfig(retry_strategy=TWO_ATTEMPTS)
    return await ctx.wait_for_callback(submit_in_vain, name=event, config=config)


@durable_execution
async def in_child_context(event, ctx: DurableContext):
    async def child(ctx: DurableContext):
        return await ctx.wait_for_callback(submit, name=event)

    return await ctx.run_in_child_context(child, name="wrapper")


@durable_execution
async def two_in_sequence(event, ctx: DurableContext):
    await ctx.wait_for_callback(submit, name="first")
    return await ctx.wait_for_callback(submit, name="second")


@durable_execution
async def after_wait_and_step(event, ctx: DurableContext):
    await ctx.wait(A_SECOND)
    await ctx.step(same, {"fixed": "data"})
    return await ctx.wait_for_callback(submit, name=event)


class JsonSerializer:
    """Reads a callback's payload as JSON rather than as text."""

    def serialize(self, value: object, context: SerializerContext) -> str:
        return json.dumps(value)

    def deserialize(self, text: str, context: SerializerContext) -> object:
        return json.loads(text)


@durable_execution
async def json_result(event, ctx: DurableContext):
    config = WaitForCallbackConfig(serializer=JsonSerializer())
    answer = await ctx.wait_for_callback(submit, name=event, config=config)
    return answer["status"]


HANDLERS = {
    "7-1": basic,
    "7-2": static_name,
    "7-3": anonymous_submitter,
    "7-4": basic,
    "7-5": configured(THREE_SECONDS_TIMEOUT),
    "7-6": caught_failure,
    "7-7": exhausted_submitter,
    "7-8": in_child_context,
    "7-9": two_in_sequence,
    "7-10": after_wait_and_step,
    "7-11": json_result,
    "7-12": configured(WaitForCallbackConfig(heartbeat_timeout=timedelta(seconds=5))),
    "7-13": configured(WaitForCallbackConfig(heartbeat_timeout=timedelta(seconds=10))),
    "7-14": caught_timeout,
    "7-15": basic,
}
