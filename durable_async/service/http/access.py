"""Who may call.

Without a token: any process of this machine, but no web page that a browser on it shows. With one: who presents it, as
``Authorization: Bearer TOKEN``, or as the access key id with which an AWS client signs. The signature itself is not
verified, and a key id travels in clear: beyond one machine put a proxy with TLS before the service.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_SIGNED = re.compile(r"AWS4-\S+ +Credential=([^/,\s]+)/")


def check_token(token: str) -> None:
    """:raises ValueError: an AWS client could not present it as its access key id"""
    if _TOKEN.fullmatch(token) is None:
        raise ValueError("a token is 1 to 128 letters, digits and . _ ~ -")


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is only reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(headers: Mapping[str, str], token: str | None) -> str | None:
    """Why a request is refused, or None if it is not.

    :param headers: names in lower case
    :param token: None: the service listens on a loopback address only
    """
    if token is not None:
        presented = _presented(headers.get("authorization", ""))
        if hmac.compare_digest(presented.encode(errors="replace"), token.encode()):
            return None
        return "The request has no valid token: send it as a bearer token, or sign with it as the access key id."
    host = headers.get("host", "")
    if not is_loopback(_hostname(f"//{host}")):
        return f"'{host[:256]}' is not a name of this machine; start the service with a token to allow others."
    origin = headers.get("origin")
    if origin is not None and origin.partition("//")[2] != host:
        return "A page of another origin may not call this service."
    return None


def _presented(authorization: str) -> str:
    if signed := _SIGNED.match(authorization):
        return signed[1]
    return authorization.removeprefix("Bearer ").strip()


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
