"""The operations of an execution, derived from its history, for display.

Unlike ``service.machine.derive`` this reads the API's JSON, tolerates missing data and unknown events, and can be used
while events arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from durable_async._wire.operations import TERMINAL
from durable_async._wire.text import JsonMembers
from durable_async.cli.history import about
from durable_async.cli.tables import Column, Row
from durable_async.cli.text import duration, one_line, shorten
from durable_async.client.calls import redrives

COLUMNS = (
    Column("OPERATION", cut=True),
    Column("TYPE", dropped=2),
    Column("STATUS"),
    Column("ATTEMPT", dropped=1),
    Column("TIME", dropped=3),
    Column("ABOUT", cut=True, dropped=4),
)

_BATCH_SECONDS = 0.1  # the maximum delay of the recorded start of a step

_STATUSES: Final = {
    "Started": "STARTED",
    "Succeeded": "SUCCEEDED",
    "Failed": "FAILED",
    "TimedOut": "TIMED_OUT",
    "Stopped": "STOPPED",
    "Cancelled": "CANCELLED",
}


@attrs.define
class Operation:
    """An operation to display.

    :ivar status: as in the API. PENDING: it waits for its next attempt
    :ivar attempts: the number of attempts that have begun
    :ivar started: in epoch seconds, like ``ended``
    """

    id: str
    name: str
    kind: str
    depth: int
    started: float
    status: str = "STARTED"
    attempts: int = 1
    ended: float | None = None
    about: str = ""

    @property
    def open(self) -> bool:
        return self.status not in TERMINAL

    def row(self, now: float, width: int | None = None) -> Row:
        has_attempts = self.kind in ("Step", "WaitForCondition")
        return (
            "  " * self.depth + one_line(self.name),
            self.kind,
            self.status,
            str(self.attempts) if has_attempts else "",
            self._took(now),
            shorten(self.about, width),
        )

    def _took(self, now: float) -> str:
        """Return how long it took; empty for a fast body, whose start is recorded later than it began."""
        seconds = max(0.0, (self.ended or now) - self.started)
        if self.kind == "Step" and self.ended is not None and seconds < _BATCH_SECONDS:
            return ""
        return duration(seconds)


@attrs.define
class Operations:
    """Takes the events of one history in their order."""

    _found: dict[str, Operation] = attrs.field(init=False, factory=dict[str, Operation])
    _children: dict[str | None, list[str]] = attrs.field(init=False, factory=dict[str | None, list[str]])

    def take(self, event: JsonMembers) -> None:
        if redrives(event):
            self._redrive(event["ExecutionRedrivenDetails"])
        parts = _split(event["EventType"])
        if parts is None or "Id" not in event:
            return
        kind, status = parts
        operation = self._found.get(event["Id"]) or self._add(event, kind)
        details: JsonMembers = event.get(f"{event['EventType']}Details") or {}
        retry: JsonMembers = details.get("RetryDetails") or {}
        if status == "STARTED" and operation.status == "PENDING":
            operation.attempts += 1
        elif retry:
            operation.attempts = retry.get("CurrentAttempt", operation.attempts)
        operation.status = "PENDING" if retry.get("NextAttemptDelaySeconds") else status
        operation.about = about(event)
        operation.ended = None if operation.open else float(event["EventTimestamp"])

    def _redrive(self, details: JsonMembers) -> None:
        for operation_id in details.get("Cleared") or ():
            self._found.pop(operation_id, None)
        for children in self._children.values():
            children[:] = [each for each in children if each in self._found]
        for operation_id in details.get("Reopened") or ():
            if (context := self._found.get(operation_id)) is not None:
                context.status, context.ended, context.about = "STARTED", None, ""

    def __iter__(self) -> Iterator[Operation]:
        """Yield each operation, followed by the operations in it."""
        waiting = [*reversed(self._children.get(None, []))]
        while waiting:
            operation = self._found[waiting.pop()]
            yield operation
            parts = self._children.get(operation.id, [])
            waiting.extend(reversed([each for each in parts if not self._is_folded(operation, self._found[each])]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_folded(self, parent: Operation, part: Operation) -> bool:
        """Return whether ``part`` belongs to the library and has not failed, so that it need not be shown."""
        return parent.kind == "WaitForCallback" and part.status in ("STARTED", "SUCCEEDED")

    def _add(self, event: JsonMembers, kind: str) -> Operation:
        parent = self._found.get(event.get("ParentId", ""))
        operation = self._found[event["Id"]] = Operation(
            id=event["Id"],
            name=event.get("Name") or event.get("SubType") or kind,
            kind=event.get("SubType") or kind,
            depth=0 if parent is None else parent.depth + 1,
            started=float(event["EventTimestamp"]),
        )
        self._children.setdefault(None if parent is None else parent.id, []).append(operation.id)
        return operation


def _split(event_type: str) -> tuple[str, str] | None:
    """Return ``("Step", "FAILED")`` for ``StepFailed``; None if the event does not belong to an operation."""
    for ending, status in _STATUSES.items():
        if event_type.endswith(ending) and not event_type.startswith("Execution"):
            return event_type.removesuffix(ending), status
    return None
