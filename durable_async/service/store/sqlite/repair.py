"""An execution whose row is older than its history.

Earlier releases could write an older object over the row of an execution, and its first operation, while all that had
happened stayed in its history. So the state is derived from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_async.errors import HistoryError
from durable_async.service.derive import derive
from durable_async.service.history import Event, EventType
from durable_async.service.machine import Execution, ExecutionStatus, OperationRecord
from durable_async.service.machine.execution import Pause


def repair(execution: Execution, kept: Sequence[OperationRecord], history: Sequence[Event]) -> list[OperationRecord]:
    """Bring ``execution``, which is not restored yet, to where its history ends.

    :param kept: the operations as they are kept. What a history does not hold, such as heartbeats, is taken from them
    :return: the operations, with which it must be restored, all of them unseen
    :raises HistoryError: the history is incomplete, or of other operations
    """
    derived = derive(history)
    of_history = {operation.id: operation for operation in derived.operations}
    if any(operation.id not in of_history for operation in kept) or derived.id != execution.id:
        raise HistoryError("there are operations of which the history does not tell")
    execution.event_count = len(history)
    execution.status, execution.ended_ms = derived.status, derived.ended_ms
    execution.result, execution.error = derived.result, derived.error
    if all(event.type is not EventType.EXECUTION_PAUSED for event in history):
        execution.timeout_ms = execution.started_ms + execution.timeout_seconds * 1000
    if not execution.open:
        execution.invoke_at_ms, execution.deferred, execution.pause = None, False, None
    elif execution.status is ExecutionStatus.PAUSED and execution.pause is None:
        execution.pause = Pause(derived.latest_ms, execution.timeout_ms, timeout_paused=False)
    by_id = {operation.id: operation for operation in kept}
    return [_newer(by_id.get(operation.id), operation) for operation in derived.operations]


def _newer(kept: OperationRecord | None, derived: OperationRecord) -> OperationRecord:
    """Operations other than the first are written together with their events, so what is kept of them is right."""
    if kept is None or derived.sequence == 0:
        return derived
    if (kept.sequence, kept.type, kept.ended) != (derived.sequence, derived.type, derived.ended):
        raise HistoryError("an operation contradicts the history")
    return kept
