"""An aiohttp application of what answers requests, such as :meth:`Dispatcher.answer`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from durable_async.service.http.answer import error_answer
from durable_async.service.http.dispatch import Answerer, Request
from durable_async.service.model.errors import ServiceClosedError

_SHUTDOWN_SECONDS = 0.5  # for a checkpoint in flight
_BELOW = "/{path}"  # how aiohttp writes the part of the route that may be anything


def build_app(answer: Answerer, *, connections: set[object] | None = None) -> web.Application:
    """Return an application that serves every path below it, by itself or as a part of another application.

    :param answer: answers each request; it raises nothing
    :param connections: gets those that are being answered, for as long as they are
    """
    busy: set[object] = set() if connections is None else connections
    answering: set[asyncio.Task[object]] = set()
    ended: set[asyncio.Task[object]] = set()

    async def handle(request: web.Request) -> web.Response:
        task = asyncio.current_task()  # aiohttp makes one for each request
        assert task is not None
        answering.add(task)
        connection = request.protocol
        busy.add(connection)
        try:
            given = await answer(_request(request))
        except asyncio.CancelledError:
            if task not in ended or task.uncancel():  # the caller has gone
                raise
            given = error_answer(ServiceClosedError("The service is shutting down."))
        finally:
            answering.discard(task)
            ended.discard(task)
            busy.discard(connection)
        return web.Response(status=given.status, headers=given.headers, body=given.body)

    async def end(_app: web.Application) -> None:
        """End the requests that wait for an execution. Their callers have to repeat them."""
        if answering:
            await asyncio.wait(answering, timeout=_SHUTDOWN_SECONDS)
        ended.update(answering)
        for task in ended:
            task.cancel()

    app = web.Application()
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    app.on_shutdown.append(end)
    return app


def _request(request: web.Request) -> Request:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in request.content.iter_any():
                yield chunk
        except web.RequestPayloadError as error:
            raise ConnectionError from error

    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method, _path(request), request.rel_url.raw_query_string, headers, _peer(request), chunks)


def _path(request: web.Request) -> str:
    """Return the path below the application, which may be a part of another one."""
    resource = request.match_info.route.resource
    mount = "" if resource is None else resource.canonical.removesuffix(_BELOW)
    return request.rel_url.raw_path.removeprefix(mount)


def _peer(request: web.Request) -> str | None:
    """Return the address of the caller; None: a Unix socket, which has no addresses."""
    match request.get_extra_info("peername"):
        case (host, *_):
            return str(host)  # pyright: ignore[reportUnknownArgumentType]
        case None:
            return ""  # the caller has gone
        case _:
            return None
