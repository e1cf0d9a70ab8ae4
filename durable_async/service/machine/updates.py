"""What an accepted update does to its operation, and the event that tells it.

``batch`` has checked it; nothing here can be refused. Source: protocol.md, "Effects of updates" and "History".
"""

from __future__ import annotations

from collections.abc import Mapping

from durable_async.service import arns
from durable_async.service.history import EventType
from durable_async.service.machine.callback_ids import make_callback_id
from durable_async.service.machine.effects import Child, StartChained, Target
from durable_async.service.machine.execution import Execution, ExecutionStatus
from durable_async.service.machine.moment import Mint, Moment
from durable_async.service.machine.operation import OperationRecord
from durable_async.wire.operations import Action, ErrorObject, OperationStatus, OperationType, OperationUpdate

_Found = Mapping[str, Target | ErrorObject]


def apply(execution: Execution, update: OperationUpdate, found: _Found, at: Moment) -> None:
    """Record one update.

    :param found: what ``check_batch`` returned
    """
    if update["Type"] == OperationType.EXECUTION:
        _close_execution(execution, update, at.now_ms)
        return
    known = execution.by_id.get(update["Id"])
    operation = known or _new(execution, update, at.now_ms)
    was_awaited = known is not None and known.awaited
    match operation.type, update["Action"]:
        case OperationType.STEP, action:
            _step(execution, operation, update, action, at.now_ms)
        case OperationType.CONTEXT, action:
            _context(execution, operation, update, action, at.now_ms)
        case OperationType.WAIT, Action.START:
            _start_wait(execution, operation, update, at.now_ms)
        case OperationType.WAIT, _:
            operation.status, operation.end_ms = OperationStatus.CANCELLED, at.now_ms
            execution.log(EventType.WAIT_CANCELLED, at.now_ms, operation, Error=update.get("Error"))
        case OperationType.CALLBACK, _:
            _start_callback(execution, operation, update, at)
        case _:
            _start_chained(execution, operation, update, found[operation.id], at)
    execution.touched(operation, was_awaited=was_awaited)


def _new(execution: Execution, update: OperationUpdate, now_ms: int) -> OperationRecord:
    operation = OperationRecord(
        id=update["Id"],
        type=OperationType(update["Type"]),
        sequence=len(execution.operations),
        start_ms=now_ms,
        parent_id=update.get("ParentId"),
        name=update.get("Name"),
        sub_type=update.get("SubType"),
    )
    execution.begin(operation)
    return operation


def _close_execution(execution: Execution, update: OperationUpdate, now_ms: int) -> None:
    if update["Action"] == Action.SUCCEED:
        execution.close(ExecutionStatus.SUCCEEDED, now_ms, result=update.get("Payload"))
    else:
        execution.close(ExecutionStatus.FAILED, now_ms, error=update.get("Error"))


def _step(execution: Execution, step: OperationRecord, update: OperationUpdate, action: str, now_ms: int) -> None:
    if action == Action.START:
        # The result stays: a poll's state must outlive a crash in the next poll, which finds the step STARTED.
        step.status, step.error = OperationStatus.STARTED, None
        execution.log(EventType.STEP_STARTED, now_ms, step)
        return
    step.attempts += 1
    step.result, step.error = update.get("Payload"), update.get("Error")
    retry: dict[str, int] = {"CurrentAttempt": step.attempts}
    if action == Action.RETRY:
        delay = update["StepOptions"]["NextAttemptDelaySeconds"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        retry["NextAttemptDelaySeconds"] = delay
        step.status, step.due_ms = OperationStatus.PENDING, now_ms + delay * 1000
    else:
        step.status = OperationStatus.SUCCEEDED if action == Action.SUCCEED else OperationStatus.FAILED
        step.end_ms = now_ms
    if action == Action.FAIL or step.error is not None:
        execution.log(EventType.STEP_FAILED, now_ms, step, Error=step.error, RetryDetails=retry)
    else:
        execution.log(EventType.STEP_SUCCEEDED, now_ms, step, Result=step.result, RetryDetails=retry)


def _context(execution: Execution, context: OperationRecord, update: OperationUpdate, action: str, now_ms: int) -> None:
    if action == Action.START:
        execution.log(EventType.CONTEXT_STARTED, now_ms, context)
        return
    context.end_ms = now_ms
    context.result, context.error = update.get("Payload"), update.get("Error")
    context.replay_children = (update.get("ContextOptions") or {}).get("ReplayChildren") or False
    if action == Action.SUCCEED:
        context.status = OperationStatus.SUCCEEDED
        execution.log(EventType.CONTEXT_SUCCEEDED, now_ms, context, Result=context.result)
    else:
        context.status = OperationStatus.FAILED
        execution.log(EventType.CONTEXT_FAILED, now_ms, context, Error=context.error)


def _start_wait(execution: Execution, wait: OperationRecord, update: OperationUpdate, now_ms: int) -> None:
    seconds = update["WaitOptions"]["WaitSeconds"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    wait.duration, wait.due_ms = seconds, now_ms + seconds * 1000
    execution.log(EventType.WAIT_STARTED, now_ms, wait, Duration=seconds, ScheduledEndTimestamp=wait.due_ms)


def _start_callback(execution: Execution, callback: OperationRecord, update: OperationUpdate, at: Moment) -> None:
    options = update.get("CallbackOptions") or {}
    callback.callback_id = make_callback_id(execution.id, callback.sequence, at.mint())
    details: dict[str, str | int] = {"CallbackId": callback.callback_id}
    if timeout := options.get("TimeoutSeconds"):
        callback.due_ms = at.now_ms + timeout * 1000
        details["Timeout"] = timeout
    if heartbeat := options.get("HeartbeatTimeoutSeconds"):
        callback.heartbeat_seconds, callback.heartbeat_due_ms = heartbeat, at.now_ms + heartbeat * 1000
        details["HeartbeatTimeout"] = heartbeat
    execution.log(EventType.CALLBACK_STARTED, at.now_ms, callback, **details)


def _start_chained(
    execution: Execution,
    invoke: OperationRecord,
    update: OperationUpdate,
    target: Target | ErrorObject,
    at: Moment,
) -> None:
    options = update["ChainedInvokeOptions"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    details: dict[str, str | None] = {"FunctionName": options["FunctionName"]}
    tenant_id = options.get("TenantId")
    if tenant_id is not None:
        details["TenantId"] = tenant_id
    if not isinstance(target, Target):
        execution.log(EventType.CHAINED_INVOKE_STARTED, at.now_ms, invoke, **details)
        invoke.status, invoke.end_ms, invoke.error = OperationStatus.FAILED, at.now_ms, target
        execution.log(EventType.CHAINED_INVOKE_FAILED, at.now_ms, invoke, Error=target)
        return
    details |= {"Input": update.get("Payload"), "ExecutedVersion": target.version}
    child = _child(target, at.mint) if target.durable else None
    if child is not None:
        details["DurableExecutionArn"] = child.arn
    execution.log(EventType.CHAINED_INVOKE_STARTED, at.now_ms, invoke, **details)
    invoke.request = StartChained(invoke.id, target, update.get("Payload") or "{}", tenant_id, child)
    execution.asked[invoke.id] = invoke
    execution.changes.effects.append(invoke.request)


def _child(target: Target, mint: Mint) -> Child:
    name, execution_id = mint(), mint()
    return Child(arns.execution_arn(target.function_arn, name, execution_id), name, execution_id)
