"""The result of a batch that has ended, from its record. No rule is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, assert_never

from durable_async.batch_config import BatchProgress, NestingType
from durable_async.batch_result import BatchItem, BatchResult, BatchStatus, CompletionReason
from durable_async.engine.branches import entered
from durable_async.engine.call import Call
from durable_async.engine.isolation import isolated
from durable_async.errors import ChildContextError, NonDeterminismError, OperationLabel, SerializationError
from durable_async.operations import values
from durable_async.operations.batch_contexts import Contexts
from durable_async.operations.batch_payload import RecordedItem, read_result, read_summary
from durable_async.operations.batch_rules import inferred_reason
from durable_async.operations.child import flat
from durable_async.serializers import structure
from durable_async.wire.operations import TERMINAL


async def read(contexts: Contexts, text: str) -> BatchResult[Any]:
    """The result from what is recorded of it. Nothing runs."""
    operation, count = str(contexts.call), contexts.items.count
    recorded, reason = read_result(text, operation)
    if recorded and recorded[-1].index >= count:
        raise SerializationError(operation, f"item {recorded[-1].index} is on record, and only {count} are given")
    items = tuple([await _read_item(contexts, each) for each in recorded])
    return BatchResult(items, reason or _inferred(contexts, items))


async def _read_item(contexts: Contexts, recorded: RecordedItem) -> BatchItem[Any]:
    index, serializer = recorded.index, contexts.config.item_serializer
    call = contexts.call_of(index)
    match recorded.status:
        case BatchStatus.STARTED:
            return contexts.started(index)
        case BatchStatus.FAILED:
            error = call.failure(ChildContextError, recorded.error or {})
            return BatchItem(index, BatchStatus.FAILED, None, error, call.name)
        case BatchStatus.SUCCEEDED:
            described = contexts.described(index, call)
            if serializer is None:
                value = structure(recorded.result, described)
            else:
                value = await values.recorded(call, serializer, str(recorded.result), described)
            return BatchItem(index, BatchStatus.SUCCEEDED, value, None, call.name)
        case _:
            assert_never(recorded.status)


async def rebuilt(contexts: Contexts, text: str) -> BatchResult[Any]:
    """The result, which was too large to be recorded, from the records of the items."""
    summary = read_summary(text, contexts.items.count)
    if summary is not None:
        items = [
            contexts.started(index) if index in summary.started else await _ended_item(contexts, index)
            for index in range(summary.total)
        ]
        return BatchResult(tuple(items), summary.reason)
    if contexts.config.nesting is NestingType.FLAT:
        raise SerializationError(str(contexts.call), "its record does not say which of its items had ended")
    known = [item for index in range(contexts.items.count) if (item := await _known_item(contexts, index))]
    return BatchResult(tuple(known), _inferred(contexts, known))


async def _ended_item(contexts: Contexts, index: int) -> BatchItem[Any]:
    call = contexts.call_of(index)
    if contexts.config.nesting is NestingType.NESTED:
        record = await call.enter()
        if record is None or record["Status"] not in TERMINAL:
            requested = OperationLabel(call.kind, call.subtype, call.name)
            raise call.invocation.mismatch(NonDeterminismError(call.id, flat(call), requested))
    return await _run_again(contexts, index, call)


async def _known_item(contexts: Contexts, index: int) -> BatchItem[Any] | None:
    """An item as far as it is on record."""
    call = contexts.call_of(index)
    record = await call.enter()
    if record is None:
        return None
    return await _run_again(contexts, index, call) if record["Status"] in TERMINAL else contexts.started(index)


async def _run_again(contexts: Contexts, index: int, call: Call) -> BatchItem[Any]:
    with entered(call.branch):  # as in the task that it had: the time in it is not that of the items before
        return (await isolated(partial(contexts.run, index, call)))[0]


def _inferred(contexts: Contexts, items: Sequence[BatchItem[Any]]) -> CompletionReason:
    succeeded = sum(item.status is BatchStatus.SUCCEEDED for item in items)
    failed = sum(item.status is BatchStatus.FAILED for item in items)
    return inferred_reason(contexts.config.completion, BatchProgress(succeeded, failed, contexts.items.count))
