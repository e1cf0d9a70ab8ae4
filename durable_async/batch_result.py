"""What ``ctx.map`` and ``ctx.parallel`` return: how each of their items ended, and why the batch did."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar, cast

import attrs

from durable_async.errors import BatchCompletionError, ChildContextError

T = TypeVar("T")


class BatchStatus(StrEnum):
    """Of an item; a whole batch is never ``STARTED``."""

    STARTED = "STARTED"
    """It was running or waiting when the batch ended, and was stopped."""
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class CompletionReason(StrEnum):
    """Why a batch ended. Where several reasons hold, the first of: too many failures, a custom completion, all items
    have ended, enough have succeeded."""

    ALL_COMPLETED = "ALL_COMPLETED"
    MIN_SUCCESSFUL_REACHED = "MIN_SUCCESSFUL_REACHED"
    FAILURE_TOLERANCE_EXCEEDED = "FAILURE_TOLERANCE_EXCEEDED"
    CUSTOM_COMPLETION_SUCCEEDED = "CUSTOM_COMPLETION_SUCCEEDED"
    CUSTOM_COMPLETION_FAILED = "CUSTOM_COMPLETION_FAILED"


@attrs.frozen
class BatchItem(Generic[T]):
    """How one item ended.

    :ivar index: its position among the items or branches given, from 0
    :ivar result: what it returned; None unless it succeeded
    :ivar error: what it failed with: ``error_type`` is that of what its function raised; None unless it failed
    """

    index: int
    status: BatchStatus
    result: T | None = None
    error: ChildContextError | None = None
    name: str | None = None


@attrs.frozen
class BatchResult(Generic[T]):
    """How a batch ended. Rebuilt from the record on a replay, never decided anew.

    :ivar items: those that were started, in the order in which they were given
    """

    items: tuple[BatchItem[T], ...]
    completion_reason: CompletionReason

    @property
    def status(self) -> BatchStatus:
        """``FAILED`` if an item failed, unless a custom completion has said what the batch is."""
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
        """What the items returned, in order.

        :param partial: False: raise if the batch or an item of it failed. True: leave the items out that failed
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
        """What the items that failed failed with, in order."""
        return [_error(item) for item in self.failed]

    def throw_if_error(self) -> None:
        """
        :raises ChildContextError: an item failed; of several, the error of the first in order
        :raises BatchCompletionError: none did, and the custom completion said that the batch failed
        """
        for item in self.items:
            if item.status is BatchStatus.FAILED:
                raise _error(item)
        if self.completion_reason is CompletionReason.CUSTOM_COMPLETION_FAILED:
            raise BatchCompletionError(self.success_count, self.total_count)

    def _with(self, status: BatchStatus) -> list[BatchItem[T]]:
        return [item for item in self.items if item.status is status]


def _error(item: BatchItem[T]) -> ChildContextError:
    """Of an item that failed. A serializer of one's own may have lost it."""
    if item.error is not None:
        return item.error
    return ChildContextError(f"item {item.index} of the batch failed, and its error is not on record")
