"""A proxy before the service that loses what it is told to lose."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import BytesIO
from enum import Enum, auto

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
    """One request that arrived, and the answer of the service, if it came so far.

    :ivar connection: which of the callers' connections, by its port
    """

    connection: int
    body: bytes
    answer: bytes | None


@attrs.define
class Relay:
    """
    :ivar losses: what is lost, by the number of the request from 0. All others pass
    """

    target: str
    url: str = ""
    losses: dict[int, Loss] = attrs.field(factory=dict)
    passed: list[Passed] = attrs.field(factory=list)

    @classmethod
    @asynccontextmanager
    async def before(cls, target: str) -> AsyncGenerator[Relay]:
        relay = cls(target)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        async with ClientSession(auto_decompress=False) as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                return await relay._handle(request, session)

            app.router.add_route("*", "/{everything:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                relay.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
                yield relay
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request, session: ClientSession) -> web.StreamResponse:
        assert request.transport is not None
        number = len(self.passed)
        port, body = request.transport.get_extra_info("peername")[1], await request.read()
        self.passed.append(Passed(port, body, None))
        loss = self.losses.get(number)
        if loss is Loss.REQUEST:
            request.transport.abort()
            return web.Response()
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        async with session.request(
            request.method, URL(self.target + request.raw_path, encoded=True), data=BytesIO(body), headers=headers
        ) as response:
            answer = await response.read()
        self.passed[number] = Passed(port, body, answer)
        if loss is Loss.REPLY:
            request.transport.abort()
        kept = {name: value for name, value in response.headers.items() if name.lower().startswith("x-amz")}
        return web.Response(status=response.status, body=answer, headers=kept, content_type="application/json")
