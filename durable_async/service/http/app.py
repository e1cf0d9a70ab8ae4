"""The application: one handler for every path, and the border that no error crosses as anything but an answer."""

from __future__ import annotations

import logging

from aiohttp import web

from durable_async.service.engine import DurableService
from durable_async.service.errors import ApiError, InvalidParameterValueError, RequestTooLargeError
from durable_async.service.http.access import refusal
from durable_async.service.http.calls import CALLS, Call
from durable_async.service.http.invoke import Invoker
from durable_async.service.http.responses import AccessDeniedError, UnknownOperationError, error_response
from durable_async.service.http.routes import Operation, route

logger: logging.Logger = logging.getLogger("durable_async.service")

_BODY_BYTES = 6 * 6 * 1024 * 1024 + 1024 * 1024
"""Six MiB is the largest payload, six bytes the longest escape of a character of it in JSON; and the rest."""


def build_app(service: DurableService, *, token: str | None = None) -> web.Application:
    """The API of ``service`` as an aiohttp application.

    :param token: asked of every caller; None: only names of this machine are served (see ``access``)
    """
    invoker = Invoker(service)
    calls = {**CALLS, Operation.INVOKE: invoker.invoke}

    async def answer(request: web.Request) -> web.Response:
        if reason := refusal(request.headers, token):
            raise AccessDeniedError(reason)
        found = route(request.method, request.rel_url.raw_path)
        if found is None:
            raise UnknownOperationError(f"{request.method} {request.path[:256]} is no operation of this service.")
        call = Call(found.parameter, request, await _body(request))
        return await calls[found.operation](service, call)

    async def handle(request: web.Request) -> web.Response:
        try:
            return await answer(request)
        except ApiError as error:
            return error_response(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.rel_url.raw_path)
            return error_response(ApiError("The service failed. Its log says why."))

    app = web.Application(client_max_size=_BODY_BYTES)
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    app.cleanup_ctx.append(invoker.unattended)
    return app


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise RequestTooLargeError(f"A request body may have at most {_BODY_BYTES} bytes.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidParameterValueError("The request body could not be read.") from None
