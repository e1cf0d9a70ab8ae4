"""Answers as Lambda's clients read them: JSON, and the error's name in a header."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from aiohttp import web

from durable_async.service.errors import ApiError
from durable_async.wire.operations import ErrorObject

_LOWER_CASE_MESSAGE = frozenset(
    {
        "InvalidParameterValueException",
        "InvalidRequestContentException",
        "RequestTooLargeException",
        "ResourceConflictException",
        "TooManyRequestsException",
    }
)


class UnknownOperationError(ApiError):
    """No operation has this method and path."""

    code: ClassVar[str] = "UnknownOperationException"
    status: ClassVar[int] = 404


class AccessDeniedError(ApiError):
    """The caller may not call."""

    code: ClassVar[str] = "AccessDeniedException"
    status: ClassVar[int] = 403


def json_response(value: Any, status: int = 200) -> web.Response:
    body = json.dumps(value, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def error_response(error: ApiError) -> web.Response:
    """The message's member has the case that the model gives it for this error."""
    member = "message" if error.code in _LOWER_CASE_MESSAGE else "Message"
    response = json_response(
        {"Type": "User" if error.status < 500 else "Service", member: error.message}, status=error.status
    )
    response.headers["x-amzn-ErrorType"] = error.code
    if error.status == 429:
        response.headers["Retry-After"] = "1"
    return response


def function_error(error: ErrorObject) -> web.Response:
    """How an ordinary function's failure is told: HTTP did its part, so the status is 200."""
    body = {
        "errorType": error.get("ErrorType"),
        "errorMessage": error.get("ErrorMessage"),
        "stackTrace": error.get("StackTrace"),
    }
    return _unhandled({name: value for name, value in body.items() if value is not None})


def execution_error(error: ErrorObject | None) -> web.Response:
    """How a durable execution that did not succeed is told to who waits for it."""
    return _unhandled(error or {})


def _unhandled(body: Any) -> web.Response:
    response = json_response(body)
    response.headers["X-Amz-Function-Error"] = "Unhandled"
    return response
