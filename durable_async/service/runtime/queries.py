"""What the service says of executions and functions. None of it changes anything."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import accumulate, takewhile
from typing import TypeVar, Unpack

import attrs

from durable_async.service.machine import Execution, ExecutionStatus
from durable_async.service.model import arns
from durable_async.service.model.errors import (
    DamagedExecutionError,
    InvalidParameterValueError,
    ResourceNotFoundError,
    ServiceClosedError,
)
from durable_async.service.model.history import CLOSING, EventType, HistoryEvent
from durable_async.service.runtime.filters import Filters, query_of
from durable_async.service.runtime.inputs import page_length, page_start
from durable_async.service.runtime.listeners import ANY
from durable_async.service.runtime.registry import Registry
from durable_async.service.runtime.runner import Runner
from durable_async.service.runtime.views import (
    Counts,
    ExecutionDescription,
    ExecutionSummary,
    FunctionDescription,
    OpenCallback,
    Page,
    open_callbacks,
    open_details,
    with_digest,
)
from durable_async.service.store import ExecutionQuery, Store

T = TypeVar("T")

HISTORY_PAGE_BYTES = 5 * 1024 * 1024
_LIST_PAUSE = 0.5  # seconds; a list that is waited for is not read more often, however much changes


class Queries:
    """The queries of :class:`~durable_async.service.LambdaApi`, which sets what they need.

    :ivar passive: True: the service only reads, since another process writes. False: it runs executions
    :ivar _default_execution_timeout: in seconds, of functions that are not registered
    """

    passive: bool
    _store: Store
    _registry: Registry
    _runner: Runner
    _retention_days: int
    _looked_at: deque[Execution]
    _default_execution_timeout: int

    async def get_execution(self, arn: str, *, wait_seconds: float = 0) -> ExecutionDescription:
        """Return the execution as it is stored now.

        :param wait_seconds: more than 0: if it is open, wait up to this long for its end. 0: do not wait
        """
        if wait_seconds and not self.passive:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._runner.closed(await self._execution(arn))
        now = await self._described(arn)
        while True:
            before = now
            await self._store.barrier()
            now = await self._described(arn)
            if now == before:  # otherwise something could not be stored, and has not happened
                return now

    async def _described(self, arn: str) -> ExecutionDescription:
        return ExecutionDescription.of(await self._execution(arn), self._retention_days)

    async def get_history(
        self,
        arn: str,
        *,
        marker: str | None = None,
        max_items: int = 0,
        reverse: bool = False,
        page_bytes: int | None = HISTORY_PAGE_BYTES,
        wait_seconds: float = 0,
    ) -> Page[HistoryEvent]:
        """Return a page of the history.

        :param marker: of the page before; None or empty: the first page
        :param max_items: 0 to 1000; 0: 100
        :param reverse: True: newest first. False: oldest first
        :param page_bytes: the maximum size of the page, except that it has at least one event; None: any size
        :param wait_seconds: more than 0: if the page would be empty, wait up to this long for its first event; and the
            last page of an open execution has a marker too, of the events that are still to come. 0: do not wait. A
            passive service does not wait, since it does not hear of what another process writes
        """
        execution = await self._execution(arn)
        count, first = page_length(max_items), page_start(marker)
        if wait_seconds and not reverse and not self.passive:
            return await self._awaited_page(execution, first or 1, count, page_bytes, wait_seconds)
        if first is None:
            first = execution.event_count if reverse else 1
        return await self._page(execution, first, count, page_bytes, reverse=reverse)

    async def _page(
        self, execution: Execution, first: int, count: int, page_bytes: int | None, *, reverse: bool
    ) -> Page[HistoryEvent]:
        self._looked_at.append(execution)
        events = await self._store.events(execution.id, first, count + 1, newest_first=reverse)
        fitting = count if page_bytes is None else min(count, _fitting(events, page_bytes))
        return Page(events) if fitting >= len(events) else Page(events[:fitting], str(events[fitting].id))

    async def _awaited_page(
        self, execution: Execution, first: int, count: int, page_bytes: int | None, seconds: float
    ) -> Page[HistoryEvent]:
        with self._runner.listeners.watching(execution.id) as news, suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while execution.open and execution.event_count < first and not self._runner.draining:
                    await news.wait()
                    news.clear()
                    execution = await self._execution(execution.arn)
        if self._runner.draining:
            raise ServiceClosedError("The service is shutting down.")
        page = await self._page(execution, first, count, page_bytes, reverse=False)
        if page.next_marker is None and execution.open:
            return Page(page.items, str(first + len(page.items)))
        return page

    async def events(self, arn: str, *, after: int = 0) -> AsyncGenerator[HistoryEvent]:
        """Yield the events of an execution while they happen, until the execution is closed.

        :param after: the id of the last event that is not wanted; 0: all are wanted
        :raises ServiceClosedError: the service ends before
        """
        execution = await self._execution(arn)
        with self._runner.listeners.watching(execution.id) as news:
            complete = False  # all events are durable, and no more will come
            while True:
                news.clear()
                page = await self._store.events(execution.id, after + 1, 100, newest_first=False)
                for event in page:
                    after = event.id
                    yield event
                    if event.type in CLOSING and not await self._redriven_after(execution.id, event):
                        return
                if page:
                    continue
                if complete:
                    return
                if self._runner.draining:
                    raise ServiceClosedError("The service is shutting down.")
                if execution.open:
                    await news.wait()
                    execution = await self._execution(arn)
                if not execution.open:
                    await self._store.barrier()
                    execution = await self._execution(arn)
                    complete = not execution.open  # or its end could not be stored, and has not happened

    async def _redriven_after(self, execution_id: str, closing: HistoryEvent) -> bool:
        # Between the two there may be one event: of an invocation that ran at the time.
        following = await self._store.events(execution_id, closing.id + 1, 2, newest_first=False)
        return any(event.type is EventType.EXECUTION_REDRIVEN for event in following)

    async def list_functions(self) -> list[FunctionDescription]:
        """Return the functions that are registered or that have stored executions, ordered by name."""
        timeouts: dict[str, int | None] = dict.fromkeys(
            await self._store.function_names(), self._default_execution_timeout
        )
        for name in {each.name for each in self._registry.all()}:
            newest = self._registry.named(name)
            timeouts[name] = newest.execution_timeout if newest.function.durable else None
        return [
            FunctionDescription(name, self._registry.arn(name), timeouts[name], self._retention_days)
            for name in sorted(timeouts)
        ]

    async def list_executions(
        self,
        function_name: str | None = None,
        *,
        qualifier: str | None = None,
        reverse: bool = False,
        marker: str | None = None,
        max_items: int = 0,
        **filters: Unpack[Filters],
    ) -> Page[ExecutionSummary]:
        """Return a page of the executions of a function, or of all functions.

        :param function_name: a registered function, or one that has stored executions; None: all of them
        :param reverse: True: oldest first. False: newest first. This is the opposite of what it means for a history
        :param marker: of the page before; None or empty: the first page
        :param max_items: 0 to 1000; 0: 100
        :param filters: which executions; see :class:`~durable_async.service.Filters`
        :raises ApiError: ResourceNotFound (the function), InvalidParameterValue
        """
        query = await self._query(function_name, qualifier, filters)
        return await self._list(_paged(query, marker, max_items, oldest_first=reverse), include_waiting_for=False)

    async def watch_executions(
        self,
        function_name: str | None = None,
        *,
        qualifier: str | None = None,
        reverse: bool = False,
        marker: str | None = None,
        max_items: int = 0,
        include_waiting_for: bool = False,
        wait_seconds: float = 0,
        known_digest: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page[ExecutionSummary]:
        """As :meth:`list_executions`, for callers that follow what happens. AWS has no such operation.

        :param include_waiting_for: True: open executions have ``details``, for which their operations are read. False:
            they have none
        :param wait_seconds: more than 0: the page has a digest, and is returned as soon as that is another one than
            ``known_digest``, or after this time. 0: do not wait. A passive service does not wait, since it does not
            hear of what another process writes
        :param known_digest: of the page that the caller has; None: it has none
        """
        query = _paged(await self._query(function_name, qualifier, filters), marker, max_items, oldest_first=reverse)
        look = partial(self._list, query, include_waiting_for=include_waiting_for)
        if not wait_seconds or self.passive:
            return await look()
        return await self._changed(look, known_digest, wait_seconds)

    async def _list(self, query: ExecutionQuery, *, include_waiting_for: bool) -> Page[ExecutionSummary]:
        """Return a page of one execution less than ``query`` asks for."""
        found = await self._store.executions(query)
        count = query.count - 1
        marker = str(found[count - 1].position) if len(found) > count else None
        summaries = [ExecutionSummary.of(summary) for summary in found[:count]]
        if include_waiting_for:
            summaries = [await self._with_details(summary) for summary in summaries]
        return Page(summaries, marker)

    async def _with_details(self, summary: ExecutionSummary) -> ExecutionSummary:
        reference = arns.parse_execution(summary.arn)
        if not summary.status.open or reference is None:
            return summary
        try:
            execution = await self._store.load(reference.id)
        except DamagedExecutionError:
            return summary  # a list shows as much as can be read
        if execution is None or not execution.open:
            return summary
        return attrs.evolve(summary, details=open_details(execution))

    async def _changed(self, look: Callable[[], Awaitable[Page[T]]], known: str | None, seconds: float) -> Page[T]:
        """Return a page with its digest, as soon as that is not ``known``, or after some seconds.

        :raises ServiceClosedError: the service shuts down before
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        with self._runner.listeners.watching(ANY) as news:
            while True:
                news.clear()
                page = with_digest(await look())
                if page.digest != known or loop.time() >= ends:
                    return page
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(ends):
                        await news.wait()
                        await asyncio.sleep(_LIST_PAUSE)
                if self._runner.draining:
                    raise ServiceClosedError("The service is shutting down.")

    async def count_executions(
        self, function_name: str | None = None, *, qualifier: str | None = None, **filters: Unpack[Filters]
    ) -> Counts:
        """Return how many executions each function has in each status, as :meth:`list_executions` would list them. A
        function without any is left out.
        """
        counts: Counts = {}
        for found in await self._store.counts(await self._query(function_name, qualifier, filters)):
            counts.setdefault(found.function_name, {})[ExecutionStatus(found.status)] = found.executions
        return counts

    async def _query(self, function_name: str | None, qualifier: str | None, filters: Filters) -> ExecutionQuery:
        if function_name is None:
            return query_of(None, filters)
        parsed, known = arns.parse_function(function_name), await self._known(function_name, qualifier)
        version = qualifier or (None if parsed is None else parsed.qualifier)
        is_number = version is not None and version.isdecimal() and self._registry.is_versioned(known)
        return attrs.evolve(query_of(known, filters), version=version if is_number else None)

    async def _known(self, function_name: str, qualifier: str | None) -> str:
        """The name of a function that is registered, or of which executions are kept."""
        try:
            return self._registry.named(function_name, qualifier).name
        except ResourceNotFoundError:
            parsed = arns.parse_function(function_name)
            if parsed is None or parsed.name not in await self._store.function_names():
                raise
            return parsed.name

    async def list_callbacks(self, arn: str) -> list[OpenCallback]:
        """Return the open callbacks of an execution, in the order in which they began. AWS has no such operation."""
        return open_callbacks(await self._execution(arn))

    async def _execution(self, arn: str) -> Execution:
        reference = arns.parse_execution(arn)
        if reference is None:
            raise InvalidParameterValueError(f"Invalid durable execution ARN '{arn}'")
        execution = await self._store.load(reference.id)
        if execution is None or execution.arn != arn or self._runner.retention.is_over(execution):
            raise ResourceNotFoundError(f"Durable execution not found: {arn}")
        return execution


def _paged(query: ExecutionQuery, marker: str | None, max_items: int, *, oldest_first: bool) -> ExecutionQuery:
    """Ask for one execution more than the page has, so that it is known whether there is another page."""
    count = page_length(max_items) + 1
    return attrs.evolve(query, oldest_first=oldest_first, after=page_start(marker), count=count)


def _fitting(events: Sequence[HistoryEvent], page_bytes: int) -> int:
    """Return how many of the first events fit into a page, which is at least one."""
    used = accumulate(event.size for event in events)
    return max(1, sum(1 for _ in takewhile(lambda size: size <= page_bytes, used)))
