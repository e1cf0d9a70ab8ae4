"""Recognizes failures that are caused by the code alone, so that corrected code can continue the execution.

Such an execution may be parked instead of failed. It is then paused, and invoked again when its function is registered
again or when it is resumed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from durable_async._wire.limits import REASON_LENGTH
from durable_async._wire.operations import ErrorObject
from durable_async.errors import EventError, NonDeterminismError

PARKED: Final = "Parked: "
"""The beginning of the reason of such a pause. Nothing else marks it, so a manual pause with such a reason behaves the
same.
"""

_ADVICE = "Roll back or correct the code. The execution is tried again when its function is registered, or on resume."
_NON_DETERMINISM = f"{NonDeterminismError.__module__}.{NonDeterminismError.__name__}"
_EVENT = f"{EventError.__module__}.{EventError.__name__}"
_NOT_LOADED = frozenset({"Runtime.ImportModuleError", "Runtime.HandlerNotFound", "Runtime.UserCodeSyntaxError"})
_FRAME = re.compile(r'\s*File "(?P<file>[^"]*)", line (?P<line>\d+)')


def answered_reason(error: ErrorObject | None, *, began: bool) -> str | None:
    """Return the reason for parking an execution whose handler answered with ``error``; None if it has to fail.

    :param began: True: it has recorded an operation. False: it has not; an event that cannot be read is then the
        caller's mistake
    """
    kind, trace = (error or {}).get("ErrorType"), (error or {}).get("StackTrace") or []
    if error is None or not (kind == _NON_DETERMINISM or (kind == _EVENT and began)):
        return None
    if trace and _FRAME.match(trace[0]) is None:
        return None  # the error comes from an operation, such as an invoked function that failed like this
    message = (error.get("ErrorMessage") or "").removesuffix(NonDeterminismError.ADVICE)
    place = _place(trace) if kind == _NON_DETERMINISM else ""
    return _reason(f"{message.rstrip('. ')}{place}")


def not_loaded_reason(error: ErrorObject) -> str | None:
    """Return the reason for parking an execution whose invocation failed; None if its function could be loaded."""
    if error.get("ErrorType") not in _NOT_LOADED:
        return None
    return _reason((error.get("ErrorMessage") or str(error.get("ErrorType"))).rstrip(". "))


def _reason(why: str) -> str:
    room = REASON_LENGTH - len(PARKED) - len(_ADVICE) - 2
    return f"{PARKED}{why if len(why) <= room else why[: room - 3] + '...'}. {_ADVICE}"


def _place(trace: Sequence[str]) -> str:
    """Return the innermost file and line of a stack trace, in parentheses."""
    found = [frame for frame in takewhile(bool, map(_FRAME.match, trace)) if frame is not None]
    return f" ({found[-1]['file'].rpartition('/')[2]}:{found[-1]['line']})" if found else ""
