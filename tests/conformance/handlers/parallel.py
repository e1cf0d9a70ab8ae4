"""Suite ``parallel``: branches, their order and names, and the rules by which a batch ends."""

import json
from datetime import timedelta

from durable_async import (
    CompletionConfig,
    DurableContext,
    NestingType,
    ParallelConfig,
    SerializerContext,
    durable_execution,
)

from .common import fail, same
from .projection import COUNTS, STATUS_AND_COUNTS, projection

ONE_AT_A_TIME = ParallelConfig(max_concurrency=1)


def returning(value):
    async def branch(ctx: DurableContext):
        return value

    return branch


def stepping(value):
    async def branch(ctx: DurableContext):
        return await ctx.step(same, value)

    return branch


async def failing(ctx: DurableContext):
    await fail()


def results_of(branches, *, name: str | None = None, config: ParallelConfig = ONE_AT_A_TIME):
    """A handler that returns the results of a parallel operation, in the order of its branches."""

    @durable_execution
    async def parallel(event, ctx: DurableContext):
        batch = await ctx.parallel(branches, name=name, config=config)
        return batch.results()

    return parallel


def facts_of(branches, *keys: str, name: str, completion: CompletionConfig):
    """A handler that returns what became of a parallel operation with a completion rule."""

    @durable_execution
    async def parallel(event, ctx: DurableContext):
        config = ParallelConfig(max_concurrency=1, completion=completion)
        return projection(await ctx.parallel(branches, name=name, config=config), *keys)

    return parallel


@durable_execution
async def nested(event, ctx: DurableContext):
    async def inner(ctx: DurableContext):
        batch = await ctx.parallel([stepping("i1"), stepping("i2")], name="inner", config=ONE_AT_A_TIME)
        return batch.results()

    batch = await ctx.parallel([inner], name="outer", config=ONE_AT_A_TIME)
    return batch.results()


@durable_execution
async def rethrown(event, ctx: DurableContext):
    config = ParallelConfig(max_concurrency=1, completion=CompletionConfig(tolerated_failures=0))
    batch = await ctx.parallel([failing, returning("r1")], name="throwing", config=config)
    batch.throw_if_error()


async def wait_in_a_branch(ctx: DurableContext):
    await ctx.wait(timedelta(seconds=2))
    return "b1"


class WrappingSerializer:
    """Keeps a value in a JSON object of its own."""

    def serialize(self, value: object, context: SerializerContext) -> str:
        return json.dumps({"wrapped": value})

    def deserialize(self, text: str, context: SerializerContext) -> object:
        return json.loads(text)["wrapped"]


@durable_execution
async def no_concurrency(event, ctx: DurableContext):
    config = ParallelConfig(max_concurrency=0)
    await ctx.parallel([returning("r0"), returning("r1")], name="bad-concurrency", config=config)


ONE_OF_THREE_FAILS = [returning("r0"), failing, returning("r2")]

HANDLERS = {
    "8-1": results_of([stepping("task-1"), stepping("task-2")], name="parallel"),
    "8-2": results_of([returning("alpha"), returning("beta")]),
    "8-3": results_of([("first", returning("one")), ("second", returning("two"))], name="named"),
    "8-4": results_of([returning("hello"), returning(42), returning({"k": "v"})], name="hetero"),
    "8-5": results_of([], name="empty"),
    "8-6": facts_of(
        [returning("ok"), failing, returning("r2")],
        *STATUS_AND_COUNTS,
        name="failfast",
        completion=CompletionConfig(tolerated_failures=0),
    ),
    "8-7": rethrown,
    "8-8": facts_of(
        [returning(f"r{index}") for index in range(4)],
        *("completionReason", "successCount", "totalCount"),
        name="min-successful",
        completion=CompletionConfig(min_successful=2),
    ),
    "8-9": facts_of(
        ONE_OF_THREE_FAILS,
        *STATUS_AND_COUNTS,
        name="tolerated",
        completion=CompletionConfig(tolerated_failures=1),
    ),
    "8-10": facts_of(
        [failing, failing, returning("r2")],
        *COUNTS,
        name="tolerated-exceeded",
        completion=CompletionConfig(tolerated_failures=1),
    ),
    "8-11": results_of(
        [returning("r0"), returning("r1"), returning("r2")], name="concurrent", config=ParallelConfig(max_concurrency=2)
    ),
    "8-12": results_of(
        [stepping("fa"), stepping("fb")],
        name="flat",
        config=ParallelConfig(max_concurrency=1, nesting=NestingType.FLAT),
    ),
    "8-13": facts_of(
        [failing] * 4, *COUNTS, name="tolerated-pct", completion=CompletionConfig(tolerated_failure_percentage=25)
    ),
    "8-14": results_of([stepping("b0"), wait_in_a_branch], name="replay"),
    "8-15": results_of(
        [returning("x"), returning("y")],
        name="serde",
        config=ParallelConfig(max_concurrency=1, item_serializer=WrappingSerializer()),
    ),
    "8-16": facts_of(
        [failing] * 3, *STATUS_AND_COUNTS, name="all-fail", completion=CompletionConfig(tolerated_failures=3)
    ),
    "8-17": facts_of(
        ONE_OF_THREE_FAILS,
        *STATUS_AND_COUNTS,
        name="min-not-reached",
        completion=CompletionConfig(min_successful=3),
    ),
    "8-18": facts_of(
        [failing] * 4,
        *COUNTS,
        name="combined",
        completion=CompletionConfig(min_successful=3, tolerated_failures=1),
    ),
    "8-19": no_concurrency,
    "8-20": facts_of(
        ONE_OF_THREE_FAILS,
        *("hasFailure", "successCount", "failureCount", "errorCount"),
        name="accessors",
        completion=CompletionConfig(tolerated_failures=1),
    ),
    "8-21": nested,
    "8-22": facts_of(
        [failing, *(returning(f"r{index}") for index in range(1, 4))],
        *STATUS_AND_COUNTS,
        name="pct-boundary",
        completion=CompletionConfig(tolerated_failure_percentage=25),
    ),
}
