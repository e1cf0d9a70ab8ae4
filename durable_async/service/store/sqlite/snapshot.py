"""What a write needs of an execution, taken when the write is called: the execution goes on while the write waits."""

from __future__ import annotations

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service.machine import Changes, Execution
from durable_async.service.model.history import HistoryEvent
from durable_async.service.store.sqlite.execution_row import progress_row
from durable_async.service.store.sqlite.operation_row import Taken, taken
from durable_async.service.store.sqlite.payloads import Row


@attrs.define
class Snapshot:
    """
    :ivar execution: of which another thread may read what never changes
    :ivar size: about how many bytes it takes on disk
    """

    execution: Execution
    event_count: int
    status: str
    ended_ms: int | None
    result: str | None
    error: ErrorObject | None
    progress: Row
    operations: list[Taken]
    events: list[HistoryEvent]
    size: int


def snapshot(execution: Execution, changes: Changes) -> Snapshot:
    changed = changes.operations.values()
    return Snapshot(
        execution,
        execution.event_count,
        execution.status.value,
        execution.ended_ms,
        execution.result,
        execution.error,
        progress_row(execution),
        [taken(operation) for operation in changed],
        [*changes.events],
        len(execution.result or "") + sum([operation.size for operation in changed]),
    )
