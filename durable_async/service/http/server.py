"""Listens: binds a socket, and then serves the API on it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from durable_async.service.http.access import Access, check_token, is_loopback
from durable_async.service.http.dispatch import Answerer, Dispatcher
from durable_async.service.runtime.api import LambdaApi

_ACCEPTED_AT_ONCE = 16
_BACKLOG = 128  # connections that wait in the kernel
_FLUSH_SECONDS = 0.5  # for answers that are being sent


def bind(host: str = "127.0.0.1", port: int = 0, *, token: str | None = None) -> socket.socket:
    """Return a bound socket. It refuses connections until :func:`serve_on` gets it.

    :param port: 0: choose a free port
    :raises ValueError: ``host`` can be reached from other machines and there is no token, or the token is malformed
    :raises OSError: the address is in use, or does not belong to this machine
    """
    if token is not None:
        check_token(token)
    elif not is_loopback(host):
        raise ValueError(
            f"{host or 'every address'} can be reached from other machines. Set a token, which callers must then send"
        )
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    if listener.family is socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serve_on(api: LambdaApi, listener: socket.socket, *, token: str | None = None) -> AsyncGenerator[str]:
    """Accept connections on ``listener``, and yield the URL. The listener is closed at exit.

    At exit, requests that still wait for an execution end, and their callers have to repeat them.
    """
    async with serve_answers(Dispatcher(api, Access(token)).answer, listener) as url:
        yield url


@asynccontextmanager
async def serve_answers(answer: Answerer, listener: socket.socket) -> AsyncGenerator[str]:
    """Serve like :func:`serve_on`, with another function that answers, and on a socket of any kind."""
    from aiohttp import web

    from durable_async.service.http import connections
    from durable_async.service.http.app import build_app

    answering: set[object] = set()
    runner = web.AppRunner(
        build_app(answer, connections=answering),
        access_log=None,
        auto_decompress=False,  # a small body could become a large one; the dispatcher refuses compressed bodies
        handler_cancellation=True,
        keepalive_timeout=connections.IDLE_SECONDS,
        lingering_time=connections.LINGER_SECONDS,
        logger=connections.logger,
        shutdown_timeout=_FLUSH_SECONDS,
    )
    await runner.setup()
    assert runner.server is not None
    accept = connections.Connections(runner.server, answering, connections.max_connections())
    try:
        # asyncio accepts this many at once before it makes a protocol for the first, and each has a descriptor already.
        loop = asyncio.get_running_loop()
        accepting_on = loop.create_unix_server if listener.family is socket.AF_UNIX else loop.create_server
        accepting = await accepting_on(accept, sock=listener, backlog=_ACCEPTED_AT_ONCE)
        listener.listen(_BACKLOG)
        try:
            yield url_of(listener)
        finally:
            accepting.close()
    finally:
        await runner.cleanup()
        listener.close()


@asynccontextmanager
async def serve(
    api: LambdaApi, host: str = "127.0.0.1", port: int = 0, *, token: str | None = None
) -> AsyncGenerator[str]:
    """Call :func:`bind` and :func:`serve_on`."""
    async with serve_on(api, bind(host, port, token=token), token=token) as url:
        yield url
