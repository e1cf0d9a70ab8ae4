"""What a step does next, decided from its record alone.

Pure: no I/O, no clock, no event loop. Each decision about a step is made here and nowhere else. Nothing here knows
whether this is a first run or a replay: the record says everything.

The rows are those of protocol.md, "Steps". Two need an explanation. A step that is STARTED is run again without a
second START, because the service refuses one. A PENDING step waits even if its time has passed by our clock: the
service's clock decides, and the service then makes the step READY.
"""

from enum import Enum, auto
from typing import NamedTuple

from durable_async._wire.operations import ErrorObject, Operation, OperationStatus, StepDetails
from durable_async._wire.timestamps import seconds
from durable_async.config import StepSemantics


class Start(Enum):
    """What to do about the START before the body runs."""

    ON_RECORD = auto()
    """Nothing: the service has it."""
    POSTED = auto()
    """Send it with the next checkpoint, at the latest with the end of the attempt."""
    COMMITTED = auto()
    """Wait until the service has accepted it."""


class Run(NamedTuple):
    attempt: int  # 1-based
    start: Start


class Wait(NamedTuple):
    until: float | None  # epoch seconds; None: the record does not say


class Interrupted(NamedTuple):
    """An at-most-once attempt began and its end is unknown: count it as failed, and do not run it again."""

    attempt: int


class Return(NamedTuple):
    payload: str | None


class Raise(NamedTuple):
    error: ErrorObject


StepAction = Run | Wait | Interrupted | Return | Raise


def next_action(record: Operation | None, semantics: StepSemantics) -> StepAction:
    """Return what to do about the step that ``record`` shows; None: it is new."""
    start = Start.COMMITTED if semantics is StepSemantics.AT_MOST_ONCE_PER_RETRY else Start.POSTED
    if record is None:
        return Run(1, start)
    details: StepDetails = record.get("StepDetails") or {}
    attempt = (details.get("Attempt") or 0) + 1
    match record["Status"]:
        case OperationStatus.SUCCEEDED:
            return Return(details.get("Result"))
        case OperationStatus.PENDING:
            due = details.get("NextAttemptTimestamp")
            return Wait(None if due is None else seconds(due))
        case OperationStatus.READY:
            return Run(attempt, start)
        case OperationStatus.STARTED if start is Start.COMMITTED:
            return Interrupted(attempt)
        case OperationStatus.STARTED:
            return Run(attempt, Start.ON_RECORD)
        case _:  # FAILED, and whatever terminal status the service may invent: the body must not run
            return Raise(details.get("Error") or {})
