"""A store in the memory of the process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from durable_async.service.machine import Changes, Execution
from durable_async.service.model.errors import ExecutionDeletedError, StoreError
from durable_async.service.model.history import HistoryEvent
from durable_async.service.store import Count, ExecutionQuery, OpenExecution, Settled, Summary

T = TypeVar("T")


class MemoryStore:
    """Keeps executions in dicts. No call waits, but ``add`` gives other tasks a turn of the event loop: they run also
    while a program starts one execution after another.
    """

    def __init__(self) -> None:
        self._executions: dict[str, Execution] = {}
        self._events: dict[str, list[HistoryEvent]] = {}
        self._by_name: dict[tuple[str, str], Execution] = {}
        self._positions: dict[str, int] = {}
        self._by_function: dict[str, dict[int, Execution]] = {}
        self._added = 0
        self._closed = False

    def add(
        self, execution: Execution, changes: Changes, settled: Settled | None = None
    ) -> Awaitable[Execution | None]:
        existing = self._add(execution, changes)
        if settled is not None:
            settled(existing is None)
        return _in_the_next_turn(existing)

    def _add(self, execution: Execution, changes: Changes) -> Execution | None:
        self._check_open()
        key = (execution.function_name, execution.name)
        if (existing := self._by_name.get(key) or self._executions.get(execution.id)) is not None:
            return existing
        self._added += 1
        self._by_name[key] = execution
        self._executions[execution.id] = execution
        self._positions[execution.id] = self._added
        self._by_function.setdefault(execution.function_name, {})[self._added] = execution
        self._events[execution.id] = list(changes.events)
        return None

    def save(self, execution: Execution, changes: Changes, settled: Settled | None = None) -> Awaitable[None]:
        self._check_open()
        kept = self._executions.get(execution.id)
        if kept is None:
            raise ExecutionDeletedError(f"Durable execution not found: {execution.arn}")
        if kept is not execution:
            raise StoreError("Another writer changed the execution meanwhile. Repeat the call.")
        self._events[execution.id].extend(changes.events)
        if settled is not None:
            settled(True)  # noqa: FBT003
        return _ended(None)

    async def barrier(self) -> None:
        """Return at once: every write is stored when it is called."""

    def is_settled(self) -> bool:
        return True

    async def load(self, execution_id: str) -> Execution | None:
        return self._executions.get(execution_id)

    async def open(self) -> None:
        """Accept writes, also after ``aclose``: another service may continue the executions."""
        self._closed = False

    async def open_executions(self, function_name: str) -> Sequence[OpenExecution]:
        of_function = self._by_function.get(function_name, {}).values()
        return [_open_execution(each) for each in of_function if each.open]

    async def function_names(self) -> Sequence[str]:
        return [name for name, executions in self._by_function.items() if executions]

    async def events(self, execution_id: str, first: int, count: int, *, newest_first: bool) -> Sequence[HistoryEvent]:
        events = self._events.get(execution_id, [])  # the event with the id n has the index n - 1
        if newest_first:
            first = min(first, len(events))
            return events[max(0, first - count) : first][::-1]
        return events[first - 1 : first - 1 + count]

    async def executions(self, query: ExecutionQuery) -> Sequence[Summary]:
        found: list[Summary] = []
        candidates = self._candidates(query.function_name)
        for position in candidates if query.oldest_first else reversed(candidates):
            if len(found) == query.count:
                break
            if _is_in_part(position, query) and _matches(candidates[position], query):
                found.append(_summary(candidates[position], position))
        return found

    async def counts(self, query: ExecutionQuery) -> Sequence[Count]:
        found = Counter(
            (each.function_name, str(each.status))
            for each in self._candidates(query.function_name).values()
            if _matches(each, query)
        )
        return [Count(*place, number) for place, number in sorted(found.items())]

    def _candidates(self, function_name: str | None) -> dict[int, Execution]:
        if function_name is not None:
            return self._by_function.get(function_name, {})
        return {self._positions[each.id]: each for each in self._executions.values()}

    async def delete(self, execution_id: str) -> None:
        self._check_open()
        execution = self._executions.pop(execution_id, None)
        if execution is not None:
            del self._events[execution_id]
            del self._by_name[execution.function_name, execution.name]
            del self._by_function[execution.function_name][self._positions.pop(execution_id)]

    async def delete_closed(self, before_ms: int, count: int) -> int:
        closed = [
            each.id for each in self._executions.values() if each.ended_ms is not None and each.ended_ms < before_ms
        ]
        for execution_id in closed[:count]:
            await self.delete(execution_id)
        return len(closed[:count])

    async def aclose(self) -> None:
        """Refuse writes from now on, as a file that is closed does."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("The service has ended, and its executions were kept in memory only.")


async def _in_the_next_turn(answer: T) -> T:
    await asyncio.sleep(0)
    return answer


def _ended(answer: T) -> Awaitable[T]:
    ended: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    ended.set_result(answer)
    return ended


def _open_execution(execution: Execution) -> OpenExecution:
    invocation = execution.invocation
    return OpenExecution(
        execution.id,
        execution.next_due_ms(),
        execution.active,
        None if invocation is None else invocation.request_id,
        waiting=invocation is not None and invocation.waiting,
        crashes=execution.crashes,
        version=execution.version,
    )


def _is_in_part(position: int, query: ExecutionQuery) -> bool:
    if query.after is None:
        return True
    return position > query.after if query.oldest_first else position < query.after


def _matches(execution: Execution, query: ExecutionQuery) -> bool:
    if query.name not in (None, execution.name) or not execution.name.startswith(query.name_prefix):
        return False
    if query.version not in (None, execution.version):
        return False
    tags: Mapping[str, str] = execution.tags or {}
    if any(tags.get(key) != value for key, value in query.tags.items()):
        return False
    if query.statuses and execution.status not in query.statuses:
        return False
    if query.started_after_ms is not None and execution.started_ms < query.started_after_ms:
        return False
    return query.started_before_ms is None or execution.started_ms <= query.started_before_ms


def _summary(execution: Execution, position: int) -> Summary:
    return Summary(
        position=position,
        arn=execution.arn,
        name=execution.name,
        function_arn=execution.function_arn,
        status=str(execution.status),
        started_ms=execution.started_ms,
        ended_ms=execution.ended_ms,
        tags=execution.tags,
    )
