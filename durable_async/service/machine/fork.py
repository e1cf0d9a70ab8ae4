"""A new execution with the record of another up to an operation.

It is made from the history of the other: the events of what is kept become its own first events, and its record is
derived from them, as from any history. So that history may come from anywhere.

What is kept: every operation that had ended, contexts that are open, and timers and callbacks that are still waited
for. What is done again: what a redrive would do again, and what had not ended, such as the attempt of a step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import attrs

from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import OperationType
from durable_async._wire.text import JsonObject
from durable_async.errors import HistoryError
from durable_async.service.machine.derive import DerivedExecution, derive
from durable_async.service.machine.effects import Moment
from durable_async.service.machine.execution import Execution, NewExecution
from durable_async.service.machine.invocations import begin_invocation
from durable_async.service.machine.operation import OperationRecord, make_callback_id
from durable_async.service.machine.redrive import named, plan_of
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.model.exported import read_history
from durable_async.service.model.history import EventType, HistoryEvent

_SUCCEEDED = {
    OperationType.STEP: EventType.STEP_SUCCEEDED,
    OperationType.CONTEXT: EventType.CONTEXT_SUCCEEDED,
    OperationType.CALLBACK: EventType.CALLBACK_SUCCEEDED,
    OperationType.CHAINED_INVOKE: EventType.CHAINED_INVOKE_SUCCEEDED,
}


_LIGHT_EVENTS = 500


def is_light(history: Sequence[HistoryEvent]) -> bool:
    """Return whether ``history`` is so short that deriving something from it takes a few milliseconds only."""
    return len(history) <= _LIGHT_EVENTS


@attrs.frozen
class Source:
    """What an execution is forked from.

    :ivar history: the whole of it
    :ivar derived: what it says
    :ivar arn: None: not known
    :ivar record: the operations by id, for what a history does not hold; empty if there is only the history
    """

    history: Sequence[HistoryEvent]
    derived: DerivedExecution
    arn: str | None
    record: Mapping[str, OperationRecord]

    @classmethod
    def of(cls, arn: str, record: Mapping[str, OperationRecord], history: Sequence[HistoryEvent]) -> Source:
        return cls(history, derive(history), arn, record)

    @classmethod
    def exported(cls, history: object) -> Source:
        """Read an exported history.

        :raises InvalidParameterValueError: it is not the whole of a history, or has no data
        """
        try:
            read = read_history(history)
            return cls(read.events, derive(read.events), read.execution_arn, {})
        except HistoryError as error:
            raise InvalidParameterValueError(f"The history cannot be read: {error}.") from None


def fork(source: Source, new: NewExecution, before: str | None, replaced: Mapping[str, str], at: Moment) -> Execution:
    """Return a new execution that continues from the record of another. Its changes invoke the handler.

    :param before: the id or the name of the first operation that is done again; None: those that failed
    :param replaced: by id or name, the results of operations that count as succeeded with them, JSON text
    :raises InvalidParameterValueError: no operation has a given name, or several have; or it cannot be replaced
    """
    derived = source.derived
    results = {operation.id: result for operation, result in _replacements(derived, replaced)}
    plan = plan_of(derived, before)
    around = {context for place in results for context in _contexts_around(derived, place)}
    left_out = {*plan.cleared, *_unfinished(derived.operations), CANCELLATION} - results.keys() - around
    events = _live_events(source.history, left_out, plan.reopened.keys() | results.keys() | around)
    execution = Execution.begun(new, at)
    _write_history(execution, source, [*_with_results(events, derived, results)], at)
    operations = derive(execution.changes.events).operations
    for operation in operations:
        if (known := source.record.get(operation.id)) is not None and operation.ended:
            operation.replay_children = known.replay_children and operation.id not in results
    execution.restore(operations, ())
    execution.changes.operations.update(execution.by_id)
    begin_invocation(execution, at)
    return execution


def _replacements(derived: DerivedExecution, replaced: Mapping[str, str]) -> Iterable[tuple[OperationRecord, str]]:
    for place, result in replaced.items():
        operation = named(derived, place)
        if operation.type not in _SUCCEEDED or operation.id == CANCELLATION:
            raise InvalidParameterValueError(f"'{place}' is a {operation.type}, whose result cannot be replaced.")
        yield operation, result


def _contexts_around(derived: DerivedExecution, operation_id: str) -> Iterable[str]:
    """Yield the contexts that hold an operation. Without them the workflow would not reach it."""
    parent = derived.by_id[operation_id].parent_id
    while parent is not None:
        yield parent
        parent = derived.by_id[parent].parent_id


def _unfinished(operations: Sequence[OperationRecord]) -> Iterable[str]:
    for operation in operations[1:]:
        if not operation.ended and operation.type in (OperationType.STEP, OperationType.CHAINED_INVOKE):
            yield operation.id


def _live_events(
    history: Sequence[HistoryEvent], left_out: AbstractSet[str], reopened: AbstractSet[str]
) -> list[HistoryEvent]:
    """Return the events of the operations that are kept, without those that a redrive took back.

    :param reopened: operations whose end is left out
    """
    live: list[HistoryEvent] = []
    for event in history[1:]:
        if event.type is EventType.EXECUTION_REDRIVEN:
            live = _without(live, event.details.get("Cleared") or (), event.details.get("Reopened") or ())
        elif event.operation_id is not None and not event.type.startswith("Execution"):
            live.append(event)
    return _without(live, left_out, reopened)


def _without(
    events: Sequence[HistoryEvent], left_out: Collection[str], reopened: Collection[str]
) -> list[HistoryEvent]:
    """Return the events without those of ``left_out``, and without the ends of ``reopened``.

    :param reopened: ids of operations that only start; if one was recorded with its end alone, it starts there
    """
    kept: list[HistoryEvent] = []
    begun: set[str | None] = set()
    for event in events:
        if event.operation_id in left_out:
            continue
        if event.operation_id not in reopened or event.type.endswith("Started"):
            kept.append(event)
        elif event.operation_id not in begun:
            kept.append(attrs.evolve(event, type=_start_of(event.type), details={}))
        begun.add(event.operation_id)
    return kept


def _start_of(end: EventType) -> EventType:
    return EventType.STEP_STARTED if end.startswith("Step") else EventType.CONTEXT_STARTED


def _with_results(
    events: Sequence[HistoryEvent], derived: DerivedExecution, results: Mapping[str, str]
) -> Iterable[HistoryEvent]:
    """Yield the events, and after the last one of each operation that is replaced its success."""
    by_id = {operation.id: operation for operation in derived.operations}
    last = {event.operation_id: number for number, event in enumerate(events)}
    for number, event in enumerate(events):
        yield event
        operation_id = event.operation_id or ""
        if operation_id in results and last[operation_id] == number:
            operation = by_id[operation_id]
            details: JsonObject = {"Result": results[operation_id]}
            if operation.type is OperationType.STEP:
                details["RetryDetails"] = {"CurrentAttempt": 1}
            yield attrs.evolve(event, type=_SUCCEEDED[operation.type], details=details)


def _write_history(execution: Execution, source: Source, events: Sequence[HistoryEvent], at: Moment) -> None:
    """Write the history of the new execution."""
    root = OperationRecord(
        execution.id, OperationType.EXECUTION, 0, execution.tick(at), name=execution.name, result=execution.input
    )
    forked = {} if source.arn is None else {"ForkedFrom": source.arn}
    execution.log(
        EventType.EXECUTION_STARTED,
        root.start_us,
        root,
        Input=execution.input,
        ExecutionTimeout=execution.timeout_seconds,
        **forked,
    )
    known: dict[str | None, int] = {}
    for event in events:
        sequence = known.setdefault(event.operation_id, len(known) + 1)
        details = event.details
        if event.type is EventType.CALLBACK_STARTED:  # nobody may answer for the other execution
            details = {**details, "CallbackId": make_callback_id(execution.id, sequence, at.mint())}
        execution.event_count += 1
        copy = attrs.evolve(event, id=execution.event_count, at_us=execution.tick(at), details=details)
        execution.changes.events.append(copy)
