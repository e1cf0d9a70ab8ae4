"""Decides what the failure of a cancelled workflow means."""

from __future__ import annotations

from durable_async._wire import cancellation
from durable_async._wire.operations import ErrorObject
from durable_async.service.machine.execution import Execution


def stop_error(execution: Execution, error: ErrorObject | None) -> ErrorObject | None:
    """Return the error with which to stop an execution whose workflow failed because it was cancelled, otherwise None.

    The workflow may have received the cancellation without recording that, if it recorded nothing afterwards.

    :param error: the workflow's error. If it is not the cancellation itself (a compensation failed), it is kept
    """
    request = execution.by_id.get(cancellation.CANCELLATION)
    by_it = error is not None and error.get("ErrorType") == cancellation.ERROR_TYPE
    if request is None or not (request.ended or by_it):
        return None
    reason = cancellation.read(request.result)[0] or "The execution was cancelled."
    if error is None or by_it:
        return {"ErrorType": cancellation.ERROR_TYPE, "ErrorMessage": reason}
    return {**error, "ErrorMessage": f"{reason} While it was cancelled, it failed: {error.get('ErrorMessage') or ''}"}
