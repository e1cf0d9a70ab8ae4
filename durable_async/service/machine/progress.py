"""Ends operations without the handler: by timers, answers to callbacks, and the ends of chained invokes.

Each function ends the operation, writes its event, and then invokes the handler, unless it runs already. A closed
execution does not change. Source: protocol.md, "Effects of updates", "Invoking the handler" and "Chained invokes".
"""

from __future__ import annotations

from durable_async._wire.operations import ErrorObject, OperationStatus, OperationType
from durable_async.service.machine.cancelling import cancel_before_timeout
from durable_async.service.machine.chained import deliver, hold_or_deliver
from durable_async.service.machine.effects import ChainedOutcome, Moment
from durable_async.service.machine.execution import Execution, ExecutionStatus
from durable_async.service.machine.invocations import invoke_if_wanted, retry_if_due
from durable_async.service.machine.limits import check_error_size
from durable_async.service.machine.operation import OperationRecord, callback_place
from durable_async.service.model.errors import CallbackTimedOutError, InvalidParameterValueError, ResourceNotFoundError
from durable_async.service.model.history import EventType


def fire_due(execution: Execution, at: Moment) -> None:
    """Fire all timers that are due, then invoke the handler if it is needed."""
    due_ms = execution.next_due_ms()
    if due_ms is not None and due_ms <= at.now_ms:
        _fire(execution, at)
    invoke_if_wanted(execution, at)


def _fire(execution: Execution, at: Moment) -> None:
    if execution.timeout_ms <= at.now_ms:
        execution.close(
            ExecutionStatus.TIMED_OUT,
            at,
            error={"ErrorMessage": f"Execution timed out after {execution.timeout_seconds} seconds."},
        )
        return
    cancel_before_timeout(execution, at)
    while (operation := execution.pop_due(at.now_ms)) is not None:
        _expire(execution, operation, at)
    retry_if_due(execution, at)


def _expire(execution: Execution, operation: OperationRecord, at: Moment) -> None:
    match operation.type:
        case OperationType.WAIT:
            ended_us = execution.tick(at)
            execution.end(operation, OperationStatus.SUCCEEDED, ended_us)
            execution.log(EventType.WAIT_SUCCEEDED, ended_us, operation, Duration=operation.duration)
        case OperationType.STEP:
            operation.status, operation.due_ms = OperationStatus.READY, None
            execution.touched(operation, was_awaited=True)
        case OperationType.CHAINED_INVOKE if operation.held is not None:
            deliver(execution, operation, operation.held, at)
        case _:
            timed_out = operation.due_ms is not None and operation.due_ms <= at.now_ms
            error: ErrorObject = (
                {"ErrorType": "Callback.Timeout", "ErrorMessage": "Callback timed out"}
                if timed_out
                else {"ErrorType": "Callback.Heartbeat", "ErrorMessage": "Callback timed out on heartbeat"}
            )
            ended_us = execution.tick(at)
            execution.end(operation, OperationStatus.TIMED_OUT, ended_us, error=error)
            execution.log(EventType.CALLBACK_TIMED_OUT, ended_us, operation, Error=error)


def callback_succeeded(execution: Execution, callback_id: str, result: bytes, at: Moment) -> None:
    """End a callback with a result.

    :param result: UTF-8; empty: no result
    :raises ApiError: CallbackTimeout, ResourceNotFound, or InvalidParameterValue if it is completed already, too large
        or not UTF-8
    """
    fire_due(execution, at)
    callback = _open_callback(execution, callback_id)
    if len(result) > at.limits.payload_bytes:
        raise InvalidParameterValueError(
            f"CALLBACK output payload size must be less than or equal to {at.limits.payload_bytes} bytes."
        )
    try:
        text = result.decode() if result else None
    except UnicodeDecodeError:
        raise InvalidParameterValueError("The callback's result is not UTF-8 text.") from None
    ended_us = execution.tick(at)
    execution.end(callback, OperationStatus.SUCCEEDED, ended_us, result=text)
    execution.log(EventType.CALLBACK_SUCCEEDED, ended_us, callback, Result=text)
    invoke_if_wanted(execution, at)


def callback_failed(execution: Execution, callback_id: str, error: ErrorObject, at: Moment) -> None:
    """End a callback with an error.

    :raises ApiError: as ``callback_succeeded``
    """
    fire_due(execution, at)
    callback = _open_callback(execution, callback_id)
    check_error_size(error, at.limits.payload_bytes)
    ended_us = execution.tick(at)
    execution.end(callback, OperationStatus.FAILED, ended_us, error=error)
    execution.log(EventType.CALLBACK_FAILED, ended_us, callback, Error=error)
    invoke_if_wanted(execution, at)


def callback_heartbeat(execution: Execution, callback_id: str, at: Moment) -> None:
    """Restart the heartbeat timer of a callback. Nothing else changes, and no event is written.

    :raises ApiError: as ``callback_succeeded``
    """
    fire_due(execution, at)
    callback = _open_callback(execution, callback_id)
    if callback.heartbeat_seconds:
        callback.heartbeat_due_ms = at.now_ms + callback.heartbeat_seconds * 1000
        execution.changes.operations[callback.id] = callback


def answer_schema(execution: Execution, callback_id: str) -> str | None:
    """Return the JSON Schema that the answer of a callback must fit; None: any answer fits, or nothing waits."""
    callback = _callback(execution, callback_id)
    return None if callback is None or callback.ended else callback.answer_schema


def _callback(execution: Execution, callback_id: str) -> OperationRecord | None:
    """Return the callback with this id; None: the execution has none, or a redrive has cleared it."""
    place = callback_place(callback_id)
    sequence = place[1] if place else 0
    callback = execution.operations[sequence] if 0 < sequence < len(execution.operations) else None
    if callback is None or callback.callback_id != callback_id or callback.status is OperationStatus.CLEARED:
        return None
    return callback


def _open_callback(execution: Execution, callback_id: str) -> OperationRecord:
    callback = _callback(execution, callback_id)
    if callback is None:
        raise ResourceNotFoundError("Callback not found")
    if callback.status is OperationStatus.TIMED_OUT:
        raise CallbackTimedOutError("The callback has timed out.")
    if callback.ended:
        raise InvalidParameterValueError("The callback is already completed.")
    if not execution.open:
        raise InvalidParameterValueError("The execution of the callback is already closed.")
    return callback


def chained_invoke_ended(execution: Execution, operation_id: str, outcome: ChainedOutcome, at: Moment) -> None:
    """End a chained invoke. Does nothing if the execution is closed, or the invoke has ended already."""
    fire_due(execution, at)
    invoke = execution.by_id.get(operation_id)  # None: a redrive has cleared the operation
    if execution.open and invoke is not None and not invoke.ended and invoke.held is None:
        hold_or_deliver(execution, invoke, outcome, at)
        invoke_if_wanted(execution, at)
