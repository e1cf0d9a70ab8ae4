"""What a failed call to the durable service means. No other code looks at status codes."""

from __future__ import annotations

from enum import Enum, auto

from durable_async.errors import ServiceCallError

_INVALID_TOKEN = "invalid checkpoint token"  # noqa: S105 - the service's words, and its case varies
_STALE_CREDENTIALS = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidSignatureException"}
_THROTTLED = {"TooManyRequestsException", "ThrottlingException", "Throttling"}


class Verdict(Enum):
    RAISE = auto()
    """Leave with an error: Lambda runs the invocation again, and it may succeed then."""
    FAIL = auto()
    """It can never succeed: the execution fails."""
    END = auto()
    """This invocation was superseded: leave quietly, whatever is answered is ignored."""
    WAIT = auto()
    """The service is busy: the same call again, after a while."""


def verdict(error: ServiceCallError) -> Verdict:
    """Say what a failed call means. Source: protocol.md, "Failures of calls".

    Two rules are ours: the next invocation renews stale credentials, and a request that timed out at the service may
    be repeated."""
    code, status = error.code or "", error.status
    if code in _THROTTLED or status == 429:
        return Verdict.WAIT
    if code.startswith("KMS"):  # these come as 502, and only the key's owner can mend them
        return Verdict.FAIL
    if status == 400 and error.message.lower().startswith(_INVALID_TOKEN):
        return Verdict.END
    if code in _STALE_CREDENTIALS or status is None or status == 408 or not 400 <= status < 500:
        return Verdict.RAISE
    return Verdict.FAIL
