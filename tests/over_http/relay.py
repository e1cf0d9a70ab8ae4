"""A proxy before the service that loses what it is told to lose."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from enum import Enum, auto
from io import BytesIO

import attrs
from aiohttp import ClientSession, web
from yarl import URL


class Loss(Enum):
    REQUEST = auto()
    """The connection breaks before the service has heard of the call."""
    REPLY = auto()
    """The service has done what it was asked and has answered, and the connection breaks before the caller knows."""


@attrs.frozen
class Passed:
    """One request that arrived here.

    :ivar path: with the query, as it came
    :ivar connection: which of the callers' connections, by its port
    :ivar answer: the service's, whether it was lost or not; None if the request was lost
    """

    path: str
    connection: int
    body: bytes
    answer: bytes | None


@attrs.define
class Relay:
    """
    :ivar losses: what is lost, by the number of the request from 0; all others pass
    :ivar without: what is taken out of the query of each request, a regular expression
    """

    target: str
    losses: Mapping[int, Loss]
    without: str = "$^"
    url: str = ""
    passed: list[Passed] = attrs.field(factory=list)

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str, losses: Mapping[int, Loss], *, without: str = "$^") -> AsyncGenerator[Relay]:
        relay = cls(target, losses, without)
        async with ClientSession() as session:

            async def handle(request: web.Request) -> web.Response:
                return await relay._handle(request, session)

            app = web.Application(client_max_size=64 * 1024 * 1024)
            app.router.add_route("*", "/{everything:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                relay.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield relay
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request, session: ClientSession) -> web.Response:
        assert request.transport is not None
        connection = request.transport.get_extra_info("peername")[1]
        loss, body = self.losses.get(len(self.passed)), await request.read()
        if loss is Loss.REQUEST:
            self.passed.append(Passed(request.raw_path, connection, body, None))
            request.transport.abort()
            return web.Response()
        url = URL(self.target + re.sub(self.without, "", request.raw_path), encoded=True)
        headers = _kept(request.headers)
        async with session.request(request.method, url, data=BytesIO(body), headers=headers) as response:
            answer = await response.read()
        self.passed.append(Passed(request.raw_path, connection, body, answer))
        if loss is Loss.REPLY:
            request.transport.abort()
        return web.Response(status=response.status, body=answer, headers=_kept(response.headers))


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """All but what belongs to one connection."""
    return {name: value for name, value in headers.items() if name not in ("Content-Length", "Connection", "Host")}
