"""What an open execution waits for. Nothing here changes anything."""

from __future__ import annotations

from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import OperationStatus, OperationType, SubType
from durable_async.service.machine.execution import Execution
from durable_async.service.machine.operation import OperationRecord

_NEVER_MS = 2**63  # sorts operations without a timer last


def waits_for(execution: Execution) -> list[OperationRecord]:
    """Return the open operations that the workflow waits for: first callbacks, which someone can answer, then the
    others by the time at which their timers fire.

    Contexts are left out, since they only wait for what is in them. So is what a context that has ended left open.
    """
    unfinished = [operation for operation in execution.operations if operation.end_us is None] if execution.open else []
    found = [operation for operation in unfinished if _holds(execution, operation)]
    return sorted(found, key=lambda operation: (operation.type is not OperationType.CALLBACK, _due_ms(operation)))


def open_callbacks(execution: Execution) -> list[tuple[OperationRecord, str]]:
    """Return the callbacks that can be answered, each with its name; see :func:`name_of`."""
    return [
        (operation, name_of(execution, operation))
        for operation in (execution.operations if execution.open else ())
        if operation.type is OperationType.CALLBACK and operation.awaited
    ]


def name_of(execution: Execution, operation: OperationRecord) -> str:
    """Return the name by which people know an operation. A callback of ``wait_for_callback`` has that of the context
    around it. Empty: the operation has none.
    """
    around = execution.by_id.get(operation.parent_id or "")
    is_inside = around is not None and around.sub_type == SubType.WAIT_FOR_CALLBACK
    named = around if around is not None and is_inside and operation.type is OperationType.CALLBACK else operation
    return named.name or ""


def _holds(execution: Execution, operation: OperationRecord) -> bool:
    """Return whether the workflow cannot end before the operation has ended."""
    if operation.type in (OperationType.EXECUTION, OperationType.CONTEXT) or operation.id == CANCELLATION:
        return False
    if operation.status is OperationStatus.CLEARED:
        return False
    around = execution.by_id.get(operation.parent_id or "")
    while around is not None and not around.ended:
        around = execution.by_id.get(around.parent_id or "")
    return around is None


def _due_ms(operation: OperationRecord) -> int:
    return _NEVER_MS if operation.timer_ms is None else operation.timer_ms
