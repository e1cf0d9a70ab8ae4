"""Answers as Lambda's clients read them: JSON, and the error's name in a header."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service.model.errors import ApiError, ServiceClosedError

_LOWER_CASE_MESSAGE = frozenset(
    {
        "InvalidParameterValueException",
        "InvalidRequestContentException",
        "RequestTooLargeException",
        "ResourceConflictException",
        "TooManyRequestsException",
    }
)
_JSON = {"Content-Type": "application/json"}


@attrs.frozen
class Answer:
    """What is sent back, by whatever server."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    body: bytes = b""

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        return attrs.evolve(self, headers={**self.headers, **headers})


class UnknownOperationError(ApiError):
    """No operation has this method and path."""

    code = "UnknownOperationException"
    status = 404


class AccessDeniedError(ApiError):
    """The caller may not call."""

    code = "AccessDeniedException"
    status = 403


class RequestTimeoutError(ApiError):
    """The request's body did not come in time."""

    code = "RequestTimeoutException"
    status = 408


class BusyError(ApiError):
    """The service has too much to do at the moment; the same request may succeed later."""

    code = "TooManyRequestsException"
    status = 429


def json_answer(value: object, status: int = 200) -> Answer:
    return text_answer(json.dumps(value, separators=(",", ":")), status)


def text_answer(text: str, status: int = 200) -> Answer:
    """:param text: JSON already"""
    return Answer(status, _JSON, text.encode(errors="replace"))


def error_answer(error: ApiError) -> Answer:
    """The message's member has the case that the model gives it for this error."""
    member = "message" if error.code in _LOWER_CASE_MESSAGE else "Message"
    body = {"Type": "User" if error.status < 500 else "Service", member: error.message}
    soon = error.status == 429 or isinstance(error, ServiceClosedError)
    headers = {"x-amzn-ErrorType": error.code} | ({"Retry-After": "1"} if soon else {})
    return json_answer(body, error.status).with_headers(headers)


def function_error(error: ErrorObject) -> Answer:
    """How an ordinary function's failure is told: HTTP did its part, so the status is 200."""
    body = {
        "errorType": error.get("ErrorType"),
        "errorMessage": error.get("ErrorMessage"),
        "stackTrace": error.get("StackTrace"),
    }
    return _unhandled({name: value for name, value in body.items() if value is not None})


def execution_error(error: ErrorObject | None) -> Answer:
    """How a durable execution that did not succeed is told to who waits for it."""
    return _unhandled(error or {})


def _unhandled(body: object) -> Answer:
    return json_answer(body).with_headers({"X-Amz-Function-Error": "Unhandled"})
