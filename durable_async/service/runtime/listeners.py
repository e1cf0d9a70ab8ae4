"""Those who wait for what happens to an execution: for its end, or for its next event."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from durable_async.service.machine import Execution
from durable_async.service.model.errors import ServiceClosedError


class Listeners:
    """By the executions' ids. Belongs to one event loop."""

    def __init__(self) -> None:
        self._closing: dict[str, asyncio.Future[Execution]] = {}
        self._watching: dict[str, set[asyncio.Event]] = {}

    async def closed(self, execution_id: str) -> Execution:
        """The execution, which is open, as it is announced to be closed. Its store may have read it anew meanwhile.

        :raises ServiceClosedError: the service ends before
        """
        future = self._closing.get(execution_id)
        if future is None:
            future = self._closing[execution_id] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(future)

    def announce(self, execution: Execution) -> None:
        """The execution is closed."""
        if (future := self._closing.pop(execution.id, None)) is not None:
            future.set_result(execution)

    @contextmanager
    def watching(self, execution_id: str) -> Generator[asyncio.Event]:
        """Gives what is set whenever the execution has new events, is deleted, or the service ends."""
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
        """The execution has new events, or is gone."""
        for news in self._watching.get(execution_id, ()):
            news.set()

    def close(self) -> None:
        """The service ends."""
        for future in self._closing.values():
            future.set_exception(ServiceClosedError("The service is shutting down."))
            future.exception()  # nobody may be waiting
        self._closing.clear()
        for execution_id in self._watching:
            self.notify(execution_id)
