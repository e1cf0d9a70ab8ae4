"""The events of an execution's history.

An event holds plain payloads; ``service.http.rendering`` writes it in the form of Lambda's API.

Source: protocol.md, "History".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import attrs

from durable_async._wire.text import JsonMembers
from durable_async.service.model.columns import DETAILS
from durable_async.service.model.values import quick_frozen

PAYLOADS = frozenset({"Input", "Result", "Error", "Reason"})
_EPOCH = datetime.fromtimestamp(0, UTC)
_NOTHING: JsonMembers = MappingProxyType({})


class EventType(StrEnum):
    EXECUTION_STARTED = "ExecutionStarted"
    EXECUTION_SUCCEEDED = "ExecutionSucceeded"
    EXECUTION_FAILED = "ExecutionFailed"
    EXECUTION_TIMED_OUT = "ExecutionTimedOut"
    EXECUTION_STOPPED = "ExecutionStopped"
    EXECUTION_PAUSED = "ExecutionPaused"
    EXECUTION_RESUMED = "ExecutionResumed"
    EXECUTION_REDRIVEN = "ExecutionRedriven"
    EXECUTION_CANCELLATION_REQUESTED = "ExecutionCancellationRequested"
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

    def is_end_of_execution(self) -> bool:
        return self in CLOSING


CLOSING = frozenset(
    {
        EventType.EXECUTION_SUCCEEDED,
        EventType.EXECUTION_FAILED,
        EventType.EXECUTION_TIMED_OUT,
        EventType.EXECUTION_STOPPED,
    }
)
"""The events that end an execution. Only the end of an invocation that still ran may follow one of them."""


def milliseconds(microseconds: int) -> int:
    """Return ``microseconds``, the unit of events, as milliseconds, the unit of timers; rounded."""
    return (microseconds + 500) // 1000


@quick_frozen
class HistoryEvent:
    """One entry of the history.

    :ivar id: 1, 2, 3, ... without gaps, in the order in which things happened
    :ivar at_us: when it happened, in epoch microseconds; later than the event before it
    :ivar details: the members of ``<type>Details``. A payload member holds the text or error itself, or None when
        there is none; a member whose name ends in ``Timestamp`` holds epoch milliseconds
    """

    id: int
    type: EventType
    at_us: int
    details: JsonMembers = attrs.field(default=_NOTHING, metadata=DETAILS)
    operation_id: str | None = None
    name: str | None = None
    sub_type: str | None = None
    parent_id: str | None = None

    @property
    def time(self) -> datetime:
        """The time of the event, in UTC."""
        return time_of(self.at_us)

    @property
    def size(self) -> int:
        """Return about how many bytes it takes on the wire: the characters of its payloads and 512 for the rest."""
        payloads = (value for member, value in self.details.items() if member in PAYLOADS and value is not None)
        return 512 + sum(len(str(value)) for value in payloads)


def time_of(at_us: int) -> datetime:
    """Return an epoch time in microseconds as a ``datetime`` in UTC."""
    return _EPOCH + timedelta(microseconds=at_us)
