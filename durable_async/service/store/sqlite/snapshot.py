"""What a write needs of an execution, taken when the write is called: the execution goes on while the write waits."""

from __future__ import annotations

from operator import attrgetter

import attrs

from durable_async.service.history import Event
from durable_async.service.machine import Changes, Execution, OperationRecord
from durable_async.service.store.sqlite.execution_row import progress_row
from durable_async.service.store.sqlite.payloads import Row
from durable_async.wire.operations import ErrorObject

_members = attrgetter(*(field.name for field in attrs.fields(OperationRecord)))


@attrs.frozen
class Snapshot:
    """
    :ivar execution: of which another thread may read what never changes
    :ivar operations: copies of those that changed
    """

    execution: Execution
    status: str
    ended_ms: int | None
    result: str | None
    error: ErrorObject | None
    progress: Row
    operations: tuple[OperationRecord, ...]
    events: tuple[Event, ...]

    @property
    def size(self) -> int:
        """About how many bytes it takes on disk."""
        return len(self.result or "") + sum([operation.size for operation in self.operations])


def snapshot(execution: Execution, changes: Changes) -> Snapshot:
    return Snapshot(
        execution,
        execution.status.value,
        execution.ended_ms,
        execution.result,
        execution.error,
        progress_row(execution),
        tuple([OperationRecord(*_members(operation)) for operation in changes.operations.values()]),
        tuple(changes.events),
    )
