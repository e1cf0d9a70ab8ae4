"""What the failure of a workflow means that was told to end."""

from __future__ import annotations

from durable_async._wire import cancellation
from durable_async._wire.operations import ErrorObject
from durable_async.service.machine.cancelling import timeout_reason
from durable_async.service.machine.execution import Execution, ExecutionStatus


def cancelled_end(execution: Execution, error: ErrorObject | None) -> tuple[ExecutionStatus, ErrorObject] | None:
    """Return how a cancelled execution ends whose workflow failed; None if the workflow was not told. It ends TIMED_OUT
    if it was cancelled because of its timeout, otherwise STOPPED.

    That it was told need not be on record, if it recorded nothing after that.

    :param error: the workflow's. If it is another one than the cancellation, as of a compensation, it is kept
    """
    told = execution.by_id.get(cancellation.CANCELLATION)
    by_it = error is not None and error.get("ErrorType") == cancellation.ERROR_TYPE
    if told is None or not (told.ended or by_it):
        return None
    reason = cancellation.read(told.result)[0] or "The execution was cancelled."
    status = ExecutionStatus.TIMED_OUT if reason == timeout_reason(execution) else ExecutionStatus.STOPPED
    if error is None or by_it:
        return status, {"ErrorType": cancellation.ERROR_TYPE, "ErrorMessage": reason}
    message = f"{reason} While it was cancelled, it failed: {error.get('ErrorMessage') or ''}"
    return status, {**error, "ErrorMessage": message}
