"""Functions that an HTTP server runs: Lambda's Invoke endpoint, as containers with a Lambda runtime have it.

This module is written for the runtime interface emulator, which is in AWS's base images:

- it takes one invocation at a time; a second one ends the emulator, even if the first caller has gone
- only the body shows that a function failed; the status is 200, except if the process died or the answer is too large
- after its own timeout it answers with a sentence instead of JSON
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from io import BytesIO
from types import TracebackType
from typing import Self, cast
from urllib.parse import quote, urlsplit

import attrs
from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerTimeoutError,
    TCPConnector,
)

from durable_async._wire.limits import TENANT_CHARACTERS
from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import JsonObject
from durable_async.service.functions.base import Function, InvocationFailed, InvocationRequest, failure, within_deadline
from durable_async.service.functions.worker_process import ANSWER_BYTES, too_large
from durable_async.service.parsing import NotReadable, loads, read

_CONNECT_SECONDS = 10.0
_QUOTED_BYTES = 200  # characters of an unexpected answer that an error quotes
_ERROR_MEMBERS = frozenset({"errorType", "errorMessage", "stackTrace", "trace", "requestId", "cause"})
_TIMED_OUT = b"Task timed out after "


class RemoteFunctions:
    """Functions of other servers. Use it with ``async with``, around the service that the functions are registered
    with.

    :param max_concurrency: the maximum number of invocations of one server at once. The emulator supports only one
    """

    def __init__(self, *, max_concurrency: int = 1) -> None:
        self._max_concurrency = max_concurrency
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._session = ClientSession(
            # If an idle server closed a kept connection, that would look like a function that died.
            connector=TCPConnector(limit=0, force_close=True),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def function(self, url: str, *, durable: bool = True, name: str = "function") -> Function:
        """Return a function of a server.

        :param url: the server, such as ``http://127.0.0.1:9000``
        :param durable: True: its event is an invocation envelope. False: it is an ordinary function, which gets its
            caller's event
        :param name: the function's name on the server. The emulator supports only the default
        :raises ValueError: ``url`` is not the URL of a server
        """
        if not _is_server(url):
            raise ValueError(f"{url!r} is not the URL of a server, such as http://HOST:PORT")
        base = url.rstrip("/")
        turn = self._turns.setdefault(base, asyncio.Semaphore(self._max_concurrency))
        return RemoteFunction(
            f"{base}/2015-03-31/functions/{quote(name, safe='')}/invocations", durable, self._session, turn
        )


@attrs.frozen
class RemoteFunction:
    """A function at ``url``, created by :meth:`RemoteFunctions.function`.

    An invocation fails with ``Runtime.ExitError``, which counts as a crash, if the connection breaks before the answer
    is complete; with ``Remote.Unreachable`` if the server cannot be reached; and with ``Remote.UnexpectedAnswer`` if
    the answer is not one of a Lambda runtime.
    """

    url: str
    durable: bool
    _session: ClientSession
    _turn: asyncio.Semaphore
    memory: None = None  # a server may start again at any time

    async def invoke(self, event: object, request: InvocationRequest) -> object:
        """Run the function once. Cancellation and the deadline close the connection; the server may run the function to
        its end.
        """
        body = BytesIO(json.dumps(event).encode())  # a file, because aiohttp warns of large bodies that are bytes
        post = self._session.post
        try:
            async with (
                within_deadline(request),
                self._turn,
                post(self.url, data=body, headers=_headers(request), allow_redirects=False) as response,
            ):
                return await read(partial(_answer, response), await _read(response))
        except (ClientConnectorError, ServerTimeoutError) as error:
            raise failure("Remote.Unreachable", request, str(error)) from None
        except ClientResponseError as error:
            raise failure("Remote.UnexpectedAnswer", request, f"{self.url} did not answer in HTTP: {error}") from None
        except (ClientConnectionError, ClientPayloadError) as error:
            raise failure("Runtime.ExitError", request, f"{self.url} ended before it answered: {error}") from None


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # refuses values that are not numbers
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not any(mark in url for mark in "@?#")


def _headers(request: InvocationRequest) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "X-Amzn-RequestId": request.request_id,
        "Lambda-Runtime-Invoked-Function-Arn": request.function_arn,
    }
    if request.deadline_ms is not None:
        headers["Lambda-Runtime-Deadline-Ms"] = str(request.deadline_ms)
    if request.tenant_id is not None:
        headers["X-Amz-Tenant-Id"] = quote(request.tenant_id, safe=TENANT_CHARACTERS)
    if request.trace_header is not None:
        headers["X-Amzn-Trace-Id"] = request.trace_header
    return headers


async def _read(response: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise InvocationFailed(too_large(len(body)))
    return bytes(body)


def _answer(response: ClientResponse, body: bytes) -> object:
    """Return the function's result.

    :raises InvocationFailed: it failed, or this is not an answer of a Lambda runtime
    """
    try:
        value = loads(body)
    except NotReadable:
        if body.startswith(_TIMED_OUT):
            raise InvocationFailed({"ErrorType": "Sandbox.Timedout", "ErrorMessage": _quoted(body)}) from None
        raise _unexpected(response, body) from None
    failed = "X-Amz-Function-Error" in response.headers
    if (error := _error(value, failed=failed)) is not None:
        raise InvocationFailed(error)
    if failed or response.status != 200:
        raise _unexpected(response, body)
    return value


def _unexpected(response: ClientResponse, body: bytes) -> InvocationFailed:
    message = f"{response.url} answered with status {response.status} and {_quoted(body)!r}"
    return InvocationFailed({"ErrorType": "Remote.UnexpectedAnswer", "ErrorMessage": message})


def _quoted(body: bytes) -> str:
    return body[:_QUOTED_BYTES].decode(errors="replace")


def _error(answer: object, *, failed: bool) -> ErrorObject | None:
    """Return the error, if ``answer`` is an error as the runtimes report it; otherwise None. Node.js calls the stack
    ``trace``, and Go puts objects into it.

    :param failed: True: a header says that the function failed. False: it does not, so the answer must look exactly
        like an error
    """
    if not isinstance(answer, dict):
        return None
    members = cast("JsonObject", answer)
    if "errorType" not in members or not (failed or members.keys() <= _ERROR_MEMBERS):
        return None
    error = ErrorObject(ErrorType=str(members["errorType"]), ErrorMessage=str(members.get("errorMessage", "")))
    match members.get("stackTrace") or members.get("trace"):
        case [*lines]:
            error["StackTrace"] = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        case _:
            pass
    return error
