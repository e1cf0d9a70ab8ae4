"""The checkpoint command: records a batch of updates, and returns the next token and the changed operations.

``batch`` checks all updates first, so nothing is refused while they are applied. Source: protocol.md, "Checkpoints",
"Effects of updates" and "History".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from durable_async._wire.operations import (
    Action,
    CheckpointResult,
    ErrorObject,
    Operation,
    OperationStatus,
    OperationType,
    OperationUpdate,
)
from durable_async.service.machine.batch import Targets, check_batch
from durable_async.service.machine.effects import Child, Mint, Moment, StartChained, Target
from durable_async.service.machine.execution import Answered, Execution, ExecutionStatus, Invocation
from durable_async.service.machine.invocations import take_effect
from durable_async.service.machine.operation import OperationRecord, make_callback_id
from durable_async.service.machine.progress import fire_due
from durable_async.service.model import arns
from durable_async.service.model.history import EventType
from durable_async.service.model.values import quick_frozen

_Found = Mapping[str, Target | ErrorObject]


def apply(execution: Execution, update: OperationUpdate, found: _Found, at: Moment) -> None:
    """Record one update.

    :param found: what ``check_batch`` returned
    """
    if update["Type"] == OperationType.EXECUTION:
        _close_execution(execution, update, at)
        return
    known = execution.by_id.get(update["Id"])
    at_us = execution.tick(at)
    operation = known or _new(execution, update, at_us)
    was_awaited = known is not None and known.awaited
    match operation.type, update["Action"]:
        case OperationType.STEP, _:
            _step(execution, operation, update, at_us, at.now_ms)
        case OperationType.CONTEXT, _:
            _context(execution, operation, update, at_us)
        case OperationType.WAIT, Action.START:
            _start_wait(execution, operation, update, at)
        case OperationType.WAIT, _:
            operation.status, operation.end_us = OperationStatus.CANCELLED, at_us
            execution.log(EventType.WAIT_CANCELLED, at_us, operation, Error=update.get("Error"))
        case OperationType.CALLBACK, _:
            _start_callback(execution, operation, update, at)
        case _:
            _start_chained(execution, operation, update, found[operation.id], at)
    execution.touched(operation, was_awaited=was_awaited)


def _new(execution: Execution, update: OperationUpdate, at_us: int) -> OperationRecord:
    operation = OperationRecord(
        id=update["Id"],
        type=OperationType(update["Type"]),
        sequence=len(execution.operations),
        start_us=at_us,
        parent_id=update.get("ParentId"),
        name=update.get("Name"),
        sub_type=update.get("SubType"),
    )
    execution.begin(operation)
    return operation


def _close_execution(execution: Execution, update: OperationUpdate, at: Moment) -> None:
    if update["Action"] == Action.SUCCEED:
        execution.close(ExecutionStatus.SUCCEEDED, at, result=update.get("Payload"))
    else:
        execution.close(ExecutionStatus.FAILED, at, error=update.get("Error"))


def _step(execution: Execution, step: OperationRecord, update: OperationUpdate, at_us: int, now_ms: int) -> None:
    action = update["Action"]
    if action == Action.START:
        # Keep the result: after a crash in the next poll, the condition still needs the state of the last one.
        step.status, step.error = OperationStatus.STARTED, None
        execution.log(EventType.STEP_STARTED, at_us, step)
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
        step.end_us = at_us
    if action == Action.FAIL or step.error is not None:
        execution.log(EventType.STEP_FAILED, at_us, step, Error=step.error, RetryDetails=retry)
    else:
        execution.log(EventType.STEP_SUCCEEDED, at_us, step, Result=step.result, RetryDetails=retry)


def _context(execution: Execution, context: OperationRecord, update: OperationUpdate, at_us: int) -> None:
    action = update["Action"]
    if action == Action.START:
        execution.log(EventType.CONTEXT_STARTED, at_us, context)
        return
    context.end_us = at_us
    context.result, context.error = update.get("Payload"), update.get("Error")
    context.replay_children = (update.get("ContextOptions") or {}).get("ReplayChildren") or False
    if action == Action.SUCCEED:
        context.status = OperationStatus.SUCCEEDED
        execution.log(EventType.CONTEXT_SUCCEEDED, at_us, context, Result=context.result)
    else:
        context.status = OperationStatus.FAILED
        execution.log(EventType.CONTEXT_FAILED, at_us, context, Error=context.error)


def _start_wait(execution: Execution, wait: OperationRecord, update: OperationUpdate, at: Moment) -> None:
    seconds = update["WaitOptions"]["WaitSeconds"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    wait.duration, wait.due_ms = seconds, at.now_ms + seconds * 1000
    execution.log(EventType.WAIT_STARTED, wait.start_us, wait, Duration=seconds, ScheduledEndTimestamp=wait.due_ms)


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
    if schema := options.get("AnswerSchema"):
        callback.answer_schema = details["AnswerSchema"] = schema
    execution.log(EventType.CALLBACK_STARTED, callback.start_us, callback, **details)


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
        execution.log(EventType.CHAINED_INVOKE_STARTED, invoke.start_us, invoke, **details)
        invoke.status, invoke.end_us, invoke.error = OperationStatus.FAILED, execution.tick(at), target
        execution.log(EventType.CHAINED_INVOKE_FAILED, invoke.end_us, invoke, Error=target)
        return
    details |= {"Input": update.get("Payload"), "ExecutedVersion": target.version}
    child = _child(target, at.mint) if target.durable else None
    if child is not None:
        details["DurableExecutionArn"] = child.arn
    execution.log(EventType.CHAINED_INVOKE_STARTED, invoke.start_us, invoke, **details)
    trace_header = options.get("XAmznTraceId", execution.trace_header)
    cancels = bool(options.get("CancelWithParent"))
    invoke.request = StartChained(
        invoke.id, target, update.get("Payload") or "{}", tenant_id, child, trace_header, cancels
    )
    execution.asked[invoke.id] = invoke
    execution.changes.effects.append(invoke.request)


def _child(target: Target, mint: Mint) -> Child:
    name, execution_id = mint(), mint()
    return Child(arns.execution_arn(target.function_arn, name, execution_id), name, execution_id)


_REPEATABLE_MS = 15 * 60 * 1000  # how long Lambda keeps the answer for a repeated call


@quick_frozen
class Checkpoint:
    """One call. A caller that lost the answer repeats the call with the same ``client_token``."""

    token: str
    updates: Sequence[OperationUpdate] = ()
    client_token: str | None = None


def checkpoint(execution: Execution, call: Checkpoint, targets: Targets, at: Moment) -> CheckpointResult:
    """Record the updates, all or none, and return the operations that changed since the handler last saw them.

    Timers that are due fire first, so the answer shows their effect. This is kept even if the updates are refused,
    because it does not depend on them.

    :raises InvalidParameterValueError: the token is not the current one of the running invocation, or an update breaks
        a rule. The token stays valid then
    """
    fire_due(execution, at)
    if (repeated := _repeated(execution.invocation, call, at.now_ms)) is not None:
        return repeated
    invocation = execution.invocation_of(call.token)
    found = check_batch(execution, call.updates, targets, at.limits)
    for update in call.updates:
        apply(execution, update, found, at)
    result = _answer(execution, invocation, at)
    if call.client_token is not None:
        invocation.answered = Answered(call.client_token, call.token, at.now_ms, result)
    return result


def _repeated(invocation: Invocation | None, call: Checkpoint, now_ms: int) -> CheckpointResult | None:
    answered = invocation.answered if invocation is not None else None
    if answered is None or (answered.client_token, answered.token) != (call.client_token, call.token):
        return None
    return answered.result if now_ms - answered.at_ms <= _REPEATABLE_MS else None


def _answer(execution: Execution, invocation: Invocation, at: Moment) -> CheckpointResult:
    if execution.status is ExecutionStatus.PAUSING:
        return _withhold_token(execution, invocation, at)
    changed = sorted(execution.unseen.values(), key=attrgetter("sequence"))
    shown: list[Operation] = [operation.in_seconds() for operation in changed]
    execution.unseen.clear()
    if not execution.open:
        return {"NewExecutionState": {"Operations": shown}}
    invocation.token = at.mint()
    return {"CheckpointToken": invocation.token, "NewExecutionState": {"Operations": shown}}


def _withhold_token(execution: Execution, invocation: Invocation, at: Moment) -> CheckpointResult:
    """Record what was sent, but return no token, so that the handler stops: the execution is being paused."""
    invocation.token = None
    execution.deferred = True
    take_effect(execution, at)
    return {"NewExecutionState": {"Operations": []}}
