"""The service that has a store's file, as another one on the same file reaches it: over a Unix socket beside the file.

Only the file's user can connect to the socket. No request is answered on it before the service has the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from io import BytesIO

from durable_async.service.http.answer import Answer
from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.views import OwnerAddress

_LONGEST_PATH = 100  # bytes; the limit of some systems for the address of a socket
_RETRY_SECONDS = 0.05  # until the next look for a service that has the file
_LEAST_PATIENCE = 1.0  # seconds; a sound process may block its event loop for some hundred milliseconds
_OF_THE_CONNECTION = frozenset(
    {"accept-encoding", "authorization", "connection", "content-length", "host", "keep-alive", "transfer-encoding"}
)


async def ask_owner(owner: OwnerAddress, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send a request to the service that has the file. If there is none now, wait for one.

    If the answer is lost with the service, the next one is asked only if that cannot do anything twice.

    An answer may take long, for example if it is the end of an execution. While it is awaited, the service must answer
    other requests: a process that is stopped or blocked keeps the file, and nobody can take over.

    :param target: the path and the query, percent-encoded
    :param headers: of the request; those that belong to a connection are left out
    :raises ServiceClosedError: no service answered within ``owner.patience``, the answer was lost, or the service that
        has the file answers nothing for ``owner.patience``
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + owner.patience
    kept = {name: value for name, value in headers.items() if name.lower() not in _OF_THE_CONNECTION}
    starts, named = "/invocations" in target, "x-amz-durable-execution-name" in map(str.lower, kept)
    while True:
        try:
            answer = await _answer_of_living(owner, _answer(owner.socket, method, target, kept, body))
        except ConnectionResetError:
            if method != "GET" and not named:
                raise ServiceClosedError(
                    "The service ended before it answered. It may have done what was asked."
                ) from None
            answer = None
        if answer is not None and not (_is_closing(answer) and (named or not starts)):
            return answer
        if loop.time() >= until:
            raise ServiceClosedError(
                f"No service that has the file answered within {owner.patience:g} s. This one stands by to take over."
            )
        await asyncio.sleep(_RETRY_SECONDS)


def _is_closing(answer: Answer) -> bool:
    """Return whether the service begins nothing more, so that it has not done what was asked."""
    return answer.status == 503 and "Retry-After" in answer.headers


async def _answer_of_living(owner: OwnerAddress, asked: Coroutine[object, object, Answer | None]) -> Answer | None:
    """Return what ``asked`` returns, for as long as the service answers other requests.

    :raises ServiceClosedError: it does not
    """
    patience = max(owner.patience, _LEAST_PATIENCE)
    asking = asyncio.ensure_future(asked)
    try:
        while not (await asyncio.wait([asking], timeout=patience))[0]:
            async with asyncio.timeout(patience):
                while not (asking.done() or await _is_living(owner)):  # noqa: ASYNC110 - another process's state
                    await asyncio.sleep(_RETRY_SECONDS)
        return asking.result()
    except TimeoutError:
        raise ServiceClosedError(
            f"The process that has the file answers nothing for {patience:g} s: it is stopped, or something blocks its "
            "event loop. Continue or kill it; this service takes over when it has ended. It may have done what was "
            "asked."
        ) from None
    finally:
        if asking.cancel():
            await asyncio.wait([asking])


async def _is_living(owner: OwnerAddress) -> bool:
    """Return whether the service answers a request that costs nothing."""
    try:
        return await _answer(owner.socket, "GET", "/", {}, b"") is not None
    except ConnectionResetError:
        return False


async def _answer(path: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
    """Return the answer; None if nobody listens, or so many wait that nothing could be sent.

    :raises ConnectionResetError: the request was sent, or a part of it, and there is no answer
    """
    from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout
    from yarl import URL

    from durable_async.service.http.owner_socket import OwnerConnector

    url, connector = URL(f"http://localhost{target}", encoded=True), OwnerConnector(path)
    try:
        async with (
            ClientSession(connector=connector, timeout=ClientTimeout(), auto_decompress=False) as session,
            session.request(method, url, data=BytesIO(body), headers=headers, skip_auto_headers=["User-Agent"]) as got,
        ):
            return Answer(got.status, dict(got.headers), await got.read())
    except ClientConnectorError:
        return None
    except (ClientError, OSError) as error:
        raise ConnectionResetError from error
