"""Cancels an execution: its workflow gets the cancellation at its next operation, and its compensations run."""

from __future__ import annotations

from durable_async._wire import cancellation
from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import ErrorObject, OperationType, SubType
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution, ExecutionStatus
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.model.history import EventType


def request_cancellation(execution: Execution, reason: str | None, at: Moment) -> None:
    """Record the request, which must be the first one. The caller invokes the handler."""
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
    """Ask the workflow to end if its timeout is near enough."""
    due = execution.cancel_ms
    if due is not None and due <= at.now_ms:
        request_cancellation(execution, timeout_reason(execution), at)


def timeout_reason(execution: Execution) -> str:
    """Return the reason of a cancellation before a timeout. Other cancellations have other reasons."""
    return f"The execution times out {execution.timeout_seconds} seconds after its start."


def cancelled_end(execution: Execution, error: ErrorObject | None) -> tuple[ExecutionStatus, ErrorObject] | None:
    """Return how a cancelled execution ends whose workflow failed; None if the workflow never got the cancellation.

    It ends TIMED_OUT if it was cancelled because of its timeout, otherwise STOPPED.

    The workflow may have received the cancellation without recording that, if it recorded nothing afterwards.

    :param error: the workflow's error. If it is not the cancellation itself (a compensation failed), it is kept
    """
    request = execution.by_id.get(cancellation.CANCELLATION)
    by_it = error is not None and error.get("ErrorType") == cancellation.ERROR_TYPE
    if request is None or not (request.ended or by_it):
        return None
    reason = cancellation.read(request.result)[0] or "The execution was cancelled."
    status = ExecutionStatus.TIMED_OUT if reason == timeout_reason(execution) else ExecutionStatus.STOPPED
    if error is None or by_it:
        return status, {"ErrorType": cancellation.ERROR_TYPE, "ErrorMessage": reason}
    message = f"{reason} While it was cancelled, it failed: {error.get('ErrorMessage') or ''}"
    return status, {**error, "ErrorMessage": message}
