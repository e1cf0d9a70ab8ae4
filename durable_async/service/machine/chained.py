"""Delivers the outcome of a chained invoke to the execution that asked for it.

On Lambda a target takes longer to start than the invocation that only waits for it takes to end, so histories show
``InvocationCompleted`` first, and then what resumes the handler. Here the target may be faster. Its outcome is
therefore held until the running invocation ends, but not longer than ``HOLD_MS``, because that invocation may also
continue with other work.
"""

from __future__ import annotations

from durable_async._wire.operations import OperationStatus
from durable_async._wire.text import utf8_size
from durable_async.service.machine.effects import ChainedOutcome, Moment
from durable_async.service.machine.execution import Execution
from durable_async.service.machine.limits import Limits
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.model.history import EventType, milliseconds

HOLD_MS = 1000

_EVENTS = {
    OperationStatus.SUCCEEDED: EventType.CHAINED_INVOKE_SUCCEEDED,
    OperationStatus.FAILED: EventType.CHAINED_INVOKE_FAILED,
    OperationStatus.TIMED_OUT: EventType.CHAINED_INVOKE_TIMED_OUT,
    OperationStatus.STOPPED: EventType.CHAINED_INVOKE_STOPPED,
}


def hold_or_deliver(execution: Execution, invoke: OperationRecord, outcome: ChainedOutcome, at: Moment) -> None:
    outcome = _within(at.limits, outcome)
    until = milliseconds(invoke.start_us) + HOLD_MS
    if execution.invocation is None or until <= at.now_ms:
        deliver(execution, invoke, outcome, at)
        return
    invoke.held, invoke.due_ms = outcome, until
    execution.held.append(invoke)
    execution.changes.operations[invoke.id] = invoke
    execution.arm(invoke)


def deliver_held(execution: Execution, at: Moment) -> None:
    """Record all outcomes that were held, because the invocation has ended."""
    held, execution.held = execution.held, []
    for invoke in held:
        if invoke.held is not None:  # it is None if the outcome was delivered after HOLD_MS
            deliver(execution, invoke, invoke.held, at)


def deliver(execution: Execution, invoke: OperationRecord, outcome: ChainedOutcome, at: Moment) -> None:
    at_us = execution.tick(at)
    status = OperationStatus(outcome.status)
    invoke.held = None
    execution.end(invoke, status, at_us, result=outcome.result, error=outcome.error)
    if status is OperationStatus.SUCCEEDED:
        execution.log(_EVENTS[status], at_us, invoke, Result=outcome.result)
    else:
        execution.log(_EVENTS[status], at_us, invoke, Error=outcome.error)


def _within(limits: Limits, outcome: ChainedOutcome) -> ChainedOutcome:
    if utf8_size(outcome.result or "") <= limits.payload_bytes:
        return outcome
    message = f"CHAINED_INVOKE output payload size must be less than or equal to {limits.payload_bytes} bytes."
    return ChainedOutcome(OperationStatus.FAILED, error={"ErrorMessage": message})
