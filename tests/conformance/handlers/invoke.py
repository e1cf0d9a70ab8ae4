"""Suite ``invoke``: other functions, chained; and the functions that are invoked."""

import json

from durable_async import DurableContext, InvokeConfig, InvokeError, SerializerContext, durable_execution

from .common import A_SECOND, fail, same

# A durable function is invoked by a qualified name.
ECHO, LENGTH, FAILING = "target-echo:$LATEST", "target-length:$LATEST", "target-failing:$LATEST"


@durable_execution
async def echo(event, ctx: DurableContext):
    return event


@durable_execution
async def length(event, ctx: DurableContext):
    return len(event)


@durable_execution
async def failing(event, ctx: DurableContext):
    await fail()


@durable_execution
async def basic(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, event)


@durable_execution
async def named(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, event["payload"], name=event["name"])


@durable_execution
async def null_payload(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, None)


@durable_execution
async def failing_target(event, ctx: DurableContext):
    await ctx.invoke(FAILING, event)


@durable_execution
async def caught_failure(event, ctx: DurableContext):
    try:
        return await ctx.invoke(FAILING, event)
    except InvokeError:
        return "fallback"


@durable_execution
async def large_payload(event, ctx: DurableContext):
    return await ctx.invoke(LENGTH, "x" * 1_000_000)  # the service takes 1 MiB


@durable_execution
async def with_tenant(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, event["payload"], config=InvokeConfig(tenant_id=event["tenantId"]))


@durable_execution
async def then_wait(event, ctx: DurableContext):
    result = await ctx.invoke(ECHO, "once")
    await ctx.wait(A_SECOND)
    return result


@durable_execution
async def caught_failure_then_wait(event, ctx: DurableContext):
    try:
        await ctx.invoke(FAILING, event)
    except InvokeError:
        await ctx.wait(A_SECOND)
        return "fallback"


@durable_execution
async def step_then_invoke(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, await ctx.step(same, "from the step"))


@durable_execution
async def invoke_then_step(event, ctx: DurableContext):
    return await ctx.step(same, await ctx.invoke(ECHO, "from the target"))


@durable_execution
async def in_child_context(event, ctx: DurableContext):
    async def child(ctx: DurableContext):
        return await ctx.invoke(ECHO, "from the child")

    return await ctx.run_in_child_context(child)


@durable_execution
async def two_in_sequence(event, ctx: DurableContext):
    first = await ctx.invoke(ECHO, "first")
    return [first, await ctx.invoke(LENGTH, "second")]


class UppercaseSerializer:
    """Turns JSON text to upper case on its way out, and the text of an answer on its way in, without decoding it."""

    def serialize(self, value: object, context: SerializerContext) -> str:
        return json.dumps(value).upper()

    def deserialize(self, text: str, context: SerializerContext) -> str:
        return text.upper()


@durable_execution
async def payload_serializer(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, event, config=InvokeConfig(payload_serializer=UppercaseSerializer()))


@durable_execution
async def result_serializer(event, ctx: DurableContext):
    return await ctx.invoke(ECHO, event, config=InvokeConfig(result_serializer=UppercaseSerializer()))


HANDLERS = {
    "5-1": basic,
    "5-2": named,
    "5-3": basic,
    "5-4": null_payload,
    "5-5": failing_target,
    "5-6": caught_failure,
    "5-7": large_payload,
    "5-8": with_tenant,
    "5-9": then_wait,
    "5-10": caught_failure_then_wait,
    "5-11": step_then_invoke,
    "5-12": invoke_then_step,
    "5-13": in_child_context,
    "5-14": two_in_sequence,
    "5-15": payload_serializer,
    "5-16": result_serializer,
    "target-echo": echo,
    "target-length": length,
    "target-failing": failing,
}
