"""Map, parallel and race, end to end on the service."""

import asyncio
import json
import logging
import random
import threading
from collections import Counter
from contextvars import ContextVar
from datetime import date, timedelta

import pytest

from durable_async import (
    BatchCompletionError,
    BatchItem,
    BatchResult,
    BatchStatus,
    ChildContextError,
    CompletionConfig,
    CompletionReason,
    DurableContext,
    DurableTimeoutError,
    EngineLimits,
    MapConfig,
    NestingType,
    ParallelConfig,
    durable_execution,
)
from durable_async._engine import invocation
from durable_async._wire.ids import operation_id
from durable_async.service.runtime.api import LambdaApi
from durable_async.testing.virtual_time import START
from tests.world import NO_START_BEFORE_ITS_END, World

HOUR = timedelta(hours=1)
FLAT = NestingType.FLAT
STARTED, SUCCEEDED, FAILED = BatchStatus.STARTED, BatchStatus.SUCCEEDED, BatchStatus.FAILED
KIB = 1024


async def same(value):
    return value


async def stepped(ctx, item):
    return await ctx.step(same, item, name=f"step {item}")


async def failing(ctx, item):
    raise ValueError(f"no {item}")


async def odd_only(ctx, item):
    if item % 2 == 0:
        raise ValueError(f"no {item}")
    return item


async def waiting(ctx):
    await ctx.wait(HOUR)


async def at_once(ctx):
    return "at once"


async def at_once_failing(ctx):
    raise KeyError("at once")


def facts(batch):
    return [batch.completion_reason, batch.status, [item.status for item in batch.items]]


def again(batch):
    """A batch as one can compare it: errors compare by identity."""
    return [
        batch.completion_reason,
        *((i.index, i.name, i.status, i.result, i.error and (type(i.error), i.error.args)) for i in batch.items),
    ]


async def both_runs(operation, world=None):
    """What the operation gives on the first run and on a replay of its record."""
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        seen.append(await operation(ctx))
        await ctx.wait(HOUR, name="then")

    async with world or World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED", closed.error
    assert len(seen) == 2
    return seen


# --- what is recorded ---


async def test_a_map_is_a_context_of_contexts():
    @durable_execution
    async def workflow(event, ctx):
        return (await ctx.map(stepped, "ab")).results()

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        started = [event for event in await world.events(arn) if event["EventType"].endswith("Started")]
    assert closed.result == '["a", "b"]'
    batch = operation_id("", 1)
    a, b = operation_id(batch, 0), operation_id(batch, 1)  # from 0, as in the official SDK for Python
    assert [(each.get("SubType"), each.get("Name"), each["Id"], each.get("ParentId")) for each in started[1:]] == [
        ("Map", "stepped", batch, None),
        ("MapIteration", "map-item-0", a, batch),
        ("Step", "step a", operation_id(a, 1), a),
        ("MapIteration", "map-item-1", b, batch),
        ("Step", "step b", operation_id(b, 1), b),
    ]
    assert [len(call) for call in world.calls] == [7, 2, 1]


async def test_a_flat_map_has_no_contexts_for_its_items_and_the_same_ids():
    @durable_execution
    async def workflow(event, ctx):
        return (await ctx.map(stepped, "ab", name="m", config=MapConfig(nesting=FLAT))).results()

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        started = [event for event in await world.events(arn) if event["EventType"].endswith("Started")]
    assert closed.result == '["a", "b"]'
    batch = operation_id("", 1)
    assert [(each.get("Name"), each["Id"], each.get("ParentId")) for each in started[1:]] == [
        ("m", batch, None),
        ("step a", operation_id(operation_id(batch, 0), 1), batch),
        ("step b", operation_id(operation_id(batch, 1), 1), batch),
    ]
    assert [len(call) for call in world.calls] == [5, 1]


async def test_the_record_of_a_batch_is_plain_json():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.map(odd_only, [0, 1], config=MapConfig(completion=CompletionConfig.all_completed()))

    async with World() as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        [*_, recorded] = [e for e in await world.events(arn) if e["EventType"] == "ContextSucceeded"]
    payload = json.loads(recorded["ContextSucceededDetails"]["Result"]["Payload"])
    assert payload["completionReason"] == "ALL_COMPLETED"
    assert payload["all"][0]["error"].pop("StackTrace")
    assert payload["all"] == [
        {
            "index": 0,
            "status": "FAILED",
            "result": None,
            "error": {"ErrorMessage": "no 0", "ErrorType": "ValueError"},
        },
        {"index": 1, "status": "SUCCEEDED", "result": 1, "error": None},
    ]


@pytest.mark.parametrize("nesting", NestingType)
@pytest.mark.parametrize("operation", ["map", "parallel"])
async def test_nothing_to_do_is_recorded_too(operation, nesting):
    @durable_execution
    async def workflow(event, ctx):
        run = ctx.map(stepped, [], config=MapConfig(nesting=nesting)) if operation == "map" else ctx.parallel([])
        return facts(await run)

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["ALL_COMPLETED", "SUCCEEDED", []]
    assert len(world.calls) == 1 and len(world.calls[0]) == 2


async def test_names():
    @durable_execution
    async def workflow(event, ctx):
        namer = MapConfig(item_namer=lambda item, index: f"{item}-{index}")
        a = await ctx.map(at_once_with, "xy", config=namer)
        b = await ctx.parallel([("first", at_once), at_once, ("", at_once)])
        return [[item.name for item in batch.items] for batch in (a, b)]

    async def at_once_with(ctx, item):
        return item

    async with World() as world:
        closed = await world.run(workflow)
    names = json.loads(closed.result)
    assert names == [["x-0", "y-1"], ["first", "parallel-branch-1", None]]
    starts = [update for call in world.calls for update in call if update.startswith("START")]
    assert starts == [
        *["START at_once_with", "START x-0", "START y-1"],
        *["START CONTEXT", "START first", "START parallel-branch-1", "START CONTEXT"],
    ]


# --- the result ---


@pytest.mark.parametrize("nesting", NestingType)
async def test_a_batch_is_the_same_on_a_replay_and_enters_no_item_again(nesting):
    entered = Counter()

    async def item(ctx, n):
        entered[n] += 1
        return await odd_only(ctx, n)

    config = MapConfig(completion=CompletionConfig.all_completed(), nesting=nesting)
    first, replayed = await both_runs(lambda ctx: ctx.map(item, range(4), config=config))
    assert again(first) == again(replayed)
    assert entered == dict.fromkeys(range(4), 1)
    assert first.results(partial=True) == [1, 3]
    assert [str(error) for error in first.errors()] == ["no 0", "no 2"]
    assert first.errors()[0].error_type == "ValueError" and first.errors()[0].operation_name == "map-item-0"
    assert first.status is FAILED and (first.success_count, first.failure_count, first.total_count) == (2, 2, 4)
    assert [item.index for item in first.succeeded] == [1, 3] and [item.index for item in first.failed] == [0, 2]
    with pytest.raises(ChildContextError, match="no 0"):
        replayed.throw_if_error()


async def test_results_come_back_as_the_type_that_the_function_returns():
    async def day(ctx: DurableContext, n: int) -> date:
        return date(2026, 1, n)

    async def anniversary(ctx: DurableContext) -> set[date]:
        return {date(2026, 1, 1)}

    async def undeclared(ctx, n):
        return await day(ctx, n)

    async def days(ctx):
        return [
            (await ctx.map(day, [1, 2])).results(),
            (await ctx.parallel([anniversary])).results(),
            (await ctx.map(undeclared, [3], returns=date)).results(),
            (await ctx.map(undeclared, [1])).results(),
        ]

    for run in await both_runs(days):
        assert run == [[date(2026, 1, 1), date(2026, 1, 2)], [{date(2026, 1, 1)}], [date(2026, 1, 3)], ["2026-01-01"]]


async def test_none_is_a_result():
    for run in await both_runs(lambda ctx: ctx.map(lambda ctx, _: same(None), range(2))):
        assert run.results() == [None, None] and run.started_count == 0


async def test_a_batch_can_be_a_result():
    async def inner(ctx: DurableContext, n: int) -> BatchResult[date]:
        return await ctx.map(lambda ctx, day: same(date(2026, n, day)), [1, 2], returns=date)

    for run in await both_runs(lambda ctx: ctx.map(inner, [1, 2])):
        assert [batch.results() for batch in run.results()] == [
            [date(2026, 1, 1), date(2026, 1, 2)],
            [date(2026, 2, 1), date(2026, 2, 2)],
        ]


class Rot13:
    """Writes no JSON, and takes its time."""

    def __init__(self):
        self.read = []

    async def serialize(self, value, context):
        await asyncio.sleep(0)
        return "".join(reversed(f"<{value}>"))

    async def deserialize(self, text, context):
        await asyncio.sleep(0)
        self.read.append((context.operation_name, text))
        return "".join(reversed(text))[1:-1]


@pytest.mark.parametrize("nesting", NestingType)
async def test_what_a_serializer_of_items_writes_is_what_the_batch_records(nesting):
    serializer = Rot13()
    config = MapConfig(item_serializer=serializer, nesting=nesting)
    world = World()
    first, replayed = await both_runs(lambda ctx: ctx.map(lambda ctx, x: same(x), ["é", "b"], config=config), world)
    assert first == replayed and first.results() == ["é", "b"]
    assert serializer.read == [("map-item-0", ">é<"), ("map-item-1", ">b<")] * 2


class Joined:
    def serialize(self, value, context):
        return ",".join(value.results())

    def deserialize(self, text, context):
        items = [BatchItem(index, SUCCEEDED, result) for index, result in enumerate(text.split(","))]
        return BatchResult(tuple(items), CompletionReason.ALL_COMPLETED)


@pytest.mark.parametrize("length", [1, 150 * KIB], ids=["small", "large"])
async def test_a_serializer_of_the_whole_batch(length):
    items = ["a" * length, "b" * length]
    config = MapConfig(serializer=Joined())
    first, replayed = await both_runs(lambda ctx: ctx.map(lambda ctx, x: same(x), items, config=config))
    assert first == replayed and first.results() == items


async def test_a_serializer_of_the_whole_batch_must_make_a_batch():
    class Forgetful(Joined):
        def deserialize(self, text, context):
            return text

    @durable_execution
    async def workflow(event, ctx):
        await ctx.map(lambda ctx, x: same(x), "ab", name="m", config=MapConfig(serializer=Forgetful()))

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED" and "must read a BatchResult, not a str" in closed.error["ErrorMessage"]
    assert world.calls[-1] == ["FAIL m"]


# --- results that are too large ---


@pytest.mark.parametrize("nesting", NestingType)
async def test_a_large_result_is_made_again_from_the_records_of_the_items(nesting):
    ran = Counter()

    async def body(n):
        ran[n] += 1
        return str(n) * 100 * KIB

    async def item(ctx, n):
        large = await ctx.step(body, n)
        if n == 3:
            raise ValueError(large[:3])
        return large

    async def mixed(ctx):
        branches = [lambda ctx, n=n: item(ctx, n) for n in range(4)]
        completion = CompletionConfig(custom=lambda p: SUCCEEDED if p.completed == 4 else None)
        config = ParallelConfig(completion=completion, nesting=nesting, summary=lambda batch: f"{len(batch.items)}!")
        return await ctx.parallel([*branches, waiting, at_once], name="large", config=config)

    @durable_execution
    async def workflow(event, ctx):
        results.append(await mixed(ctx))
        await ctx.wait(timedelta(minutes=1))

    results = []
    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        [recorded] = [
            e for e in await world.events(arn) if e["EventType"] == "ContextSucceeded" and e.get("Name") == "large"
        ]
        await world.finish(arn)
    first, replayed = results
    assert again(first) == again(replayed)
    assert ran == dict.fromkeys(range(4), 1)
    summary = json.loads(recorded["ContextSucceededDetails"]["Result"]["Payload"])
    assert summary["type"] == "ParallelResult" and summary["summary"] == "6!" and summary["totalCount"] == 6
    assert len(summary["startedIndexes"]) == 2 and 4 in summary["startedIndexes"]
    assert facts(replayed)[:2] == ["CUSTOM_COMPLETION_SUCCEEDED", SUCCEEDED]


async def test_an_item_that_is_too_large_itself_is_made_again_too():
    entered = Counter()

    async def item(ctx, n):
        entered[n] += 1
        small = await ctx.step(same, n)
        return str(small) * 300 * KIB

    first, replayed = await both_runs(lambda ctx: ctx.map(item, range(2)))
    assert first == replayed and len(first.results()[1]) == 300 * KIB
    assert entered == {0: 2, 1: 2}


class OlderSummaries(LambdaApi):
    """Records the summary of a large map as older SDKs wrote it, which does not say which items had ended."""

    async def checkpoint(self, arn, token, updates, client_token=None):
        summary = '{"type": "MapResult", "totalCount": 2}'
        older = [{**each, "Payload": summary} if '"MapResult"' in each.get("Payload", "") else each for each in updates]
        return await super().checkpoint(arn, token, older, client_token)


async def old_summary(nesting):
    world = World()
    world.service = OlderSummaries(clock=world.clock)

    async def item(ctx, n):
        return await (ctx.wait(HOUR) if n else same("x" * 300 * KIB))

    completion = CompletionConfig.first_successful()
    config = MapConfig(max_concurrency=2, completion=completion, nesting=nesting)
    return await both_runs(lambda ctx: ctx.map(item, range(3), config=config), world)


async def test_without_a_summary_the_records_of_the_items_say_it_all():
    first, replayed = await old_summary(NestingType.NESTED)
    assert again(first) == again(replayed)
    assert facts(replayed) == ["MIN_SUCCESSFUL_REACHED", "SUCCEEDED", ["SUCCEEDED", "STARTED"]]


async def test_without_a_summary_and_records_of_items_nothing_is_guessed():
    with pytest.raises(AssertionError, match="its record does not say"):
        await old_summary(FLAT)


async def test_a_summary_that_fails_fails_the_batch():
    @durable_execution
    async def workflow(event, ctx):
        config = MapConfig(summary=lambda batch: 1 / 0)
        try:
            await ctx.map(lambda ctx, n: same("x" * 300 * KIB), range(1), name="m", config=config)
        except ChildContextError as error:
            await ctx.wait(HOUR)
            return [error.error_type, error.operation_name]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["ZeroDivisionError", "m"]
    assert ["FAIL m"] in world.calls


# --- when a batch ends ---


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (CompletionConfig(), ["FAILURE_TOLERANCE_EXCEEDED", "FAILED", ["FAILED"]]),
        (CompletionConfig.all_successful(), ["FAILURE_TOLERANCE_EXCEEDED", "FAILED", ["FAILED"]]),
        (CompletionConfig.first_successful(), ["MIN_SUCCESSFUL_REACHED", "FAILED", ["FAILED", "SUCCEEDED"]]),
        (
            CompletionConfig.all_completed(),
            ["ALL_COMPLETED", "FAILED", ["FAILED", "SUCCEEDED", "FAILED", "SUCCEEDED"]],
        ),
        (
            CompletionConfig(tolerated_failures=1),
            ["FAILURE_TOLERANCE_EXCEEDED", "FAILED", ["FAILED", "SUCCEEDED", "FAILED"]],
        ),
        (
            CompletionConfig(tolerated_failure_percentage=49),
            ["FAILURE_TOLERANCE_EXCEEDED", "FAILED", ["FAILED", "SUCCEEDED", "FAILED"]],
        ),
        (
            CompletionConfig(custom=lambda progress: FAILED if progress.succeeded else None),
            ["CUSTOM_COMPLETION_FAILED", "FAILED", ["FAILED", "SUCCEEDED"]],
        ),
        (
            CompletionConfig(custom=lambda progress: SUCCEEDED if progress.failed else None),
            ["CUSTOM_COMPLETION_SUCCEEDED", "SUCCEEDED", ["FAILED"]],
        ),
        (CompletionConfig(custom=lambda progress: SUCCEEDED), ["CUSTOM_COMPLETION_SUCCEEDED", "SUCCEEDED", []]),
    ],
)
@pytest.mark.parametrize("nesting", NestingType)
async def test_one_at_a_time_it_ends_exactly_when_its_rule_says(completion, expected, nesting):
    config = MapConfig(max_concurrency=1, completion=completion, nesting=nesting)
    for run in await both_runs(lambda ctx: ctx.map(odd_only, range(4), config=config)):
        assert facts(run) == expected


async def test_a_custom_completion_sees_how_far_each_item_is():
    seen = []

    def watch(progress):
        seen.append((progress.succeeded, progress.failed, progress.total, list(progress.statuses)))

    config = MapConfig(max_concurrency=1, completion=CompletionConfig(custom=watch))
    await both_runs(lambda ctx: ctx.map(odd_only, [1, 2], config=config))
    assert seen == [
        (0, 0, 2, [None, None]),
        (1, 0, 2, [SUCCEEDED, None]),
        (1, 1, 2, [SUCCEEDED, FAILED]),
    ]


async def test_a_custom_completion_that_raises_fails_the_batch():
    @durable_execution
    async def workflow(event, ctx):
        completion = CompletionConfig(custom=lambda progress: 1 / progress.completed)
        try:
            await ctx.parallel([at_once], name="p", config=ParallelConfig(completion=completion))
        except ChildContextError as error:
            await ctx.wait(HOUR)
            return error.error_type

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        closed = await world.run(workflow)
    assert closed.result == '"ZeroDivisionError"'
    assert world.calls[0] == ["START p", "FAIL p"]


async def test_failed_by_its_custom_completion_without_a_failed_item():
    completion = CompletionConfig(custom=lambda progress: FAILED if progress.completed else None)
    for run in await both_runs(lambda ctx: ctx.parallel([at_once], config=ParallelConfig(completion=completion))):
        with pytest.raises(BatchCompletionError, match="1 of 1 started items succeeded"):
            run.throw_if_error()


@pytest.mark.parametrize(
    "make",
    [
        lambda: MapConfig(max_concurrency=0),
        lambda: CompletionConfig(min_successful=0),
        lambda: CompletionConfig(tolerated_failures=-1),
        lambda: CompletionConfig(tolerated_failure_percentage=100.1),
        lambda: CompletionConfig(tolerated_failure_percentage=float("nan")),
        lambda: CompletionConfig(custom=bool, min_successful=1),
        lambda: ParallelConfig(nesting="DEEP"),
    ],
)
def test_values_out_of_bounds_are_refused_where_they_are_made(make):
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: MapConfig(max_concurrency=1.5),
        lambda: MapConfig(max_concurrency=True),
        lambda: CompletionConfig(tolerated_failure_percentage="1"),
        lambda: CompletionConfig(custom=1),
        lambda: MapConfig(completion=3),
        lambda: MapConfig(item_namer=3),
        lambda: MapConfig(serializer=Rot13),
        lambda: ParallelConfig(item_serializer=3),
    ],
)
def test_values_of_the_wrong_type_are_refused_where_they_are_made(make):
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize(
    "ask",
    [
        lambda ctx: ctx.map(stepped, [1], config=MapConfig(completion=CompletionConfig(min_successful=2))),
        lambda ctx: ctx.parallel([], config=ParallelConfig(completion=CompletionConfig.first_successful())),
        lambda ctx: ctx.map(stepped, [1], config=MapConfig(item_namer=lambda item, index: "ä")),
        lambda ctx: ctx.race(),
    ],
)
async def test_what_cannot_be_is_refused_before_an_id_is_taken(ask):
    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(ValueError):
            ask(ctx)
        await ctx.step(same, 1)

    async with World() as world:
        arn = await world.start(workflow)
        assert (await world.finish(arn)).status == "SUCCEEDED"
        assert (await world.events(arn))[1]["Id"] == operation_id("", 1)


# --- concurrency ---


@pytest.mark.parametrize("nesting", NestingType)
async def test_no_more_run_at_once_than_allowed_and_they_start_in_order(nesting):
    running, started, most = set(), [], 0

    async def item(ctx, n):
        nonlocal most
        started.append(n)
        running.add(n)
        most = max(most, len(running))
        for _ in range(random.Random(n).randrange(9)):
            await ctx.step(asyncio.sleep, 0)
        running.discard(n)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.map(item, range(20), config=MapConfig(max_concurrency=3, nesting=nesting))

    async with World() as world:
        await world.run(workflow)
    assert most == 3
    assert started == list(range(20))


async def test_an_item_that_waits_keeps_its_place():
    log = []

    async def item(ctx, n):
        log.append(f"{n} at {hours(world)}")
        await ctx.wait(HOUR)

    def hours(world):
        return round((world.clock() - START.timestamp()) / 3600)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.map(item, range(5), config=MapConfig(max_concurrency=2))

    async with World() as world:
        await world.run(workflow)
        assert hours(world) == 3
    assert list(dict.fromkeys(log)) == [
        *["0 at 0", "1 at 0"],
        *["0 at 1", "1 at 1", "2 at 1", "3 at 1"],
        *["2 at 2", "3 at 2", "4 at 2"],
        "4 at 3",
    ]


async def test_batches_in_batches_in_tasks():
    async def leaf(ctx, n):
        value = await ctx.step(same, n)
        await ctx.wait(timedelta(minutes=n % 3 + 1))
        return await ctx.step(same, value + 1)

    async def branch(ctx, n):
        inner = await ctx.map(leaf, [10 * n, 10 * n + 1], config=MapConfig(max_concurrency=n))
        return sum(inner.results())

    @durable_execution
    async def workflow(event, ctx):
        return [
            batch.results()
            for batch in await asyncio.gather(
                ctx.map(branch, [1, 2], name="left"),
                ctx.map(branch, [3, 4], name="right", config=MapConfig(nesting=FLAT)),
            )
        ]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [[23, 43], [63, 83]]


async def test_items_see_the_context_variables_of_the_batch_and_not_each_others():
    variable = ContextVar("variable", default=0)

    async def item(ctx, n):
        seen = variable.get()
        variable.set(n)
        return seen

    @durable_execution
    async def workflow(event, ctx):
        variable.set(7)
        return (await ctx.map(item, range(3), config=MapConfig(max_concurrency=1))).results()

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "[7, 7, 7]"


async def test_the_outer_context_can_be_used_in_an_item():
    @durable_execution
    async def workflow(event, outer):
        async def item(ctx, n):
            return [await outer.step(same, n), await ctx.step(same, -n)]

        return (await outer.map(item, [1, 2])).results()

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "[[1, -1], [2, -2]]"


# --- what an early end leaves behind ---


def after(calls, name):
    """The updates that were sent after the one of this name."""
    updates = [update for call in calls for update in call]
    return updates[updates.index(name) + 1 :]


FIRST = ParallelConfig(completion=CompletionConfig.first_successful())


async def test_a_batch_does_not_wait_for_items_that_wait():
    async def raced(ctx):
        return await ctx.parallel([waiting, at_once], config=FIRST)

    world = World()
    for run in await both_runs(raced, world):
        assert facts(run) == ["MIN_SUCCESSFUL_REACHED", "SUCCEEDED", ["STARTED", "SUCCEEDED"]]
    assert world.invocations == 2


async def test_the_time_after_a_batch_is_that_of_its_end():
    async def end(ctx):
        before = ctx.now()
        await ctx.parallel([waiting])
        return ctx.now() - before

    times = await both_runs(end)  # the batch ends some microseconds after its wait
    assert [timedelta(seconds=round(time.total_seconds(), 3)) for time in times] == [HOUR, HOUR]
    assert times[0] == times[1]


async def test_what_still_runs_is_cancelled_and_cleans_up_before_the_batch_returns():
    log = []

    async def slow(ctx):
        async def body():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                log.append("body cancelled")
                raise

        try:
            await ctx.step(body)
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            log.append("item cleaned up")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.parallel([slow, at_once], name="p", config=FIRST)
        log.append("batch returned")

    async with World() as world:
        await world.run(workflow)
    assert log == ["body cancelled", "item cleaned up", "batch returned"]
    assert after(world.calls, "SUCCEED p") == []


async def test_one_that_takes_its_cancellation_for_a_failure_cannot_write():
    refused = []

    async def stubborn(ctx):
        try:
            await ctx.step(asyncio.sleep, 3600, name="slow")
        except BaseException:
            try:
                await ctx.step(same, 1, name="recovery")
            except BaseException as error:
                refused.append(type(error))
                raise

    async def swallowing(ctx):
        async def body():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return "as if nothing had been"

        await ctx.step(body, name="swallowing")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.parallel([stubborn, swallowing, at_once], name="p", config=FIRST)
        await ctx.wait(HOUR)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    assert refused == [asyncio.CancelledError]
    assert after(world.calls, "SUCCEED p") == ["START WAIT"]
    assert world.invocations == 2


async def test_one_that_goes_round_for_ever_is_left_behind_at_once(caplog):
    free = False

    async def endless(ctx):
        while not free:
            try:
                await ctx.step(asyncio.sleep, 3600, name="slow")
            except BaseException:
                if free:
                    raise

    @durable_execution(limits=EngineLimits(clean_up=3600))
    async def workflow(event, ctx):
        return (await ctx.parallel([endless, at_once], name="p", config=FIRST)).results()

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '["at once"]'
    assert after(world.calls, "SUCCEED p") == []
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "abandoned" in record.getMessage() and "endless" in record.getMessage()
    [left] = invocation._abandoned
    free = True
    left.cancel()
    await asyncio.wait([left])
    invocation._abandoned.clear()


async def test_a_body_in_a_worker_thread_is_not_waited_for():
    release, ended = threading.Event(), threading.Event()

    def blocking():
        release.wait(10)
        ended.set()

    async def slow(ctx):
        await ctx.step(blocking)

    async def quick(ctx):
        while not any("START blocking" in call for call in world.calls):
            await ctx.step(asyncio.sleep, 0.01, name="nap")

    @durable_execution
    async def workflow(event, ctx):
        await ctx.parallel([slow, quick], name="p", config=FIRST)
        return ended.is_set()

    async with World() as world:
        closed = await world.run(workflow)
        release.set()
        await asyncio.to_thread(ended.wait, 10)
    assert closed.result == "false"
    assert after(world.calls, "SUCCEED p") == []


async def test_tasks_that_an_item_started_end_with_it():
    tasks = []

    async def busy(ctx):
        async with asyncio.TaskGroup() as group:
            tasks.extend(group.create_task(ctx.wait(HOUR)) for _ in range(3))

    @durable_execution
    async def workflow(event, ctx):
        await ctx.parallel([busy, at_once], config=FIRST)
        return [task.done() for task in tasks]

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "[true, true, true]" and world.invocations == 1


async def test_a_batch_that_is_cancelled_takes_its_items_with_it():
    log = []

    async def item(ctx, n):
        try:
            await ctx.step(asyncio.sleep, 3600, name=f"slow {n}")
        finally:
            await asyncio.sleep(0)
            log.append(n)

    @durable_execution
    async def workflow(event, ctx):
        task = asyncio.create_task(ctx.map(item, range(3), name="m"))
        while not world.calls:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        log.append("gone")

    async with World() as world:
        await world.run(workflow)
    assert {*log[:-1]} == {0, 1, 2} and log[3:] == ["gone"]
    assert not any(update.startswith("SUCCEED") for call in world.calls for update in call)


async def test_on_a_suspension_each_item_cleans_up_once_and_undisturbed():
    log = []

    async def item(ctx, n):
        try:
            await ctx.wait(HOUR)
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            log.append(n)

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.map(item, range(50))
        finally:
            log.append("batch")

    async with World() as world:
        await world.start(workflow)
        await world.settle()
    assert {*log[:-1]} == {*range(50)} and log[50:] == ["batch"]


async def test_a_deadline_over_a_batch():
    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.timeout(timedelta(minutes=1)):
                await ctx.parallel([waiting, at_once])
        except DurableTimeoutError:
            await ctx.wait(HOUR)
            return "too late"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"too late"'


async def test_an_item_that_cancels_itself_fails_no_item():
    async def suicidal(ctx):
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @durable_execution
    async def workflow(event, ctx):
        await ctx.parallel([waiting, suicidal], name="p")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED" and closed.error["ErrorType"] == "asyncio.exceptions.CancelledError"
    assert not any("SUCCEED p" in call or "FAIL parallel-branch-1" in call for call in world.calls)


# --- a workflow that changed ---


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param({"nesting": NestingType.NESTED}, {"nesting": FLAT}, id="from nested to flat"),
        pytest.param({}, {"item_namer": lambda item, index: f"other {index}"}, id="another name"),
    ],
)
async def test_another_item_on_record_fails_the_execution_and_no_item(before, now):
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        config = MapConfig(**(before if len(runs) == 1 else now), completion=CompletionConfig.all_completed())
        await ctx.map(lambda ctx, n: waiting(ctx), range(2), name="m", config=config)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert not any("SUCCEED m" in call or "FAIL m" in call for call in world.calls)


async def test_a_large_flat_batch_is_no_nested_one():
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        config = MapConfig(nesting=FLAT if len(runs) == 1 else NestingType.NESTED)
        await ctx.map(lambda ctx, n: same("x" * 300 * KIB), range(2), name="m", config=config)
        await ctx.wait(HOUR)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "expected flat MapIteration 'map-item-0'" in closed.error["ErrorMessage"]


async def test_fewer_items_than_on_record():
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        await ctx.map(stepped, range(3 - len(runs)), name="m")
        await ctx.wait(HOUR)

    async with World() as world:
        closed = await world.run(workflow)
    assert "item 1 is on record, and only 1 are given" in closed.error["ErrorMessage"]


# --- a race ---


async def test_the_first_branch_to_end_wins_a_race_and_wins_it_again_on_a_replay():
    ran = Counter()

    async def slow(ctx):
        ran["slow"] += 1
        await ctx.wait(timedelta(minutes=2))
        return "slow"

    async def quick(ctx):
        ran["quick"] += 1
        await ctx.wait(timedelta(minutes=1))
        return "quick"

    @durable_execution
    async def workflow(event, ctx):
        winners.append(await ctx.race(slow, ("quick", quick), name="race"))
        await ctx.wait(HOUR)

    winners = []
    async with World() as world:
        await world.run(workflow)
    assert winners == ["quick"] * 3  # when it had won, when the slow one would have ended, and after the hour
    assert ran == {"slow": 2, "quick": 2}


async def test_a_failure_wins_a_race_too():
    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.race(waiting, at_once_failing)
        except ChildContextError as error:
            await ctx.wait(HOUR)
            return [error.error_type, error.operation_name]

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["KeyError", "parallel-branch-1"]


async def test_branches_that_end_together_have_one_winner():
    winners = await both_runs(lambda ctx: ctx.race(*(lambda ctx, n=n: stepped(ctx, n) for n in range(50))))
    assert winners[0] == winners[1]


async def test_a_winner_may_be_large():
    large = "x" * 300 * KIB
    assert await both_runs(lambda ctx: ctx.race(waiting, lambda ctx: same(large))) == [large, large]


# --- crashes ---


def program(ran, config):
    async def body(label):
        ran[label] += 1
        return label

    async def item(ctx, n):
        label = await ctx.step(body, f"{n}.0", name=f"{n}.0")
        if n % 3 == 0:
            await ctx.wait(timedelta(seconds=n + 1))
        if n % 4 == 3:
            raise ValueError(label)
        inner = await ctx.parallel([lambda ctx, k=k: ctx.step(body, f"{n}.{k}", name=f"{n}.{k}") for k in (1, 2)])
        return [label, *inner.results()]

    @durable_execution
    async def workflow(event, ctx):
        batch = await ctx.map(item, range(8), name="m", config=config)
        return [facts(batch), batch.results(partial=True), [str(error) for error in batch.errors()]]

    return workflow


@pytest.mark.parametrize("nesting", NestingType)
@pytest.mark.parametrize("limit", [None, 1, 3])
async def test_a_crash_changes_nothing_and_repeats_nothing_that_is_recorded(limit, nesting):
    config = MapConfig(max_concurrency=limit, completion=CompletionConfig.all_completed(), nesting=nesting)

    async def execute(crash_after):
        ran = Counter()
        async with World() as world:
            world.crash_after = crash_after
            closed = await world.run(program(ran, config))
        return closed.result, ran, world

    result, ran, world = await execute(None)
    assert json.loads(result)[0][0] == "ALL_COMPLETED" and set(ran.values()) == {1}
    for crash_after in range(len(world.calls)):
        repeated, ran, crashed = await execute(crash_after)
        assert repeated == result
        again = {label for label, count in ran.items() if count > 1}
        assert not again & crashed.recorded_before_the_crash
        assert max(ran.values()) <= 2


async def test_finished_items_of_a_batch_in_progress_take_no_task():
    tasks = []

    async def item(ctx, n):
        return await (ctx.step(same, n) if n else ctx.wait(HOUR))

    @durable_execution
    async def workflow(event, ctx):
        before = asyncio.all_tasks()
        running = asyncio.create_task(ctx.map(item, range(100)))
        await asyncio.sleep(0)
        tasks.append(sum("_Run" in repr(task) for task in asyncio.all_tasks() - before))
        return len((await running).results())

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "100"
    assert tasks == [100, 1]


# --- sizes ---


@pytest.mark.parametrize(
    ("items", "config", "calls"),
    [
        pytest.param(1000, MapConfig(), 18, id="1,000"),  # 4,002 updates, 250 a call, and the last one for itself
        pytest.param(1000, MapConfig(nesting=FLAT), 10, id="1,000 flat"),
        pytest.param(1000, MapConfig(max_concurrency=100), 31, id="1,000, 100 at a time"),
        pytest.param(10_000, MapConfig(max_concurrency=1000), 162, id="10,000", marks=pytest.mark.slow),
    ],
)
async def test_many_items_cost_few_calls(items, config, calls):
    @durable_execution
    async def workflow(event, ctx):
        return sum((await ctx.map(stepped, range(items), config=config)).results())

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == str(sum(range(items)))
    assert len(world.calls) <= calls


async def test_a_thousand_items_that_wait_suspend_and_go_on():
    @durable_execution
    async def workflow(event, ctx):
        return len((await ctx.map(lambda ctx, n: waiting(ctx), range(1000))).results())

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "1000"
    assert world.invocations == 2
