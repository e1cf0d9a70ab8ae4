"""Suite ``map``: one function over many items, its results, serializers and completion rules, and their replay."""

from durable_async import (
    BatchItem,
    BatchResult,
    BatchStatus,
    CompletionConfig,
    CompletionReason,
    DurableContext,
    MapConfig,
    NestingType,
    SerializerContext,
    durable_execution,
)

from .common import A_SECOND, fail, same
from .projection import COUNTS, STATUS_AND_COUNTS, projection

ONE_AT_A_TIME = MapConfig(max_concurrency=1)


async def returned(ctx: DurableContext, item):
    return item


async def stepped(ctx: DurableContext, item):
    return await ctx.step(same, item)


async def greeted(ctx: DurableContext, item):
    async def greet(name):
        return f"Hello, {name}!"

    return await ctx.step(greet, item)


async def uppercased(ctx: DurableContext, item):
    return item.upper()


async def failing(ctx: DurableContext, item):
    await fail()


async def failing_on_demand(ctx: DurableContext, item):
    if item == "fail":
        await fail()
    return item


@durable_execution
async def basic(event, ctx: DurableContext):
    batch = await ctx.map(greeted, event, name="map", config=ONE_AT_A_TIME)
    return batch.results()


@durable_execution
async def without_a_name(event, ctx: DurableContext):
    async def double(ctx: DurableContext, item):
        return 2 * item

    batch = await ctx.map(double, event, config=ONE_AT_A_TIME)
    return batch.results()


@durable_execution
async def item_and_index(event, ctx: DurableContext):
    async def add_index(ctx: DurableContext, indexed):
        index, item = indexed
        return item + index

    batch = await ctx.map(add_index, list(enumerate(event)), name="indexed", config=ONE_AT_A_TIME)
    return batch.results()


@durable_execution
async def no_items(event, ctx: DurableContext):
    batch = await ctx.map(returned, [], name="empty")
    return batch.results()


def facts_of(items, *keys: str, name: str, completion: CompletionConfig):
    """A handler that returns what became of a map with a completion rule; the items ``"fail"`` fail."""

    @durable_execution
    async def mapped(event, ctx: DurableContext):
        config = MapConfig(max_concurrency=1, completion=completion)
        return projection(await ctx.map(failing_on_demand, items, name=name, config=config), *keys)

    return mapped


@durable_execution
async def rethrown(event, ctx: DurableContext):
    config = MapConfig(max_concurrency=1, completion=CompletionConfig(tolerated_failures=0))
    batch = await ctx.map(failing, ["i0", "i1"], name="throwing", config=config)
    batch.throw_if_error()


@durable_execution
async def concurrent(event, ctx: DurableContext):
    batch = await ctx.map(returned, ["r0", "r1", "r2"], name="concurrent", config=MapConfig(max_concurrency=2))
    return batch.results()


@durable_execution
async def flat(event, ctx: DurableContext):
    config = MapConfig(max_concurrency=1, nesting=NestingType.FLAT)
    batch = await ctx.map(stepped, ["fa", "fb"], name="flat", config=config)
    return batch.results()


@durable_execution
async def named_items(event, ctx: DurableContext):
    async def times_ten(ctx: DurableContext, item):
        return 10 * item

    config = MapConfig(max_concurrency=1, item_namer=lambda item, index: f"item-{item}")
    batch = await ctx.map(times_ten, event, name="named-items", config=config)
    return batch.results()


class WrappingSerializer:
    """Marks a string as having been here."""

    def serialize(self, value: str, context: SerializerContext) -> str:
        return f"wrapped:{value}"

    def deserialize(self, text: str, context: SerializerContext) -> str:
        return text.removeprefix("wrapped:")


@durable_execution
async def item_serializer(event, ctx: DurableContext):
    config = MapConfig(max_concurrency=1, item_serializer=WrappingSerializer())
    batch = await ctx.map(uppercased, ["x", "y"], name="serdes", config=config)
    return batch.results()


@durable_execution
async def wait_in_an_item(event, ctx: DurableContext):
    async def wait_for_the_second(ctx: DurableContext, item):
        if item == "r1":
            await ctx.wait(A_SECOND)
        return await ctx.step(same, item)

    batch = await ctx.map(wait_for_the_second, ["r0", "r1"], name="suspend", config=ONE_AT_A_TIME)
    return batch.results()


@durable_execution
async def large_aggregate(event, ctx: DurableContext):
    async def produce(ctx: DurableContext, letter):
        return letter * 70 * 1024

    batch = await ctx.map(produce, ["a", "b", "c", "d"], name="large", config=ONE_AT_A_TIME)
    return projection(batch, "successCount", "totalCount")


@durable_execution
async def then_wait(event, ctx: DurableContext):
    batch = await ctx.map(uppercased, ["a", "b"], name="then-wait", config=ONE_AT_A_TIME)
    await ctx.wait(A_SECOND)
    return batch.results()


@durable_execution
async def failure_then_wait(event, ctx: DurableContext):
    config = MapConfig(max_concurrency=1, completion=CompletionConfig(tolerated_failures=1))
    batch = await ctx.map(failing_on_demand, ["ok", "fail"], name="fail-then-wait", config=config)
    await ctx.wait(A_SECOND)
    return projection(batch, "completionReason", "status", "successCount", "failureCount", "totalCount")


class JoiningSerializer:
    """Writes the results of a whole batch as one line of text, and makes the batch of it again."""

    def serialize(self, value: BatchResult, context: SerializerContext) -> str:
        return "OPSERDE:" + ",".join(value.results())

    def deserialize(self, text: str, context: SerializerContext) -> BatchResult:
        results = text.removeprefix("OPSERDE:").split(",")
        items = [BatchItem(index, BatchStatus.SUCCEEDED, result) for index, result in enumerate(results)]
        return BatchResult(tuple(items), CompletionReason.ALL_COMPLETED)


@durable_execution
async def batch_serializer(event, ctx: DurableContext):
    config = MapConfig(max_concurrency=1, serializer=JoiningSerializer())
    batch = await ctx.map(uppercased, ["x", "y"], name="op-serde", config=config)
    return batch.results()


@durable_execution
async def batch_serializer_on_replay(event, ctx: DurableContext):
    config = MapConfig(max_concurrency=1, serializer=JoiningSerializer())
    batch = await ctx.map(uppercased, ["x", "y"], name="op-serde-replay", config=config)
    await ctx.wait(A_SECOND)
    return batch.results()


HANDLERS = {
    "9-1": basic,
    "9-2": without_a_name,
    "9-3": item_and_index,
    "9-4": no_items,
    "9-5": facts_of(
        ["ok", "fail", "ok"],
        *STATUS_AND_COUNTS,
        name="failfast",
        completion=CompletionConfig(tolerated_failures=0),
    ),
    "9-6": rethrown,
    "9-7": facts_of(
        ["r0", "r1", "r2", "r3"],
        *("completionReason", "successCount", "totalCount"),
        name="min-successful",
        completion=CompletionConfig(min_successful=2),
    ),
    "9-8": facts_of(
        ["ok", "fail", "ok"],
        *STATUS_AND_COUNTS,
        name="tolerated",
        completion=CompletionConfig(tolerated_failures=1),
    ),
    "9-9": facts_of(
        ["fail", "fail", "ok"],
        *COUNTS,
        name="tolerated-exceeded",
        completion=CompletionConfig(tolerated_failures=1),
    ),
    "9-10": facts_of(
        ["fail"] * 4,
        *COUNTS,
        name="tolerated-pct",
        completion=CompletionConfig(tolerated_failure_percentage=25),
    ),
    "9-11": concurrent,
    "9-12": flat,
    "9-13": named_items,
    "9-14": item_serializer,
    "9-15": wait_in_an_item,
    "9-16": large_aggregate,
    "9-17": then_wait,
    "9-18": failure_then_wait,
    "9-19": batch_serializer,
    "9-20": batch_serializer_on_replay,
}
