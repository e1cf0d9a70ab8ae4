"""Continues a closed execution from what succeeded.

An operation that is done again is *cleared*: it keeps its place in the order of the operations, under another id, and
no handler sees it any more. A context that holds something that succeeded is *reopened* instead.

Unless the caller names an operation, these are done again:

- the operations whose errors made the execution fail, and in a batch every item that failed;
- in each context around them, the operations that started after them, because they may depend on them.

A failure that the workflow handled stays on record. If the execution was stopped, timed out, or failed in the
workflow's own code, everything stays on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from durable_async._excerpts import first_few
from durable_async._raised import places_of
from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import ErrorObject, OperationStatus, OperationType, SubType
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution, ExecutionStatus
from durable_async.service.machine.invocations import invoke_if_wanted
from durable_async.service.machine.operation import OperationRecord, cleared_id
from durable_async.service.model.errors import InvalidParameterValueError, ResourceConflictError
from durable_async.service.model.history import EventType

_BATCHES = {SubType.MAP, SubType.PARALLEL}


def redrive(execution: Execution, start: str | None, at: Moment) -> None:
    """Open a closed execution again, and invoke its handler.

    :param start: the id or the name of the operation from which everything is done again; None: do the failed
        operations again
    :raises ResourceConflictError: the execution is open or has succeeded; or ``start`` is None, and something succeeded
        after the failure, such as a compensation
    :raises InvalidParameterValueError: no operation has the id or name ``start``, or several have the name
    """
    if execution.open or execution.status is ExecutionStatus.SUCCEEDED:
        reason = (
            "It has not ended" if execution.open else "It has nothing to do again. To do a part of it anew, fork it"
        )
        raise ResourceConflictError(f"The execution is {execution.status} and cannot be redriven. {reason}.")
    plan = plan_of(execution, start)
    if start is None:
        _check_repeated(plan)
    if (request := execution.by_id.get(CANCELLATION)) is not None:
        plan.cleared[request.id] = request
    _open(execution, at)
    _clear(execution, plan)
    execution.log(
        EventType.EXECUTION_REDRIVEN,
        execution.tick(at),
        execution.operations[0],
        Cleared=sorted(plan.cleared),
        Reopened=sorted(plan.reopened.keys() - plan.cleared.keys()),
    )
    for number, operation in plan.cleared.items():
        del execution.by_id[number]
        operation.id = cleared_id(number, execution.event_count)
        execution.by_id[operation.id] = operation
        execution.changes.operations[operation.id] = operation
    _rearm(execution)
    invoke_if_wanted(execution, at)


class Recorded(Protocol):
    """An execution, as far as it says what is to be done again."""

    @property
    def error(self) -> ErrorObject | None: ...
    @property
    def operations(self) -> Sequence[OperationRecord]: ...
    @property
    def by_id(self) -> Mapping[str, OperationRecord]: ...


def plan_of(execution: Recorded, start: str | None) -> Plan:
    """Return what is done again from an operation on; None: those that failed.

    :raises InvalidParameterValueError: no operation is called ``start``, or several are
    """
    plan = Plan(execution)
    if start is not None:
        plan.redo_from(named(execution, start))
        return plan
    for failed in _failures(execution):
        plan.redo(failed)
    if (request := execution.by_id.get(CANCELLATION)) is not None:
        plan.redo(request)
    return plan


class Plan:
    """What is to be done again.

    :ivar cleared: by id, like ``reopened``
    :ivar asked: the operations among them that failed; the others started after these
    """

    def __init__(self, execution: Recorded) -> None:
        self.cleared: dict[str, OperationRecord] = {}
        self.reopened: dict[str, OperationRecord] = {}
        self.asked: set[str] = set()
        self._whole: set[str] = set()  # cleared with everything in them
        self._by_id = execution.by_id
        self._root = execution.operations[0]
        self._children: dict[str, list[OperationRecord]] = {}
        for operation in _live(execution):
            self._children.setdefault(operation.parent_id or self._root.id, []).append(operation)

    def redo(self, failed: OperationRecord) -> None:
        """Clear an operation that failed, and what started after its failure."""
        self.asked.add(failed.id)
        if failed.type is OperationType.CONTEXT:
            self.reopened[failed.id] = failed
        else:
            self.cleared[failed.id] = failed
        # The id of a callback is known outside from its start on, so what started after that may depend on it.
        since = failed.start_us if failed.type is OperationType.CALLBACK else failed.end_us
        self._follow(failed, since)

    def redo_from(self, first: OperationRecord) -> None:
        """Clear an operation, however it ended, with everything in it and everything that started after it started."""
        self._clear(first)
        self._follow(first, first.start_us)

    def repeated(self) -> Iterator[OperationRecord]:
        """Yield the operations that succeeded and would be done again only because of others."""
        for operation in self.cleared.values():
            succeeded = operation.status is OperationStatus.SUCCEEDED and operation.type is not OperationType.WAIT
            if succeeded and operation.id not in self.asked and not self._hands_out_callback(operation):
                yield operation

    def _hands_out_callback(self, operation: OperationRecord) -> bool:
        around = self._by_id.get(operation.parent_id or "")
        return around is not None and around.sub_type == SubType.WAIT_FOR_CALLBACK

    def _follow(self, operation: OperationRecord, since: int | None) -> None:
        """Clear what started beside the operation after ``since``, and beside each context around it after its end."""
        while operation is not self._root:
            around = self._by_id.get(operation.parent_id or "", self._root)
            if since is not None and around.sub_type not in _BATCHES:  # whose items do not depend on each other
                for other in self._children.get(around.id, ()):
                    if other.start_us > since:
                        self._clear(other)
            if around is not self._root and around.ended:
                self.reopened[around.id] = around
            operation, since = around, around.end_us

    def _clear(self, operation: OperationRecord) -> None:
        if operation.id in self._whole:
            return
        self._whole.add(operation.id)
        self.cleared[operation.id] = operation
        for child in self._children.get(operation.id, ()):
            self._clear(child)


def _live(execution: Recorded) -> Iterable[OperationRecord]:
    return (each for each in execution.operations[1:] if each.status is not OperationStatus.CLEARED)


def _failures(execution: Recorded) -> Sequence[OperationRecord]:
    """Return the failed operations that made the execution fail. Contexts around them may be among them."""
    error = execution.error or {}
    failed = {operation.id: operation for operation in _live(execution) if _has_failed(operation)}
    causes = [failed[place] for place in places_of(error.get("StackTrace") or ()) if place in failed]
    if (error.get("ErrorType") or "").endswith(".BatchCompletionError"):
        causes += _latest_batch(execution)
    whole = {around.id for cause in causes for around in _within(execution, cause) if around.sub_type in _BATCHES}
    whole |= {cause.id for cause in causes if cause.sub_type == SubType.WAIT_FOR_CALLBACK}
    causes += [
        operation
        for operation in failed.values()
        if any(around.id in whole for around in _within(execution, operation))
    ]
    return [*{cause.id: cause for cause in causes}.values()]


def _latest_batch(execution: Recorded) -> list[OperationRecord]:
    batches = [each for each in _live(execution) if each.sub_type in _BATCHES and each.end_us is not None]
    return [max(batches, key=lambda each: each.end_us or 0)] if batches else []


def _has_failed(operation: OperationRecord) -> bool:
    return operation.ended and operation.status not in (OperationStatus.SUCCEEDED, OperationStatus.CANCELLED)


def _within(execution: Recorded, operation: OperationRecord) -> Iterator[OperationRecord]:
    """Return the operation and the contexts around it, the innermost first."""
    around: OperationRecord | None = operation
    while around is not None:
        yield around
        around = execution.by_id.get(around.parent_id or "")


def named(execution: Recorded, start: str) -> OperationRecord:
    """Return the operation with this id, or the only one with this name.

    :raises InvalidParameterValueError: there is none, or there are several
    """
    found = [each for each in _live(execution) if each.id == start] or [
        each for each in _live(execution) if each.name == start
    ]
    match found:
        case [operation]:
            return operation
        case []:
            raise InvalidParameterValueError(f"The execution has no operation with the id or the name '{start}'.")
        case _:
            ids = first_few([each.id for each in found])
            raise InvalidParameterValueError(f"{len(found)} operations are named '{start}'. Give the id of one: {ids}")


def _check_repeated(plan: Plan) -> None:
    repeated = sorted(plan.repeated(), key=lambda operation: operation.start_us)
    if not repeated:
        return
    names = first_few([f"'{each.name or each.id}'" for each in repeated])
    raise ResourceConflictError(
        f"{names} succeeded after the failure, as compensations do, and would be done again with what they may have "
        "undone still on record. Name the operation from which to do everything again."
    )


def _open(execution: Execution, at: Moment) -> None:
    execution.status, execution.ended_ms = ExecutionStatus.RUNNING, None
    execution.result = execution.error = None
    execution.timeout_ms = at.now_ms + execution.timeout_seconds * 1000
    execution.invocation = None  # an invocation that was running when the execution was closed may not write any more
    execution.failures = execution.crashes = execution.idle_answers = 0
    execution.deferred = True
    root = execution.operations[0]
    root.status, root.end_us = OperationStatus.STARTED, None
    execution.changes.operations[root.id] = root


def _clear(execution: Execution, plan: Plan) -> None:
    for context in plan.reopened.values():
        context.status, context.end_us = OperationStatus.STARTED, None
        context.result, context.error, context.replay_children = None, None, False
        execution.changes.operations[context.id] = context
    for operation in plan.cleared.values():
        operation.status = OperationStatus.CLEARED
        operation.due_ms = operation.request = operation.held = None
        execution.asked.pop(operation.id, None)


def _rearm(execution: Execution) -> None:
    """Start the timers of the open operations again, and repeat the requests of chained invokes."""
    execution.unseen.clear()
    execution.held = [operation for operation in execution.operations if operation.held is not None]
    waiting = [operation for operation in execution.operations if operation.awaited]
    execution.awaited = len(waiting)
    for operation in waiting:
        execution.arm(operation)
    execution.changes.effects += [
        invoke.request for invoke in execution.asked.values() if invoke.request is not None and invoke.held is None
    ]
