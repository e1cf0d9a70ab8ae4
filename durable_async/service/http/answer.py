"""Builds answers that Lambda's clients can read: JSON, and the error's name in a header."""

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
    """The answer to a request, for any server."""

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    body: bytes = b""

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        return attrs.evolve(self, headers={**self.headers, **headers})


class UnknownOperationError(ApiError):
    """There is no operation with this method and path."""

    code = "UnknownOperationException"
    status = 404


class AccessDeniedError(ApiError):
    """The caller may not call."""

    code = "AccessDeniedException"
    status = 403


class RequestTimeoutError(ApiError):
    """The body of the request did not arrive in time."""

    code = "RequestTimeoutException"
    status = 408


class BusyError(ApiError):
    """The service has too much to do at the moment. Repeat the request later."""

    code = "TooManyRequestsException"
    status = 429


def json_answer(value: object, status: int = 200) -> Answer:
    return text_answer(json.dumps(value, separators=(",", ":")), status)


def text_answer(text: str, status: int = 200) -> Answer:
    """Return an answer with ``text``, which is JSON."""
    return Answer(status, _JSON, text.encode(errors="replace"))


def error_answer(error: ApiError) -> Answer:
    """Return the answer for an error. The message's member is spelled as the model says for this error."""
    member = "message" if error.code in _LOWER_CASE_MESSAGE else "Message"
    body = {"Type": "User" if error.status < 500 else "Service", member: error.message}
    soon = error.status == 429 or isinstance(error, ServiceClosedError)
    headers = {"x-amzn-ErrorType": error.code} | ({"Retry-After": "1"} if soon else {})
    return json_answer(body, error.status).with_headers(headers)


def function_error(error: ErrorObject) -> Answer:
    """Return the answer for the failure of an ordinary function. Its status is 200, as on Lambda."""
    body = {
        "errorType": error.get("ErrorType"),
        "errorMessage": error.get("ErrorMessage"),
        "stackTrace": error.get("StackTrace"),
    }
    return _unhandled({name: value for name, value in body.items() if value is not None})


def execution_error(error: ErrorObject | None) -> Answer:
    """Return the answer to a call that waited for an execution that did not succeed."""
    return _unhandled(error or {})


def _unhandled(body: object) -> Answer:
    return json_answer(body).with_headers({"X-Amz-Function-Error": "Unhandled"})
