"""What a failed call to the durable service means. No other code looks at status codes."""

from __future__ import annotations

from enum import Enum, auto

from durable_async._engine.phases import Broken, Ending, Failed, Superseded
from durable_async.errors import ServiceCallError

_INVALID_TOKEN = "invalid checkpoint token"  # noqa: S105 - the service's words, and its case varies
_STALE_CREDENTIALS = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidSignatureException"}
_THROTTLED = {"TooManyRequestsException", "ThrottlingException", "Throttling"}


class Verdict(Enum):
    RAISE = auto()
    """End the invocation with an error: Lambda repeats it, and it may succeed then."""
    FAIL = auto()
    """The call can never succeed: the execution fails."""
    END = auto()
    """Another invocation has taken over: end without an error, because the answer is ignored."""
    WAIT = auto()
    """The service is busy: repeat the call after a delay."""


class TokenWithdrawn(Exception):  # noqa: N818 - a signal
    """The service returned no further token: what was sent is recorded, and this invocation must not write any more."""


def verdict(error: ServiceCallError) -> Verdict:
    """Return what a failed call means. Source: protocol.md, "Failures of calls".

    Two rules are ours: the next invocation renews stale credentials, and a request that timed out at the service may
    be repeated."""
    code, status = error.code or "", error.status
    if code in _THROTTLED or status == 429:
        return Verdict.WAIT
    if code.startswith("KMS"):  # these come as 502, and only the key's owner can fix them
        return Verdict.FAIL
    if status == 400 and error.message.lower().startswith(_INVALID_TOKEN):
        return Verdict.END
    if code in _STALE_CREDENTIALS or status is None or status == 408 or not 400 <= status < 500:
        return Verdict.RAISE
    return Verdict.FAIL


def ending_of(error: BaseException) -> Ending:
    """Return how an invocation ends whose flusher ended with ``error``."""
    match error:
        case TokenWithdrawn():
            return Superseded()
        case ServiceCallError():
            match verdict(error):
                case Verdict.FAIL:
                    return Failed(error)
                case Verdict.END:
                    return Superseded()
                case Verdict.RAISE | Verdict.WAIT:
                    return Broken(error)
        case _:
            return Broken(error)
