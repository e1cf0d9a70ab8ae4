"""Errors as they go on record."""

from __future__ import annotations

import json
import traceback

from durable_async.errors import OperationError
from durable_async.wire.limits import ERROR_BYTES
from durable_async.wire.operations import ErrorObject

_FRAMES = 30  # of a stack trace, the innermost ones


def error_type(kind: type[BaseException]) -> str:
    """How the record names an exception class: with its module, builtins without (as the official Python SDK does)."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def error_object(error: BaseException, *, of: str, named: str | None = None) -> ErrorObject:
    """What is recorded of ``error``.

    An error of an operation that escaped keeps its recorded message, data and stack trace, under its own class. What
    is larger than the service accepts is cut, and says so.

    :param of: the operation that failed, for the note in a message that is cut
    :param named: its type, instead of the name of its class
    """
    named = named or error_type(type(error))
    if isinstance(error, OperationError):
        result = ErrorObject(ErrorType=named, ErrorMessage=error.message)
        if error.data is not None:
            result["ErrorData"] = error.data
        stack = list(error.stack_trace)
    else:
        result = ErrorObject(ErrorType=named, ErrorMessage=str(error))
        stack = traceback.format_tb(error.__traceback__)[-_FRAMES:]
    if stack:
        result["StackTrace"] = stack
    return _within_limit(result, of)


def _within_limit(error: ErrorObject, of: str) -> ErrorObject:
    size = len(json.dumps(error))
    if size < ERROR_BYTES:
        return error
    stack = error.pop("StackTrace", None)
    if stack and len(json.dumps(error)) < ERROR_BYTES // 2:
        while stack and len(json.dumps(stack)) > ERROR_BYTES // 4:
            stack = stack[1:]
        error["StackTrace"] = stack
        return error
    note = f" [cut: the error of {of} has {size} bytes, the durable service accepts {ERROR_BYTES}]"
    error.pop("ErrorData", None)
    message = error.get("ErrorMessage", "")
    while len(json.dumps(message)) > ERROR_BYTES // 2:
        message = message[: len(message) // 2]
    error["ErrorMessage"] = message + note
    return error
