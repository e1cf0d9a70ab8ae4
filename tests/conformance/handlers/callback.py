"""Suite ``callback``: results, failures, timeouts and heartbeats of callbacks, alone and between other operations."""

import json
from datetime import datetime, timedelta

from durable_async import CallbackConfig, DurableContext, OperationError, SerializerContext, durable_execution

from .common import do_nothing

FIVE_SECONDS_TIMEOUT = CallbackConfig(timeout=timedelta(seconds=5))


@durable_execution
async def basic(event, ctx: DurableContext):
    callback = await ctx.create_callback(name=event)
    return await callback.result()


@durable_execution
async def static_name(event, ctx: DurableContext):
    return await (await ctx.create_callback(name="approval")).result()


def configured(config: CallbackConfig):
    @durable_execution
    async def callback(event, ctx: DurableContext):
        callback = await ctx.create_callback(name=event, config=config)
        return await callback.result()

    return callback


def then_a_step(config: CallbackConfig):
    @durable_execution
    async def callback(event, ctx: DurableContext):
        callback = await ctx.create_callback(name=event, config=config)
        await ctx.step(do_nothing)
        return await callback.result()

    return callback


def then_a_wait(duration: timedelta, config: CallbackConfig):
    @durable_execution
    async def callback(event, ctx: DurableContext):
        callback = await ctx.create_callback(name=event, config=config)
        await ctx.wait(duration)
        return await callback.result()

    return callback


@durable_execution
async def result_then_a_wait(event, ctx: DurableContext):
    callback = await ctx.create_callback(name=event)
    result = await callback.result()
    await ctx.wait(timedelta(seconds=2))
    return result


def caught(config: CallbackConfig):
    @durable_execution
    async def callback(event, ctx: DurableContext):
        callback = await ctx.create_callback(name=event, config=config)
        try:
            return await callback.result()
        except OperationError as error:
            message = str(error)
        await ctx.wait(timedelta(seconds=2))
        return message

    return callback


class MessageSerializer:
    """Reads a JSON message, its timestamp as seconds since the epoch."""

    def serialize(self, value: object, context: SerializerContext) -> str:
        return json.dumps(value)

    def deserialize(self, text: str, context: SerializerContext) -> object:
        message = json.loads(text)
        return {**message, "timestamp": int(datetime.fromisoformat(message["timestamp"]).timestamp())}


class WholeNumberSerializer:
    """Reads a callback's payload as a whole number rather than as text."""

    def serialize(self, value: int, context: SerializerContext) -> str:
        return str(value)

    def deserialize(self, text: str, context: SerializerContext) -> int:
        return int(text)


@durable_execution
async def doubled_number(event, ctx: DurableContext):
    config = CallbackConfig(serializer=WholeNumberSerializer())
    count = await (await ctx.create_callback(name=event, config=config)).result()
    return {"count": count, "doubled": 2 * count}


@durable_execution
async def custom_serializer(event, ctx: DurableContext):
    callback = await ctx.create_callback(name=event, config=CallbackConfig(serializer=MessageSerializer()))
    return {"received": await callback.result()}


@durable_execution
async def one_after_the_other(event, ctx: DurableContext):
    first = await (await ctx.create_callback(name=event[0])).result()
    second = await (await ctx.create_callback(name=event[1])).result()
    return [first, second]


@durable_execution
async def awaited_in_order(event, ctx: DurableContext):
    a = await ctx.create_callback(name=event[0])
    b = await ctx.create_callback(name=event[1])
    return [await a.result(), await b.result()]


@durable_execution
async def awaited_in_reverse(event, ctx: DurableContext):
    a = await ctx.create_callback(name=event[0])
    b = await ctx.create_callback(name=event[1])
    second = await b.result()
    return [await a.result(), second]


HANDLERS = {
    "4-1": basic,
    "4-2": static_name,
    "4-3": configured(FIVE_SECONDS_TIMEOUT),
    "4-4": configured(CallbackConfig(heartbeat_timeout=timedelta(seconds=5))),
    "4-5": configured(CallbackConfig(heartbeat_timeout=timedelta(seconds=10))),
    "4-6": basic,
    "4-7": then_a_step(CallbackConfig()),
    "4-8": then_a_step(FIVE_SECONDS_TIMEOUT),
    "4-9": then_a_wait(timedelta(seconds=5), CallbackConfig()),
    "4-10": then_a_wait(timedelta(seconds=5), CallbackConfig()),
    "4-11": then_a_wait(timedelta(seconds=6), CallbackConfig(timeout=timedelta(seconds=3))),
    "4-12": result_then_a_wait,
    "4-13": caught(CallbackConfig()),
    "4-14": caught(CallbackConfig(timeout=timedelta(seconds=3))),
    "4-15": custom_serializer,
    "4-16": doubled_number,
    "4-17": one_after_the_other,
    "4-18": awaited_in_order,
    "4-19": awaited_in_reverse,
}
