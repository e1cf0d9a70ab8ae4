"""Wakes calls that wait for the end of an execution or for its next event."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from itertools import chain
from typing import Final

from durable_async.service.machine import Execution
from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.views import Closed

ANY: Final = ""
"""Is the id of no execution."""


class Listeners:
    """The waiting calls, by execution id. Belongs to one event loop."""

    def __init__(self) -> None:
        self._closing: dict[str, set[asyncio.Future[Closed]]] = {}
        self._watching: dict[str, set[asyncio.Event]] = {}

    async def closed(self, execution_id: str) -> Closed:
        """Wait until an open execution is closed, and return how it ended.

        :raises ServiceClosedError: the service shuts down before
        """
        end: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        ends = self._closing.setdefault(execution_id, set())
        ends.add(end)
        try:
            return await end
        except asyncio.CancelledError:
            ends.discard(end)
            if not ends and self._closing.get(execution_id) is ends:
                del self._closing[execution_id]
            raise

    def announce(self, execution: Execution) -> None:
        """Wake the calls that wait for the end of this execution."""
        if (ends := self._closing.pop(execution.id, None)) is not None:
            closed = Closed.of(execution)  # as it is now, because a redrive may follow at once
            for end in ends:
                if not end.done():  # as it is if the call was cancelled a moment ago
                    end.set_result(closed)

    @contextmanager
    def watching(self, execution_id: str) -> Generator[asyncio.Event]:
        """Yield an event that is set when the execution has new history events or is deleted, or at shutdown.

        :param execution_id: ``ANY`` stands for every execution, also those that are started later
        """
        news = asyncio.Event()
        watchers = self._watching.setdefault(execution_id, set())
        watchers.add(news)
        try:
            yield news
        finally:
            watchers.discard(news)
            if not watchers:
                self._watching.pop(execution_id, None)

    def notify(self, execution_id: str) -> None:
        """Wake the calls that wait for new events of the execution."""
        for watched in (execution_id, ANY) if self._watching else ():
            for news in self._watching.get(watched, ()):
                news.set()

    def close(self) -> None:
        """Wake all calls, because the service shuts down."""
        for end in chain.from_iterable(self._closing.values()):
            if not end.done():
                end.set_exception(ServiceClosedError("The service is shutting down."))
                end.exception()  # asyncio would log an error that is not retrieved, if the call is cancelled now
        self._closing.clear()
        for execution_id in self._watching:
            self.notify(execution_id)
