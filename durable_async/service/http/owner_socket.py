"""Connects aiohttp to the Unix socket of the service that has a store's file.

A process that is stopped accepts no connections, and its socket's queue fills. asyncio takes a refusal for this reason
for a connection that is being made, and later for one that is there: a request would seem to have been sent.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp import UnixConnector
from aiohttp.client_exceptions import UnixClientConnectorError

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.tracing import Trace


class OwnerConnector(UnixConnector):
    """Raises ``ClientConnectorError`` if nobody listens on the socket, and also if its queue is full."""

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],  # noqa: ARG002 - aiohttp's method
        timeout: ClientTimeout,  # noqa: ARG002
    ) -> ResponseHandler:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(0)
            connected.connect(self.path)  # it succeeds or fails at once
            _, protocol = await self._loop.create_unix_connection(self._factory, sock=connected)
        except OSError as error:
            connected.close()
            raise UnixClientConnectorError(self.path, req.connection_key, error) from error
        except BaseException:
            connected.close()
            raise
        return protocol
