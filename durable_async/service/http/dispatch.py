"""Turns a request into its answer. Every error becomes an answer too. The servers call this for each request."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

import attrs

from durable_async.service.http import calls, shapes
from durable_async.service.http.access import Access
from durable_async.service.http.answer import AccessDeniedError, Answer, UnknownOperationError, error_answer
from durable_async.service.http.bodies import Bodies
from durable_async.service.http.calls import Call, invoke
from durable_async.service.http.owner import ask_owner
from durable_async.service.http.routes import Operation, Route, route
from durable_async.service.model.errors import ApiError, InvalidParameterValueError, ServiceClosedError, StoreError
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.inputs import EVENT_BYTES
from durable_async.service.runtime.views import OwnerAddress

logger: logging.Logger = logging.getLogger("durable_async.service")

BODY_BYTES = 6 * 6 * 1024 * 1024 + 1024 * 1024
"""The maximum size of a checkpoint: a payload has up to 6 MiB, and JSON escapes a character with up to six bytes."""

_OTHER_BYTES = 6 * 1024 * 1024 + 64 * 1024  # a callback's answer has 1 MiB, and an error as many; escaped
_MAX_BYTES = {
    Operation.INVOKE: EVENT_BYTES,
    Operation.CHECKPOINT: BODY_BYTES,
    Operation.FORK_HISTORY: BODY_BYTES,
}

CALLS: Mapping[Operation, Callable[[LambdaApi, Call], Awaitable[Answer]]] = {
    Operation.INVOKE: invoke,
    Operation.LIST_FUNCTIONS: calls.list_functions,
    Operation.CHECKPOINT: calls.checkpoint,
    Operation.GET_STATE: calls.get_state,
    Operation.GET: calls.get,
    Operation.GET_HISTORY: calls.get_history,
    Operation.LIST: calls.list_executions,
    Operation.LIST_ALL: calls.list_all_executions,
    Operation.COUNT: calls.count_executions,
    Operation.STOP: calls.stop,
    Operation.PAUSE: calls.pause,
    Operation.RESUME: calls.resume,
    Operation.CANCEL: calls.cancel,
    Operation.REDRIVE: calls.redrive,
    Operation.FORK: calls.fork,
    Operation.FORK_HISTORY: calls.fork_history,
    Operation.DELETE: calls.delete,
    Operation.LIST_CALLBACKS: calls.list_callbacks,
    Operation.CALLBACK_SUCCESS: calls.callback_succeeded,
    Operation.CALLBACK_FAILURE: calls.callback_failed,
    Operation.CALLBACK_HEARTBEAT: calls.callback_heartbeat,
}


@attrs.frozen
class Request:
    """A request, from any server.

    :ivar path: percent-encoded, as it was sent
    :ivar query: percent-encoded, without the question mark
    :ivar headers: names in lower case; bytes of values that are not UTF-8 are surrogates
    :ivar peer: the address of the other end, see :meth:`Access.refusal <durable_async.service.http.access.Access>`
    :ivar chunks: returns the body; call it once. The iterator raises OSError if the body ends early
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str | None
    chunks: Callable[[], AsyncIterator[bytes]]


Answerer = Callable[[Request], Coroutine[object, object, Answer]]
"""Answers a request and raises nothing. Servers are made of it."""


@attrs.frozen
class Dispatcher:
    """Checks who calls, reads the request, calls the API, and turns errors into answers."""

    api: LambdaApi
    access: Access
    bodies: Bodies = attrs.field(factory=Bodies)

    async def answer(self, request: Request) -> Answer:
        """Answer a request. Raises nothing; an error that is not the caller's fault is described in the log only.

        The log names the operation and nothing that the caller sent: paths hold callback ids, and who has one can
        answer the callback.
        """
        found: Route | None = None
        try:
            found = self._admit(request)
            call = await self._read(found, request)
            if self.api.owner is not None:
                return await _asked(self.api.owner, request, call.body)
            return await CALLS[found.operation](self.api, call)
        except StoreError as error:
            if self.api.closing:
                return error_answer(ServiceClosedError("The service is shutting down."))
            logger.error("%s failed: %s", _named(found), error)  # noqa: TRY400 - it says all
            return error_answer(StoreError("The service cannot use its store. See the service's log."))
        except ApiError as error:
            return error_answer(error)
        except Exception:
            logger.exception("%s failed", _named(found))
            return error_answer(ApiError("The service failed. See the service's log."))

    def _admit(self, request: Request) -> Route:
        if reason := self.access.refusal(request.headers, request.peer):
            raise AccessDeniedError(reason)
        found = route(request.method, request.path)
        if found is None:
            what = f"{request.method[:32]} {request.path[:256]}"
            raise UnknownOperationError(f"{what} is not an operation of this service.")
        return found

    async def _read(self, found: Route, request: Request) -> Call:
        query = shapes.query(request.query) if request.query else []
        if request.headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
            raise InvalidParameterValueError("The body has a Content-Encoding; send it without.")
        most = _MAX_BYTES.get(found.operation, _OTHER_BYTES)
        body = await self.bodies.read(request.chunks(), request.headers.get("content-length"), most)
        return Call(found.parameter, request.headers, query, body)


async def _asked(owner: OwnerAddress, request: Request, body: bytes) -> Answer:
    """Return what the service that has the file answers. Who may call is decided here already."""
    if not all(value.isprintable() for value in request.headers.values()):
        raise InvalidParameterValueError("A header has characters that cannot be printed.")
    target = f"{request.path}?{request.query}" if request.query else request.path
    return await ask_owner(owner, request.method, target, request.headers, body)


def _named(found: Route | None) -> str:
    return "A request" if found is None else str(found.operation)
