"""Decides when the handler runs, what its answer means, and when a failed invocation is retried.

There is one invocation at a time. A change during an invocation leads to another invocation only if the handler ended
without seeing it; a handler sees what the answers of its checkpoints show. An invalid answer is a failure whose error
says why. Source: protocol.md, "Answer of the handler", "Invoking the handler" and "Failed invocations".
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import assert_never, cast

import attrs

from durable_async._wire.limits import DELAY_SECONDS
from durable_async._wire.operations import ErrorObject, OperationStatus, OperationType
from durable_async._wire.text import JsonMembers, JsonObject, utf8_size
from durable_async.service.machine.cancelling import cancelled_end
from durable_async.service.machine.chained import deliver_held
from durable_async.service.machine.effects import InvokeHandler, Moment, Parked, Quarantined
from durable_async.service.machine.execution import Execution, ExecutionStatus, Invocation, Pause
from durable_async.service.machine.limits import Limits, is_crash
from durable_async.service.machine.mismatch import answered_reason, not_loaded_reason
from durable_async.service.machine.pages import changes_envelope, envelope
from durable_async.service.machine.suspects import is_suspect
from durable_async.service.model.history import EventType


@attrs.frozen
class Succeeded:
    result: str | None


@attrs.frozen
class Failed:
    error: ErrorObject | None


@attrs.frozen
class Pending:
    """The handler answered that it waits for something."""


def read_output(output: object, max_bytes: int | None) -> Succeeded | Failed | Pending:
    """Read the handler's answer.

    :param output: a JSON value
    :param max_bytes: the maximum size of the result; None: it has no limit
    """
    if not isinstance(output, Mapping):
        return _invalid("Invalid invocation output: not a JSON object.")
    members = cast("JsonMembers", output)
    result, error = members.get("Result"), members.get("Error")
    if result is not None and not isinstance(result, str):
        return _invalid("Invalid invocation output: Result is not a string.")
    if error is not None and not isinstance(error, Mapping):
        return _invalid("Invalid invocation output: Error is not an object.")
    match members.get("Status"):
        case "SUCCEEDED" if error is not None:
            return _invalid("Cannot provide an Error for SUCCEEDED status.")
        case "SUCCEEDED" if max_bytes is not None and utf8_size(result or "") > max_bytes:
            message = f"Execution output payload size must be less than or equal to {max_bytes} bytes."
            return Failed({"ErrorMessage": message})
        case "SUCCEEDED":
            return Succeeded(result)
        case "FAILED" if result is not None:
            return _invalid("Cannot provide a Result for FAILED status.")
        case "FAILED":
            return Failed(cast("ErrorObject | None", error))
        case "PENDING":
            return Pending()
        case other:
            return _invalid(f"Invalid invocation output: unknown Status {other!r}.")


def invalid_answer(message: str) -> ErrorObject:
    return {"ErrorType": "InvalidParameterValueException", "ErrorMessage": message}


def _invalid(message: str) -> Failed:
    return Failed(invalid_answer(message))


_IDLE_ANSWERS = 3
_LONGEST_MS = DELAY_SECONDS * 1000  # from the start to the end, with pauses
EXITED: ErrorObject = {
    "ErrorType": "Runtime.ExitError",
    "ErrorMessage": "The function ended the program: it raised SystemExit.",
}
_LOST: ErrorObject = {
    "ErrorType": "Runtime.ExitError",
    "ErrorMessage": "The service ended during the invocation.",
}


def begin_invocation(execution: Execution, at: Moment) -> None:
    """Invoke the handler now. Its event will include everything that changes before the function takes it."""
    if at.passive:
        execution.deferred = True
        return
    execution.deferred = False
    request_id, token = at.mint(), at.mint()
    execution.invocation = Invocation(request_id, at.now_ms, token, waiting=is_suspect(execution.crashes))
    execution.changes.effects.append(InvokeHandler(request_id))


def invocation_event(execution: Execution, request_id: str, limits: Limits, *, whole: bool) -> dict[str, object] | None:
    """Return the event of an invocation, at the moment when its function takes it.

    This is not stored: if the service dies, so does this invocation, and the next one gets everything.

    :param whole: True: the event holds the whole record. False: the handler has the execution in memory as it last saw
        it, and the event holds only what changed since
    :return: None if the invocation is no longer the current one, or the execution was closed before it began
    """
    invocation = execution.invocation
    if invocation is None or invocation.request_id != request_id or invocation.token is None or not execution.open:
        return None
    changed = sorted(execution.unseen.values(), key=attrgetter("sequence"))
    execution.unseen.clear()
    if whole:
        return envelope(execution, invocation.token, changed, limits)
    return changes_envelope(execution, invocation.token, changed)


def is_waiting(execution: Execution, request_id: str) -> bool:
    """Return whether the invocation is the current one and waits for its turn, because the execution is a suspect."""
    invocation = execution.invocation
    return invocation is not None and invocation.request_id == request_id and invocation.waiting


def invocation_begun(execution: Execution, request_id: str) -> None:
    """Note that a ``waiting`` invocation begins. From now on, a crash counts for its execution."""
    if execution.invocation is not None and execution.invocation.request_id == request_id:
        execution.invocation.waiting = False


def invoke_if_wanted(execution: Execution, at: Moment) -> None:
    """Invoke the handler if something changed that it has not seen, unless it runs, waits for a retry or is paused.

    A waiting retry is not moved forward: otherwise every change would invoke a handler that fails.
    """
    if execution.wanted:
        begin_invocation(execution, at)


def retry_if_due(execution: Execution, at: Moment) -> None:
    """End the delay of a retry if it is over. ``invoke_if_wanted`` then invokes the handler."""
    if execution.invoke_at_ms is not None and execution.invoke_at_ms <= at.now_ms:
        execution.invoke_at_ms = None
        execution.deferred = True


def invocation_answered(
    execution: Execution, request_id: str, output: object, at: Moment, *, parks: bool = False
) -> None:
    """Apply the answer of a handler. Does nothing if the invocation is not the current one.

    :param output: a JSON value
    :param parks: True: an execution whose code does not fit the record is parked. False: it fails
    """
    if not _complete(execution, request_id, None, at) or not execution.open:
        return
    execution.failures = execution.crashes = 0
    answer = read_output(output, at.limits.child_execution_bytes if execution.parent else None)
    match answer:
        case Succeeded(result):
            execution.close(ExecutionStatus.SUCCEEDED, at, result=result)
        case Failed(error) if parks and (reason := answered_reason(error, began=len(execution.operations) > 1)):
            deliver_held(execution, at)
            _pause_now(execution, reason, at)
            execution.changes.effects.append(Parked(reason))
        case Failed(error) if (end := cancelled_end(execution, error)) is not None:
            execution.close(end[0], at, error=end[1])
        case Failed(error):
            execution.close(ExecutionStatus.FAILED, at, error=error)
        case Pending():
            _suspend(execution, at)
        case _:
            assert_never(answer)


def invocation_failed(
    execution: Execution,
    request_id: str,
    error: ErrorObject,
    at: Moment,
    *,
    alone: bool = True,
    ending: bool = False,
    parks: bool = False,
) -> None:
    """Apply that a handler raised, crashed or ran too long. Does nothing if the invocation is not the current one.

    :param alone: True: only this execution can have caused it. False: others may have
    :param ending: True: the service is closing, and the next one repeats the invocation. False: this one does
    :param parks: True: an execution whose handler cannot be loaded is parked after some attempts. False: it is retried
        until it is in quarantine
    """
    progressed = _has_progressed(execution)
    if not _complete(execution, request_id, error, at) or not execution.open:
        return
    execution.failures += 1
    execution.crashes = execution.crashes + 1 if is_crash(error.get("ErrorType")) else 0
    delay = at.retries.delay_ms(execution.failures, error.get("ErrorType"))
    if delay is None:
        execution.close(ExecutionStatus.FAILED, at, error=error)
        return
    deliver_held(execution, at)
    if parks and execution.failures > at.retries.immediate and (reason := not_loaded_reason(error)):
        _pause_now(execution, reason, at)
        execution.changes.effects.append(Parked(reason))
    elif alone and not progressed and _are_too_many(execution.crashes, at.retries.quarantine_after):
        _quarantine(execution, error, at)
    elif _pausing(execution, at) or (delay == 0 and ending):
        execution.deferred = True
    elif delay == 0:
        begin_invocation(execution, at)
    else:
        execution.invoke_at_ms = at.now_ms + delay


def invocation_interrupted(execution: Execution, request_id: str, at: Moment) -> None:
    """Repeat an invocation that the service ended, unless the execution is closed. This does not count as a failure.

    Does nothing if the invocation is not the current one.
    """
    if not _complete(execution, request_id, None, at) or not execution.open:
        return
    deliver_held(execution, at)
    _pausing(execution, at)
    execution.deferred = True


def continued(execution: Execution, left_request_id: str | None, at: Moment, *, alone: bool) -> None:
    """Continue an execution that an earlier service left open. An invocation that was running runs again.

    That invocation may have caused the end of the earlier service, so it counts as a crash. If a call from outside has
    already made this service begin another invocation, nothing happens.

    :param left_request_id: the invocation that the earlier service left running; None: it left none
    :param alone: True: no other execution is as likely to have ended that service. False: others are
    """
    invocation = execution.invocation
    if execution.pause is not None and execution.pause.parked:
        end_pause(execution, "The function was registered again.", at)
    elif invocation is None:
        invoke_if_wanted(execution, at)
    elif invocation.request_id != left_request_id:
        return
    elif invocation.waiting:
        invocation_interrupted(execution, invocation.request_id, at)
        invoke_if_wanted(execution, at)
    else:
        invocation_failed(execution, invocation.request_id, _LOST, at, alone=alone)


def _are_too_many(crashes: int, quarantine_after: int | None) -> bool:
    return quarantine_after is not None and crashes >= quarantine_after


def _has_progressed(execution: Execution) -> bool:
    """Return whether a step has succeeded in the invocation that runs now. The next one does not repeat that step, so
    it gets further even if it crashes too."""
    if (invocation := execution.invocation) is None:
        return False
    began_us = invocation.started_ms * 1000
    return any(
        operation.type is OperationType.STEP
        and operation.status is OperationStatus.SUCCEEDED
        and operation.end_us is not None
        and operation.end_us >= began_us
        for operation in execution.operations
    )


def _quarantine(execution: Execution, error: ErrorObject, at: Moment) -> None:
    reason = (
        f"Quarantined: the handler crashed {execution.crashes} times in a row, last with "
        f"{error.get('ErrorType')}. Correct the handler, then resume the execution."
    )
    _pause_now(execution, reason, at)
    execution.changes.effects.append(Quarantined(reason))


def _pause_now(execution: Execution, reason: str, at: Moment) -> None:
    """Pause the execution after an invocation that will be repeated when the pause ends."""
    if execution.pause is None:
        begin_pause(execution, reason, at, timeout_paused=True)
    execution.deferred = True
    take_effect(execution, at)


def _complete(execution: Execution, request_id: str, error: ErrorObject | None, at: Moment) -> bool:
    invocation = execution.invocation
    if invocation is None or invocation.request_id != request_id:
        return False
    execution.invocation = None
    details: JsonObject = {
        "StartTimestamp": invocation.started_ms,
        "EndTimestamp": at.now_ms,
        "RequestId": request_id,
    }
    if error is not None:
        details["Error"] = error
    execution.log(EventType.INVOCATION_COMPLETED, execution.tick(at), **details)
    return True


def _suspend(execution: Execution, at: Moment) -> None:
    """Apply the answer PENDING. Something must exist for which the handler can wait."""
    deliver_held(execution, at)
    idle = not (execution.awaited or execution.unseen or execution.deferred)
    if _pausing(execution, at):
        execution.deferred |= idle  # otherwise nothing would continue the execution after the pause
    elif not idle:
        execution.idle_answers = 0
        invoke_if_wanted(execution, at)
    else:
        _ask_again(execution, at)


def _ask_again(execution: Execution, at: Moment) -> None:
    execution.idle_answers += 1
    if execution.idle_answers < _IDLE_ANSWERS:
        begin_invocation(execution, at)
        return
    error = invalid_answer("Cannot return PENDING status with no pending operations.")
    execution.close(ExecutionStatus.FAILED, at, error=error)


def _pausing(execution: Execution, at: Moment) -> bool:
    """Return whether the execution is paused. A requested pause becomes effective, because the invocation has ended."""
    if execution.status is ExecutionStatus.PAUSING:
        take_effect(execution, at)
    return execution.status is ExecutionStatus.PAUSED


def begin_pause(execution: Execution, reason: str | None, at: Moment, *, timeout_paused: bool) -> None:
    """Request a pause. It is effective after ``take_effect``.

    :param timeout_paused: True: the execution's timeout grows by the length of the pause. False: it stays
    """
    execution.pause = Pause(at.now_ms, execution.timeout_ms, timeout_paused, reason)
    execution.status = ExecutionStatus.PAUSING
    if timeout_paused:
        execution.timeout_ms = execution.started_ms + _LONGEST_MS


def take_effect(execution: Execution, at: Moment) -> None:
    """Make a requested pause effective: from now on nothing is invoked."""
    pause = execution.pause
    if pause is None:
        raise ValueError("no pause was requested")
    execution.status = ExecutionStatus.PAUSED
    details: dict[str, object] = {
        "PauseRequestTimestamp": pause.requested_ms,
        "ExecutionTimeoutPaused": pause.timeout_paused,
    }
    if pause.reason is not None:
        details["Reason"] = pause.reason
    execution.log(EventType.EXECUTION_PAUSED, execution.tick(at), execution.operations[0], **details)


def end_pause(execution: Execution, reason: str | None, at: Moment) -> None:
    """End the pause, and invoke the handler if the pause interrupted it or something changed meanwhile."""
    pause = execution.pause
    if pause is None:
        raise ValueError("the execution is not paused")
    if pause.timeout_paused:
        extended = pause.timeout_ms + at.now_ms - pause.requested_ms
        execution.timeout_ms = min(execution.started_ms + _LONGEST_MS, extended)
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
