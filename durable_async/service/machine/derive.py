"""Derives the state of an execution from its history alone.

A history holds every result. So an execution can be inspected or replayed without its service. What a history does not
hold:

- that a step is READY: the step is shown as PENDING, with the time at which it became ready;
- heartbeats: a callback's ``heartbeat_due_ms`` is counted from its start;
- whether a completed context was recorded with ``ReplayChildren``. This is inferred from its result: there is none, it
  is the summary of a batch, or it is not JSON. A user's own summary that is JSON is taken for the result;
- what a chained invoke asked for, besides its events, and an outcome that is still held;
- that a pause was requested and is not yet effective; how a pause moved the timeout;
- the invocation: whether one runs, its token, what the handler has seen, when a failed one is retried.

Source: protocol.md, "History"; the transitions are those of ``machine.checkpoint`` and ``machine.progress``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs

from durable_async._wire import cancellation
from durable_async._wire.operations import ErrorObject, OperationStatus, OperationType, SubType
from durable_async._wire.text import JsonObject
from durable_async.errors import HistoryError
from durable_async.service.machine.execution import ExecutionStatus
from durable_async.service.machine.operation import OperationRecord, cleared_id
from durable_async.service.model.history import EventType, HistoryEvent, milliseconds

Status = OperationStatus


def _by_id(derived: DerivedExecution) -> Mapping[str, OperationRecord]:
    return {operation.id: operation for operation in derived.operations}


@attrs.frozen
class DerivedExecution:
    """
    :ivar operations: in the order in which they began; the first is the EXECUTION operation. Operations that a redrive
        cleared have the status CLEARED
    :ivar answered: True: its handler closed it. False: it is open, or was closed by its timeout, a stop or failed
        invocations
    :ivar latest_us: the time of the last event, in epoch microseconds
    """

    id: str
    name: str
    input: str
    timeout_seconds: int
    started_ms: int
    latest_us: int
    status: ExecutionStatus
    operations: list[OperationRecord]
    ended_ms: int | None = None
    result: str | None = None
    error: ErrorObject | None = None
    answered: bool = False
    by_id: Mapping[str, OperationRecord] = attrs.field(init=False, default=attrs.Factory(_by_id, takes_self=True))


def derive(events: Iterable[HistoryEvent]) -> DerivedExecution:
    """Return the state of an execution after the last of ``events``.

    :param events: a history from its first event on, in order, with data. It may end before the history does
    :raises HistoryError: the events are not such a history; the message says why
    """
    history = list(events)
    if not history or history[0].type is not EventType.EXECUTION_STARTED:
        raise HistoryError("the history does not begin with ExecutionStarted")
    for number, event in enumerate(history, 1):
        if event.id != number:
            raise HistoryError(f"event {number} is missing or occurs twice")
    return _Derivation(history[0]).through(history)


OPERATIONS = {
    EventType.CONTEXT_STARTED: (OperationType.CONTEXT, Status.STARTED),
    EventType.CONTEXT_SUCCEEDED: (OperationType.CONTEXT, Status.SUCCEEDED),
    EventType.CONTEXT_FAILED: (OperationType.CONTEXT, Status.FAILED),
    EventType.STEP_STARTED: (OperationType.STEP, Status.STARTED),
    EventType.EXECUTION_CANCELLATION_REQUESTED: (OperationType.STEP, Status.STARTED),
    EventType.STEP_SUCCEEDED: (OperationType.STEP, Status.SUCCEEDED),
    EventType.STEP_FAILED: (OperationType.STEP, Status.FAILED),
    EventType.WAIT_STARTED: (OperationType.WAIT, Status.STARTED),
    EventType.WAIT_SUCCEEDED: (OperationType.WAIT, Status.SUCCEEDED),
    EventType.WAIT_CANCELLED: (OperationType.WAIT, Status.CANCELLED),
    EventType.CALLBACK_STARTED: (OperationType.CALLBACK, Status.STARTED),
    EventType.CALLBACK_SUCCEEDED: (OperationType.CALLBACK, Status.SUCCEEDED),
    EventType.CALLBACK_FAILED: (OperationType.CALLBACK, Status.FAILED),
    EventType.CALLBACK_TIMED_OUT: (OperationType.CALLBACK, Status.TIMED_OUT),
    EventType.CHAINED_INVOKE_STARTED: (OperationType.CHAINED_INVOKE, Status.STARTED),
    EventType.CHAINED_INVOKE_SUCCEEDED: (OperationType.CHAINED_INVOKE, Status.SUCCEEDED),
    EventType.CHAINED_INVOKE_FAILED: (OperationType.CHAINED_INVOKE, Status.FAILED),
    EventType.CHAINED_INVOKE_TIMED_OUT: (OperationType.CHAINED_INVOKE, Status.TIMED_OUT),
    EventType.CHAINED_INVOKE_STOPPED: (OperationType.CHAINED_INVOKE, Status.STOPPED),
}
"""The operation's type and status after each event; a step that will be attempted again is an exception."""

STATUSES = {
    EventType.EXECUTION_SUCCEEDED: ExecutionStatus.SUCCEEDED,
    EventType.EXECUTION_FAILED: ExecutionStatus.FAILED,
    EventType.EXECUTION_TIMED_OUT: ExecutionStatus.TIMED_OUT,
    EventType.EXECUTION_STOPPED: ExecutionStatus.STOPPED,
    EventType.EXECUTION_PAUSED: ExecutionStatus.PAUSED,
    EventType.EXECUTION_RESUMED: ExecutionStatus.RUNNING,
}


class _Derivation:
    """Applies the events one after another."""

    def __init__(self, started: HistoryEvent) -> None:
        self._started = started
        self._root = OperationRecord(
            id=started.operation_id or "",
            type=OperationType.EXECUTION,
            sequence=0,
            start_us=started.at_us,
            name=started.name,
            result=started.details.get("Input"),
        )
        self._by_id = {self._root.id: self._root}  # in the order in which they began
        self._status = ExecutionStatus.RUNNING
        self._closing: HistoryEvent | None = None
        self._answered = False

    def through(self, history: list[HistoryEvent]) -> DerivedExecution:
        before = history[0]
        for event in history[1:]:
            if event.type in OPERATIONS:
                self._take(event, *OPERATIONS[event.type])
            elif event.type is EventType.EXECUTION_REDRIVEN:
                self._redrive(event)
            elif event.type in STATUSES:
                self._status = STATUSES[event.type]
                if event.type.is_end_of_execution():
                    self._close(event, before)
            before = event
        return self._derived(before)

    def _redrive(self, event: HistoryEvent) -> None:
        self._status, self._closing, self._answered = ExecutionStatus.RUNNING, None, False
        self._root.status, self._root.end_us = Status.STARTED, None
        for operation_id in event.details.get("Reopened") or ():
            context = self._known(operation_id, event)
            context.status, context.end_us = Status.STARTED, None
            context.result, context.error, context.replay_children = None, None, False
        for operation_id in event.details.get("Cleared") or ():
            operation = self._known(operation_id, event)
            operation.id, operation.status = cleared_id(operation_id, event.id), Status.CLEARED
            operation.due_ms = None
        self._by_id = {operation.id: operation for operation in self._by_id.values()}

    def _known(self, operation_id: str, event: HistoryEvent) -> OperationRecord:
        if operation_id not in self._by_id:
            raise HistoryError(f"event {event.id}, {event.type}, names an operation that no earlier event started")
        return self._by_id[operation_id]

    def _take(self, event: HistoryEvent, kind: OperationType, status: Status) -> None:
        operation = self._operation(event, kind)
        details = event.details
        operation.status = status
        if operation.ended:
            operation.end_us = event.at_us
        match kind, status:
            case OperationType.STEP, Status.STARTED if event.type is EventType.EXECUTION_CANCELLATION_REQUESTED:
                operation.result = cancellation.requested(details.get("Reason"))
            case OperationType.STEP, Status.STARTED:
                operation.error = operation.due_ms = None  # keep the result: the state of a condition
            case OperationType.STEP, _:
                _end_attempt(operation, event)
            case OperationType.WAIT, Status.STARTED:
                operation.duration = _required(event, "Duration")
                operation.due_ms = _required(event, "ScheduledEndTimestamp")
            case OperationType.CALLBACK, Status.STARTED:
                _start_callback(operation, event)
            case OperationType.WAIT, _:
                pass  # the reason of a cancellation is only in the history
            case _:
                operation.result, operation.error = details.get("Result"), details.get("Error")
        if kind is OperationType.CONTEXT and status is Status.SUCCEEDED:
            operation.replay_children = _replays_children(operation)

    def _operation(self, event: HistoryEvent, kind: OperationType) -> OperationRecord:
        operation_id = event.operation_id or ""
        operation = self._by_id.get(operation_id)
        if operation is None:
            operation = self._by_id[operation_id] = OperationRecord(
                id=operation_id,
                type=kind,
                sequence=len(self._by_id),
                start_us=event.at_us,
                parent_id=event.parent_id,
                name=event.name,
                sub_type=event.sub_type,
            )
        elif operation.type is not kind:
            raise HistoryError(f"event {event.id}, {event.type}, belongs to an operation of the type {operation.type}")
        return operation

    def _close(self, event: HistoryEvent, before: HistoryEvent) -> None:
        self._closing = event
        self._root.status, self._root.end_us = Status(str(self._status)), event.at_us
        given_up = before.type is EventType.INVOCATION_COMPLETED and before.details.get("Error") is not None
        self._answered = self._status is ExecutionStatus.SUCCEEDED or (
            self._status is ExecutionStatus.FAILED and not given_up
        )

    def _derived(self, latest: HistoryEvent) -> DerivedExecution:
        end = self._closing
        return DerivedExecution(
            id=self._root.id,
            name=self._root.name or "",
            input=self._root.result or "{}",
            timeout_seconds=_required(self._started, "ExecutionTimeout"),
            started_ms=milliseconds(self._root.start_us),
            latest_us=latest.at_us,
            status=self._status,
            operations=[*self._by_id.values()],
            ended_ms=milliseconds(end.at_us) if end else None,
            result=end.details.get("Result") if end else None,
            error=end.details.get("Error") if end else None,
            answered=self._answered,
        )


def _required(event: HistoryEvent, member: str) -> Any:
    """Return a member of the event's details.

    :raises HistoryError: the event does not have it
    """
    value = event.details.get(member)
    if value is None:
        raise HistoryError(f"event {event.id}, {event.type}, has no {member}")
    return value


def _end_attempt(step: OperationRecord, event: HistoryEvent) -> None:
    details = event.details
    retry: dict[str, int] = details.get("RetryDetails") or {}
    step.attempts = retry.get("CurrentAttempt", step.attempts + 1)
    step.result, step.error = details.get("Result"), details.get("Error")
    step.due_ms = None
    delay = retry.get("NextAttemptDelaySeconds")
    if delay is not None:
        step.status, step.end_us, step.due_ms = Status.PENDING, None, milliseconds(event.at_us) + delay * 1000


def _start_callback(callback: OperationRecord, event: HistoryEvent) -> None:
    details = event.details
    callback.callback_id = _required(event, "CallbackId")
    callback.answer_schema = details.get("AnswerSchema")
    if timeout := details.get("Timeout"):
        callback.due_ms = milliseconds(event.at_us) + timeout * 1000
    if heartbeat := details.get("HeartbeatTimeout"):
        callback.heartbeat_seconds, callback.heartbeat_due_ms = heartbeat, milliseconds(event.at_us) + heartbeat * 1000


def _replays_children(context: OperationRecord) -> bool:
    """Return whether a replay must build the result of a context again from the operations in it."""
    if context.sub_type == SubType.WAIT_FOR_CALLBACK:  # its result is small, and is not always JSON
        return False
    if not context.result:
        return True
    try:
        result = json.loads(context.result)
    except (ValueError, RecursionError):
        return context.sub_type not in (
            SubType.MAP,
            SubType.PARALLEL,
        )  # the result of a batch is JSON; a serializer's text may be anything
    if context.sub_type in (SubType.MAP, SubType.PARALLEL) and isinstance(result, dict):
        members = cast("JsonObject", result)
        return "totalCount" in members and "all" not in members
    return False
