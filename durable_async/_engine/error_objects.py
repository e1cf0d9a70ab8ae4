"""Makes the error objects that are recorded, and the errors of operations from them."""

from __future__ import annotations

import json
from typing import TypeVar

from durable_async._raised import is_a, message_of, text_of, trace_of, type_name
from durable_async._wire.limits import ERROR_BYTES
from durable_async._wire.operations import ErrorObject
from durable_async.errors import OperationError

E = TypeVar("E", bound=OperationError)


def error_object(error: BaseException, *, of: str, named: str | None = None) -> ErrorObject:
    """Return what is recorded of ``error``.

    An operation's error that escaped keeps the recorded type, message and data of what the operation's body raised. A
    line in front of its stack trace says which operation that was. What is larger than the service accepts is cut,
    and says so.

    :param of: the operation that failed, for the note in a message that is cut
    :param named: its type, instead of what the error itself says
    """
    if is_a(error, OperationError):
        recorded = _operation_error(error)
    else:
        recorded = ErrorObject(ErrorType=type_name(type(error)), ErrorMessage=message_of(error))
    if stack := trace_of(error):
        recorded["StackTrace"] = stack
    if named is not None:
        recorded["ErrorType"] = named
    return _within_limit(recorded, of)


def recorded_error(cls: type[E], error: ErrorObject, operation_id: str, name: str | None) -> E:
    """Return the error of class ``cls`` for the recorded one of an operation."""
    return cls(
        error.get("ErrorMessage") or "",
        error.get("ErrorType"),
        error.get("ErrorData"),
        tuple(error.get("StackTrace") or ()),
        operation_id,
        name,
    )


def _operation_error(error: BaseException) -> ErrorObject:
    """Return the recorded fields of an operation's error. A user may have made one, with any values in them."""
    kind, message, data = (getattr(error, name, None) for name in ("error_type", "message", "data"))
    recorded = ErrorObject(
        ErrorType=kind if isinstance(kind, str) else type_name(type(error)),
        ErrorMessage=text_of(error if message is None else message),
    )
    if isinstance(data, str):
        recorded["ErrorData"] = data
    return recorded


def _within_limit(error: ErrorObject, of: str) -> ErrorObject:
    size = len(json.dumps(error))
    if size < ERROR_BYTES:
        return error
    stack = error.pop("StackTrace", [])
    if len(json.dumps(error)) >= ERROR_BYTES // 2:
        note = f" [cut: the error of {of} has {size} bytes, the durable service accepts {ERROR_BYTES}]"
        error.pop("ErrorData", None)
        message = error.get("ErrorMessage", "")
        while len(json.dumps(message)) > ERROR_BYTES // 3:
            message = message[: len(message) // 2]
        error["ErrorMessage"] = message + note
    if stack := _both_ends(stack, ERROR_BYTES // 4):
        error["StackTrace"] = stack
    return error


def _both_ends(lines: list[str], max_bytes: int) -> list[str]:
    """Return as many of the first and the last lines as ``max_bytes`` of JSON hold."""
    left = max_bytes - sum(len(json.dumps(line)) + 2 for line in lines)
    lines = lines.copy()
    while left < 0 and lines:
        left += len(json.dumps(lines.pop(len(lines) // 2))) + 2
    return lines
