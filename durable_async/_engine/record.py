"""What is known of each operation of the execution.

- raw: an operation stays the dict that arrived, until a call asks for it
- replaced as a whole: the service sends complete operations, so a newer one takes the place of the older
- code that waits for a change of an operation says which state it has read, and is woken by any other: a change between
  the read and the wait is not lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

from durable_async._wire import cancellation
from durable_async._wire.cancellation import CANCELLATION
from durable_async._wire.operations import TERMINAL, Operation, OperationStatus, OperationType
from durable_async._wire.patches import PREFIX, is_marker
from durable_async._wire.timestamps import cut_to_milliseconds

_ENDED_BY_SERVICE = (OperationType.WAIT, OperationType.CALLBACK, OperationType.CHAINED_INVOKE)
_NAMES_APART = (PREFIX, CANCELLATION)


class Cancellation:
    """A request to end, which the workflow receives once.

    :ivar at: the id of the operation at whose call an earlier invocation delivered it; None: none has
    :ivar delivered: this invocation has delivered it
    """

    def __init__(self, operation: Operation) -> None:
        reason, at = cancellation.read((operation.get("StepDetails") or {}).get("Result"))
        self.reason: str | None = reason
        self.at: str | None = at
        self.delivered: bool = False


class Record:
    """The operations of one execution, as the service has sent them.

    :param microseconds: True: the envelopes of the service have times in microseconds. False: in milliseconds
    :ivar get: returns the operation with an id; None: it is not on record. A dict's own method, since each operation
        calls it
    :ivar ends_left: the ids of the operations that had ended when the invocation began and whose ends were not handed
        over yet, by the context that they are in. A context without such ends is not listed. Markers of patches and the
        cancellation are left out: the code may not ask for them
    :ivar is_settled: True: no end on record has an effect that the code has not seen yet. False: one is left, or the
        workflow was not seen at rest since the last one was handed over
    :ivar loading: done when the record is complete; None: it is
    :ivar cancellation: the request to end; None: there is none
    :ivar observer: called with operations that the service sent, when the record has them; None: nobody listens
    """

    is_settled: bool = True
    cancellation: Cancellation | None = None
    observer: Callable[[Sequence[Operation]], None] | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, *, microseconds: bool = True) -> None:
        self._loop = loop
        self._microseconds = microseconds
        self._operations: dict[str, Operation] = {}
        self.get: Callable[[str], Operation | None] = self._operations.get
        self._changes: dict[str, list[asyncio.Future[None]]] = {}
        self.ends_left: dict[str | None, set[str]] = {}
        self.loading: asyncio.Future[None] | None = loop.create_future()

    def load(self, operations: Sequence[Operation]) -> None:
        """Add a part of what was on record when this invocation began."""
        if not self._microseconds:
            cut_to_milliseconds(operations)
        for operation in operations:
            self._operations[operation["Id"]] = operation
            if operation["Status"] in TERMINAL and not (
                operation["Type"] == OperationType.EXECUTION
                # The name first: a function call for each operation would slow every replay.
                or ((operation.get("Name") or "").startswith(_NAMES_APART) and _is_apart(operation))
            ):
                parent_id = operation.get("ParentId")
                if (left := self.ends_left.get(parent_id)) is None:
                    left = self.ends_left[parent_id] = set()
                left.add(operation["Id"])
                self.is_settled = False
        if self.cancellation is None and CANCELLATION in self._operations:
            self._note_cancellation()

    def _note_cancellation(self) -> None:
        self.cancellation = Cancellation(self._operations[CANCELLATION])
        waiting, self._changes = self._changes, {}
        for change in chain.from_iterable(waiting.values()):  # all read again, and it is delivered to the first one
            if not change.done():
                change.set_result(None)

    def loaded(self) -> None:
        """Note that the record is complete: an operation that is not here is new."""
        if self.loading is not None:
            self.loading.set_result(None)
            self.loading = None

    def may_have_changed(self) -> bool:
        """Return whether an operation is on record that the service may have ended since it was read."""
        return any(
            operation["Status"] == OperationStatus.PENDING
            or (operation["Status"] not in TERMINAL and operation["Type"] in _ENDED_BY_SERVICE)
            for operation in self._operations.values()
        )

    def on_loaded(self, callback: Callable[[object], None]) -> None:
        """Call ``callback`` when the record is complete, which it is not yet."""
        assert self.loading is not None
        self.loading.add_done_callback(callback)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Add what has changed since, as the service says."""
        if not self._microseconds:
            cut_to_milliseconds(operations)
        for operation in operations:
            operation_id = operation["Id"]
            known = self._operations.get(operation_id)
            self._operations[operation_id] = operation
            # A service may send all operations each time. Code that waits for a timer would be woken without end.
            if operation_id in self._changes and operation != known:
                for change in self._changes.pop(operation_id):
                    if not change.done():
                        change.set_result(None)
        if self.cancellation is None and CANCELLATION in self._operations:
            self._note_cancellation()
        if self.observer is not None:
            self.observer(operations)

    def forget_ended(self) -> None:
        """Delete the ended operations for which the workflow will not ask again: those whose ends were handed over,
        except callbacks, whose result may be awaited any number of times. Call this only while the workflow is at rest.
        """
        for operation in [each for each in self._operations.values() if not self._is_needed(each)]:
            del self._operations[operation["Id"]]

    def _is_needed(self, operation: Operation) -> bool:
        return (
            operation["Status"] not in TERMINAL
            or operation["Type"] == OperationType.CALLBACK
            or _is_apart(operation)
            or operation["Id"] in self.ends_left.get(operation.get("ParentId"), ())
        )

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def __len__(self) -> int:
        return len(self._operations)

    def execution(self) -> Operation | None:
        """Return the EXECUTION operation, which carries the input. It may be on any page of the record."""
        for operation in self._operations.values():
            if operation["Type"] == OperationType.EXECUTION:
                return operation
        return None

    def visit(self, operation: Operation) -> None:
        """Note that the end of the operation was handed over."""
        parent_id = operation.get("ParentId")
        left = self.ends_left.get(parent_id)
        if left is not None:
            left.discard(operation["Id"])
            if not left:
                del self.ends_left[parent_id]

    def settle(self) -> None:
        """Note that all that was handed over has had its effect."""
        self.is_settled = not self.ends_left

    def is_replaying(self, parent_id: str | None) -> bool:
        """Return whether the record has ends of the context that were not handed over yet, or may have some that are
        not loaded yet."""
        return self.loading is not None or parent_id in self.ends_left

    def change(self, operation_id: str, seen: Operation | None) -> asyncio.Future[None]:
        """Return a future that is done when the operation is in another state than ``seen``, which may be so already.

        Each caller gets its own future and may cancel it.

        :param seen: the state that the caller has read. Since then the service may have sent a newer one
        """
        change: asyncio.Future[None] = self._loop.create_future()
        if self._operations.get(operation_id) != seen:
            change.set_result(None)
            return change
        self._changes[operation_id] = [*self._awaited(operation_id), change]
        return change

    def is_awaited(self, operation_id: str) -> bool:
        """Return whether anybody waits for a change of the operation."""
        return bool(self._awaited(operation_id))

    def _awaited(self, operation_id: str) -> list[asyncio.Future[None]]:
        return [change for change in self._changes.get(operation_id, ()) if not change.done()]


def _is_apart(operation: Operation) -> bool:
    """Return whether the code may never ask for the operation, and as often as it likes: the marker of a patch, or the
    cancellation."""
    return operation["Id"] == CANCELLATION or is_marker(operation)
