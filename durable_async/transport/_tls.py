"""When TLS is made ready: ahead of the first call to AWS, and never for a plain ``http`` endpoint.

aiobotocore makes an SSL context at a client's first request, whatever the endpoint. Reading the certificates into it
takes some 25 ms of CPU time, on Lambda within the first invocation. The extension point is the ``http_session_cls`` of
a configuration.
"""

from __future__ import annotations

from contextlib import suppress
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, cast

from aiobotocore.httpsession import AIOHTTPSession  # type: ignore[import-untyped]

_ready: list[SSLContext] = []


def make_tls_ready() -> None:
    """Make the SSL context of the first client that has no certificates of its own. It may be called in any thread."""
    if not _ready and hasattr(AIOHTTPSession, "_build_verify_context"):  # else this aiobotocore has another way
        _ready.append(cast("Any", TlsWhenNeeded())._build_verify_context())  # noqa: SLF001 - of our own class


class TlsWhenNeeded(AIOHTTPSession):  # type: ignore[misc]
    """The HTTP connections of one client.

    :param verify: True, or the path of the certificates to trust
    :param proxies: by scheme, their URLs. With any, TLS is made ready as aiobotocore does it
    """

    def __init__(self, *, verify: bool | str = True, proxies: dict[str, str] | None = None, **options: Any) -> None:
        cast("Any", super()).__init__(verify=verify, proxies=proxies, **options)
        self._trusts_the_default = verify is True
        self._has_proxies = bool(proxies)
        self._is_plain = False

    async def send(self, request: Any) -> Any:
        self._is_plain = request.url.startswith("http://") and not self._has_proxies
        return await super().send(request)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def _build_verify_context(self) -> SSLContext:
        if self._is_plain:
            return SSLContext(PROTOCOL_TLS_CLIENT)  # trusts nobody, should the answer redirect to https
        if self._trusts_the_default:
            with suppress(IndexError):
                return _ready.pop()
        context: SSLContext = cast("Any", super())._build_verify_context()  # noqa: SLF001 - what this overrides
        return context
