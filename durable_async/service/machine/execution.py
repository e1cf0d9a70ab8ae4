"""The state of one execution, and the changes that commands have in common.

Commands (the other modules of this package) decide what to change. Invariants:

- operations are never removed, and are listed in the order in which they began;
- ``unseen`` holds exactly the operations that changed since the handler last saw them;
- an operation that ended does not change, and a closed execution starts nothing;
- every event has a later time than the one before it, and an operation starts and ends at the times of its events. So
  sorting ends by time gives the order in which they were recorded;
- each operation with a timer has exactly one entry in ``timers``, due no later than that timer. An entry that is due
  too early is put back, so a heartbeat needs no search;
- ``changes`` holds everything that was done since the runner last took it, so the cost of storing depends on the
  command and not on the size of the execution.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from enum import StrEnum
from operator import attrgetter
from typing import Self

import attrs

from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import OPEN_EXECUTION, CheckpointResult, ErrorObject, OperationStatus
from durable_async.service.machine.effects import Effect, ExecutionClosed, FollowParent, InvokeHandler, Moment
from durable_async.service.machine.mismatch import PARKED
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.model.columns import DERIVED, JSON, PAYLOAD
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.model.history import EventType, HistoryEvent, milliseconds
from durable_async.service.model.values import new_dict, new_list, quick_frozen


class ExecutionStatus(StrEnum):
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"

    @property
    def open(self) -> bool:
        return self in _OPEN


_OPEN = frozenset(ExecutionStatus(status) for status in OPEN_EXECUTION)


@attrs.frozen
class Parent:
    """The chained invoke that started an execution.

    :ivar cancels: True: the execution is cancelled with the parent. False or None: it continues
    """

    execution_id: str
    operation_id: str
    cancels: bool | None = False


@quick_frozen
class Answered:
    """The last checkpoint call and its answer, for a caller that lost the answer and repeats the call."""

    client_token: str
    token: str
    at_ms: int
    result: CheckpointResult


@attrs.define
class Invocation:
    """The invocation that is running now.

    :ivar token: the token that the next checkpoint must have; None: this invocation may not write any more
    :ivar waiting: True: it has not begun yet, because the execution crashed several times and waits for the turn of its
        group. False: it has begun
    """

    request_id: str
    started_ms: int
    token: str | None
    answered: Answered | None = attrs.field(default=None, metadata=DERIVED)
    waiting: bool = False


@attrs.define
class Pause:
    """``timeout_ms`` is when the execution would have timed out without the pause."""

    requested_ms: int
    timeout_ms: int
    timeout_paused: bool
    reason: str | None = attrs.field(default=None, metadata=PAYLOAD)

    @property
    def parked(self) -> bool:
        """True: the pause ends when the function is registered again. False: only ``resume`` ends it."""
        return self.reason is not None and self.reason.startswith(PARKED)


@attrs.define
class Changes:
    events: list[HistoryEvent] = attrs.Factory(new_list)
    operations: dict[str, OperationRecord] = attrs.Factory(new_dict)
    effects: list[Effect] = attrs.Factory(new_list)

    def invoked(self) -> str | None:
        """Return the request id of the invocation that these changes begin; None if they begin none."""
        for effect in self.effects:
            if isinstance(effect, InvokeHandler):
                return effect.request_id
        return None


@attrs.define(eq=False)
class NewExecution:
    """The values with which an execution is started. They never change.

    :ivar id: unique; the last segment of ``arn``, and the id of the EXECUTION operation
    :ivar function_arn: qualified with ``version``
    :ivar input: the caller's event, JSON text
    :ivar timeout_seconds: how long the execution may take, without pauses
    :ivar cancel_before_seconds: how long before its timeout its workflow is asked to end; None: it is not asked
    :ivar trace_header: the caller's X-Ray trace header
    :ivar tags: lists can be filtered by them; None: it has none
    """

    id: str
    arn: str
    name: str
    function_name: str
    function_arn: str
    version: str
    input: str = attrs.field(metadata=PAYLOAD)
    timeout_seconds: int
    tenant_id: str | None = None
    parent: Parent | None = None
    trace_header: str | None = None
    tags: Mapping[str, str] | None = attrs.field(default=None, metadata=JSON)
    cancel_before_seconds: int | None = None


_GIVEN = tuple(field.name for field in attrs.fields(NewExecution))
_given = attrgetter(*_GIVEN)


@attrs.define(eq=False, kw_only=True)
class Execution(NewExecution):
    """An execution and everything that happened to it.

    :ivar timeout_ms: the time when it times out, with pauses included
    :ivar unseen: the operations that changed since the handler last saw them
    :ivar held: the chained invokes whose outcome is held until the running invocation ends
    :ivar asked: the chained invokes that have not ended
    :ivar latest_us: the time of the last event, in epoch microseconds
    :ivar awaited: the number of operations that something outside the handler will change
    :ivar invoke_at_ms: when a failed invocation is retried; None: no retry is waiting
    :ivar failures: the number of failed invocations in a row
    :ivar crashes: the number of crashes in a row
    :ivar idle_answers: the number of PENDING answers in a row without a pending operation
    :ivar deferred: True: an invocation is needed although ``unseen`` is empty. False: it is not
    """

    started_ms: int
    timeout_ms: int
    status: ExecutionStatus = ExecutionStatus.RUNNING
    ended_ms: int | None = None
    result: str | None = attrs.field(default=None, metadata=PAYLOAD)
    error: ErrorObject | None = attrs.field(default=None, metadata=PAYLOAD)
    operations: list[OperationRecord] = attrs.field(factory=new_list, metadata=DERIVED)
    by_id: dict[str, OperationRecord] = attrs.field(factory=new_dict, metadata=DERIVED)
    timers: list[tuple[int, int]] = attrs.field(factory=new_list, metadata=DERIVED)
    unseen: dict[str, OperationRecord] = attrs.field(factory=new_dict, metadata=DERIVED)
    held: list[OperationRecord] = attrs.field(factory=new_list, metadata=DERIVED)
    asked: dict[str, OperationRecord] = attrs.field(factory=new_dict, metadata=DERIVED)
    awaited: int = attrs.field(default=0, metadata=DERIVED)
    event_count: int = 0
    latest_us: int = attrs.field(default=0, metadata=DERIVED)
    invocation: Invocation | None = None
    invoke_at_ms: int | None = None
    failures: int = 0
    crashes: int = 0
    idle_answers: int = 0
    deferred: bool = False
    pause: Pause | None = None
    changes: Changes = attrs.field(factory=Changes, metadata=DERIVED)

    @classmethod
    def begun(cls, new: NewExecution, at: Moment) -> Self:
        """Return an execution that begins now, without an operation or event."""
        given = dict(zip(_GIVEN, _given(new), strict=True))
        return cls(**given, started_ms=at.now_ms, timeout_ms=at.now_ms + new.timeout_seconds * 1000)

    @property
    def open(self) -> bool:
        return self.status in _OPEN

    @property
    def wanted(self) -> bool:
        """True if the handler has to be invoked now."""
        news = bool(self.unseen) or self.deferred
        free = self.invocation is None and self.invoke_at_ms is None
        return news and free and self.status is ExecutionStatus.RUNNING

    @property
    def active(self) -> bool:
        """True if a service that continues it from a store has something to do for it at once."""
        if self.ended_ms is not None:
            return False
        if self.invocation is not None:
            return True
        parked = self.pause is not None and self.pause.parked
        follows = self.parent is not None and bool(self.parent.cancels)
        return self.wanted or parked or follows or any(invoke.held is None for invoke in self.asked.values())

    def restore(self, operations: Iterable[OperationRecord], unseen: Iterable[int]) -> None:
        """Set the operations of an execution that a store has read. Its own fields are set already.

        :param operations: all of them, in their order
        :param unseen: the ``sequence`` of each operation in ``unseen``
        """
        for operation in operations:
            self.begin(operation)
            if operation.request is not None:
                self.asked[operation.id] = operation
            if self.open and operation.awaited:
                self.awaited += 1
                self.arm(operation)
            if self.open and operation.held is not None:
                self.held.append(operation)
        self.unseen.update((self.operations[sequence].id, self.operations[sequence]) for sequence in unseen)

    def take_changes(self) -> Changes:
        """Return what changed since the last call. The caller must store it and carry out its effects."""
        taken, self.changes = self.changes, Changes()
        return taken

    def next_due_ms(self) -> int | None:
        """Return the earliest time when ``fire_due`` has something to do; None if the execution is closed."""
        if self.ended_ms is not None:
            return None
        due = self.timeout_ms if self.cancel_ms is None else self.cancel_ms
        if self.timers:
            due = min(due, self.timers[0][0])
        if self.invoke_at_ms is not None:
            due = min(due, self.invoke_at_ms)
        return due

    @property
    def cancel_ms(self) -> int | None:
        """When the workflow is asked to end, because its timeout comes near; None: it is not, or was asked before."""
        if self.cancel_before_seconds is None or CANCELLATION in self.by_id:
            return None
        return self.timeout_ms - self.cancel_before_seconds * 1000

    def followers(self) -> list[Effect]:
        """Return what to do with the children that are cancelled when this execution is cancelled or closed."""
        requests = [invoke.request for invoke in self.asked.values()]
        return [
            FollowParent(request.child.id)
            for request in requests
            if request is not None and request.child is not None and request.cancels
        ]

    def invocation_of(self, token: str) -> Invocation:
        """Return the running invocation.

        :raises InvalidParameterValueError: ``token`` is not its current token. SDKs compare the exact message
        """
        invocation = self.invocation
        if not self.open or invocation is None or invocation.token != token:
            raise InvalidParameterValueError("Invalid checkpoint token")
        return invocation

    # --- what commands do with operations ---

    def begin(self, operation: OperationRecord) -> None:
        """Add a new operation. Its ``sequence`` is ``len(operations)``."""
        self.operations.append(operation)
        self.by_id[operation.id] = operation

    def touched(self, operation: OperationRecord, *, was_awaited: bool) -> None:
        """Note that ``operation`` has changed. Call it after the change.

        :param was_awaited: the value of ``operation.awaited`` before the change; False if the operation is new
        """
        self.unseen[operation.id] = operation
        self.changes.operations[operation.id] = operation
        if operation.awaited == was_awaited:
            return
        self.awaited += 1 if operation.awaited else -1
        self.arm(operation)

    def arm(self, operation: OperationRecord) -> None:
        """Start the timer of ``operation``, if it waits for one."""
        if (due := operation.timer_ms) is not None:
            heapq.heappush(self.timers, (due, operation.sequence))

    def end(
        self,
        operation: OperationRecord,
        status: OperationStatus,
        at_us: int,
        *,
        result: str | None = None,
        error: ErrorObject | None = None,
    ) -> None:
        """Give ``operation`` its final status.

        :param at_us: the time of its last event, from ``tick``
        """
        was_awaited = operation.awaited
        operation.status = status
        operation.end_us = at_us
        operation.result = result
        operation.error = error
        if operation.request is not None:
            operation.request = None
            del self.asked[operation.id]
        self.touched(operation, was_awaited=was_awaited)

    def pop_due(self, now_ms: int) -> OperationRecord | None:
        """Return the next operation whose timer is due, or None. The caller must change it before the next call."""
        while self.timers and self.timers[0][0] <= now_ms:
            _, sequence = heapq.heappop(self.timers)
            operation = self.operations[sequence]
            due = operation.timer_ms
            if due is None:
                continue
            if due <= now_ms:
                return operation
            heapq.heappush(self.timers, (due, sequence))  # a heartbeat moved the timer
        return None

    # --- what commands write and close ---

    def tick(self, at: Moment) -> int:
        """Return the time of the next event in epoch microseconds.

        It is the time of ``at``, or one microsecond after the last event if the clock has not advanced since, or was
        put back. So each event is later than the one before it.
        """
        self.latest_us = max(at.now_us, self.latest_us + 1)
        return self.latest_us

    def log(self, kind: EventType, at_us: int, operation: OperationRecord | None = None, **details: object) -> None:
        """Append an event to the history.

        :param at_us: its time, from ``tick``. No two events share one
        """
        self.event_count += 1
        if operation is None:
            event = HistoryEvent(self.event_count, kind, at_us, details)
        else:
            event = HistoryEvent(
                self.event_count,
                kind,
                at_us,
                details,
                operation.id,
                operation.name,
                operation.sub_type,
                operation.parent_id,
            )
        self.changes.events.append(event)

    def close(
        self,
        status: ExecutionStatus,
        at: Moment,
        *,
        result: str | None = None,
        error: ErrorObject | None = None,
    ) -> None:
        """Give the execution its final status. Open operations keep their status, and their timers are removed.

        The token of a running invocation becomes invalid. The runner decides whether to end the invocation.
        """
        at_us = self.tick(at)
        self.status = status
        self.ended_ms = milliseconds(at_us)
        self.result = result
        self.error = error
        self.invoke_at_ms = None
        self.deferred = False
        self.pause = None
        self.timers.clear()
        self.held.clear()
        root = self.operations[0]
        root.status = OperationStatus(str(status))
        root.end_us = at_us
        self.touched(root, was_awaited=False)
        match status:
            case ExecutionStatus.SUCCEEDED:
                self.log(EventType.EXECUTION_SUCCEEDED, at_us, root, Result=result)
            case ExecutionStatus.FAILED:
                self.log(EventType.EXECUTION_FAILED, at_us, root, Error=error)
            case ExecutionStatus.TIMED_OUT:
                self.log(EventType.EXECUTION_TIMED_OUT, at_us, root, Error=error)
            case ExecutionStatus.STOPPED:
                self.log(EventType.EXECUTION_STOPPED, at_us, root, Error=error)
            case _:
                raise ValueError(f"{status} is not a final status")
        self.changes.effects += [ExecutionClosed(), *self.followers()]
