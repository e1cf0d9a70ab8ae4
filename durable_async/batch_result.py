"""The results of ``ctx.map`` and ``ctx.parallel``: how each item ended, and why the batch ended."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar, cast

import attrs

from durable_async.errors import BatchCompletionError, ChildContextError

T = TypeVar("T")


class BatchStatus(StrEnum):
    """How an item or a batch ended. A whole batch is never ``STARTED``."""

    STARTED = "STARTED"
    """The item was running or waiting when the batch ended, and was stopped."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class CompletionReason(StrEnum):
    """Why a batch ended. If several reasons apply, the first of these counts: too many failures, a custom completion,
    all items have ended, enough have succeeded."""

    ALL_COMPLETED = "ALL_COMPLETED"
    MIN_SUCCESSFUL_REACHED = "MIN_SUCCESSFUL_REACHED"
    FAILURE_TOLERANCE_EXCEEDED = "FAILURE_TOLERANCE_EXCEEDED"
    CUSTOM_COMPLETION_SUCCEEDED = "CUSTOM_COMPLETION_SUCCEEDED"
    CUSTOM_COMPLETION_FAILED = "CUSTOM_COMPLETION_FAILED"


@attrs.frozen
class BatchItem(Generic[T]):
    """How one item ended.

    :ivar index: its position among the items or branches given, from 0
    :ivar result: its result; None unless it succeeded
    :ivar error: its error; None unless it failed. ``error_type`` names the class of what its function raised
    """

    index: int
    status: BatchStatus
    result: T | None = None
    error: ChildContextError | None = None
    name: str | None = None


@attrs.frozen
class BatchResult(Generic[T]):
    """How a batch ended. A replay reads it from the record and does not decide again.

    :ivar items: the items that were started, in the order in which they were given
    """

    items: tuple[BatchItem[T], ...]
    completion_reason: CompletionReason

    @property
    def status(self) -> BatchStatus:
        """``FAILED`` if an item failed, unless a custom completion decided the status."""
        match self.completion_reason:
            case CompletionReason.CUSTOM_COMPLETION_SUCCEEDED:
                return BatchStatus.SUCCEEDED
            case CompletionReason.CUSTOM_COMPLETION_FAILED:
                return BatchStatus.FAILED
            case _:
                failed = any(item.status is BatchStatus.FAILED for item in self.items)
                return BatchStatus.FAILED if failed else BatchStatus.SUCCEEDED

    @property
    def succeeded(self) -> list[BatchItem[T]]:
        return self._with(BatchStatus.SUCCEEDED)

    @property
    def failed(self) -> list[BatchItem[T]]:
        return self._with(BatchStatus.FAILED)

    @property
    def started(self) -> list[BatchItem[T]]:
        """The items that had neither succeeded nor failed when the batch ended."""
        return self._with(BatchStatus.STARTED)

    @property
    def total_count(self) -> int:
        return len(self.items)

    @property
    def success_count(self) -> int:
        return len(self.succeeded)

    @property
    def failure_count(self) -> int:
        return len(self.failed)

    @property
    def started_count(self) -> int:
        return len(self.started)

    def results(self, *, partial: bool = False) -> list[T]:
        """Return the results of the items, in order.

        :param partial: False: raise if the batch or one of its items failed. True: leave out the items that failed
        :raises BatchCompletionError: an item failed, or the custom completion ended the batch as failed. Its ``errors``
            are those of the items, and the first of them is its cause
        """
        if not partial:
            errors = tuple(self.errors())
            if errors or self.completion_reason is CompletionReason.CUSTOM_COMPLETION_FAILED:
                cause = errors[0] if errors else None
                raise BatchCompletionError(self.success_count, self.total_count, errors) from cause
        return [cast("T", item.result) for item in self.succeeded]

    def errors(self) -> list[ChildContextError]:
        """Return the errors of the items that failed, in order."""
        return [_error(item) for item in self.failed]

    def throw_if_error(self) -> None:
        """Raise an error if the batch failed.

        :raises ChildContextError: an item failed; if several did, the error of the first in order
        :raises BatchCompletionError: no item failed, and the custom completion said that the batch failed
        """
        for item in self.items:
            if item.status is BatchStatus.FAILED:
                raise _error(item)
        if self.completion_reason is CompletionReason.CUSTOM_COMPLETION_FAILED:
            raise BatchCompletionError(self.success_count, self.total_count)

    def _with(self, status: BatchStatus) -> list[BatchItem[T]]:
        return [item for item in self.items if item.status is status]


def _error(item: BatchItem[T]) -> ChildContextError:
    """Return the error of an item that failed. The batch's serializer may have lost it."""
    if item.error is not None:
        return item.error
    return ChildContextError(f"item {item.index} of the batch failed, and its error is not on record")
