"""Where executions are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from durable_async.service.history import Event
from durable_async.service.machine import Changes, Execution


@attrs.frozen
class ExecutionQuery:
    """Which executions of a function to list, and which part of the list.

    :ivar statuses: empty: any
    :ivar started_after_ms: inclusive, as ``started_before_ms``
    :ivar after: the ``position`` of the last one already listed
    """

    function_name: str
    name: str | None = None
    statuses: frozenset[str] = frozenset()
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


class Store(Protocol):
    """Keeps executions and their histories.

    An open execution is one object: every ``load`` gives the same, and the service changes it in place. What it did is
    handed to ``save`` as changes, so that a save costs no more than they do. Saves take effect in the order in which
    ``save`` and ``add`` were called, even if whoever waits for one is cancelled; when the call returns, it is durable.
    """

    async def add(self, execution: Execution, changes: Changes) -> Execution | None:
        """Keep a new execution.

        :return: None; or, with nothing kept, the execution of the same function that has the name already
        """
        ...

    async def save(self, execution: Execution, changes: Changes) -> None:
        """Keep the execution's own fields and what ``changes`` holds. Nothing happens if it was deleted."""
        ...

    async def load(self, execution_id: str) -> Execution | None: ...

    async def unfinished(self) -> Sequence[Execution]:
        """The open executions. Asked for once, when a service starts."""
        ...

    async def events(self, execution_id: str, first: int, count: int, *, newest_first: bool) -> Sequence[Event]:
        """Up to ``count`` events from the one with id ``first`` on, upwards or downwards."""
        ...

    async def executions(self, query: ExecutionQuery) -> Sequence[Summary]: ...

    async def delete(self, execution_id: str) -> None: ...

    async def aclose(self) -> None: ...
