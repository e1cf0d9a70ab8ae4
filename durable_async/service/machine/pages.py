"""The pages of the record that a handler gets: the first one in its envelope, and further ones.

Source: protocol.md, "Envelope" and "Pages".

Operations come in the order in which they began. Those below a completed context are left out, unless that context was
completed with ``ReplayChildren``. A page ends after a number of operations or bytes, whichever is reached first, and
has at least one operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.envelope import MICROSECONDS
from durable_async._wire.operations import ExecutionState, Operation, OperationStatus
from durable_async._wire.text import JsonObject
from durable_async.service.machine.execution import Execution
from durable_async.service.machine.limits import Limits
from durable_async.service.machine.operation import OperationRecord
from durable_async.service.model.errors import InvalidParameterValueError

EXTENSIONS = ("AnswerSchema", "CancelWithParent", MICROSECONDS)
"""What Lambda does not have: two members of options, and times of operations in microseconds, in envelopes too."""


def envelope(execution: Execution, token: str, changed: Sequence[OperationRecord], limits: Limits) -> JsonObject:
    """Return the event with which the handler is invoked. Times are epoch milliseconds.

    :param changed: the operations that changed since the handler last saw them, in the order in which they began
    """
    page = _page(execution, 0, limits.page_operations, limits, OperationRecord.in_milliseconds)
    request = execution.by_id.get(CANCELLATION)
    if request is not None and (marker := page.get("NextMarker")) and request.sequence >= int(marker):
        # A replay must know from the start at which operation the workflow gets the cancellation.
        page["Operations"].append(request.in_milliseconds())
    return _event(execution, token, changed, page)


def changes_envelope(execution: Execution, token: str, changed: Sequence[OperationRecord]) -> dict[str, object]:
    """Return the event for a handler that has the execution in memory, with the changed operations only."""
    shown = [operation.in_milliseconds() for operation in changed]
    return _event(execution, token, changed, {"Operations": shown, "NextMarker": ""})


def _event(
    execution: Execution, token: str, changed: Sequence[OperationRecord], state: ExecutionState
) -> dict[str, object]:
    return {
        "DurableExecutionArn": execution.arn,
        "CheckpointToken": token,
        "InitialExecutionState": state,
        "Extensions": EXTENSIONS,
        "UpdatedOperationIds": [operation.id for operation in changed if operation.sequence > 0],
    }


def state_page(execution: Execution, token: str, marker: str | None, count: int, limits: Limits) -> ExecutionState:
    """Return a page of the record, from ``marker`` or from the beginning. The token stays valid; times are epoch
    seconds.

    A marker stays valid after checkpoints, because operations are only added at the end.

    :raises InvalidParameterValueError: the token or the marker is not valid
    """
    execution.invocation_of(token)
    return _page(execution, _place(execution, marker), count, limits, OperationRecord.in_seconds)


def _place(execution: Execution, marker: str | None) -> int:
    if not marker:
        return 0
    good = marker.isascii() and marker.isdecimal() and len(marker) <= 18  # int() refuses thousands of digits
    if not good or int(marker) > len(execution.operations):
        raise InvalidParameterValueError("Invalid marker")
    return int(marker)


def _page(
    execution: Execution, first: int, count: int, limits: Limits, show: Callable[[OperationRecord], Operation]
) -> ExecutionState:
    shown: list[Operation] = []
    used = 0
    hides: dict[str, bool] = {}
    for sequence in range(first, len(execution.operations)):
        operation = execution.operations[sequence]
        if operation.status is OperationStatus.CLEARED or _hidden(execution, operation, hides):
            continue
        used += operation.size
        if len(shown) == min(count, limits.page_operations) or (shown and used > limits.page_bytes):
            return {"Operations": shown, "NextMarker": str(sequence)}
        shown.append(show(operation))
    return {"Operations": shown, "NextMarker": ""}


def _hidden(execution: Execution, operation: OperationRecord, hides: dict[str, bool]) -> bool:
    """Return whether a context above ``operation`` hides it. ``hides`` caches the answer for each context."""
    above: list[OperationRecord] = []
    parent_id = operation.parent_id
    while parent_id is not None and parent_id not in hides:
        above.append(execution.by_id[parent_id])
        parent_id = above[-1].parent_id
    hidden = hides[parent_id] if parent_id is not None else False
    for context in reversed(above):
        hidden = hidden or (context.ended and not context.replay_children)
        hides[context.id] = hidden
    return hidden
