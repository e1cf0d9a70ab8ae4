"""The border: a request in, its answer out, and no error crosses it as anything else. Servers are shells around it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import attrs

from durable_async.service.api import DurableApi
from durable_async.service.errors import ApiError, InvalidParameterValueError, RequestTooLargeError, StoreError
from durable_async.service.http import calls, shapes
from durable_async.service.http.access import refusal
from durable_async.service.http.answer import AccessDeniedError, Answer, UnknownOperationError, error_answer
from durable_async.service.http.calls import Call
from durable_async.service.http.invoke import invoke
from durable_async.service.http.routes import Operation, route

logger: logging.Logger = logging.getLogger("durable_async.service")

BODY_BYTES = 6 * 6 * 1024 * 1024 + 1024 * 1024
"""Six MiB is the largest payload, six bytes the longest escape of a character of it in JSON; and the rest."""

CALLS: Mapping[Operation, Callable[[DurableApi, Call], Awaitable[Answer]]] = {
    Operation.INVOKE: invoke,
    Operation.LIST_FUNCTIONS: calls.list_functions,
    Operation.CHECKPOINT: calls.checkpoint,
    Operation.GET_STATE: calls.get_state,
    Operation.GET: calls.get,
    Operation.GET_HISTORY: calls.get_history,
    Operation.LIST: calls.list_executions,
    Operation.STOP: calls.stop,
    Operation.PAUSE: calls.pause,
    Operation.RESUME: calls.resume,
    Operation.DELETE: calls.delete,
    Operation.CALLBACK_SUCCESS: calls.callback_succeeded,
    Operation.CALLBACK_FAILURE: calls.callback_failed,
    Operation.CALLBACK_HEARTBEAT: calls.callback_heartbeat,
}


class BodyTooLarge(Exception):  # noqa: N818 - what happened, in the shells' terms
    """A body has more than ``BODY_BYTES``."""


@attrs.frozen
class Request:
    """A request, whatever server it came through.

    :ivar path: as it came, percent-encoded
    :ivar query: likewise, without the question mark
    :ivar headers: names in lower case; bytes of values that are no UTF-8 are surrogates
    :ivar read: the body, once. It raises BodyTooLarge, or OSError if it ends early
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    read: Callable[[], Awaitable[bytes]]


async def answer(api: DurableApi, request: Request, *, token: str | None) -> Answer:
    """Do what ``request`` asks for. Raises nothing; what is not the caller's fault is told in the log alone.

    :param token: asked of every caller; None: only names of this machine are served (see ``access``)
    """
    try:
        return await _answer(api, request, token)
    except StoreError as error:
        logger.error("%s %s failed: %s", request.method, request.path, error)  # noqa: TRY400 - it says all
        return error_answer(StoreError("The service cannot use its store. Its log says why."))
    except ApiError as error:
        return error_answer(error)
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return error_answer(ApiError("The service failed. Its log says why."))


async def _answer(api: DurableApi, request: Request, token: str | None) -> Answer:
    if reason := refusal(request.headers, token):
        raise AccessDeniedError(reason)
    found = route(request.method, request.path)
    if found is None:
        raise UnknownOperationError(f"{request.method} {request.path[:256]} is no operation of this service.")
    query = shapes.query(request.query)
    return await CALLS[found.operation](api, Call(found.parameter, request.headers, query, await _body(request)))


async def _body(request: Request) -> bytes:
    try:
        return await request.read()
    except BodyTooLarge:
        raise RequestTooLargeError(f"A request body may have at most {BODY_BYTES} bytes.") from None
    except OSError:
        raise InvalidParameterValueError("The request body could not be read.") from None
