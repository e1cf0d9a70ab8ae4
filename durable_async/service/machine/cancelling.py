"""Cancels an execution: its workflow gets the cancellation at its next operation, and its compensations run."""

from __future__ import annotations

from durable_async._wire import cancellation
from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import OperationType, SubType
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution
from durable_async.service.machine.invocations import invoke_if_wanted
from durable_async.service.machine.lifecycle import check_reason
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.machine.progress import fire_due
from durable_async.service.model.errors import ResourceConflictError
from durable_async.service.model.history import EventType


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
    if known is not None:
        return
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
    invoke_if_wanted(execution, at)
