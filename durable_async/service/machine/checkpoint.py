"""The checkpoint command: a batch of updates in, the token's next link and what changed out.

Source: protocol.md, "Checkpoints".
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from durable_async.service.machine.batch import Targets, check_batch
from durable_async.service.machine.execution import Answered, Execution, ExecutionStatus, Invocation
from durable_async.service.machine.invocations import take_effect
from durable_async.service.machine.moment import Moment
from durable_async.service.machine.progress import fire_due
from durable_async.service.machine.updates import apply
from durable_async.wire.operations import CheckpointResult, Operation, OperationUpdate

_REPEATABLE_MS = 15 * 60 * 1000


@attrs.frozen
class Checkpoint:
    """One call. ``client_token`` is the same on every repetition of a call whose answer was lost."""

    token: str
    updates: Sequence[OperationUpdate] = ()
    client_token: str | None = None


def checkpoint(execution: Execution, call: Checkpoint, targets: Targets, at: Moment) -> CheckpointResult:
    """Record the updates, all or none, and tell what changed since the handler was last told.

    What is due is completed first, so the answer shows it. That stays even if the updates are refused; it would have
    happened without them.

    :raises InvalidParameterValueError: the token is not the current one of the running invocation, or a rule for the
        updates is broken. The token is not consumed then
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
        return _withhold_token(execution, invocation, at.now_ms)
    changed = sorted(execution.unseen.values(), key=lambda operation: operation.sequence)
    shown: list[Operation] = [operation.in_seconds() for operation in changed]
    execution.unseen.clear()
    if not execution.open:
        return {"NewExecutionState": {"Operations": shown}}
    invocation.token = at.mint()
    return {"CheckpointToken": invocation.token, "NewExecutionState": {"Operations": shown}}


def _withhold_token(execution: Execution, invocation: Invocation, now_ms: int) -> CheckpointResult:
    """The execution is being paused: what was sent is recorded, and the handler has to stop (7.9)."""
    invocation.token = None
    execution.deferred = True
    take_effect(execution, now_ms)
    return {"NewExecutionState": {"Operations": []}}
