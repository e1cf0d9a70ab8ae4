"""The API as an aiohttp application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from durable_async.service.http.access import Access
from durable_async.service.http.answer import Answer, error_answer
from durable_async.service.http.dispatch import Dispatcher, Request
from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.api import LambdaApi

_SHUTDOWN_SECONDS = 0.5  # for a checkpoint that is being answered


def build_app(api: LambdaApi, *, token: str | None = None, connections: set[object] | None = None) -> web.Application:
    """Return the API as an aiohttp application.

    :param connections: contains each connection while it is being answered
    :param token: every caller must send it; None: only callers on this machine are answered (see ``access``)
    """
    dispatcher = Dispatcher(api, Access(token))
    busy: set[object] = set() if connections is None else connections
    answering: set[asyncio.Task[Answer]] = set()

    async def handle(request: web.Request) -> web.Response:
        task = asyncio.create_task(dispatcher.answer(_request(request)))
        answering.add(task)
        task.add_done_callback(answering.discard)
        connection = request.protocol
        busy.add(connection)
        try:
            return _response(await _or_refused(task))
        finally:
            busy.discard(connection)

    async def end(_app: web.Application) -> None:
        """End the requests that wait for an execution. Their callers have to repeat them."""
        if answering:
            await asyncio.wait(answering, timeout=_SHUTDOWN_SECONDS)
        for task in answering:
            task.cancel()

    app = web.Application()
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    app.on_shutdown.append(end)
    return app


async def _or_refused(task: asyncio.Task[Answer]) -> Answer:
    try:
        return await task
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        if waiting is not None and waiting.cancelling():  # the caller has gone
            raise
        return error_answer(ServiceClosedError("The service is shutting down."))


def _request(request: web.Request) -> Request:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in request.content.iter_any():
                yield chunk
        except web.RequestPayloadError as error:
            raise ConnectionError from error

    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(
        request.method, request.rel_url.raw_path, request.rel_url.raw_query_string, headers, _peer(request), chunks
    )


def _peer(request: web.Request) -> str | None:
    """Return the address of the caller; None: a Unix socket, which has no addresses."""
    match request.get_extra_info("peername"):
        case (host, *_):
            return str(host)  # pyright: ignore[reportUnknownArgumentType]
        case None:
            return ""  # the caller has gone
        case _:
            return None


def _response(given: Answer) -> web.Response:
    return web.Response(status=given.status, headers=given.headers, body=given.body)
