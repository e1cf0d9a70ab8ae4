"""The commands on a whole execution: start, stop, cancel, pause, resume."""

from __future__ import annotations

from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.limits import REASON_LENGTH
from durable_async._wire.operations import ErrorObject, OperationType
from durable_async.service.machine.cancelling import request_cancellation
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution, ExecutionStatus, NewExecution
from durable_async.service.machine.invocations import (
    begin_invocation,
    begin_pause,
    end_pause,
    invoke_if_wanted,
    take_effect,
)
from durable_async.service.machine.limits import check_error_size
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.machine.progress import fire_due
from durable_async.service.model.errors import InvalidParameterValueError, ResourceConflictError
from durable_async.service.model.history import EventType


def start(new: NewExecution, at: Moment) -> Execution:
    """Return a new execution. Its changes invoke the handler."""
    execution = Execution.begun(new, at)
    started_us = execution.tick(at)
    root = OperationRecord(
        id=new.id,
        type=OperationType.EXECUTION,
        sequence=0,
        start_us=started_us,
        name=new.name,
        result=new.input,
    )
    execution.begin(root)
    execution.touched(root, was_awaited=False)
    execution.log(EventType.EXECUTION_STARTED, started_us, root, Input=new.input, ExecutionTimeout=new.timeout_seconds)
    begin_invocation(execution, at)
    return execution


def stop(execution: Execution, error: ErrorObject | None, at: Moment) -> int:
    """Close the execution as STOPPED, and return when it was closed, in epoch milliseconds. A running invocation may
    not write any more, and the runner ends it.

    :param error: None: an error that says that a user asked for it
    :raises InvalidParameterValueError: the error is too large
    """
    check_error_size(error or {}, at.limits.payload_bytes)
    fire_due(execution, at)
    if execution.open:
        execution.close(
            ExecutionStatus.STOPPED, at, error=error or {"ErrorMessage": "Execution stopped by user request"}
        )
    return execution.ended_ms or at.now_ms


def cancel(execution: Execution, reason: str | None, at: Moment) -> None:
    """Ask the workflow to end. Does nothing if a cancellation was requested before and has not reached the workflow.

    :raises InvalidParameterValueError: the reason is too long
    :raises ResourceConflictError: the execution is closed, or its workflow has received a cancellation before and
        continued
    """
    check_reason(reason)
    fire_due(execution, at)
    if not execution.open:
        raise ResourceConflictError(f"The execution is {execution.status} and cannot be cancelled.")
    known = execution.by_id.get(CANCELLATION)
    if known is not None and known.ended:
        raise ResourceConflictError("The execution was cancelled before, and its code continued. Stop it instead.")
    if known is None:
        request_cancellation(execution, reason, at)
        invoke_if_wanted(execution, at)


def follow_parent(execution: Execution, parent: Execution | None, at: Moment) -> None:
    """Cancel a child whose parent was cancelled or is closed, unless it was cancelled before.

    :param parent: the execution that invoked the child; None: it was deleted
    """
    if parent is not None and parent.open and CANCELLATION not in parent.by_id:
        return
    if execution.open and CANCELLATION not in execution.by_id:
        how = "was cancelled" if parent is None or parent.open else f"ended {parent.status}"
        cancel(execution, f"The execution that invoked it {how}.", at)


def pause(execution: Execution, reason: str | None, at: Moment, *, timeout_paused: bool) -> None:
    """Invoke nothing until ``resume``. Effective at the next checkpoint of a running invocation, or at its end.

    :param timeout_paused: True: the execution's timeout grows by the length of the pause. False: it stays
    :raises InvalidParameterValueError: the reason is too long
    :raises ResourceConflictError: it is closed, or already paused
    """
    check_reason(reason)
    fire_due(execution, at)
    if execution.status is not ExecutionStatus.RUNNING:
        raise ResourceConflictError(f"The execution is {execution.status} and cannot be paused.")
    begin_pause(execution, reason, at, timeout_paused=timeout_paused)
    if execution.invocation is None:
        take_effect(execution, at)


def resume(execution: Execution, reason: str | None, at: Moment) -> None:
    """End a pause, and invoke the handler if the pause interrupted it or something changed meanwhile.

    :raises InvalidParameterValueError: the reason is too long
    :raises ResourceConflictError: it is not paused
    """
    check_reason(reason)
    fire_due(execution, at)
    if execution.pause is None:
        raise ResourceConflictError(f"The execution is {execution.status} and cannot be resumed.")
    end_pause(execution, reason, at)


def check_reason(reason: str | None) -> None:
    """Check the reason of a pause, of its end or of a cancellation.

    :raises InvalidParameterValueError: it is too long
    """
    if reason is not None and len(reason) > REASON_LENGTH:
        raise InvalidParameterValueError(
            "1 validation error detected: Value at 'reason' failed to satisfy constraint: Member must have length less "
            f"than or equal to {REASON_LENGTH}"
        )
