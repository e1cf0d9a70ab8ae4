"""The commands of callers and operators on a whole execution: start, stop, pause, resume."""

from __future__ import annotations

import attrs

from durable_async._wire.limits import DELAY_SECONDS, REASON_LENGTH
from durable_async._wire.operations import ErrorObject, OperationType
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution, ExecutionStatus, Parent
from durable_async.service.machine.invocations import begin_invocation, begin_pause, invoke_if_wanted, take_effect
from durable_async.service.machine.limits import check_error_size
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.machine.progress import fire_due
from durable_async.service.model.errors import InvalidParameterValueError, ResourceConflictError
from durable_async.service.model.history import EventType


@attrs.frozen
class NewExecution:
    """What an execution is started with.

    :ivar id: unique; the last segment of ``arn``
    :ivar function_arn: qualified with ``version``
    :ivar input: the caller's event, JSON text
    """

    id: str
    arn: str
    name: str
    function_name: str
    function_arn: str
    version: str
    input: str
    timeout_seconds: int
    tenant_id: str | None = None
    parent: Parent | None = None


def start(new: NewExecution, at: Moment) -> Execution:
    execution = Execution(
        id=new.id,
        arn=new.arn,
        name=new.name,
        function_name=new.function_name,
        function_arn=new.function_arn,
        version=new.version,
        input=new.input,
        started_ms=at.now_ms,
        timeout_seconds=new.timeout_seconds,
        timeout_ms=at.now_ms + new.timeout_seconds * 1000,
        tenant_id=new.tenant_id,
        parent=new.parent,
    )
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


def stop(execution: Execution, error: ErrorObject | None, at: Moment) -> None:
    """Close the execution as STOPPED. A running invocation may write no more, and is to be ended.

    :param error: None: a message says that a user asked for it
    :raises InvalidParameterValueError: the error is too large
    """
    check_error_size(error or {}, at.limits.payload_bytes)
    fire_due(execution, at)
    if execution.open:
        execution.close(
            ExecutionStatus.STOPPED, at, error=error or {"ErrorMessage": "Execution stopped by user request"}
        )


def pause(execution: Execution, reason: str | None, at: Moment, *, timeout_paused: bool) -> None:
    """Let nothing be invoked until ``resume``. Effective at the running invocation's next checkpoint, or its end.

    :param timeout_paused: whether the execution's timeout grows by the time it is paused
    :raises InvalidParameterValueError: the reason is too long
    :raises ResourceConflictError: it is closed, or already paused
    """
    _check_reason(reason)
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
    _check_reason(reason)
    fire_due(execution, at)
    if execution.pause is None:
        raise ResourceConflictError(f"The execution is {execution.status} and cannot be resumed.")
    if execution.pause.timeout_paused:
        extended = execution.pause.timeout_ms + at.now_ms - execution.pause.requested_ms
        execution.timeout_ms = min(execution.started_ms + DELAY_SECONDS * 1000, extended)
    if execution.status is ExecutionStatus.PAUSED:
        details = {} if reason is None else {"Reason": reason}
        execution.log(
            EventType.EXECUTION_RESUMED,
            execution.tick(at),
            execution.operations[0],
            ResumeRequestTimestamp=at.now_ms,
            **details,
        )
    execution.pause = None
    execution.crashes = 0
    execution.status = ExecutionStatus.RUNNING
    invoke_if_wanted(execution, at)


def _check_reason(reason: str | None) -> None:
    if reason is not None and len(reason) > REASON_LENGTH:
        raise InvalidParameterValueError(
            "1 validation error detected: Value at 'reason' failed to satisfy constraint: Member must have length less "
            f"than or equal to {REASON_LENGTH}"
        )
