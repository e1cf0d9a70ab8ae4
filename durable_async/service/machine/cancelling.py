"""Asking an execution to end: its workflow is told at its next operation, and its compensations run."""

from __future__ import annotations

from durable_async._wire import cancellation
from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import OperationType, SubType
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.model.history import EventType


def request_cancellation(execution: Execution, reason: str | None, at: Moment) -> None:
    """Record that the workflow is to be told, which it was not before. Its handler is not invoked yet."""
    operation = OperationRecord(
        id=CANCELLATION,
        type=OperationType.STEP,
        sequence=len(execution.operations),
        start_us=execution.tick(at),
        name=CANCELLATION,
        sub_type=SubType.STEP,
        result=cancellation.requested(reason),
    )
    execution.begin(operation)
    execution.touched(operation, was_awaited=False)
    execution.log(EventType.EXECUTION_CANCELLATION_REQUESTED, operation.start_us, operation, Reason=reason)
    execution.changes.effects += execution.followers()


def cancel_before_timeout(execution: Execution, at: Moment) -> None:
    """Ask the workflow to end if its timeout is so near."""
    due = execution.cancel_ms
    if due is not None and due <= at.now_ms:
        request_cancellation(execution, timeout_reason(execution), at)


def timeout_reason(execution: Execution) -> str:
    """Return the reason of a cancellation before a timeout, which no other cancellation has."""
    return f"The execution times out {execution.timeout_seconds} seconds after its start."
