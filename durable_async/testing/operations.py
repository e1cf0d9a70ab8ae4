"""What happened in an execution, read from its history: from this service's, from AWS's, or from a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from durable_async._wire.operations import ErrorObject

_TERMINAL = {"Succeeded": "SUCCEEDED", "Failed": "FAILED", "TimedOut": "TIMED_OUT", "Stopped": "STOPPED"}
_WAIT_FOR_CALLBACK = "WaitForCallback"
_TYPE = re.compile("^(Execution|Context|Step|Wait|Callback|ChainedInvoke)(.+)$")


@attrs.define
class OperationView:
    """One operation, as far as the history tells.

    :ivar type: ``"STEP"``, ``"CONTEXT"``, ``"WAIT"``, ``"CALLBACK"`` or ``"CHAINEDINVOKE"``
    :ivar path: the names of the contexts around it and its own, joined by ``/``; the subtype stands for a missing name
    :ivar status: ``"STARTED"``, ``"PENDING"`` (between two attempts), ``"SUCCEEDED"``, ``"FAILED"``, ``"TIMED_OUT"``,
        ``"STOPPED"`` or ``"CANCELLED"``
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

    :ivar events: the history, in the shape of ``GetDurableExecutionHistory``
    :ivar invocations: how many invocations ended
    :ivar status: of the execution
    """

    events: list[Mapping[str, Any]] = attrs.field(factory=list[Mapping[str, Any]])
    by_id: dict[str, OperationView] = attrs.field(factory=dict[str, OperationView])
    invocations: int = 0
    status: str = "RUNNING"

    def read(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add the events that follow those that were read."""
        for event in events:
            self.events.append(event)
            self._take(event, details_of(event))

    def last_id(self) -> int:
        return int(self.events[-1]["EventId"]) if self.events else 0

    @property
    def is_closed(self) -> bool:
        return self.status not in ("RUNNING", "PAUSED")

    def callback_names(self, callback: OperationView) -> set[str]:
        """Return what a callback is found by: its name, path and id, and those of the ``wait_for_callback`` that it is
        the callback of."""
        names = {callback.name, callback.path, callback.id}
        around = self.by_id.get(callback.parent_id or "")
        if around is not None and around.subtype == _WAIT_FOR_CALLBACK:
            names |= {around.name, around.path}
        return {name for name in names if name is not None}

    def open_callbacks(self) -> list[OperationView]:
        """Return the callbacks that wait for an answer; none if the execution has ended."""
        if self.is_closed:
            return []
        return [each for each in self.by_id.values() if each.type == "CALLBACK" and each.is_open]

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

    def _take(self, event: Mapping[str, Any], details: Mapping[str, Any]) -> None:
        if event["EventType"] == "InvocationCompleted":
            self.invocations += 1
            return
        matched = _TYPE.match(event["EventType"])
        if matched is None:
            return
        kind, what = matched.groups()
        if kind == "Execution":
            self.status = {"Paused": "PAUSED", "Resumed": "RUNNING"}.get(what) or _TERMINAL.get(what, self.status)
            return
        operation = self.by_id.get(event["Id"])
        if operation is None:
            operation = self.by_id[event["Id"]] = self._new(event, kind.upper())
        elif what == "Started":
            operation.attempts += 1
            operation.status = "STARTED"
        _apply(operation, what, event, details)

    def _new(self, event: Mapping[str, Any], kind: str) -> OperationView:
        name, subtype, parent = event.get("Name"), event.get("SubType"), event.get("ParentId")
        above = self.by_id.get(parent or "")
        own = str(name or subtype or kind)
        return OperationView(
            id=event["Id"],
            type=kind,
            subtype=subtype,
            name=name,
            path=own if above is None else f"{above.path}/{own}",
            parent_id=parent,
            started=time_of(event),
        )


def _apply(operation: OperationView, what: str, event: Mapping[str, Any], details: Mapping[str, Any]) -> None:
    error: ErrorObject | None = payload_of(details, "Error")
    retry: Mapping[str, Any] | None = details.get("RetryDetails")
    if what == "Started":
        operation.input_text = payload_of(details, "Input")
        operation.callback_id = details.get("CallbackId")
        operation.timeout = _seconds(details.get("Timeout"))
        operation.heartbeat_timeout = _seconds(details.get("HeartbeatTimeout"))
        return
    if operation.type == "STEP" and retry is not None and retry.get("NextAttemptDelaySeconds") is not None:
        operation.status = "PENDING"
        if error is not None:
            operation.attempt_errors.append(error)
        return
    operation.status = _TERMINAL.get(what, "CANCELLED")
    operation.ended = time_of(event)
    operation.error = error
    operation.result_text = payload_of(details, "Result")
    if operation.type == "STEP" and error is not None:
        operation.attempt_errors.append(error)


def _seconds(value: float | None) -> timedelta | None:
    return timedelta(seconds=value) if value else None


def details_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the member of an event that is named after its type; empty if there is none."""
    details: Mapping[str, Any] | None = event.get(f"{event['EventType']}Details")
    return {} if details is None else details


def payload_of(details: Mapping[str, Any], member: str) -> Any:
    """Return the text or the error in a payload member; None if there is none."""
    shown: Mapping[str, Any] | None = details.get(member)
    return None if shown is None else shown.get("Payload")


def time_of(event: Mapping[str, Any]) -> datetime:
    at = event["EventTimestamp"]
    return at if isinstance(at, datetime) else datetime.fromtimestamp(float(at), UTC)


def as_text(events: Sequence[Mapping[str, Any]]) -> str:
    """Return a history as lines that are the same in each run of the same code: for a snapshot.

    Times are counted from the start. Ids, tokens, stack traces and invocations that were repeated are left out.
    """
    if not events:
        return ""
    began = time_of(events[0])
    return "\n".join(_line(event, time_of(event) - began) for event in events) + "\n"


def _line(event: Mapping[str, Any], after: timedelta) -> str:
    details = details_of(event)
    told = " ".join([event["EventType"], *_names(event), *_payloads(details)])
    return f"{_duration(after):>12}  {told}"


def _names(event: Mapping[str, Any]) -> Iterator[str]:
    if event.get("Name") and not event["EventType"].startswith("Execution"):
        yield str(event["Name"])


def _payloads(details: Mapping[str, Any]) -> Iterator[str]:
    for member in ("Input", "Result"):
        text = payload_of(details, member)
        if text is not None:
            yield f"{member.lower()}={text}"
    error: Mapping[str, Any] | None = payload_of(details, "Error")
    if error is not None:
        yield f"error={error.get('ErrorType', 'Error')}: {error.get('ErrorMessage', '')}"
    retry: Mapping[str, Any] | None = details.get("RetryDetails")
    if retry is not None and retry.get("NextAttemptDelaySeconds") is not None:
        yield f"again in {retry['NextAttemptDelaySeconds']} s"


def _duration(after: timedelta) -> str:
    seconds = round(after.total_seconds(), 3)
    days, rest = divmod(seconds, 86_400)
    clock = f"{int(rest // 3600):02}:{int(rest % 3600 // 60):02}:{rest % 60:06.3f}".removesuffix(".000")
    return f"{int(days)}d {clock}" if days else clock
