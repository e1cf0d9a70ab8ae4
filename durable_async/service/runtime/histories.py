"""Reads histories by pages, and waits for the events that are still to come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from itertools import accumulate, takewhile

from durable_async.service.machine import Execution
from durable_async.service.model.errors import ResourceNotFoundError
from durable_async.service.model.history import EventType, HistoryEvent
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.finding import Finder
from durable_async.service.runtime.listeners import Listeners
from durable_async.service.runtime.views import Page
from durable_async.service.store import Store

HISTORY_PAGE_BYTES = 5 * 1024 * 1024
_LOOKED_AT = 4


class Histories:
    """The histories of one service's executions."""

    def __init__(self, store: Store, listeners: Listeners, commands: Commands, find: Finder) -> None:
        self._store = store
        self._listeners = listeners
        self._commands = commands
        self._find = find
        # Held, so that the store does not read them for every page of a history.
        self._looked_at: deque[Execution] = deque(maxlen=_LOOKED_AT)

    async def read(
        self, execution: Execution, first: int, count: int, *, newest_first: bool = False
    ) -> Sequence[HistoryEvent]:
        """Return up to ``count`` stored events, from the one with the id ``first`` on.

        :raises ResourceNotFoundError: the execution was deleted after it had been found
        """
        events = await self._store.events(execution.id, first, count, newest_first=newest_first)
        if not events and (first >= 1 if newest_first else first == 1):
            raise ResourceNotFoundError(f"Durable execution not found: {execution.arn}")
        return events

    async def page(
        self, execution: Execution, first: int, count: int, page_bytes: int | None, *, reverse: bool
    ) -> Page[HistoryEvent]:
        """Return a page of the history.

        :param first: the id of its first event
        :param count: the maximum number of its events
        :param page_bytes: the maximum size, except that it has at least one event; None: any size
        :param reverse: True: newest first. False: oldest first
        """
        self._looked_at.append(execution)
        events = await self.read(execution, first, count + 1, newest_first=reverse)
        fitting = count if page_bytes is None else min(count, _fitting(events, page_bytes))
        return Page(events) if fitting >= len(events) else Page(events[:fitting], str(events[fitting].id))

    async def awaited_page(
        self, execution: Execution, first: int, count: int, page_bytes: int | None, seconds: float
    ) -> Page[HistoryEvent]:
        """Return a page, oldest first, as soon as it has an event, or after some seconds. The last page of an open
        execution has a marker too.

        :raises ServiceClosedError: the service shuts down before
        """
        with self._listeners.watching(execution.id) as news, suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while execution.open and execution.event_count < first and not self._commands.draining:
                    await news.wait()
                    news.clear()
                    execution = await self._find.execution(execution.arn)
        self._commands.check_open()
        page = await self.page(execution, first, count, page_bytes, reverse=False)
        if page.next_marker is None and execution.open:
            return Page(page.items, str(first + len(page.items)))
        return page

    async def events(self, arn: str, after: int) -> AsyncGenerator[HistoryEvent]:
        """Yield the events of an execution while they happen, until the execution is closed.

        :param after: the id of the last event that is not wanted
        :raises ServiceClosedError: the service ends before
        """
        execution = await self._find.execution(arn)
        with self._listeners.watching(execution.id) as news:
            complete = False  # all events are durable, and no more will come
            while True:
                news.clear()
                page = await self._store.events(execution.id, after + 1, 100, newest_first=False)
                for event in page:
                    after = event.id
                    yield event
                    if event.type.is_end_of_execution() and not await self._redriven_after(execution.id, event):
                        return
                if page:
                    continue
                if complete:
                    return
                self._commands.check_open()
                if execution.open:
                    await news.wait()
                    execution = await self._find.execution(arn)
                if not execution.open:
                    await self._store.barrier()
                    execution = await self._find.execution(arn)
                    complete = not execution.open  # or its end could not be stored, and has not happened

    async def _redriven_after(self, execution_id: str, closing: HistoryEvent) -> bool:
        # Between the two there may be one event: of an invocation that ran at the time.
        following = await self._store.events(execution_id, closing.id + 1, 2, newest_first=False)
        return any(event.type is EventType.EXECUTION_REDRIVEN for event in following)


def _fitting(events: Sequence[HistoryEvent], page_bytes: int) -> int:
    """Return how many of the first events fit into a page, which is at least one."""
    used = accumulate(event.size for event in events)
    return max(1, sum(1 for _ in takewhile(lambda size: size <= page_bytes, used)))
