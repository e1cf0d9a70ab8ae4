"""Limits idle connections in time and all connections in number, so that they do not use up the file descriptors.

Input that is not HTTP is logged in one line, without its text, because a request line may hold a token.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Collection
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from aiohttp import web

logger: logging.Logger = logging.getLogger("durable_async.service.connections")

IDLE_SECONDS = 75.0  # between two requests, and for the head of one. AWS clients keep idle connections for less
LINGER_SECONDS = 2.0  # for the rest of a body that was refused

_RESERVED = 128  # file descriptors for workers, the store and everything else


def max_connections() -> int:
    """Return how many connections the limit of open files allows: all files but 128, and at least half of them."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft - _RESERVED, soft // 2)


class Connections:
    """Makes the protocol of each accepted connection, for ``loop.create_server``.

    At ``max_connections`` it closes the oldest connection that is not being answered; if all are, it closes the new
    one.

    :param answering: the connections that are being answered
    """

    def __init__(self, server: web.Server, answering: Collection[object], max_connections: int) -> None:
        self._server = server
        self._answering = answering
        self._max_connections = max_connections

    def __call__(self) -> asyncio.BaseProtocol:
        connections = self._server.connections  # in the order in which they came
        if len(connections) < self._max_connections:
            return self._server()
        for connection in connections:
            if connection.transport is not None and connection not in self._answering:
                connection.force_close()
                return self._server()
        return _Closed()


class _Closed(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


def _without_content(record: logging.LogRecord) -> bool:
    from aiohttp.http_exceptions import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ConnectionError):  # the caller went away while it was answered
        return False
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "A connection sent what is not HTTP: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


logger.addFilter(_without_content)
