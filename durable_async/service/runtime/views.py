"""What the service says about executions and functions, as values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

import attrs

from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import ErrorObject
from durable_async.service import machine
from durable_async.service.machine import Execution, ExecutionStatus
from durable_async.service.model.history import time_of
from durable_async.service.store import Summary

T = TypeVar("T")


@attrs.frozen
class Started:
    """What an invoke returns.

    :ivar execution_arn: of the new execution, or of the one that already had the name
    """

    execution_arn: str
    executed_version: str


@attrs.frozen
class Closed:
    """How an execution ended: SUCCEEDED (``result``, if any), FAILED, TIMED_OUT or STOPPED (``error``, if any)."""

    status: ExecutionStatus
    result: str | None = None
    error: ErrorObject | None = None

    @classmethod
    def of(cls, execution: Execution) -> Closed:
        return cls(execution.status, execution.result, execution.error)


@attrs.frozen
class PauseDetails:
    """A pause that was requested, or is effective.

    :ivar timeout_paused: True if the execution's timeout grows by the length of the pause
    """

    requested: datetime
    timeout_paused: bool
    reason: str | None


@attrs.frozen
class ExecutionDescription:
    """One execution as it is now. All times are in UTC.

    AWS Lambda may leave out ``version``, ``execution_timeout`` and ``retention_days``, which are None then, and
    ``input``, which is empty then.

    :ivar version: the version of the function that runs it
    :ivar execution_timeout: seconds, as configured
    :ivar retention_days: how long the execution is kept after its end
    :ivar input: the event with which it was started, as JSON text; ``result`` is JSON text too
    :ivar times_out: when the execution times out, pauses included; None once it has ended
    :ivar ended: None while it is open
    :ivar pause: None unless its status is PAUSING or PAUSED
    :ivar tags: empty if it has none
    """

    arn: str
    name: str
    function_arn: str
    version: str | None
    status: ExecutionStatus
    started: datetime
    execution_timeout: int | None
    retention_days: int | None
    times_out: datetime | None
    input: str
    result: str | None = None
    error: ErrorObject | None = None
    ended: datetime | None = None
    pause: PauseDetails | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])

    @classmethod
    def of(cls, execution: Execution, retention_days: int) -> ExecutionDescription:
        return cls(
            arn=execution.arn,
            name=execution.name,
            function_arn=execution.function_arn,
            version=execution.version,
            status=execution.status,
            started=time_of(execution.started_ms * 1000),
            execution_timeout=execution.timeout_seconds,
            retention_days=retention_days,
            times_out=None if execution.ended_ms is not None else time_of(execution.timeout_ms * 1000),
            input=execution.input,
            result=execution.result,
            error=execution.error,
            ended=None if execution.ended_ms is None else time_of(execution.ended_ms * 1000),
            pause=_pause_of(execution),
            tags=execution.tags or {},
        )


def _pause_of(execution: Execution) -> PauseDetails | None:
    pause = execution.pause
    if pause is None or execution.status not in (ExecutionStatus.PAUSING, ExecutionStatus.PAUSED):
        return None
    return PauseDetails(time_of(pause.requested_ms * 1000), pause.timeout_paused, pause.reason)


@attrs.frozen
class OpenCallback:
    """A callback that has no answer yet.

    :ivar id: with which it is answered
    :ivar name: its name in the workflow's code, or that of the ``wait_for_callback`` around it; empty: it has none
    :ivar times_out: when, if no answer and no heartbeat comes; None: never
    :ivar answer_schema: JSON Schema that the answer must fit, as text; None: any answer fits
    """

    id: str
    name: str
    started: datetime
    times_out: datetime | None
    answer_schema: str | None


def open_callbacks(execution: Execution) -> list[OpenCallback]:
    """Return the open callbacks of ``execution``, in the order in which they began."""
    return [
        OpenCallback(
            id=callback.callback_id or "",
            name=name,
            started=time_of(callback.start_us),
            times_out=None if callback.timer_ms is None else time_of(callback.timer_ms * 1000),
            answer_schema=callback.answer_schema,
        )
        for callback, name in machine.open_callbacks(execution)
    ]


@attrs.frozen
class WaitingFor:
    """The operation at which an open execution stands. If it stands at several, the one to tell people first.

    :ivar name: its name in the workflow's code, see :class:`OpenCallback`; empty: it has none
    :ivar due: when its timer fires: a wait ends, a callback times out, or the next attempt starts; None: no timer
    :ivar attempts: the number of its attempts that have ended, of a step
    :ivar function_name: of a chained invoke: the function that was invoked, as the workflow names it
    :ivar others: how many other operations the execution waits for
    """

    operation_id: str
    type: str
    sub_type: str | None
    name: str
    status: str
    due: datetime | None
    attempts: int
    function_name: str | None
    others: int


@attrs.frozen
class OpenDetails:
    """What a list says of an open execution, if it is asked for it.

    :ivar waiting_for: None: no operation is open, so it runs or is about to
    :ivar cancelled: True: it was asked to end. False: it was not
    :ivar pause: None unless its status is PAUSING or PAUSED
    """

    waiting_for: WaitingFor | None
    cancelled: bool
    pause: PauseDetails | None


def open_details(execution: Execution) -> OpenDetails:
    return OpenDetails(_waiting_for(execution), CANCELLATION in execution.by_id, _pause_of(execution))


def _waiting_for(execution: Execution) -> WaitingFor | None:
    found = machine.waits_for(execution)
    if not found:
        return None
    first = found[0]
    return WaitingFor(
        operation_id=first.id,
        type=str(first.type),
        sub_type=first.sub_type,
        name=machine.name_of(execution, first),
        status=str(first.status),
        due=None if first.timer_ms is None else time_of(first.timer_ms * 1000),
        attempts=first.attempts,
        function_name=None if first.request is None else first.request.target.name,
        others=len(found) - 1,
    )


@attrs.frozen
class ExecutionSummary:
    """An execution as a list shows it. Its times are in UTC.

    :ivar ended: None while it is open
    :ivar tags: empty if it has none
    :ivar details: None: they were not asked for, or it is closed
    """

    arn: str
    name: str
    function_arn: str
    status: ExecutionStatus
    started: datetime
    ended: datetime | None
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    details: OpenDetails | None = None

    @classmethod
    def of(cls, summary: Summary) -> ExecutionSummary:
        return cls(
            arn=summary.arn,
            name=summary.name,
            function_arn=summary.function_arn,
            status=ExecutionStatus(summary.status),
            started=time_of(summary.started_ms * 1000),
            ended=None if summary.ended_ms is None else time_of(summary.ended_ms * 1000),
            tags=summary.tags or {},
        )


Counts: TypeAlias = dict[str, dict[ExecutionStatus, int]]
"""How many executions functions have, by name and status."""


@attrs.frozen
class FunctionDescription:
    """
    :ivar arn: unqualified
    :ivar execution_timeout: seconds, of each of its executions; None: the function is not durable
    :ivar retention_days: how long its executions are kept after their end
    """

    name: str
    arn: str
    execution_timeout: int | None
    retention_days: int


@attrs.frozen
class Page(Generic[T]):
    """A part of a list.

    :ivar next_marker: asks for the part that follows; None: this is the last one
    :ivar digest: differs if another item, or another value of an item, is in the part; None: the caller waits for no
        change
    """

    items: Sequence[T]
    next_marker: str | None = None
    digest: str | None = None


def with_digest(page: Page[T]) -> Page[T]:
    return attrs.evolve(page, digest=hashlib.sha256(repr(page.items).encode()).hexdigest()[:16])


@attrs.frozen
class OwnerAddress:
    """Where the service is that has the store's file, while another one stands by.

    :ivar socket: the path of its Unix socket
    :ivar patience: seconds that a call waits, while no service has the file
    """

    socket: str
    patience: float
