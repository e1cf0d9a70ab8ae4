"""What happened in an execution, read from its history: from this service's, from AWS's, or from a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from durable_async._wire.operations import ErrorObject, OperationStatus, OperationType, SubType
from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.service.machine import ExecutionStatus
from durable_async.service.machine.derive import OPERATIONS, STATUSES
from durable_async.service.machine.operation import cleared_id
from durable_async.service.model.history import EventType, HistoryEvent

__tracebackhide__ = True  # pytest shows the line of the test, and not those of this module


@attrs.define
class OperationView:
    """One operation, as the history shows it.

    :ivar type: ``"STEP"``, ``"CONTEXT"``, ``"WAIT"``, ``"CALLBACK"`` or ``"CHAINED_INVOKE"``
    :ivar path: the names of the contexts around it and its own, joined by ``/``; the subtype stands for a missing name
    :ivar status: ``"STARTED"``, ``"PENDING"`` (between two attempts), ``"SUCCEEDED"``, ``"FAILED"``, ``"TIMED_OUT"``,
        ``"STOPPED"``, ``"CANCELLED"`` or ``"CLEARED"`` (by a redrive)
    :ivar attempts: how many attempts of a step began; 1 for anything else
    :ivar attempt_errors: the error of each attempt that failed, in order
    :ivar ended: None while it is open
    :ivar input_text: of an invoke, its payload. Other operations record no input
    :ivar result_text: as it is recorded; None if there is none
    :ivar callback_id: of a callback
    :ivar timeout: of a callback, from its start; None: it has none
    :ivar heartbeat_timeout: of a callback, from its start or its last heartbeat; None: it has none
    :ivar last_heartbeat: of a callback; its start if there was no heartbeat that this object knows of
    """

    id: str
    type: str
    subtype: str | None
    name: str | None
    path: str
    parent_id: str | None
    started: datetime
    status: str = "STARTED"
    attempts: int = 1
    attempt_errors: list[ErrorObject] = attrs.field(factory=list[ErrorObject])
    error: ErrorObject | None = None
    ended: datetime | None = None
    input_text: str | None = None
    result_text: str | None = None
    callback_id: str | None = None
    timeout: timedelta | None = None
    heartbeat_timeout: timedelta | None = None
    last_heartbeat: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.ended is None

    @property
    def result(self) -> Any:
        """Return the recorded result, read from JSON; None if there is none.

        :raises ValueError: it is not JSON, as with a serializer of your own: read ``result_text`` instead
        """
        return None if self.result_text is None else json.loads(self.result_text)

    @property
    def input(self) -> Any:
        """Return the recorded payload of an invoke, read from JSON; None for other operations."""
        return None if self.input_text is None else json.loads(self.input_text)

    @property
    def due(self) -> datetime | None:
        """Return when a callback times out unless somebody answers or sends a heartbeat; None: never."""
        ends = [] if self.timeout is None else [self.started + self.timeout]
        if self.heartbeat_timeout is not None:
            ends.append((self.last_heartbeat or self.started) + self.heartbeat_timeout)
        return min(ends, default=None)

    @property
    def took(self) -> timedelta | None:
        """Return how long it took, delays between attempts included; None while it is open."""
        return None if self.ended is None else self.ended - self.started


@attrs.define
class Journal:
    """The operations of one execution, kept up to date with :meth:`read`.

    :ivar events: the history
    :ivar invocations: how many invocations ended
    :ivar status: of the execution
    """

    events: list[HistoryEvent] = attrs.field(factory=list[HistoryEvent])
    by_id: dict[str, OperationView] = attrs.field(factory=dict[str, OperationView])
    invocations: int = 0
    status: ExecutionStatus = ExecutionStatus.RUNNING

    def read(self, events: Sequence[HistoryEvent]) -> None:
        """Add the events that follow those that were read."""
        for event in events:
            self.events.append(event)
            self._take(event)

    def last_id(self) -> int:
        return self.events[-1].id if self.events else 0

    @property
    def is_closed(self) -> bool:
        return self.status not in (ExecutionStatus.RUNNING, ExecutionStatus.PAUSED)

    def callback_names(self, callback: OperationView) -> set[str]:
        """Return what a callback is found by: its name, path and id, and those of the ``wait_for_callback`` that it is
        the callback of."""
        names = {callback.name, callback.path, callback.id}
        around = self.by_id.get(callback.parent_id or "")
        if around is not None and around.subtype == SubType.WAIT_FOR_CALLBACK:
            names |= {around.name, around.path}
        return {name for name in names if name is not None}

    def open_callbacks(self) -> list[OperationView]:
        """Return the callbacks that wait for an answer; none if the execution has ended."""
        if self.is_closed:
            return []
        return [each for each in self.by_id.values() if each.type == OperationType.CALLBACK and each.is_open]

    def find(self, wanted: str, kind: str | None = None) -> OperationView | None:
        """Return the operation with this id, path or name; None if there is none.

        :param kind: only of this type
        :raises LookupError: there are several with this name; the message says their paths
        """
        mine = [each for each in self.by_id.values() if kind in (None, each.type)]
        for attribute in ("id", "path", "name"):
            found = [each for each in mine if getattr(each, attribute) == wanted]
            if len(found) > 1:
                places = ", ".join(f"{each.path!r} (id {each.id!r})" for each in found)
                raise LookupError(f"there are {len(found)} operations {wanted!r}: {places}. Name one by its path or id")
            if found:
                return found[0]
        return None

    def named(self) -> str:
        """Return the paths of all operations, for a message."""
        return ", ".join(repr(each.path) for each in self.by_id.values()) or "none"

    def _take(self, event: HistoryEvent) -> None:
        if event.type is EventType.INVOCATION_COMPLETED:
            self.invocations += 1
        elif event.type is EventType.EXECUTION_REDRIVEN:
            self._redrive(event)
        elif event.type in STATUSES:
            self.status = STATUSES[event.type]
        elif event.type in OPERATIONS:
            kind, status = OPERATIONS[event.type]
            operation = self.by_id.get(event.operation_id or "")
            if operation is None:
                operation = self.by_id[event.operation_id or ""] = self._new(event, kind)
            elif status is OperationStatus.STARTED:
                operation.attempts += 1
                operation.status = str(status)
            _apply(operation, status, event)

    def _redrive(self, event: HistoryEvent) -> None:
        self.status = ExecutionStatus.RUNNING
        for operation_id in event.details.get("Reopened") or ():
            context = self.by_id[operation_id]
            context.status, context.ended, context.result_text, context.error = "STARTED", None, None, None
        for operation_id in event.details.get("Cleared") or ():
            operation = self.by_id[operation_id]
            operation.id, operation.status = cleared_id(operation_id, event.id), str(OperationStatus.CLEARED)
            operation.ended = operation.ended or event.time
        self.by_id = {each.id: each for each in self.by_id.values()}

    def _new(self, event: HistoryEvent, kind: OperationType) -> OperationView:
        above = self.by_id.get(event.parent_id or "")
        own = str(event.name or event.sub_type or kind)
        return OperationView(
            id=event.operation_id or "",
            type=str(kind),
            subtype=event.sub_type,
            name=event.name,
            path=own if above is None else f"{above.path}/{own}",
            parent_id=event.parent_id,
            started=event.time,
        )


def _apply(operation: OperationView, status: OperationStatus, event: HistoryEvent) -> None:
    details = event.details
    if status is OperationStatus.STARTED:
        operation.input_text = details.get("Input")
        operation.callback_id = details.get("CallbackId")
        operation.timeout = _seconds(details.get("Timeout"))
        operation.heartbeat_timeout = _seconds(details.get("HeartbeatTimeout"))
        return
    error: ErrorObject | None = details.get("Error")
    if operation.type == OperationType.STEP and error is not None:
        operation.attempt_errors.append(error)
    if _next_attempt(event) is not None:
        operation.status = str(OperationStatus.PENDING)
        return
    operation.status = str(status)
    operation.ended = event.time
    operation.error = error
    operation.result_text = details.get("Result")


def _next_attempt(event: HistoryEvent) -> int | None:
    """Return after how many seconds a step is attempted again; None: it is not."""
    retry: JsonMembers = event.details.get("RetryDetails") or {}
    return retry.get("NextAttemptDelaySeconds")


def _seconds(value: float | None) -> timedelta | None:
    return timedelta(seconds=value) if value else None


def exported(arn: str, events: Sequence[HistoryEvent]) -> JsonObject:
    """Return a history as ``GetDurableExecutionHistory`` answers it, with the execution's ARN: for a file, or for
    another process."""
    from durable_async.service.http.rendering import event_json

    return {"DurableExecutionArn": arn, "Events": [event_json(event) for event in events]}


def as_text(events: Sequence[HistoryEvent]) -> str:
    """Return a history as lines that are the same in each run of the same code: for a snapshot.

    Times are counted from the start. Ids, tokens and stack traces are left out.
    """
    return "".join(f"{_line(event, event.time - events[0].time)}\n" for event in events)


def _line(event: HistoryEvent, after: timedelta) -> str:
    shown = " ".join([event.type, *_name(event), *_payloads(event)])
    return f"{_duration(after):>12}  {shown}"


def _name(event: HistoryEvent) -> Iterator[str]:
    if event.name and not event.type.startswith("Execution"):
        yield event.name


def _payloads(event: HistoryEvent) -> Iterator[str]:
    for member in ("Input", "Result"):
        text = event.details.get(member)
        if text is not None:
            yield f"{member.lower()}={text}"
    error: ErrorObject | None = event.details.get("Error")
    if error is not None:
        yield f"error={error.get('ErrorType', 'Error')}: {error.get('ErrorMessage', '')}"
    delay = _next_attempt(event)
    if delay is not None:
        yield f"again in {delay} s"


def _duration(after: timedelta) -> str:
    seconds = round(after.total_seconds(), 3)
    days, rest = divmod(seconds, 86_400)
    clock = f"{int(rest // 3600):02}:{int(rest % 3600 // 60):02}:{rest % 60:06.3f}".removesuffix(".000")
    return f"{int(days)}d {clock}" if days else clock
