"""The result of replaying a recorded history."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

import attrs

from durable_async._wire.text import JsonObject
from durable_async.errors import OperationLabel
from durable_async.service.runtime.views import Closed


@attrs.frozen
class PlacedOperation:
    """An operation and where it is.

    :ivar within: the contexts around it, the innermost first
    """

    operation_id: str
    label: OperationLabel
    within: tuple[OperationLabel, ...] = ()

    def __str__(self) -> str:
        return " in ".join(str(label) for label in (self.label, *self.within))


class NextAction(StrEnum):
    """What the code would do with an operation."""

    STARTS = "starts"
    ATTEMPTS = "attempts"
    ENDS = "ends"


@attrs.frozen
class NextOperation:
    """What the code would do next that is not on record.

    :ivar action: start the operation, attempt one that is recorded as started, or end one
    """

    action: NextAction
    operation: PlacedOperation

    def __str__(self) -> str:
        return f"{self.action} {self.operation}"


@attrs.frozen
class Replays:
    """The code calls the same operations and ends in the same way."""


@attrs.frozen
class Continues:
    """The workflow had not ended, and the code continues from there.

    :ivar ends: how the workflow ends, if ending is all that it still does; else None
    :ivar waits_for: the operations that only time, a callback or another function can end
    """

    ends: Closed | None
    waits_for: tuple[PlacedOperation, ...]


@attrs.frozen
class Diverges:
    """The code calls another operation than the one that is recorded in its place.

    :ivar recorded: the recorded operation
    :ivar requested: the operation that the code calls
    :ivar within: the contexts around the recorded operation, the innermost first
    :ivar where: the line of the workflow that calls it, such as ``orders.py:41``; None if none was found
    """

    operation_id: str
    recorded: OperationLabel
    requested: OperationLabel
    within: tuple[OperationLabel, ...]
    where: str | None


@attrs.frozen
class EndsDifferently:
    """The workflow had ended, and the code ends in another way or not at all.

    :ivar recorded: how the workflow ended
    :ivar now: how it ends with this code. None if it does not end: ``ReplayReport.next_operations`` says what it does
    """

    recorded: Closed
    now: Closed | None


@attrs.frozen
class Skips:
    """The code no longer calls some recorded operations, and otherwise continues or ends as before.
    ``ReplayReport.skipped`` lists them.

    Where a failure cancels other branches, or the code takes the first that is done, the others may get less far in a
    replay than they did. Their operations are listed too, although the code has not changed.

    :ivar ends: how the workflow ends with this code, if it had not ended; None if it had, or still does not end
    """

    ends: Closed | None = None


Finding = Replays | Continues | Diverges | EndsDifferently | Skips


@attrs.frozen
class ReplayReport:
    """What a replay found.

    :ivar execution_arn: None if neither the history nor the caller named it. ``ctx.uuid`` and ``ctx.random`` then give
        other values than they did
    :ivar recorded: the number of recorded operations
    :ivar reached: how many of them the code called. A replay does not enter contexts that have ended
    :ivar next_operations: what the code would do next that is not on record
    :ivar skipped: recorded operations that the code should have called and did not
    :ivar reached_ids: the ids of the recorded operations that the code called
    """

    finding: Finding
    execution_arn: str | None
    recorded: int
    reached: int
    next_operations: tuple[NextOperation, ...] = ()
    skipped: tuple[PlacedOperation, ...] = ()
    reached_ids: frozenset[str] = attrs.field(default=frozenset(), repr=False)

    @property
    def passed(self) -> bool:
        """True if the code does what the history says, as far as the history goes."""
        return isinstance(self.finding, Replays | Continues)

    def first_line(self) -> str:
        """Return the finding in one line."""
        return _sentence(self.finding)

    def __str__(self) -> str:
        """Return lines for people. The first one is the finding."""
        lines = [self.first_line(), f"on record: {self.recorded} operations, reached: {self.reached}"]
        lines += [f"next: it {each}" for each in self.next_operations]
        if isinstance(self.finding, Continues):
            lines += [f"waiting: {operation}" for operation in self.finding.waits_for]
        lines += [f"not called any more: {operation}" for operation in self.skipped]
        if self.execution_arn is None and not self.passed:
            lines.append(
                "the ARN is not known, so ctx.uuid() and ctx.random() give other values than in the recorded run"
            )
        return "\n".join(lines)

    def as_json(self) -> JsonObject:
        """Return the report as plain JSON values, named in the style of Lambda's API, without empty members."""
        members = {
            "Finding": type(self.finding).__name__,
            "Passed": self.passed,
            "DurableExecutionArn": self.execution_arn,
            "RecordedOperations": self.recorded,
            "ReachedOperations": self.reached,
            **_members(self.finding),
            "NextOperations": [
                {"Action": str(each.action), **_operation(each.operation)} for each in self.next_operations
            ],
            "Skipped": [_operation(each) for each in self.skipped],
        }
        return {name: value for name, value in members.items() if value not in (None, [])}


def _sentence(finding: Finding) -> str:
    match finding:
        case Replays():
            return "replays: the same operations, the same end"
        case Continues(ends, _):
            return "continues" if ends is None else f"continues: ends as {_end_line(ends)}"
        case Diverges(_, recorded, requested, within, where):
            place = f"{where}: " if where else ""
            on_record = " in ".join(map(str, (recorded, *within)))
            return f"diverges: {place}the code calls {requested}, but {on_record} is recorded in its place"
        case EndsDifferently(recorded, now):
            return f"ends differently: {_end_line(recorded)} is recorded, now it {_end_now(now)}"
        case Skips(ends):
            end = "" if ends is None else f", and ends as {_end_line(ends)}"
            return f"skips: the code no longer calls some recorded operations{end}"
        case _:
            assert_never(finding)


def _end_now(end: Closed | None) -> str:
    return "does not end" if end is None else f"is {_end_line(end)}"


def _end_line(end: Closed) -> str:
    if end.error is None:
        return f"{end.status} {end.result or ''}".rstrip()
    told = [end.error.get("ErrorType"), end.error.get("ErrorMessage")]
    return f"{end.status} {': '.join(text for text in told if text)}".rstrip()


def _members(finding: Finding) -> dict[str, object]:
    match finding:
        case Replays():
            return {}
        case Skips(ends):
            return {"Now": _end(ends)}
        case Continues(ends, waits_for):
            return {"Now": _end(ends), "WaitsFor": [_operation(each) for each in waits_for]}
        case Diverges(operation_id, recorded, requested, within, where):
            return {
                "Id": operation_id,
                "Recorded": _label(recorded),
                "Requested": _label(requested),
                "Within": [_label(each) for each in within],
                "Where": where,
            }
        case EndsDifferently(recorded, now):
            return {"Recorded": _end(recorded), "Now": _end(now)}
        case _:
            assert_never(finding)


def _end(end: Closed | None) -> dict[str, object] | None:
    if end is None:
        return None
    members = {"Status": end.status, "Result": end.result, "Error": end.error}
    return {name: value for name, value in members.items() if value is not None}


def _operation(operation: PlacedOperation) -> dict[str, object]:
    within = [_label(each) for each in operation.within]
    return {"Id": operation.operation_id, **_label(operation.label), "Within": within}


def _label(label: OperationLabel) -> dict[str, object]:
    members = {"Type": label.type, "SubType": label.subtype, "Name": label.name}
    return {name: value for name, value in members.items() if value is not None}
