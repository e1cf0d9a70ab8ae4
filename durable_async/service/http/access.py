"""Who may call.

With a token: everyone who presents it, as ``Authorization: Bearer TOKEN``, or as the access key id with which an AWS
client signs. The signature itself is not verified, and a key id travels in clear: beyond one machine put a proxy with
TLS before the service.

Without one: any process of this machine, and no web page that a browser on it shows.

- the address of the peer decides who is on this machine. A request that says it was forwarded came through a proxy, and
  then the peer is the proxy and not the caller
- ``Host`` must name this machine: a page whose own name was pointed at 127.0.0.1 still sends that name
- a browser's request must come from a page of this origin, or carry a header that no page can send to another origin
  without asking first, which this service never allows
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_SIGNED = re.compile(r"AWS4-\S{1,64} +Credential=([^/,\s]+)/")
_FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
_BROWSERS = ("mozilla/", "opera/")


def check_token(token: str) -> None:
    """:raises ValueError: an AWS client could not present it as its access key id"""
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("a token is 1 to 128 letters, digits and . _ ~ -")


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is only reached from this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


@attrs.frozen
class Access:
    """
    :ivar token: asked of every caller; None: see the head of this module
    :ivar authenticated: True: an application before this one has decided already, and nothing is asked here. False:
        what ``token`` says
    """

    token: str | None = attrs.field(default=None, repr=False)
    authenticated: bool = False

    @classmethod
    def checked(cls, token: str | None, *, authenticated: bool) -> Access:
        """:raises ValueError: an AWS client could not present the token, or it is given with ``authenticated=True``"""
        if token is not None:
            check_token(token)
            if authenticated:
                raise ValueError(
                    "a token is asked of callers, and authenticated=True asks nothing of them: give one of both"
                )
        return cls(token, authenticated)

    def refusal(self, headers: Mapping[str, str], peer: str | None) -> str | None:
        """Why a request is refused, or None if it is not.

        :param headers: names in lower case
        :param peer: the address of the other end; None: it has none, because the socket is a file of this machine.
            Any text that is no address, such as the empty one, is no caller of this machine
        """
        if self.authenticated:
            return None
        if self.token is not None:
            presented = _presented(headers.get("authorization", ""))
            if hmac.compare_digest(presented.encode(errors="replace"), self.token.encode()):
                return None
            return "The request has no valid token: send it as a bearer token, or sign with it as the access key id."
        return _not_of_this_machine(headers, peer) or refusal_of_page(headers)

    def refusal_to_show(self, headers: Mapping[str, str], peer: str | None) -> str | None:
        """Return why a page that contains no data is not shown, or None if it is: with a token it asks for it, and
        without one the browser must be on this machine. Any page may link to it."""
        if self.authenticated or self.token is not None:
            return None
        return _not_of_this_machine(headers, peer)


def refusal_of_page(headers: Mapping[str, str]) -> str | None:
    """Return why a request is refused because another page may have caused it, or None if that is excluded."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin.partition("//")[2] != headers.get("host", ""):
        return "A page of another origin may not call this service."
    if site == "same-origin" or (site is None and not _is_browser(headers)) or _was_asked_for(headers):
        return None
    return "A browser may call only from a page of this origin, or with an Authorization or X-Amz-* header."


def _not_of_this_machine(headers: Mapping[str, str], peer: str | None) -> str | None:
    if peer is not None and not is_loopback(peer):
        return "The service serves callers on its own machine only; start it with a token to allow others."
    if not _FORWARDED.isdisjoint(headers):
        return "The request came through a proxy, so who sent it is not known; start the service with a token."
    host = headers.get("host", "")
    if not is_loopback(_hostname(f"//{host}")):
        return f"'{host[:256]}' is not a name of this machine; start the service with a token to allow others."
    return None


def _is_browser(headers: Mapping[str, str]) -> bool:
    """Every browser calls itself so, and a page cannot change it without asking first."""
    return headers.get("user-agent", "").lower().startswith(_BROWSERS)


def _was_asked_for(headers: Mapping[str, str]) -> bool:
    """Whether a browser would have asked this service before it sent these headers for a page of another origin."""
    return "authorization" in headers or any(name.startswith("x-amz-") for name in headers)


def _presented(authorization: str) -> str:
    if signed := _SIGNED.match(authorization):
        return signed[1]
    return authorization.removeprefix("Bearer ").strip()


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
