"""What a replay of a recorded history found."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, assert_never

import attrs

from durable_async.errors import OperationLabel
from durable_async.service.answers import Closed


@attrs.frozen
class PlacedOperation:
    """:ivar within: the contexts around it, the innermost first"""

    operation_id: str
    label: OperationLabel
    within: tuple[OperationLabel, ...] = ()

    def __str__(self) -> str:
        return " in ".join(str(label) for label in (self.label, *self.within))


class Deed(StrEnum):
    BEGINS = "begins"
    ATTEMPTS = "attempts"
    ENDS = "ends"


@attrs.frozen
class Ahead:
    """What the code would do next that is not on record: begin an operation, attempt one that is on record as begun, or
    end one."""

    deed: Deed
    operation: PlacedOperation

    def __str__(self) -> str:
        return f"{self.deed} {self.operation}"


@attrs.frozen
class Replays:
    """The same operations, the same end."""


@attrs.frozen
class Continues:
    """The workflow had not ended, and goes on from where it stood.

    :ivar ends: how, if all it still does is end
    :ivar waits_for: what it came by that time, a callback or another function has to end
    """

    ends: Closed | None
    waits_for: tuple[PlacedOperation, ...]


@attrs.frozen
class Diverges:
    """The code asks for another operation than the one on record in its place.

    :ivar recorded: what is there, ``within`` which contexts, the innermost first
    :ivar requested: what was called
    :ivar where: the line of the workflow that called it, ``orders.py:41``; None if no line of it was found
    """

    operation_id: str
    recorded: OperationLabel
    requested: OperationLabel
    within: tuple[OperationLabel, ...]
    where: str | None


@attrs.frozen
class EndsDifferently:
    """
    :ivar recorded: how the workflow ended
    :ivar now: how it ends with this code; None: it does not, what it does instead is in ``ReplayReport.ahead``
    """

    recorded: Closed
    now: Closed | None


@attrs.frozen
class Omits:
    """The code does not call operations any more that are on record, and goes on, or ends, as if it did. Which these
    are is in ``ReplayReport.omitted``.

    Where a failure cancels other branches, or the code takes the first that is done, those others may get less far in
    a replay than they did; that is no change of the code.
    """


Finding = Replays | Continues | Diverges | EndsDifferently | Omits


@attrs.frozen
class ReplayReport:
    """
    :ivar execution_arn: None if neither the history nor the caller named it. Then what the workflow derives by
        ``ctx.uuid`` and ``ctx.random`` is not what it was
    :ivar recorded: how many operations are on record
    :ivar reached: how many of them the code came by. What stands in contexts that have ended, it does not enter
    :ivar ahead: what the code would do next that is not on record
    :ivar omitted: what is on record and the code should have come by, and did not
    """

    finding: Finding
    execution_arn: str | None
    recorded: int
    reached: int
    ahead: tuple[Ahead, ...] = ()
    omitted: tuple[PlacedOperation, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the code does what the history says, as far as that goes."""
        return isinstance(self.finding, Replays | Continues)

    def __str__(self) -> str:
        """Some lines for people, the first of which is the finding."""
        lines = [_sentence(self.finding), f"on record: {self.recorded} operations, come by: {self.reached}"]
        lines += [f"next: it {ahead}" for ahead in self.ahead]
        if isinstance(self.finding, Continues):
            lines += [f"waiting: {operation}" for operation in self.finding.waits_for]
        lines += [f"not called any more: {operation}" for operation in self.omitted]
        if self.execution_arn is None and not self.passed:
            lines.append("the execution's ARN is not known, so ctx.uuid() and ctx.random() give other values than then")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The same for programs, in the manner of the API. Members that say nothing are left out."""
        members = {
            "Finding": type(self.finding).__name__,
            "Passed": self.passed,
            "DurableExecutionArn": self.execution_arn,
            "RecordedOperations": self.recorded,
            "ReachedOperations": self.reached,
            **_members(self.finding),
            "Ahead": [{"Deed": str(each.deed), **_operation(each.operation)} for each in self.ahead],
            "Omitted": [_operation(each) for each in self.omitted],
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
            return f"diverges: {place}the code asks for {requested}, on record is {on_record}"
        case EndsDifferently(recorded, now):
            return f"ends differently: on record is {_end_line(recorded)}, now it {_end_now(now)}"
        case Omits():
            return "omits: operations on record are not called any more"
        case _:
            assert_never(finding)


def _end_now(end: Closed | None) -> str:
    return "does not end" if end is None else f"is {_end_line(end)}"


def _end_line(end: Closed) -> str:
    if end.error is None:
        return f"{end.status} {end.result or ''}".rstrip()
    told = [end.error.get("ErrorType"), end.error.get("ErrorMessage")]
    return f"{end.status} {': '.join(text for text in told if text)}".rstrip()


def _members(finding: Finding) -> dict[str, Any]:
    match finding:
        case Replays() | Omits():
            return {}
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


def _end(end: Closed | None) -> dict[str, Any] | None:
    if end is None:
        return None
    members = {"Status": end.status, "Result": end.result, "Error": end.error}
    return {name: value for name, value in members.items() if value is not None}


def _operation(operation: PlacedOperation) -> dict[str, Any]:
    within = [_label(each) for each in operation.within]
    return {"Id": operation.operation_id, **_label(operation.label), "Within": within}


def _label(label: OperationLabel) -> dict[str, Any]:
    members = {"Type": label.type, "SubType": label.subtype, "Name": label.name}
    return {name: value for name, value in members.items() if value is not None}
