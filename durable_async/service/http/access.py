"""Decides who may call the API.

With a token: everyone who sends it, as ``Authorization: Bearer TOKEN`` or as the access key id with which an AWS client
signs. The signature itself is not verified, and the key id is sent in clear text: for callers on other machines, put a
proxy with TLS in front of the service.

Without a token: every process on this machine, but no web page in a browser on it:

- the address of the peer shows whether the caller is on this machine. A request with the header of a proxy is refused,
  because then the peer is the proxy and not the caller
- ``Host`` must name this machine: a page whose host name resolves to 127.0.0.1 still sends its own name
- a browser's request must come from a page of this origin, or have a header that a page can send to another origin only
  after a preflight request, which this service always refuses
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

import attrs

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_SIGNED = re.compile(r"AWS4-\S{1,64} +Credential=([^/,\s]+)/")
_FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
_BROWSERS = ("mozilla/", "opera/")


def check_token(token: str) -> None:
    """Check the form of a token.

    :raises ValueError: an AWS client could not send it as its access key id
    """
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("a token is 1 to 128 letters, digits and . _ ~ -")


@lru_cache(256)  # the same few addresses call again and again
def is_loopback(host: str) -> bool:
    """Return whether ``host``, a name or an address, can be reached from this machine only."""
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
    :ivar token: every caller must send it; None: the rules without a token, see this module
    :ivar authenticated: True: an application in front of this one has checked the caller, and nothing is checked here.
        False: the rules of ``token`` apply
    """

    token: str | None = attrs.field(default=None, repr=False)
    authenticated: bool = False

    @classmethod
    def checked(cls, token: str | None, *, authenticated: bool) -> Access:
        """Return the access that a token or an authenticating proxy gives.

        :raises ValueError: an AWS client could not present the token, or it is given with ``authenticated=True``
        """
        if token is not None:
            check_token(token)
            if authenticated:
                raise ValueError(
                    "a token is asked of callers, and authenticated=True asks nothing of them: give one of both"
                )
        return cls(token, authenticated)

    def refusal(self, headers: Mapping[str, str], peer: str | None) -> str | None:
        """Return why a request is refused; None: it is allowed.

        :param headers: names in lower case
        :param peer: the address of the other end; None: it has none, because the socket is a file of this machine. A
            text that is not an address counts as another machine
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
        return "The service answers callers on its own machine only. Start it with a token to allow others."
    if not _FORWARDED.isdisjoint(headers):
        return "The request came through a proxy, so its sender is unknown. Start the service with a token."
    host = headers.get("host", "")
    if not _names_loopback(host):
        return f"'{host[:256]}' is not a name of this machine. Start the service with a token to allow others."
    return None


def _is_browser(headers: Mapping[str, str]) -> bool:
    """Return whether a browser sent the request. All browsers send this, and a page can change it only after a
    preflight.
    """
    return headers.get("user-agent", "").lower().startswith(_BROWSERS)


def _was_asked_for(headers: Mapping[str, str]) -> bool:
    """Return whether a browser needs a preflight request to send these headers for a page of another origin."""
    return "authorization" in headers or any(name.startswith("x-amz-") for name in headers)


def _presented(authorization: str) -> str:
    if signed := _SIGNED.match(authorization):
        return signed[1]
    return authorization.removeprefix("Bearer ").strip()


@lru_cache(256)
def _names_loopback(host: str) -> bool:
    """Return whether the header ``Host`` names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)
