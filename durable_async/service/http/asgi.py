"""The API as an ASGI application, for programs that already serve HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

from durable_async.service.http.access import Access
from durable_async.service.http.answer import Answer
from durable_async.service.http.dispatch import Answerer, Dispatcher, Request
from durable_async.service.runtime.api import LambdaApi

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Message, Receive, Send], Awaitable[None]]


def asgi_app(api: LambdaApi, *, token: str | None = None, authenticated: bool = False) -> AsgiApp:
    """Return the API as an ASGI 3 application, to serve by itself or to mount below a path of another application:

        app.mount("/durable", asgi_app(service.api, token=token))

    Clients then have the path in their endpoint URL. Open and close ``api`` yourself, on the event loop that serves.
    When it is closed, the requests that wait for an execution end. A server that waits for open requests before it ends
    the lifespan of an application needs a limit for that, such as ``timeout_graceful_shutdown`` of uvicorn.

    :param token: every caller must send it. None: only callers on this machine are answered, on a loopback address or a
        Unix socket, if they send no header of a proxy and are not web pages
    :param authenticated: True: no caller is checked, because the application around this one has done so. False: the
        rules of ``token`` apply
    :raises ValueError: an AWS client could not send the token, or it is given with ``authenticated=True``
    """
    return build_asgi_app(Dispatcher(api, Access.checked(token, authenticated=authenticated)).answer)


def build_asgi_app(answer: Answerer) -> AsgiApp:
    """Return an ASGI application that serves every path below it."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await _serve(answer, scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case "websocket":
                await send({"type": "websocket.close"})
            case kind:
                raise ValueError(f"This application does not support {kind!r}.")

    return app


async def _serve(answer: Answerer, scope: Message, receive: Receive, send: Send) -> None:
    """Answer, unless the caller goes away before."""
    caller = _Caller(receive)
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(answer(_request(scope, caller)))
        leaving = tasks.create_task(caller.left())
        answering.add_done_callback(lambda _: leaving.cancel())
        leaving.add_done_callback(lambda _: answering.cancel())
    if not answering.cancelled():
        with suppress(OSError):  # the caller went away just now
            await _send(answering.result(), send)


class _Caller:
    """The sender of the request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            more = message.get("more_body", False)
            yield message.get("body", b"")
        self._read.set()

    async def left(self) -> None:
        """Return when the caller has gone away. While the body arrives, :meth:`chunks` notices it instead."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _request(scope: Message, caller: _Caller) -> Request:
    headers = {
        name.decode("latin-1").lower(): value.decode(errors="surrogateescape") for name, value in scope["headers"]
    }
    query = scope.get("query_string", b"").decode("ascii", "surrogateescape")
    return Request(scope["method"], _path(scope), query, headers, _peer(scope), caller.chunks)


def _peer(scope: Message) -> str | None:
    """Return the caller's address; None: a Unix socket, whose server has a path and no port. If the server gives no
    address, return a text that is refused.
    """
    client, server = scope.get("client"), scope.get("server")
    if client is None and server is not None and server[1] is None:
        return None
    return str(client[0]) if client else ""


def _path(scope: Message) -> str:
    """Return the path below the mount, percent-encoded.

    The part of ``root_path`` in front of it depends on the server and the frameworks: all of it, as ASGI says today;
    nothing, as it said before; or the mount alone, if a proxy removed the rest.
    """
    raw = scope.get("raw_path")  # may be absent; some servers leave the query on it
    path = raw.partition(b"?")[0].decode("ascii", "replace") if raw else quote(scope["path"], errors="replace")
    segments = path.split("/")[1:]
    mount = [segment for segment in scope.get("root_path", "").split("/") if segment]
    for taken_off in range(len(mount)):
        before = mount[taken_off:]
        if [unquote(segment) for segment in segments[: len(before)]] == before:
            return "/" + "/".join(segments[len(before) :])
    return path


async def _send(given: Answer, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in given.headers.items()]
    if given.status != 204:
        headers.append((b"content-length", str(len(given.body)).encode()))
    await send({"type": "http.response.start", "status": given.status, "headers": headers})
    await send({"type": "http.response.body", "body": given.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    """Answer the server's lifespan messages. The API does nothing at these moments, but servers expect an answer."""
    for _ in range(2):
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
