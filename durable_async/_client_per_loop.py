"""A network client for each event loop that uses it, since its connections belong to the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Any, Self


class ClientPerLoop:
    """Opens a client at the first call on an event loop, and closes it with the loop at the latest.

    :param open_client: yields one open client and closes it afterwards. An asynchronous generator, because a loop ends
        its asynchronous generators before it closes: so a program that forgets its client leaves no connection open
    """

    def __init__(self, open_client: Callable[[], AsyncGenerator[object, None]]) -> None:
        self._open_client = open_client
        self._clients: dict[asyncio.AbstractEventLoop, _Client] = {}

    async def get(self) -> Any:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        of_loop = self._clients.get(loop)
        if of_loop is None:
            for closed in [each for each in self._clients if each.is_closed()]:
                del self._clients[closed]
            of_loop = self._clients[loop] = _Client(self._open_client)
        return of_loop.client or await of_loop.open()

    async def aclose(self) -> None:
        """Close the client of the running loop. A later call opens another one."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()


class OwnsConnections:
    """Has connections that ``aclose`` or the end of ``async with`` closes."""

    _clients: ClientPerLoop

    async def aclose(self) -> None:
        """Close the connections of the running loop. A later call opens new ones."""
        await self._clients.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Client:
    def __init__(self, open_client: Callable[[], AsyncGenerator[object, None]]) -> None:
        self._open_client = open_client
        self._opening = asyncio.Lock()  # two first calls must not open two clients
        self.client: object = None
        self._life: AsyncGenerator[object, None] | None = None

    async def open(self) -> object:
        async with self._opening:
            if self.client is None:
                life = self._open_client()
                self.client = await anext(life)
                self._life = life
        return self.client

    async def aclose(self) -> None:
        if self._life is not None:
            await self._life.aclose()
