"""What the browser asks for: the page's files, whether it is signed in, and Lambda's API.

``/api/`` is followed by a path of Lambda's API, so a request here is one there. The other rules:

- the files contain no data, so anyone may load them who could reach the API with the right token
- the token is sent once, in the body of ``POST /session``. The answer sets a cookie that scripts cannot read and that
  no other site's page can make the browser send. It holds a key that derives from the token, not the token
- what is not a file is answered only to the page itself: see ``refusal_of_page``
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final

import attrs

from durable_async.service.http import shapes
from durable_async.service.http.access import Access, refusal_of_page
from durable_async.service.http.answer import (
    AccessDeniedError,
    Answer,
    UnknownOperationError,
    error_answer,
    json_answer,
)
from durable_async.service.http.bodies import Bodies
from durable_async.service.http.dispatch import Answerer, Request
from durable_async.service.http.routes import Operation, route
from durable_async.service.model.errors import ApiError
from durable_async.ui.files import FILES

_SIGN_IN_BYTES = 4096
_WORTH_COMPRESSING = 1024  # bytes
_COMPRESSED_ON_THE_LOOP = 64 * 1024  # bytes, about a millisecond; more goes to a thread

OPERATIONS: Final = frozenset(
    {
        Operation.LIST_FUNCTIONS,
        Operation.LIST,
        Operation.LIST_ALL,
        Operation.COUNT,
        Operation.GET,
        Operation.GET_HISTORY,
        Operation.STOP,
        Operation.PAUSE,
        Operation.RESUME,
        Operation.CANCEL,
        Operation.REDRIVE,
        Operation.FORK,
        Operation.DELETE,
        Operation.CALLBACK_SUCCESS,
        Operation.CALLBACK_FAILURE,
        Operation.CALLBACK_HEARTBEAT,
    }
)
"""What the page may call: not what a running invocation calls, and nothing that starts an execution but a fork."""

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SignInError(ApiError):
    """The page has to ask for the token."""

    code = "UnauthorizedException"
    status = 401


@attrs.frozen
class Home:
    """What the page shows: which service, and what it offers beyond Lambda's API.

    :ivar place: names the service
    :ivar kind: ``service`` is this package's; ``aws`` is AWS Lambda or another endpoint that may be like it
    :ivar ours: True: the service is of this package, so it has all of its operations. False: the page asks which it has
    :ivar live: True: the service holds a request for a history until there is news. False: the page asks again
    :ivar writes: False: executions can only be looked at
    :ivar target: the options of ``aws`` and ``durable-async`` that name the service, for the commands that the page
        shows
    """

    place: str
    kind: str = "service"
    ours: bool = True
    live: bool = True
    writes: bool = True
    target: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen
class WebPage:
    """
    :ivar api: answers Lambda's API without asking who calls
    :ivar access: who may use the page
    :ivar replay: runs today's code against an execution, and returns the report as JSON; None: there is no code here
    """

    api: Answerer
    access: Access
    home: Home
    replay: Callable[[str], Awaitable[Mapping[str, Any]]] | None = None
    bodies: Bodies = attrs.field(factory=Bodies)

    async def answer(self, request: Request) -> Answer:
        """Answer a request whose path is below the page's own. Raises nothing."""
        try:
            answer = await self._answer(request)
        except ApiError as error:
            answer = error_answer(error)
        return (await _compressed(answer, request)).with_headers(_HEADERS)

    async def _answer(self, request: Request) -> Answer:
        if request.method in ("GET", "HEAD") and (file := FILES.get(request.path)) is not None:
            if reason := self.access.refusal_to_show(request.headers, request.peer):
                raise AccessDeniedError(reason)
            return file.answer(request.headers.get("if-none-match"), compressed=_reads_gzip(request))
        if reason := refusal_of_page(request.headers):
            raise AccessDeniedError(reason)
        if (request.method, request.path) == ("POST", "/session"):
            return await self._signed_in(request)
        self._admit(request)
        return await self._data(request)

    async def _data(self, request: Request) -> Answer:
        if (request.method, request.path) == ("GET", "/about"):
            return json_answer({**attrs.asdict(self.home), "replays": self.replay is not None})
        if request.path.startswith("/replay/") and self.replay is not None:
            found = route("GET", f"/2025-12-01/durable-executions{request.path.removeprefix('/replay')}")
            if found is not None and request.method == "POST":
                return json_answer(await self.replay(found.parameter))
        forwarded = attrs.evolve(request, path=request.path.removeprefix("/api"), headers=_without_cookies(request))
        found = route(forwarded.method, forwarded.path)
        if not request.path.startswith("/api/") or found is None or found.operation not in OPERATIONS:
            raise UnknownOperationError(f"{request.method[:32]} {request.path[:256]} is nothing that the page has.")
        return (await self.api(forwarded)).with_headers({"Cache-Control": "no-store"})

    async def _signed_in(self, request: Request) -> Answer:
        body = await self.bodies.read(request.chunks(), request.headers.get("content-length"), _SIGN_IN_BYTES)
        given = shapes.members(body)
        presented = shapes.text(given, "token") or ""
        if self.access.refusal({**request.headers, "authorization": f"Bearer {presented}"}, request.peer):
            raise SignInError("This is not the token.")
        if self.access.token is None:
            return Answer(204)
        key = session_key(self.access.token)
        secure = "; Secure" if shapes.truth(given, "secure", default=False) else ""
        return Answer(204, {"Set-Cookie": f"{_cookie_name(request)}={key}; HttpOnly; SameSite=Strict{secure}"})

    def _admit(self, request: Request) -> None:
        """Check that the caller may see executions.

        :raises ApiError: the caller may not
        """
        if self.access.token is None:
            if reason := self.access.refusal(request.headers, request.peer):
                raise AccessDeniedError(reason)
            return
        presented = _cookie(request)
        if not hmac.compare_digest(presented.encode(errors="replace"), session_key(self.access.token).encode()):
            raise SignInError("The page needs the service's token.")


def beside(page: WebPage, path: str, rest: Answerer) -> Answerer:
    """Return what answers the requests below ``path``, which begins and does not end with a slash, with the page, and
    all others with ``rest``."""

    async def answer(request: Request) -> Answer:
        if request.path == path:  # the page's own links are relative, and need the slash
            return Answer(308, {"Location": f"{path.rpartition('/')[2]}/"})
        if request.path.startswith(f"{path}/"):
            return await page.answer(attrs.evolve(request, path=request.path.removeprefix(path)))
        return await rest(request)

    return answer


def session_key(token: str) -> str:
    """Return what the cookie holds, from which nobody can tell the token."""
    return hmac.new(token.encode(), b"the session of the durable-async page", hashlib.sha256).hexdigest()


def _cookie_name(request: Request) -> str:
    """Return a name with the port, because browsers send a cookie to every port of its host."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"durable_async_{port}" if port.isdecimal() else "durable_async"


def _cookie(request: Request) -> str:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(_cookie_name(request))
    except CookieError:
        return ""
    return "" if found is None else found.value


def _without_cookies(request: Request) -> Mapping[str, str]:
    return {name: value for name, value in request.headers.items() if name != "cookie"}


def _reads_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


async def _compressed(answer: Answer, request: Request) -> Answer:
    if len(answer.body) < _WORTH_COMPRESSING or not _reads_gzip(request) or "Content-Encoding" in answer.headers:
        return answer
    small = len(answer.body) <= _COMPRESSED_ON_THE_LOOP
    body = gzip.compress(answer.body, 1) if small else await asyncio.to_thread(gzip.compress, answer.body, 1)
    return attrs.evolve(answer, body=body).with_headers({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
