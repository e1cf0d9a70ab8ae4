"""The events that an execution leaves behind, and how the API shows them.

An event is kept as it happened, with bare payloads. ``render`` makes the API's shape, with or
without the execution's data. Which command writes which event is the machine's business; the constructors here say
what each one holds.

Source: protocol.md, "History".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import attrs

PAYLOADS = frozenset({"Input", "Result", "Error", "Reason"})
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class EventType(StrEnum):
    EXECUTION_STARTED = "ExecutionStarted"
    EXECUTION_SUCCEEDED = "ExecutionSucceeded"
    EXECUTION_FAILED = "ExecutionFailed"
    EXECUTION_TIMED_OUT = "ExecutionTimedOut"
    EXECUTION_STOPPED = "ExecutionStopped"
    EXECUTION_PAUSED = "ExecutionPaused"
    EXECUTION_RESUMED = "ExecutionResumed"
    CONTEXT_STARTED = "ContextStarted"
    CONTEXT_SUCCEEDED = "ContextSucceeded"
    CONTEXT_FAILED = "ContextFailed"
    STEP_STARTED = "StepStarted"
    STEP_SUCCEEDED = "StepSucceeded"
    STEP_FAILED = "StepFailed"
    WAIT_STARTED = "WaitStarted"
    WAIT_SUCCEEDED = "WaitSucceeded"
    WAIT_CANCELLED = "WaitCancelled"
    CALLBACK_STARTED = "CallbackStarted"
    CALLBACK_SUCCEEDED = "CallbackSucceeded"
    CALLBACK_FAILED = "CallbackFailed"
    CALLBACK_TIMED_OUT = "CallbackTimedOut"
    CHAINED_INVOKE_STARTED = "ChainedInvokeStarted"
    CHAINED_INVOKE_SUCCEEDED = "ChainedInvokeSucceeded"
    CHAINED_INVOKE_FAILED = "ChainedInvokeFailed"
    CHAINED_INVOKE_TIMED_OUT = "ChainedInvokeTimedOut"
    CHAINED_INVOKE_STOPPED = "ChainedInvokeStopped"
    INVOCATION_COMPLETED = "InvocationCompleted"


CLOSING = frozenset(
    {
        EventType.EXECUTION_SUCCEEDED,
        EventType.EXECUTION_FAILED,
        EventType.EXECUTION_TIMED_OUT,
        EventType.EXECUTION_STOPPED,
    }
)
"""Each says how the execution ended. An invocation that ran at that time may still be told of after it."""


@attrs.frozen
class Event:
    """One line of the history.

    :ivar id: 1, 2, 3, ... without gaps, in the order in which things happened
    :ivar at_us: when it happened, in epoch microseconds; later than the event before it
    :ivar details: the members of ``<type>Details``. A payload member holds the text or error itself, or None when
        there is none; a member whose name ends in ``Timestamp`` holds epoch milliseconds
    """

    id: int
    type: EventType
    at_us: int
    details: Mapping[str, Any] = _NOTHING
    operation_id: str | None = None
    name: str | None = None
    sub_type: str | None = None
    parent_id: str | None = None

    @property
    def size(self) -> int:
        """About how many bytes it takes on the wire: payload characters and an allowance for the rest."""
        payloads = (value for member, value in self.details.items() if member in PAYLOADS and value is not None)
        return 512 + sum(len(str(value)) for value in payloads)


def render(event: Event, *, include_data: bool) -> dict[str, Any]:
    """The event as ``GetDurableExecutionHistory`` shows it, times in epoch seconds.

    Payload members are there in any case: with data as ``{"Payload": ..., "Truncated": false}`` (``Payload`` only if
    there was one), without as ``{"Truncated": true}``.
    """
    shown: dict[str, Any] = {
        "EventType": str(event.type),
        "EventId": event.id,
        "EventTimestamp": event.at_us / 1_000_000,
    }
    place = {"Id": event.operation_id, "Name": event.name, "SubType": event.sub_type, "ParentId": event.parent_id}
    shown.update({member: value for member, value in place.items() if value is not None})
    shown[f"{event.type}Details"] = {
        member: _member(member, value, include_data=include_data) for member, value in event.details.items()
    }
    return shown


def _member(member: str, value: Any, *, include_data: bool) -> Any:
    if member in PAYLOADS:
        return _payload(value, include_data=include_data)
    return value / 1000 if member.endswith("Timestamp") else value


def _payload(value: Any, *, include_data: bool) -> dict[str, Any]:
    if not include_data:
        return {"Truncated": True}
    return {"Truncated": False} if value is None else {"Payload": value, "Truncated": False}
