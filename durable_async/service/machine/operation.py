"""One operation of an execution, and its two encodings as JSON.

An API answer has epoch seconds with a fraction. An envelope has whole epoch milliseconds, because other SDKs read them
into an integer; additional members, which other SDKs ignore, hold the microseconds. Everything else is the same.
Source: protocol.md, "Timestamps".

A callback id contains the ids of its execution and its operation, so that they can be found without an index, and a
secret.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import cast

import attrs

from durable_async._wire.operations import TERMINAL, ErrorObject, Operation, OperationStatus, OperationType
from durable_async._wire.text import JsonObject
from durable_async.service.machine.effects import ChainedOutcome, StartChained
from durable_async.service.model.columns import JSON, PAYLOAD


def make_callback_id(execution_id: str, sequence: int, secret: str) -> str:
    """Return the id of a callback. None of the parts contains a dot.

    :param sequence: of the CALLBACK operation
    :param secret: makes the id impossible to guess
    """
    return base64.b64encode(f"{execution_id}.{sequence}.{secret}".encode()).decode()


def callback_place(callback_id: str) -> tuple[str, int] | None:
    """Return the id of the execution and the sequence of the operation; None if the id is malformed."""
    try:
        execution_id, sequence, _ = base64.b64decode(callback_id, validate=True).decode().split(".")
        return execution_id, int(sequence)
    except ValueError:
        return None


def cleared_id(operation_id: str, event: int) -> str:
    """Return the id of an operation after a redrive has cleared it. A new operation may then have its old id.

    :param event: the id of the redrive's event
    """
    return f"{operation_id}.{event}"


# The open operations for which a handler can wait. Source: protocol.md, "Answer of the handler".
_AWAITED = {
    OperationType.STEP: OperationStatus.PENDING,
    OperationType.WAIT: OperationStatus.STARTED,
    OperationType.CALLBACK: OperationStatus.STARTED,
    OperationType.CHAINED_INVOKE: OperationStatus.STARTED,
}


@attrs.define(eq=False)
class OperationRecord:
    """One operation of an execution.

    :ivar sequence: its place in the order in which operations began, from 0 (the EXECUTION operation)
    :ivar start_us: the time of its first event, in epoch microseconds
    :ivar end_us: the time of its last event, if it has ended. No two operations of an execution end at the same time
    :ivar due_ms: when its timer fires: the end of a wait, the next attempt of a step, the timeout of a callback; None:
        no timer
    :ivar attempts: the number of attempts of a step that have ended
    :ivar result: the result, the state of a condition between polls, or the input of the EXECUTION operation
    :ivar replay_children: True: the children of this completed context are still sent to the handler. False: they are
        not
    :ivar answer_schema: of a callback: the JSON Schema that its answer must fit, as text
    :ivar request: of a running chained invoke: its request, to repeat it after a restart
    :ivar held: of a chained invoke: its outcome, which is not yet recorded
    """

    id: str
    type: OperationType
    sequence: int
    start_us: int
    status: OperationStatus = OperationStatus.STARTED
    parent_id: str | None = None
    name: str | None = None
    sub_type: str | None = None
    end_us: int | None = None
    due_ms: int | None = None
    attempts: int = 0
    result: str | None = attrs.field(default=None, metadata=PAYLOAD)
    error: ErrorObject | None = attrs.field(default=None, metadata=PAYLOAD)
    replay_children: bool = False
    duration: int | None = None
    callback_id: str | None = None
    heartbeat_seconds: int = 0
    heartbeat_due_ms: int | None = None
    answer_schema: str | None = attrs.field(default=None, metadata=PAYLOAD)
    request: StartChained | None = attrs.field(default=None, metadata=JSON)
    held: ChainedOutcome | None = attrs.field(default=None, metadata=JSON)

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def awaited(self) -> bool:
        """True if something outside the handler will change it: a timer, a callback, the target of an invoke."""
        return _AWAITED.get(self.type) is self.status

    @property
    def timer_ms(self) -> int | None:
        """The time when its next timer fires; None: it has no timer."""
        if not self.awaited:
            return None
        return min((due for due in (self.due_ms, self.heartbeat_due_ms) if due is not None), default=None)

    @property
    def size(self) -> int:
        """Its approximate size on the wire: the characters of its payloads and an allowance for the rest."""
        return 512 + len(self.result or "") + (len(str(self.error)) if self.error else 0)

    def in_milliseconds(self) -> Operation:
        """Return the operation as an invocation envelope has it."""
        ended = None if self.end_us is None else self.end_us // 1000
        shown = self._shown(self.start_us // 1000, ended, lambda ms: ms)
        if below := self.start_us % 1000:
            shown["StartMicroseconds"] = below
        if self.end_us is not None and (below := self.end_us % 1000):
            shown["EndMicroseconds"] = below
        return shown

    def in_seconds(self) -> Operation:
        """Return the operation as an API answer has it."""
        ended = None if self.end_us is None else self.end_us / 1_000_000
        return self._shown(self.start_us / 1_000_000, ended, lambda ms: ms / 1000)

    def _shown(self, started: float, ended: float | None, time: Callable[[int], float]) -> Operation:
        """Return the operation as JSON.

        :param time: converts the epoch milliseconds of a timer
        """
        shown: dict[str, object] = {
            "Id": self.id,
            "Type": str(self.type),
            "Status": str(self.status),
            "StartTimestamp": started,
        }
        if self.parent_id is not None:
            shown["ParentId"] = self.parent_id
        if self.name is not None:
            shown["Name"] = self.name
        if self.sub_type is not None:
            shown["SubType"] = self.sub_type
        if ended is not None:
            shown["EndTimestamp"] = ended
        member, details = self._details(time)
        shown[member] = {name: value for name, value in details.items() if value is not None}
        return cast("Operation", shown)

    def _details(self, time: Callable[[int], float]) -> tuple[str, JsonObject]:
        outcome = {"Result": self.result, "Error": self.error}
        due = None if self.due_ms is None else time(self.due_ms)
        match self.type:
            case OperationType.EXECUTION:
                return "ExecutionDetails", {"InputPayload": self.result}
            case OperationType.CONTEXT:
                return "ContextDetails", {"ReplayChildren": self.replay_children or None, **outcome}
            case OperationType.STEP:
                return "StepDetails", {"Attempt": self.attempts, "NextAttemptTimestamp": due, **outcome}
            case OperationType.WAIT:
                return "WaitDetails", {"ScheduledEndTimestamp": due}
            case OperationType.CALLBACK:
                return "CallbackDetails", {"CallbackId": self.callback_id, **outcome}
            case OperationType.CHAINED_INVOKE:
                return "ChainedInvokeDetails", outcome
