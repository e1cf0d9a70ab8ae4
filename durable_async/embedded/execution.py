"""One execution, as the program that embeds the service holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar, cast

import attrs

from durable_async._raised import place_of
from durable_async._wire.operations import ErrorObject
from durable_async.embedded.shapes import ExecutionDescription, HistoryEvent, Status
from durable_async.errors import (
    ExecutionError,
    ExecutionFailedError,
    ExecutionStoppedError,
    ExecutionTimedOutError,
)
from durable_async.service.http.rendering import Closed
from durable_async.service.model import arns
from durable_async.service.runtime.api import LambdaApi

ResultT = TypeVar("ResultT")

_ERRORS: dict[str, tuple[type[ExecutionError], str]] = {
    "FAILED": (ExecutionFailedError, "the execution failed"),
    "TIMED_OUT": (ExecutionTimedOutError, "the execution timed out"),
    "STOPPED": (ExecutionStoppedError, "the execution was stopped"),
}


class HasApi(Protocol):
    """The service of an execution."""

    @property
    def api(self) -> LambdaApi: ...


@attrs.frozen
class ExecutionHandle(Generic[ResultT]):
    """An execution, by its ARN. Holding one keeps nothing alive, and dropping it ends nothing.

    Every method raises :class:`~durable_async.service.ApiError`: ``ResourceNotFoundException`` once the execution is
    deleted, status 503 if the store fails or the service ends.
    """

    arn: str
    _service: HasApi
    _decode: Callable[[str, str], Awaitable[ResultT]]

    @property
    def name(self) -> str:
        """Unique among the executions of its function."""
        reference = arns.parse_execution(self.arn)
        return "" if reference is None else reference.name

    async def result(self, timeout: timedelta | None = None) -> ResultT:
        """Wait for the end of the execution, and return what it returned. Cancelling this leaves the execution alone.

        :param timeout: how long to wait; None: as long as it takes
        :raises TimeoutError: the execution is still open after ``timeout``
        :raises ExecutionError: it ended without a result: failed, timed out or was stopped
        """
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            closed = await self._service.api.wait(self.arn)
        if closed.status != "SUCCEEDED":
            raise _error(self.arn, closed)
        return await self._decode(self.arn, closed.result or "null")

    async def status(self) -> Status:
        """RUNNING, PAUSING, PAUSED, SUCCEEDED, FAILED, TIMED_OUT or STOPPED."""
        status: Status = (await self._service.api.get_execution(self.arn, include_data=False))["Status"]
        return status

    async def describe(self) -> ExecutionDescription:
        """Return everything that ``GetDurableExecution`` answers, in its member names and epoch seconds."""
        return cast("ExecutionDescription", await self._service.api.get_execution(self.arn))

    async def history(self) -> list[HistoryEvent]:
        """Return the events until now, in the shape of ``GetDurableExecutionHistory``."""
        events: list[HistoryEvent] = []
        marker: str | None = ""
        while marker is not None:
            page = await self._service.api.get_history(self.arn, marker=marker, max_items=1000)
            events += page["Events"]
            marker = page.get("NextMarker")
        return events

    def events(self, *, after: int = 0) -> AsyncGenerator[HistoryEvent]:
        """The events as they come, beginning with those there were, until the execution is closed.

        :param after: the ``EventId`` of the last event already seen
        """
        return cast("AsyncGenerator[HistoryEvent]", self._service.api.events(self.arn, after=after))

    async def stop(self, error: ErrorObject | None = None) -> None:
        """Close the execution as STOPPED, and run nothing of it afterwards: no compensation and no clean-up either.

        One that is closed stays as it is.

        :param error: what those who wait for it are told
        """
        await self._service.api.stop(self.arn, error)

    async def cancel(self, reason: str | None = None) -> None:
        """Ask the workflow to end. The operation that it calls next, or that it waits for, raises
        :class:`~durable_async.ExecutionCancelledError`; a step that runs ends first. Compensations and clean-ups run,
        and the execution ends STOPPED with ``reason``, unless the workflow catches the error and returns.

        Returns when the request is recorded. An execution that was asked before and was not told yet stays as it is.

        :raises ApiError: ``ResourceConflictException``: it is closed, or it was cancelled before and goes on
        """
        await self._service.api.cancel(self.arn, reason=reason)

    async def pause(self, reason: str | None = None) -> None:
        """Let nothing be invoked until :meth:`resume`.

        :raises ApiError: ``ResourceConflictException``: it is closed, or paused already
        """
        await self._service.api.pause(self.arn, reason=reason)

    async def resume(self, reason: str | None = None) -> None:
        """Go on after a pause, or after a quarantine.

        :raises ApiError: ``ResourceConflictException``: it is not paused
        """
        await self._service.api.resume(self.arn, reason=reason)

    async def redrive(self, start: str | None = None) -> None:
        """Let a failed, timed out or stopped execution go on from what succeeded, under the same name and ARN.

        The operations with whose errors it failed are done again, and so is what started after them in the contexts
        around them. Nothing else is. The execution gets its whole timeout again.

        :param start: the id or the name of an operation: it and what started after it are done again, also if it
            succeeded
        :raises ApiError: ``ResourceConflictException``: it is open or has succeeded; or ``start`` is None, and
            operations succeeded after the failure, such as compensations. ``InvalidParameterValueException``: no
            operation is called ``start``, or several are
        """
        await self._service.api.redrive(self.arn, start=start)

    async def delete(self) -> None:
        """Forget a closed execution; its name is free.

        :raises ApiError: ``ResourceConflictException``: it is not closed
        """
        await self._service.api.delete(self.arn)


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
