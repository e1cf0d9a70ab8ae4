"""What must hold in every run, whatever happens to its processes."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from durable_async import StepContext
from durable_async._wire.operations import TERMINAL, Operation
from durable_async.service.machine.derive import derive
from durable_async.service.model.history import EventType, HistoryEvent
from tests.programs.interpreter import NOW, Place
from tests.programs.meaning import Failed, Returned, meaning
from tests.programs.program import RACED, Program

CANCELLATION_REQUESTED = EventType.EXECUTION_CANCELLATION_REQUESTED
BY_WORKFLOWS = {
    EventType.STEP_STARTED,
    EventType.STEP_SUCCEEDED,
    EventType.STEP_FAILED,
    EventType.CONTEXT_STARTED,
    EventType.CONTEXT_SUCCEEDED,
    EventType.CONTEXT_FAILED,
    EventType.WAIT_STARTED,
    EventType.CALLBACK_STARTED,
    EventType.CHAINED_INVOKE_STARTED,
    EventType.EXECUTION_SUCCEEDED,
    EventType.EXECUTION_FAILED,
}
"""What happens only if a workflow's code runs."""


@attrs.define(eq=False)
class Mind:
    """Holds what one process knows of an execution: the record that it was sent.

    :ivar ended: ids of the operations that have ended according to that record
    :ivar is_dead: the process has died. Code of it that the loop still runs does nothing that counts
    """

    ended: set[str] = attrs.field(factory=set)
    is_dead: bool = False

    def learn(self, operations: Sequence[Operation]) -> None:
        self.ended |= {operation["Id"] for operation in operations if operation["Status"] in TERMINAL}


@attrs.define(eq=False)
class Checks:
    """Compares what one execution did with what it may do.

    :ivar wrong: what must not have happened
    :ivar may_be_stopped: whether it may end STOPPED, if an operator has stopped it
    :ivar may_be_cancelled: whether an operator asks for its cancellation
    :ivar is_cancelled: whether the service has accepted that
    """

    name: str
    program: Program
    wrong: list[str] = attrs.field(factory=list)
    may_be_stopped: bool = False
    may_be_cancelled: bool = False
    is_cancelled: bool = False
    _outcomes: dict[str, str] = attrs.field(factory=dict)
    _bodies: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    _seen: dict[str, Any] = attrs.field(factory=dict)
    _events: list[HistoryEvent] = attrs.field(factory=list[HistoryEvent])
    _writer: tuple[int, int] = (0, 0)
    _parents: dict[str, str | None] = attrs.field(factory=dict)
    _answers: set[str] = attrs.field(factory=set)
    _due: dict[str, int] = attrs.field(factory=dict)

    def fail(self, what: str) -> None:
        self.wrong.append(f"{self.name}: {what}")

    def forget(self, *, events: bool = False) -> None:
        """Expect nothing of what was seen before: operations are done again.

        :param events: True: the history may lack what was shown too
        """
        for known in (self._outcomes, self._bodies, self._seen):
            known.clear()
        if events:
            self._events.clear()
            self._answers.clear()
            self.is_cancelled = False
            self.may_be_stopped = True

    # --- what workflows do ---

    def began(self, here: StepContext, mind: Mind, *, at_most_once: bool) -> None:
        if mind.is_dead:
            return
        if here.operation_id in mind.ended:
            self.fail(f"the body of {here.name} ran in a process that knew of its end")
        self._bodies[here.operation_id, here.attempt] += 1
        raced = (here.name or "").startswith(RACED)
        if at_most_once and not raced and self._bodies[here.operation_id, here.attempt] > 1:
            self.fail(f"attempt {here.attempt} of {here.name} ran twice, which may run at most once")

    def saw(self, place: Place, value: Any) -> None:
        if place.path.endswith(NOW) and place.raced:
            return
        before = self._seen.setdefault(place.name, value)
        if before != value:
            self.fail(f"{place.name} was {before} and then {value}")

    # --- what the service says ---

    def said(self, operations: Sequence[Operation]) -> None:
        """Check what the service answered with: an operation that has ended stays as it ended."""
        for operation in operations:
            self._parents[operation["Id"]] = operation.get("ParentId")
            if operation["Status"] in TERMINAL:
                self._ended(operation)
            elif operation["Id"] in self._outcomes:
                self.fail(f"{operation.get('Name')} is {operation['Status']} after it had ended")

    def said_whole(self, operations: Sequence[Operation]) -> None:
        """Check a whole record: no operation is missing that the service ever answered with."""
        self.said(operations)
        missing = {*self._outcomes} - {operation["Id"] for operation in operations}
        lost = [each for each in missing if not self._is_below_an_end(each)]
        if lost:
            self.fail(f"a record lacks {len(lost)} operations that had ended")

    def _is_below_an_end(self, operation_id: str) -> bool:
        parent = self._parents.get(operation_id)
        while parent is not None:
            if parent in self._outcomes:
                return True
            parent = self._parents.get(parent)
        return False

    def _ended(self, operation: Operation) -> None:
        details = next((value for member, value in operation.items() if member.endswith("Details")), {})
        outcome = json.dumps([operation["Status"], _outcome(details)], sort_keys=True)
        before = self._outcomes.setdefault(operation["Id"], outcome)
        if before != outcome:
            self.fail(f"{operation.get('Name')} ended as {before} and then as {outcome}")

    def wrote(self, invocation: int, worker: int) -> None:
        """Check who wrote a checkpoint that was accepted: no earlier invocation than before. Two workers have the same
        number if an invocation was delivered twice."""
        number, writer = self._writer
        if invocation < number or (invocation == number and worker != writer):
            self.fail(f"worker {worker} of invocation {invocation} wrote after worker {writer} of {number}")
        self._writer = max(self._writer, (invocation, worker))

    def answered(self, callback_id: str) -> None:
        """Remember that the service accepted the answer of a callback."""
        self._answers.add(callback_id)

    def history(self, events: Sequence[HistoryEvent]) -> None:
        """Check a history that a caller was shown: it never changes, and has no gaps."""
        if [event.id for event in events] != [*range(1, len(events) + 1)]:
            self.fail("the history has a gap")
        known = self._events[: len(events)]
        if [*events[: len(known)]] != known:
            self.fail("the history that was shown has changed")
        if len(events) < len(self._events):
            self.fail(f"the history lost {len(self._events) - len(events)} events that were shown")
        self._events = [*events] if len(events) >= len(self._events) else self._events
        self._check_times(events)
        self._check_pauses(events)

    def closed(self, events: Sequence[HistoryEvent], outcome: Returned | Failed) -> None:
        """Check how the execution has ended."""
        self.history(events)
        expected = meaning(self.program)
        if outcome != expected and not self._was_asked_for(events):
            self.fail(f"ended as {outcome} instead of {expected}")
        if self.is_cancelled and not any(event.type == CANCELLATION_REQUESTED for event in events):
            self.fail("a cancellation was accepted and is not on record")
        ids = {event.details["CallbackId"]: event.operation_id for event in events if event.type == "CallbackStarted"}
        ends = {
            event.operation_id: event.type for event in events if event.type in ("CallbackSucceeded", "CallbackFailed")
        }
        for callback_id in self._answers:
            if ids.get(callback_id) not in ends:
                self.fail("the answer of a callback was accepted and is not on record")
        statuses = {each.id: str(each.status) for each in derive(events).operations}
        for operation_id, told in self._outcomes.items():
            if statuses.get(operation_id) != json.loads(told)[0]:
                self.fail(
                    f"{operation_id} is {statuses.get(operation_id)} in the history, and the service had answered {told}"
                )

    def stays_closed(self, events: Sequence[HistoryEvent]) -> None:
        """Check that after its end nothing has happened but the end of an invocation that still ran."""
        later = [event.type for event in events[len(self._events) :]]
        self.history(events)
        if any(each != EventType.INVOCATION_COMPLETED for each in later):
            self.fail(f"{later} happened after its end")

    def _was_asked_for(self, events: Sequence[HistoryEvent]) -> bool:
        """Return whether an operator caused this end."""
        types = [event.type for event in events]
        if self.may_be_stopped and EventType.EXECUTION_STOPPED in types:
            return True
        return self.may_be_cancelled and CANCELLATION_REQUESTED in types

    def _check_pauses(self, events: Sequence[HistoryEvent]) -> None:
        is_paused = False
        for event in events:
            if event.type in (EventType.EXECUTION_PAUSED, EventType.EXECUTION_RESUMED):
                is_paused = event.type == EventType.EXECUTION_PAUSED
            elif is_paused and event.type in BY_WORKFLOWS:
                self.fail(f"{event.type} happened while it was paused")

    def _check_times(self, events: Sequence[HistoryEvent]) -> None:
        for event in events:
            if event.type == "WaitStarted":
                self._due[event.operation_id or ""] = event.details["ScheduledEndTimestamp"]
            elif event.type == "WaitSucceeded":
                due = self._due[event.operation_id or ""]
                if event.at_us // 1000 < due - 1:
                    self.fail(f"{event.name} ended {due - event.at_us // 1000} ms early")
        if any(later.at_us <= earlier.at_us for earlier, later in itertools.pairwise(events)):
            self.fail("the history goes back in time")


def _outcome(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must stay as it is. A stack trace may tell of lines that only one process ran."""
    error: Mapping[str, Any] = details.get("Error") or {}
    return {"Result": details.get("Result"), **{member: error.get(member) for member in ("ErrorType", "ErrorMessage")}}
