"""What the failure of a workflow means that was told to end."""

from __future__ import annotations

from durable_async._wire import cancellation
from durable_async._wire.operations import ErrorObject
from durable_async.service.machine.execution import Execution


def stop_error(execution: Execution, error: ErrorObject | None) -> ErrorObject | None:
    """Return the error with which a cancelled execution is stopped whose workflow failed; None if it was not told.

    That it was told need not be on record, if it recorded nothing after that.

    :param error: the workflow's. If it is another one than the cancellation, as of a compensation, it is kept
    """
    told = execution.by_id.get(cancellation.CANCELLATION)
    by_it = error is not None and error.get("ErrorType") == cancellation.ERROR_TYPE
    if told is None or not (told.ended or by_it):
        return None
    reason = cancellation.read(told.result)[0] or "The execution was cancelled."
    if error is None or by_it:
        return {"ErrorType": cancellation.ERROR_TYPE, "ErrorMessage": reason}
    return {**error, "ErrorMessage": f"{reason} While it was cancelled, it failed: {error.get('ErrorMessage') or ''}"}
