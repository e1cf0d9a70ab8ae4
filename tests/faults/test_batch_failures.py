"""A batch with failed items does not pass for a success."""

import asyncio
import json
import logging
import pickle
from datetime import timedelta

import pytest

from durable_async import (
    BatchCompletionError,
    BatchStatus,
    ChildContextError,
    CompletionConfig,
    DurableContext,
    MapConfig,
    ParallelConfig,
    durable_execution,
)
from tests.world import World

pytestmark = pytest.mark.anyio


async def picky(ctx: DurableContext, n: int) -> int:
    if n % 2:
        raise ValueError(f"no {n}")
    return n


async def result_of(workflow):
    async with World() as world:
        closed = await world.run(durable_execution(workflow))
    return json.loads(closed.result) if closed.status == "SUCCEEDED" else closed.error


async def test_results_of_a_batch_with_failed_items_raise_and_fail_the_execution():
    async def workflow(event, ctx):
        return (
            await ctx.map(picky, [0, 1, 2, 3], config=MapConfig(completion=CompletionConfig.all_completed()))
        ).results()

    error = await result_of(workflow)
    assert error["ErrorType"] == "durable_async.errors.BatchCompletionError"
    assert error["ErrorMessage"] == (
        "2 of 4 started items of the batch failed, the first of them with ValueError: no 1. For the results of the others, "
        "call results(partial=True)"
    )


@pytest.mark.parametrize(
    "completion",
    [
        CompletionConfig(),
        CompletionConfig.all_completed(),
        CompletionConfig(tolerated_failures=2),
        CompletionConfig(min_successful=2),
        CompletionConfig(custom=lambda progress: BatchStatus.SUCCEEDED if progress.completed == 4 else None),
    ],
    ids=["default", "all", "tolerated", "min", "custom"],
)
async def test_partial_results_are_asked_for_by_name_whatever_the_rule(completion):
    async def workflow(event, ctx):
        config = MapConfig(max_concurrency=1, completion=completion)
        batch = await ctx.map(picky, [0, 1, 2, 4], config=config)
        with pytest.raises(BatchCompletionError) as raised:
            batch.results()
        error = raised.value
        assert error.__cause__ is error.errors[0]
        assert [each.operation_name for each in error.errors] == ["map-item-1"]
        assert isinstance(error.errors[0], ChildContextError) and error.errors[0].error_type == "ValueError"
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error) and again.errors[0].stack_trace == error.errors[0].stack_trace
        return batch.results(partial=True)

    assert (await result_of(workflow))[:1] == [0]


async def test_results_without_failures_are_the_same_either_way():
    async def workflow(event, ctx):
        batch = await ctx.map(
            picky, [0, 2, 4], config=MapConfig(completion=CompletionConfig(min_successful=2), max_concurrency=1)
        )
        return [batch.results(), batch.results(partial=True)]

    assert await result_of(workflow) == [[0, 2], [0, 2]]


async def test_a_batch_that_its_own_rule_failed_has_no_results_without_asking():
    async def workflow(event, ctx):
        rule = CompletionConfig(custom=lambda progress: BatchStatus.FAILED if progress.completed else None)
        batch = await ctx.map(picky, [0, 2], config=MapConfig(completion=rule, max_concurrency=1))
        with pytest.raises(BatchCompletionError, match="custom completion ended the batch as failed") as raised:
            batch.results()
        assert raised.value.errors == () and raised.value.__cause__ is None
        return batch.results(partial=True)

    assert await result_of(workflow) == [0]


async def test_a_batch_that_ends_as_failed_is_logged_once_without_its_data(caplog):
    async def branch(ctx):
        raise ValueError("secret of a customer")

    async def workflow(event, ctx):
        await ctx.parallel([branch], name="load", config=ParallelConfig(completion=CompletionConfig.all_completed()))
        await ctx.map(picky, [0, 2], name="fine")
        await ctx.wait(timedelta(minutes=1))
        return 1

    with caplog.at_level(logging.WARNING, "durable_async"):
        assert await result_of(workflow) == 1
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(texts) == 1
    assert (
        "Parallel 'load' ended FAILED (ALL_COMPLETED): 1 of 1 started items failed, the first with ValueError"
        in texts[0]
    )
    assert "secret" not in texts[0]


async def test_a_race_whose_first_has_succeeded_is_no_failed_batch(caplog):
    async def slow(ctx):
        await asyncio.sleep(3600)

    async def fast(ctx):
        return 1

    async def workflow(event, ctx):
        return await ctx.race(slow, fast)

    with caplog.at_level(logging.WARNING, "durable_async"):
        assert await result_of(workflow) == 1
    assert not caplog.records


class Stopped(BaseException):
    """As pytest's and other libraries' own, which are no errors of the program."""


async def test_what_is_no_exception_of_an_item_fails_the_execution_and_does_not_leave_the_batch_waiting():
    async def stopping(ctx, item):
        await asyncio.sleep(0)
        raise Stopped(item)

    async def workflow(event, ctx):
        await ctx.map(stopping, ["a", "b"])

    async with asyncio.timeout(20):
        error = await result_of(workflow)
    assert error["ErrorType"].endswith("Stopped")
    assert error["ErrorMessage"] == "a"
