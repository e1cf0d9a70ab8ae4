"""Writes the result of a batch, and reads the result of a batch that has ended. No completion is applied here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NotRequired, TypedDict, TypeGuard, TypeVar, assert_never

import attrs

from durable_async._engine.call import Call
from durable_async._engine.calling import entered
from durable_async._engine.isolation import isolated
from durable_async._operations import values
from durable_async._operations.batch_contexts import Contexts
from durable_async._operations.batch_rules import inferred_reason
from durable_async._operations.child import flat
from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from durable_async._wire.operations import TERMINAL, ErrorObject
from durable_async.batch_config import BatchProgress, NestingType
from durable_async.batch_result import BatchItem, BatchResult, BatchStatus, CompletionReason
from durable_async.errors import ChildContextError, SerializationError
from durable_async.serializers._json.serializer import structure
from durable_async.serializers._json.tree import decode, encode, is_array, is_object

T = TypeVar("T")


@attrs.define(eq=False)
class ResultWriter:
    """Writes the JSON of a batch result from the texts of its items, as they end.

    Nothing is written twice, and a result that is too large to be recorded is not kept.
    """

    _items: dict[int, str] = attrs.field(factory=dict[int, str], init=False)
    _size: int = attrs.field(default=0, init=False)

    def add(self, item: BatchItem[T], result: str = "null") -> None:
        """Add an item.

        :param result: of an item that succeeded: ASCII JSON
        """
        error = "null" if item.error is None else encode(error_object(item.error))
        text = f'{{"index": {item.index}, "status": "{item.status}", "result": {result}, "error": {error}}}'
        self._size += len(text) + 2
        if self._size <= CONTEXT_RESULT_BYTES:
            self._items[item.index] = text
        else:
            self._items.clear()

    def finish(self, items: Iterable[BatchItem[T]], reason: CompletionReason) -> str | None:
        """Return the text of the result; None: it is too large to be recorded.

        :param items: all items of the batch. Those that have not ended were not added yet
        """
        for item in items:
            if item.status is BatchStatus.STARTED:
                self.add(item)
        written = ", ".join(self._items[index] for index in sorted(self._items))
        text = f'{{"all": [{written}], "completionReason": "{reason}"}}'
        return text if max(self._size, len(text)) <= CONTEXT_RESULT_BYTES else None


class _ItemTree(TypedDict):
    """An item as JSON."""

    index: int
    status: str
    result: NotRequired[object]
    error: NotRequired[ErrorObject | None]


@attrs.frozen
class RecordedItem:
    index: int
    status: BatchStatus
    result: object  # a JSON value
    error: ErrorObject | None


def read_result(text: str, operation: str) -> tuple[list[RecordedItem], CompletionReason | None]:
    """Return the items of a recorded result, in order of their indexes, and why the batch ended; None: it does not say.

    :param operation: names the batch in the error
    :raises SerializationError: the text is not such a result
    """
    try:
        tree = decode(text)
        items = sorted(map(_item, tree["all"]), key=lambda item: item.index)
        reason = tree.get("completionReason")
        return items, None if reason is None else CompletionReason(reason)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SerializationError(operation, f"not the result of a batch: {type(error).__name__}: {error}") from error


def _item(tree: _ItemTree) -> RecordedItem:
    index = tree["index"]
    if not _is_index(index):
        raise ValueError(f"{index!r} is not an index")
    return RecordedItem(index, BatchStatus(tree["status"]), tree.get("result"), tree.get("error"))


def error_object(error: ChildContextError) -> ErrorObject:
    """Return what is recorded of an item's failure: the error that its function raised."""
    result = ErrorObject(ErrorMessage=error.message)
    if error.error_type is not None:
        result["ErrorType"] = error.error_type
    if error.data is not None:
        result["ErrorData"] = error.data
    if error.stack_trace:
        result["StackTrace"] = list(error.stack_trace)
    return result


@attrs.frozen
class Summary:
    """What is recorded instead of a result that is too large.

    :ivar total: how many items were started, in order
    :ivar started: the indexes of those that had not ended
    """

    total: int
    started: frozenset[int]
    reason: CompletionReason


def write_summary(kind: str, result: BatchResult[T], text: str | None) -> str:
    """Return the text of a summary.

    :param kind: ``MapResult`` or ``ParallelResult``
    :param text: made by the user's function, for people; None: there is none
    """
    started = [item.index for item in result.items if item.status is BatchStatus.STARTED]
    completed = [item.index for item in result.items if item.status is not BatchStatus.STARTED]
    failures = result.failure_count
    tree: dict[str, object] = {
        "type": kind,
        "totalCount": len(result.items),
        "completionReason": result.completion_reason,
    }
    if len(started) <= len(completed):
        tree["startedIndexes"] = started
    else:
        tree["completedIndexes"] = completed
    tree["startedCount"] = len(started)
    tree["successCount"] = len(completed) - failures
    tree["failureCount"] = failures
    tree["status"] = result.status
    if text is not None:
        tree["summary"] = text
    return encode(tree)


def read_summary(text: str, declared: int) -> Summary | None:
    """Return the summary in a text; None: it does not say which items had ended. Older SDKs wrote such texts.

    :param declared: how many items were given
    """
    try:
        tree = decode(text)
        if not is_object(tree):
            return None
        reason = CompletionReason(tree["completionReason"])
    except (ValueError, KeyError, RecursionError):
        return None
    total = tree.get("totalCount")
    if not (_is_index(total) and total <= declared):
        return None
    started = _indexes(tree.get("startedIndexes"), total)
    completed = _indexes(tree.get("completedIndexes"), total)
    if started is None and completed is not None:
        started = frozenset(range(total)) - completed
    return None if started is None else Summary(total, started, reason)


def _indexes(tree: object, total: int) -> frozenset[int] | None:
    if not is_array(tree) or not all(_is_index(index) and index < total for index in tree):
        return None
    return frozenset(tree)


def _is_index(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


async def read(contexts: Contexts[T], text: str) -> BatchResult[T]:
    """Return the result from its recorded text. Nothing runs."""
    operation, count = str(contexts.call), contexts.items.count
    recorded, reason = read_result(text, operation)
    if recorded and recorded[-1].index >= count:
        raise SerializationError(operation, f"item {recorded[-1].index} is on record, and only {count} are given")
    items = tuple([await _read_item(contexts, each) for each in recorded])
    return BatchResult(items, reason or _inferred(contexts, items))


async def _read_item(contexts: Contexts[T], recorded: RecordedItem) -> BatchItem[T]:
    index, serializer = recorded.index, contexts.config.item_serializer
    call = contexts.call_of(index)
    match recorded.status:
        case BatchStatus.STARTED:
            return contexts.started(index)
        case BatchStatus.FAILED:
            error = call.failure(ChildContextError, recorded.error or {})
            return BatchItem(index, BatchStatus.FAILED, None, error, call.name)
        case BatchStatus.SUCCEEDED:
            described = values.serializer_context(call, returns=contexts.items.type(index))
            if serializer is None:
                value = structure(recorded.result, described)
            else:
                value = await values.recorded(call, serializer, str(recorded.result), described)
            return BatchItem(index, BatchStatus.SUCCEEDED, value, None, call.name)
        case _:
            assert_never(recorded.status)


async def rebuilt(contexts: Contexts[T], text: str) -> BatchResult[T]:
    """Return a result that was too large to be recorded, from the records of the items."""
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


async def _ended_item(contexts: Contexts[T], index: int) -> BatchItem[T]:
    call = contexts.call_of(index)
    if contexts.config.nesting is NestingType.NESTED:
        record = await call.read()
        if record is None or record["Status"] not in TERMINAL:
            raise call.mismatch(flat(call), call.label())
    return await _run_again(contexts, index, call)


async def _known_item(contexts: Contexts[T], index: int) -> BatchItem[T] | None:
    """Return an item as it is on record; None: it is not."""
    call = contexts.call_of(index)
    record = await call.read()
    if record is None:
        return None
    return await _run_again(contexts, index, call) if record["Status"] in TERMINAL else contexts.started(index)


async def _run_again(contexts: Contexts[T], index: int, call: Call) -> BatchItem[T]:
    with entered(call.branch):  # as in the task that it had: the time in it is not that of the items before
        return (await isolated(partial(contexts.run, index, call)))[0]


def _inferred(contexts: Contexts[T], items: Sequence[BatchItem[T]]) -> CompletionReason:
    succeeded = sum(item.status is BatchStatus.SUCCEEDED for item in items)
    failed = sum(item.status is BatchStatus.FAILED for item in items)
    return inferred_reason(contexts.config.completion, BatchProgress(succeeded, failed, contexts.items.count))
