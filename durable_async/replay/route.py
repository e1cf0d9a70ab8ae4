"""Finds the operations that a workflow reaches in a replay, would start next, and should have reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import attrs

from durable_async._engine.branches import Scope
from durable_async._engine.observer import ObservedCall
from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.ids import operation_id
from durable_async._wire.operations import Action, Operation, OperationStatus, OperationType, SubType
from durable_async._wire.patches import is_marker
from durable_async.errors import OperationLabel
from durable_async.replay.report import NextAction, NextOperation, PlacedOperation
from durable_async.service.machine.derive import DerivedExecution
from durable_async.service.machine.operation import OperationRecord

_BATCHES = {SubType.MAP, SubType.PARALLEL}


@attrs.define(eq=False)
class Route:
    """Notes the operations that a workflow reaches. Implements ``engine.observer.Observer``.

    :ivar reached_ids: the ids of the recorded operations among them
    """

    execution: DerivedExecution
    reached_ids: set[str] = attrs.field(factory=set[str], init=False)
    _recorded: dict[str, OperationRecord] = attrs.field(init=False)
    _stops: dict[str, tuple[NextAction, ObservedCall]] = attrs.field(
        factory=dict[str, tuple[NextAction, ObservedCall]], init=False
    )

    def __attrs_post_init__(self) -> None:
        self._recorded = {operation.id: operation for operation in self.execution.operations}

    # --- calls of the engine ---

    def starting(self, call: ObservedCall) -> None:
        self.passes(call, Action.START)

    def reached(self, operation: Operation) -> None:
        self.reached_ids.add(operation["Id"])

    def passes(self, call: ObservedCall, action: Action) -> bool:
        """Note that ``call`` has reached the end of the record, and return False: it must not go on."""
        starts = NextAction.ATTEMPTS if call.id in self._recorded else NextAction.STARTS
        next_action = starts if action is Action.START else NextAction.ENDS
        self._stops.setdefault(call.id, (next_action, call))
        return False

    def attempt(self, call: ObservedCall, attempt: int) -> AbstractContextManager[None]:
        raise AssertionError(f"attempt {attempt} of {call.id} is beyond the record")

    def user_function(
        self, call: ObservedCall, attempt: int | None = None, *, recorded: bool = True
    ) -> AbstractContextManager[None]:
        del call, attempt, recorded
        return nullcontext()

    def trace_header(self, call: ObservedCall, function_name: str) -> str | None:
        del call, function_name
        return None

    # --- for the report ---

    def next_operations(self) -> tuple[NextOperation, ...]:
        """Return what the workflow would do next, except inside contexts that it would start itself."""
        return tuple(
            NextOperation(action, PlacedOperation(call.id, _label_of(call), self._around(call)))
            for action, call in self._stops.values()
            if not any(self._starts(context_id) for context_id in _scopes(call))
        )

    def waits_for(self) -> tuple[PlacedOperation, ...]:
        """Return the reached operations that only time or the outside world can end."""
        return tuple(
            self._placed(operation)
            for operation in self.execution.operations
            if operation.awaited and operation.id in self.reached_ids
        )

    def skipped(self) -> tuple[PlacedOperation, ...]:
        """Return the recorded operations that the workflow did not reach and that no ended context hides."""
        hidden = {self.execution.id: False}
        skipped: list[PlacedOperation] = []
        for operation in self.execution.operations[1:]:
            around = self._recorded.get(operation.parent_id or self.execution.id)
            hidden[operation.id] = around is None or hidden[around.id] or self._is_hidden(operation, around)
            if not (hidden[operation.id] or operation.id in self.reached_ids or _is_marker(operation)):
                skipped.append(self._placed(operation))
        return tuple(skipped)

    def within(self, recorded_id: str) -> tuple[OperationLabel, ...]:
        """Return the contexts around a recorded operation, the innermost first."""
        return tuple(map(_label, self._contexts(recorded_id)))

    def _is_hidden(self, operation: OperationRecord, around: OperationRecord) -> bool:
        if around.type is OperationType.EXECUTION:
            return self.execution.answered and not operation.ended
        if around.end_us is None:
            # A batch ends as soon as its completion is decided, and does not read the items that are left.
            return self._ends(around.id) and (around.sub_type in _BATCHES or not operation.ended)
        left_behind = operation.end_us is None or operation.end_us > around.end_us
        return left_behind or not around.replay_children or _is_deadline(operation, around)

    def _starts(self, context_id: str) -> bool:
        return context_id in self._stops and self._stops[context_id][0] is NextAction.STARTS

    def _ends(self, context_id: str) -> bool:
        return context_id in self._stops and self._stops[context_id][0] is NextAction.ENDS

    def _placed(self, operation: OperationRecord) -> PlacedOperation:
        return PlacedOperation(operation.id, _label(operation), self.within(operation.id))

    def _contexts(self, recorded_id: str) -> Iterator[OperationRecord]:
        operation = self._recorded.get(recorded_id)
        while operation is not None and operation.parent_id is not None:
            operation = self._recorded.get(operation.parent_id)
            if operation is not None:
                yield operation

    def _around(self, call: ObservedCall) -> tuple[OperationLabel, ...]:
        return tuple(_label(self._recorded[each]) for each in _scopes(call) if each in self._recorded)


def _is_marker(operation: OperationRecord) -> bool:
    """Return whether an operation is the marker of a patch, which code without the patch does not read, or a
    cancellation, which the service starts.
    """
    return operation.id == CANCELLATION or is_marker(
        {"Id": operation.id, "Type": operation.type, "Status": "", "Name": operation.name or ""}
    )


def _is_deadline(operation: OperationRecord, around: OperationRecord) -> bool:
    """Return whether an operation is the timer of ``ctx.timeout``. A replay of a block that ended in time does not use
    it. Only such a block is a context without a result.
    """
    return (
        operation.type is OperationType.WAIT
        and around.status is OperationStatus.SUCCEEDED
        and around.result is None
        and operation.id == operation_id(around.id, 1)
    )


def _scopes(call: ObservedCall) -> Iterator[str]:
    """Return the ids of the contexts around ``call``, the innermost first."""
    scope: Scope | None = call.branch.scope
    latest = None
    while scope is not None:
        if (
            scope.id is not None and scope.id != latest
        ):  # a context that is not recorded has the id of the context around it
            yield (latest := scope.id)
        scope = scope.parent


def _label(operation: OperationRecord) -> OperationLabel:
    return OperationLabel(str(operation.type), operation.sub_type, operation.name or None)


def _label_of(call: ObservedCall) -> OperationLabel:
    return OperationLabel(str(call.kind), str(call.subtype), call.name)
