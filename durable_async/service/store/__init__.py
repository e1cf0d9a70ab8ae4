"""The protocol of stores, and the queries and values that it uses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import attrs

from durable_async.service.machine import Changes, Execution
from durable_async.service.model.history import HistoryEvent


@attrs.frozen
class ExecutionQuery:
    """Selects the executions to list or count, and a part of the list.

    :ivar function_name: executions of this function; None: of all functions
    :ivar version: of the function; None: any
    :ivar name: the execution with this name; None: any name
    :ivar name_prefix: executions whose name begins with this; empty: any name
    :ivar statuses: executions with one of these; empty: any status
    :ivar tags: executions that have all of these; empty: any
    :ivar started_after_ms: inclusive, like ``started_before_ms``
    :ivar after: the ``position`` of the last execution that was already listed
    """

    function_name: str | None
    version: str | None = None
    name: str | None = None
    name_prefix: str = ""
    statuses: frozenset[str] = frozenset()
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    started_after_ms: int | None = None
    started_before_ms: int | None = None
    oldest_first: bool = False
    after: int | None = None
    count: int = 100


@attrs.frozen
class Summary:
    """An execution in a list. ``position`` grows from execution to execution, in the order of their starts."""

    position: int
    arn: str
    name: str
    function_arn: str
    status: str
    started_ms: int
    ended_ms: int | None
    tags: Mapping[str, str] | None = None


@attrs.frozen
class Count:
    """The number of executions of a function with a status."""

    function_name: str
    status: str
    executions: int


@attrs.frozen
class OpenExecution:
    """What a service that starts needs to know of an open execution before it loads it.

    :ivar due_ms: the value of ``Execution.next_due_ms``
    :ivar active: True: when it was last saved, an invocation was running or was needed, or the request of a chained
        invoke may be lost. False: it only waits
    :ivar request_id: the invocation that it had when it was last saved; None: it had none
    :ivar waiting: True: that invocation had not begun yet. False: it had
    :ivar crashes: the number of crashes in a row before that invocation
    :ivar version: of the function; None: it cannot be read
    """

    id: str
    due_ms: int | None
    active: bool
    request_id: str | None = None
    waiting: bool = False
    crashes: int = 0
    version: str | None = None


Settled = Callable[[bool], None]
"""Is called on the event loop when a write has ended, before its caller continues, and also if that was cancelled.
True: the write is durable. False: nothing was stored.
"""


class Store(Protocol):
    """Keeps executions and their histories.

    An open execution is one object: as long as it is referenced, every ``load`` returns the same object, and the
    service changes it in place. ``save`` gets the changes, so its cost depends on them alone. Writes take effect in the
    order of the calls, even if a caller that waits is cancelled. Call ``add`` and ``save`` before anything else changes
    the execution. They take its values at the call; await what they return to know that the write is durable.

    ``load`` and ``events`` raise a :class:`~durable_async.service.model.errors.DamagedExecutionError` if the record of
    this execution cannot be read. Other executions are not affected.

    After a failed write, the object in memory is newer than the stored execution. The store drops it: the next ``load``
    returns a new object with the stored state, and saving the old object fails.

    Every call raises :class:`~durable_async.service.model.errors.StoreError` if the file or disk fails.
    """

    async def open(self) -> None:
        """Open the store. Called once, before all other calls.

        :raises StoreError: another process has it open, a newer version wrote it, or it is not a store
        """
        ...

    def add(
        self, execution: Execution, changes: Changes, settled: Settled | None = None
    ) -> Awaitable[Execution | None]:
        """Store a new execution, as it is at the call.

        :param settled: see ``Settled``
        :return: None; or, if nothing was stored, the execution that already has the id, or the name within the function
        """
        ...

    def save(self, execution: Execution, changes: Changes, settled: Settled | None = None) -> Awaitable[None]:
        """Store the execution's own fields, as they are at the call, and the operations and events in ``changes``.
        Fails if the execution was deleted, or if another object wrote it.

        All earlier writes of the execution are durable too when this returns, so a save with empty changes is a
        barrier.

        :param settled: see ``Settled``
        :raises ExecutionDeletedError: the execution was deleted
        """
        ...

    async def barrier(self) -> None:
        """Wait until every earlier write is durable or has failed."""
        ...

    def is_settled(self) -> bool:
        """Return whether every earlier write is durable or has failed."""
        ...

    async def load(self, execution_id: str) -> Execution | None: ...

    async def open_executions(self, function_name: str) -> Sequence[OpenExecution]:
        """Return the open executions of a function. Called once for each function, when a service continues them."""
        ...

    async def function_names(self) -> Sequence[str]:
        """Return the names of the functions that have stored executions."""
        ...

    async def events(self, execution_id: str, first: int, count: int, *, newest_first: bool) -> Sequence[HistoryEvent]:
        """Return up to ``count`` durable events, from the one with the id ``first`` on, ascending or descending."""
        ...

    async def executions(self, query: ExecutionQuery) -> Sequence[Summary]: ...

    async def counts(self, query: ExecutionQuery) -> Sequence[Count]:
        """Count the executions that the query selects, by function and status. ``query.after`` is ignored."""
        ...

    async def delete(self, execution_id: str) -> None: ...

    async def delete_closed(self, before_ms: int, count: int) -> int:
        """Delete up to ``count`` executions that were closed before ``before_ms``, and return their number."""
        ...

    async def aclose(self) -> None:
        """Make all writes durable, and close the store."""
        ...
