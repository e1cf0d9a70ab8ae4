"""A race: a batch that ends with the first of its branches, and returns that branch's result."""

from __future__ import annotations

from typing import TypeVar

from durable_async._engine.call import Call
from durable_async._operations.batch import run_batch
from durable_async._operations.batch_contexts import Items
from durable_async.batch_config import BatchProgress, CompletionConfig, ParallelConfig
from durable_async.batch_result import BatchStatus
from durable_async.serializers import SerializerContext

T = TypeVar("T")


def _first_to_end(progress: BatchProgress) -> BatchStatus | None:
    return BatchStatus.SUCCEEDED if progress.completed else None


_RACE = ParallelConfig(completion=CompletionConfig(custom=_first_to_end))


async def run_race(call: Call, branches: Items[T], described: SerializerContext) -> T:
    result = await run_batch(call, branches, _RACE, described)
    result.throw_if_error()
    return result.results()[0]
