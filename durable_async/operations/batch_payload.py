"""What is recorded of a batch: JSON of its result, or a summary if that is too large.

A result is ``{"all": [{"index", "status", "result", "error"}, ...], "completionReason"}``, as the SDK for JavaScript
writes it too. Of an item whose serializer is JSON, ``result`` is the value; else it is the serializer's text, so that a
serializer that encrypts or offloads is not gone round.

A summary is that of the official SDKs. It says which items had ended; how, their own records say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

import attrs

from durable_async.batch_result import BatchItem, BatchResult, BatchStatus, CompletionReason
from durable_async.errors import ChildContextError, SerializationError
from durable_async.serializers.json_tree import decode, encode, is_array, is_object
from durable_async.wire.limits import CONTEXT_RESULT_BYTES
from durable_async.wire.operations import ErrorObject


@attrs.define(eq=False)
class ResultWriter:
    """Writes the JSON of a batch result from the texts of its items, as they end.

    Nothing is written twice, and what gets too large to be recorded is not kept.
    """

    _items: dict[int, str] = attrs.field(factory=dict[int, str], init=False)
    _size: int = attrs.field(default=0, init=False)

    def add(self, item: BatchItem[Any], result: str = "null") -> None:
        """:param result: JSON, ASCII; of an item that succeeded"""
        error = "null" if item.error is None else encode(error_object(item.error))
        text = f'{{"index": {item.index}, "status": "{item.status}", "result": {result}, "error": {error}}}'
        self._size += len(text) + 2
        if self._size <= CONTEXT_RESULT_BYTES:
            self._items[item.index] = text
        else:
            self._items.clear()

    def finish(self, items: Iterable[BatchItem[Any]], reason: CompletionReason) -> str | None:
        """The whole, or None if it is too large to be recorded.

        :param items: of the batch; those that have not ended were not added yet
        """
        for item in items:
            if item.status is BatchStatus.STARTED:
                self.add(item)
        written = ", ".join(self._items[index] for index in sorted(self._items))
        text = f'{{"all": [{written}], "completionReason": "{reason}"}}'
        return text if max(self._size, len(text)) <= CONTEXT_RESULT_BYTES else None


@attrs.frozen
class RecordedItem:
    index: int
    status: BatchStatus
    result: Any  # a JSON value
    error: ErrorObject | None


def read_result(text: str, operation: str) -> tuple[list[RecordedItem], CompletionReason | None]:
    """The items of a recorded result, in order of their indexes, and why the batch ended if that is said.

    :param operation: names the batch in the error
    :raises SerializationError: the text is no such JSON
    """
    try:
        tree = decode(text)
        items = sorted(map(_item, tree["all"]), key=lambda item: item.index)
        reason = tree.get("completionReason")
        return items, None if reason is None else CompletionReason(reason)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SerializationError(operation, f"no result of a batch: {type(error).__name__}: {error}") from error


def _item(tree: dict[str, Any]) -> RecordedItem:
    index = tree["index"]
    if not _is_index(index):
        raise ValueError(f"{index!r} is no index")
    return RecordedItem(index, BatchStatus(tree["status"]), tree.get("result"), tree.get("error"))


def error_object(error: ChildContextError) -> ErrorObject:
    """What is recorded of an item's failure: that of what its function raised."""
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
    """
    :ivar total: the items that were started, the first so many of those given
    :ivar started: the indexes of those that had not ended
    """

    total: int
    started: frozenset[int]
    reason: CompletionReason


def write_summary(kind: str, result: BatchResult[Any], text: str | None) -> str:
    """
    :param kind: ``MapResult`` or ``ParallelResult``
    :param text: for people, of the user's making
    """
    started = [item.index for item in result.items if item.status is BatchStatus.STARTED]
    completed = [item.index for item in result.items if item.status is not BatchStatus.STARTED]
    failures = result.failure_count
    tree: dict[str, Any] = {"type": kind, "totalCount": len(result.items), "completionReason": result.completion_reason}
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
    """None if the text is no summary that says which items had ended, as older SDKs wrote.

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
