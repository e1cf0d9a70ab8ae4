"""The API as an aiohttp application."""

from __future__ import annotations

import asyncio

from aiohttp import web

from durable_async.service.api import DurableApi
from durable_async.service.errors import ServiceClosedError
from durable_async.service.http.answer import Answer, error_answer
from durable_async.service.http.border import BODY_BYTES, BodyTooLarge, Request, answer

_SHUTDOWN_SECONDS = 0.5  # for a checkpoint in flight


def build_app(api: DurableApi, *, token: str | None = None) -> web.Application:
    """:param token: asked of every caller; None: only names of this machine are served (see ``access``)"""
    answering: set[asyncio.Task[Answer]] = set()

    async def handle(request: web.Request) -> web.Response:
        task = asyncio.create_task(answer(api, _request(request), token=token))
        answering.add(task)
        task.add_done_callback(answering.discard)
        return _response(await _or_refused(task))

    async def end(_app: web.Application) -> None:
        """Who waits for an execution is told to come again."""
        if answering:
            await asyncio.wait(answering, timeout=_SHUTDOWN_SECONDS)
        for task in answering:
            task.cancel()

    app = web.Application(client_max_size=BODY_BYTES)
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
    async def read() -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise BodyTooLarge from None
        except web.RequestPayloadError as error:
            raise ConnectionError from error

    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method, request.rel_url.raw_path, request.rel_url.raw_query_string, headers, read)


def _response(given: Answer) -> web.Response:
    return web.Response(status=given.status, headers=given.headers, body=given.body)
