"""Makes the values that plugins get about operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from durable_async._engine.error_objects import recorded_error
from durable_async._engine.observer import ObservedCall
from durable_async._engine.record import Record
from durable_async._wire.operations import Operation, OperationStatus, OperationType
from durable_async._wire.timestamps import end_microseconds, start_microseconds
from durable_async.errors import OperationError
from durable_async.plugins import OperationInfo

_DETAILS: Mapping[str, str] = {
    OperationType.CONTEXT: "ContextDetails",
    OperationType.STEP: "StepDetails",
    OperationType.CALLBACK: "CallbackDetails",
    OperationType.CHAINED_INVOKE: "ChainedInvokeDetails",
}
_STARTED = OperationStatus.STARTED.value
_UNCOUNTED = {OperationStatus.STARTED, OperationStatus.READY}  # the record counts only attempts that have ended


def of_operation(execution_arn: str, operation: Operation, *, is_replayed: bool) -> OperationInfo:
    kind, name = operation["Type"], operation.get("Name") or None
    details: Mapping[str, Any] = cast("Mapping[str, Any]", operation).get(_DETAILS.get(kind, "")) or {}
    attempt = None
    if kind == OperationType.STEP:
        attempt = (details.get("Attempt") or 0) + (operation["Status"] in _UNCOUNTED)
    return OperationInfo(
        execution_arn=execution_arn,
        operation_id=operation["Id"],
        operation_type=kind,
        sub_type=operation.get("SubType"),
        name=name,
        parent_id=operation.get("ParentId"),
        status=operation["Status"],
        is_replayed=is_replayed,
        start_time=moment(start_microseconds(operation)),
        end_time=moment(end_microseconds(operation)),
        attempt=attempt,
        error=recorded_error(OperationError, error, operation["Id"], name) if (error := details.get("Error")) else None,
        result=details.get("Result"),
    )


def identity_of_call(call: ObservedCall) -> dict[str, Any]:
    """Return what identifies an operation that is not on record yet, as fields of its info."""
    return {
        "execution_arn": call.branch.workflow.execution_arn,
        "operation_id": call.id,
        "operation_type": call.kind._value_,  # which costs a tenth of what "value" does
        "sub_type": call.subtype._value_,
        "name": call.name,
        "parent_id": call.branch.scope.id,
        "status": _STARTED,
        "is_replayed": False,
    }


def of_call(call: ObservedCall) -> OperationInfo:
    """Return the info of an operation that is not on record yet."""
    return OperationInfo(**identity_of_call(call), attempt=1 if call.kind is OperationType.STEP else None)


def moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def children_first(operations: Iterable[Operation], record: Record) -> list[Operation]:
    """Return the operations, those deepest in the tree of contexts first, otherwise in their order."""
    operations = list(operations)
    if len(operations) < 2:  # as after nearly every checkpoint
        return operations

    def depth(operation: Operation) -> int:
        deep, parent = 0, operation.get("ParentId")
        while parent is not None and (above := record.get(parent)) is not None:
            deep, parent = deep + 1, above.get("ParentId")
        return deep

    return sorted(operations, key=depth, reverse=True)


@attrs.frozen(eq=False)
class Operations(Mapping[str, OperationInfo]):
    """The complete record. Operations are read when they are looked up: an execution may have thousands."""

    _record: Record
    _read: Callable[[Operation], OperationInfo]

    def __getitem__(self, operation_id: str) -> OperationInfo:
        operation = self._record.get(operation_id)
        if operation is None:
            raise KeyError(operation_id)
        return self._read(operation)

    def __iter__(self) -> Iterator[str]:
        return iter([operation["Id"] for operation in self._record])

    def __len__(self) -> int:
        return len(self._record)

    def __contains__(self, operation_id: object) -> bool:
        return isinstance(operation_id, str) and self._record.get(operation_id) is not None
