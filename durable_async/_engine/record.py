"""What is known of each operation of the execution.

- raw: an operation stays the dict that arrived, until a call asks for it
- replaced whole: the service sends whole operations, so a newer one takes the place of the older
- whoever waits for a change of an operation says which state it has seen, and is woken by any other: what comes between
  the look and the wait is not lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from durable_async._wire.operations import TERMINAL, Operation, OperationType


class Record:
    observer: Callable[[Sequence[Operation]], None] | None = None
    """Called with what the service told, when it has been taken in."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._operations: dict[str, Operation] = {}
        self._changes: dict[str, list[asyncio.Future[None]]] = {}
        self._unvisited: dict[str | None, set[str]] = {}
        self._whole: asyncio.Future[None] | None = loop.create_future()

    def load(self, operations: Iterable[Operation]) -> None:
        """Take in a part of what was on record when this invocation began."""
        for operation in operations:
            self._operations[operation["Id"]] = operation
            if operation["Status"] in TERMINAL and operation["Type"] != OperationType.EXECUTION:
                self._unvisited.setdefault(operation.get("ParentId"), set()).add(operation["Id"])

    def loaded(self) -> None:
        """Nothing more comes: an operation that is not here is new."""
        if self._whole is not None:
            self._whole.set_result(None)
            self._whole = None

    def on_loaded(self, callback: Callable[[object], None]) -> None:
        """Call ``callback`` when the whole record is here, which it is not yet."""
        assert self._whole is not None
        self._whole.add_done_callback(callback)

    @property
    def whole(self) -> asyncio.Future[None] | None:
        """None once the whole record is here; until then, what to wait for."""
        return self._whole

    def apply(self, operations: Sequence[Operation]) -> None:
        """Take in what the service says has changed since."""
        for operation in operations:
            operation_id = operation["Id"]
            known = self._operations.get(operation_id)
            self._operations[operation_id] = operation
            # A service may tell of all operations each time. Who waits for a timer would ask and be told without end.
            if operation_id in self._changes and operation != known:
                for change in self._changes.pop(operation_id):
                    if not change.done():
                        change.set_result(None)
        if self.observer is not None:
            self.observer(operations)

    def forget_ended(self) -> None:
        """Let go of the ended operations for which the workflow will not ask again: those it has come by, but for
        callbacks, whose result may be awaited any number of times. Only while nothing in it is about to go on."""
        needed = [operation for operation in self._operations.values() if self._is_needed(operation)]
        self._operations = {operation["Id"]: operation for operation in needed}

    def _is_needed(self, operation: Operation) -> bool:
        return (
            operation["Status"] not in TERMINAL
            or operation["Type"] == OperationType.CALLBACK
            or operation["Id"] in self._unvisited.get(operation.get("ParentId"), ())
        )

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def __len__(self) -> int:
        return len(self._operations)

    def get(self, operation_id: str) -> Operation | None:
        return self._operations.get(operation_id)

    def execution(self) -> Operation | None:
        """The EXECUTION operation, which carries the input. It may stand on any page."""
        for operation in self._operations.values():
            if operation["Type"] == OperationType.EXECUTION:
                return operation
        return None

    def visit(self, operation: Operation) -> None:
        unvisited = self._unvisited.get(operation.get("ParentId"))
        if unvisited is not None:
            unvisited.discard(operation["Id"])

    def is_replaying(self, parent_id: str | None) -> bool:
        """Whether the context has recorded ends that this invocation has not come by yet."""
        return self._whole is not None or bool(self._unvisited.get(parent_id))

    def change(self, operation_id: str, seen: Operation | None) -> asyncio.Future[None]:
        """Return a future that is done when the operation is another than ``seen``, which may be so already.

        Each waiter has its own, and may cancel it.

        :param seen: what the waiter has decided on: between its look and this call the service may have said more
        """
        change: asyncio.Future[None] = self._loop.create_future()
        if self._operations.get(operation_id) != seen:
            change.set_result(None)
            return change
        self._changes[operation_id] = [*self._awaited(operation_id), change]
        return change

    def is_awaited(self, operation_id: str) -> bool:
        return bool(self._awaited(operation_id))

    def _awaited(self, operation_id: str) -> list[asyncio.Future[None]]:
        return [change for change in self._changes.get(operation_id, ()) if not change.done()]
