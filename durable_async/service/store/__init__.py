"""Where executions are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import attrs

from durable_async.service.machine import Changes, Execution
from durable_async.service.model.history import HistoryEvent


@attrs.frozen
class ExecutionQuery:
    """Which executions to list or to count, and which part of the list.

    :ivar function_name: None: of all functions
    :ivar version: of the function; None: any
    :ivar name: None: any
    :ivar name_prefix: empty: any name
    :ivar statuses: empty: any
    :ivar tags: the executions have all of them; empty: any
    :ivar started_after_ms: inclusive, as ``started_before_ms``
    :ivar after: the ``position`` of the last one already listed
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
    """An execution as a list shows it. ``position`` grows from execution to execution, in the order of their starts."""

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
    """How many executions of a function have a status."""

    function_name: str
    status: str
    executions: int


@attrs.frozen
class OpenExecution:
    """What a service that starts must know of an execution, without having loaded it.

    :ivar due_ms: when the machine has something to do, as ``Execution.next_due_ms``
    :ivar active: an invocation of its handler was running when it was last saved, is wanted now, or a chained invoke
        may not have been asked for
    :ivar request_id: of the invocation that it had when it was last saved; None: it had none
    :ivar waiting: that invocation was not begun yet
    :ivar crashes: in a row, before that invocation
    :ivar version: of the function; None: it cannot be read
    """

    id: str
    due_ms: int | None
    active: bool
    request_id: str | None = None
    waiting: bool = False
    crashes: int = 0
    version: str | None = None


class Store(Protocol):
    """Keeps executions and their histories.

    An open execution is one object: as long as anybody holds it, every ``load`` gives the same, and the service changes
    it in place. What it did is handed to ``save`` as changes, so that a save costs no more than they do. Writes take
    effect in the order in which they were called, even if whoever waits for one is cancelled; when the wait is over,
    it is durable. ``add`` and ``save`` are to be called before anything else changes the execution: what they keep
    must be what ``changes`` led to. What they return is only to wait for.

    ``load`` and ``events`` raise a :class:`~durable_async.service.model.errors.DamagedExecutionError` of an execution
    that is kept and cannot be read. What is not damaged is not concerned.

    After a write has failed, the object in memory is ahead of what is kept. It is dropped: the next ``load`` gives
    another one, as it was last kept, and saving the old one fails.

    Every call raises :class:`~durable_async.service.model.errors.StoreError` if the medium does.
    """

    async def open(self) -> None:
        """Called once, before anything else.

        :raises StoreError: somebody else has it open, it is of a newer version, or no store at all
        """
        ...

    def add(self, execution: Execution, changes: Changes) -> Awaitable[Execution | None]:
        """Keep a new execution, as it is at the call.

        :return: None; or, with nothing kept, the execution that has the id already, or is of the same function and has
            the name
        """
        ...

    def save(self, execution: Execution, changes: Changes) -> Awaitable[None]:
        """Keep the execution's own fields, as they are at the call, and what ``changes`` holds. Nothing happens if it
        was deleted. It is compared with what is kept first: nothing is written over what another object wrote.

        Also what earlier calls saved of it is durable when this returns, so that with empty changes it is a barrier.
        """
        ...

    async def barrier(self) -> None:
        """Return when every write that was called before is durable, or has failed."""
        ...

    async def load(self, execution_id: str) -> Execution | None: ...

    async def open_executions(self, function_name: str) -> Sequence[OpenExecution]:
        """Asked for once for each function, when a service takes up what an earlier one left."""
        ...

    async def function_names(self) -> Sequence[str]:
        """Of the functions that executions are kept of."""
        ...

    async def events(self, execution_id: str, first: int, count: int, *, newest_first: bool) -> Sequence[HistoryEvent]:
        """Up to ``count`` durable events from the one with id ``first`` on, upwards or downwards."""
        ...

    async def executions(self, query: ExecutionQuery) -> Sequence[Summary]: ...

    async def counts(self, query: ExecutionQuery) -> Sequence[Count]:
        """Count the executions that the query finds, by function and status. What it says of a part is ignored."""
        ...

    async def delete(self, execution_id: str) -> None: ...

    async def delete_closed(self, before_ms: int, count: int) -> int:
        """Delete up to ``count`` of the executions that were closed before ``before_ms``; return how many."""
        ...

    async def aclose(self) -> None:
        """Every write that was called is durable when this returns."""
        ...
