"""A handle of one execution, of whichever service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Generic, TypeVar

import attrs

from durable_async._durations import checked_timedelta
from durable_async._raised import place_of
from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import utf8
from durable_async.client.api import DurableApi
from durable_async.errors import (
    ExecutionError,
    ExecutionFailedError,
    ExecutionStoppedError,
    ExecutionTimedOutError,
)
from durable_async.serializers import NO_TYPE, JsonSerializer, SerializerContext
from durable_async.service.machine import ExecutionStatus
from durable_async.service.model import arns
from durable_async.service.model.history import HistoryEvent
from durable_async.service.runtime.inputs import ForkOptions
from durable_async.service.runtime.views import Closed, ExecutionDescription, OpenCallback

__tracebackhide__ = True  # pytest shows the line of the test, and not those of this module

ResultT_co = TypeVar("ResultT_co", covariant=True)

_ERRORS: dict[ExecutionStatus, tuple[type[ExecutionError], str]] = {
    ExecutionStatus.FAILED: (ExecutionFailedError, "the execution failed"),
    ExecutionStatus.TIMED_OUT: (ExecutionTimedOutError, "the execution timed out"),
    ExecutionStatus.STOPPED: (ExecutionStoppedError, "the execution was stopped"),
}


@attrs.frozen
class ExecutionHandle(Generic[ResultT_co]):
    """Refers to an execution by its ARN. The execution does not depend on the handle.

    Every method raises :class:`~durable_async.service.ApiError`: ``ResourceNotFoundException`` once the execution is
    deleted, status 503 if the store fails or the service ends. A handle of a ``DurableClient`` raises
    :class:`~durable_async.ServiceCallError` if no answer comes.
    """

    arn: str
    _api: Callable[[], DurableApi]
    _decode: Callable[[str, str], Awaitable[ResultT_co]]

    @property
    def name(self) -> str:
        """The execution's name, which is unique among the executions of its function."""
        reference = arns.parse_execution(self.arn)
        return "" if reference is None else reference.name

    async def result(self, timeout: timedelta | None = None) -> ResultT_co:
        """Wait for the end of the execution, and return what it returned. Cancelling this leaves the execution alone.

        :param timeout: how long to wait; None: as long as it takes
        :raises TimeoutError: the execution is still open after ``timeout``
        :raises ExecutionError: it ended without a result: failed, timed out or was stopped
        """
        limit = asyncio.timeout(None if timeout is None else checked_timedelta("timeout", timeout).total_seconds())
        try:
            async with limit:
                closed = await self._api().wait(self.arn)
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"execution {self.name!r} is still open after {timeout}, and continues") from None
        if closed.status is not ExecutionStatus.SUCCEEDED:
            raise _error(self.arn, closed)
        return await self._decode(self.arn, closed.result or "null")

    async def status(self) -> ExecutionStatus:
        """Return the status of the execution as it is stored now."""
        return (await self.describe()).status

    async def describe(self) -> ExecutionDescription:
        """Return the execution as it is stored now, with its input and its result as JSON text."""
        return await self._api().get_execution(self.arn)

    async def history(self) -> list[HistoryEvent]:
        """Return all events until now, oldest first."""
        events: list[HistoryEvent] = []
        marker: str | None = ""
        while marker is not None:
            page = await self._api().get_history(self.arn, marker=marker, max_items=1000)
            events += page.items
            marker = page.next_marker
        return events

    def events(self, *, after: int = 0) -> AsyncGenerator[HistoryEvent]:
        """Yield the events while they happen, oldest first, until the execution is closed.

        :param after: the ``id`` of the last event that is not wanted; 0: all are wanted
        """
        return self._api().events(self.arn, after=after)

    async def callbacks(self) -> list[OpenCallback]:
        """Return the callbacks that wait for an answer, in the order in which they began.

        ``service.succeed_callback(callback.id, answer)`` answers one.
        """
        return await self._api().list_callbacks(self.arn)

    async def stop(self, error: ErrorObject | None = None) -> None:
        """Close the execution as STOPPED. Nothing of it runs afterwards, not even a compensation or a clean-up.

        An execution that is closed already stays as it is.

        :param error: its members become those of the ``ExecutionStoppedError`` that :meth:`result` raises
        """
        await self._api().stop(self.arn, error)

    async def cancel(self, reason: str | None = None) -> None:
        """Ask the workflow to end. The operation that it calls next, or that it waits for, raises
        :class:`~durable_async.ExecutionCancelledError`; a step that runs ends first. Compensations and clean-ups run,
        and the execution ends STOPPED with ``reason``, unless the workflow catches the error and returns.

        Returns when the request is recorded. Does nothing if a cancellation was requested before and has not reached
        the workflow.

        :raises ApiError: ``ResourceConflictException``: it is closed, or it was cancelled before and continued
        """
        await self._api().cancel(self.arn, reason=reason)

    async def pause(self, reason: str | None = None) -> None:
        """Do not invoke the handler of the execution until :meth:`resume`.

        :param reason: shown in the history

        :raises ApiError: ``ResourceConflictException``: it is closed, or paused already
        """
        await self._api().pause(self.arn, reason=reason)

    async def resume(self, reason: str | None = None) -> None:
        """Continue after a pause, or after a quarantine.

        :param reason: shown in the history

        :raises ApiError: ``ResourceConflictException``: it is not paused
        """
        await self._api().resume(self.arn, reason=reason)

    async def redrive(self, start: str | None = None) -> None:
        """Let a failed, timed out or stopped execution continue from what succeeded, under the same name and ARN.

        The operations whose errors made it fail are done again, and so are the operations that started after them in
        the contexts around them. The execution gets its whole timeout again.

        :param start: the id or the name of an operation: it and what started after it are done again, even if it
            succeeded
        :raises ApiError: ``ResourceConflictException``: it is open or has succeeded; or ``start`` is None, and
            operations succeeded after the failure, such as compensations. ``InvalidParameterValueException``: no
            operation has the id or name ``start``, or several have the name
        """
        await self._api().redrive(self.arn, start=start)

    async def fork(
        self,
        before: str | None = None,
        *,
        name: str | None = None,
        event: object = NO_TYPE,
        replace: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ExecutionHandle[ResultT_co]:
        """Start a new execution with the record of this one up to an operation, on the code that is registered now.

        Operations that have ended are not done again. Operations that are done again have new idempotency keys. This
        execution does not change.

        :param before: the name or the id of the first operation that is done again, with all that started after it;
            None: those that :meth:`redrive` would do again
        :param name: of the new execution; None: a new one
        :param event: its event, written as JSON; left out: that of this one
        :param replace: by name or id of operations on record, results with which they count as succeeded, written as
            JSON
        :param tags: of the new execution
        :raises ApiError: ``DurableExecutionAlreadyStartedException``: the name is taken.
            ``InvalidParameterValueException``: no operation has this name, or several have
        """
        started = await self._api().fork(self.arn, **fork_options(before, name, event, replace, tags))
        return attrs.evolve(self, arn=started.execution_arn)

    async def delete(self) -> None:
        """Delete a closed execution. Its name can be used again.

        :raises ApiError: ``ResourceConflictException``: it is not closed
        """
        await self._api().delete(self.arn)


def fork_options(
    before: str | None,
    name: str | None,
    event: object,
    replace: Mapping[str, object] | None,
    tags: Mapping[str, str] | None,
) -> ForkOptions:
    """Return the arguments of :meth:`ExecutionHandle.fork` as the API takes them.

    :raises SerializationError: the event or a result cannot be written
    """
    return ForkOptions(
        before=before,
        execution_name=name,
        payload=None if event is NO_TYPE else as_json(event, "the execution's input"),
        replace=results_as_json(replace or {}),
        tags=tags,
    )


def as_json(value: object, what: str) -> bytes:
    """Return the value as JSON text.

    :param what: names the value in an error
    :raises SerializationError: it cannot be written
    """
    return utf8(JsonSerializer().serialize(value, SerializerContext("", "", what)))


def results_as_json(results: Mapping[str, object]) -> dict[str, str]:
    """Return each result as JSON text.

    :raises SerializationError: one of them cannot be written
    """
    return {place: as_json(result, f"the result of {place}").decode() for place, result in results.items()}


def _error(arn: str, closed: Closed) -> ExecutionError:
    kind, otherwise = _ERRORS[closed.status]
    error: ErrorObject = closed.error or {}
    stack_trace = tuple(error.get("StackTrace") or ())
    return kind(
        error.get("ErrorMessage") or otherwise,
        arn,
        error.get("ErrorType"),
        error.get("ErrorData"),
        stack_trace,
        *place_of(stack_trace),
    )
