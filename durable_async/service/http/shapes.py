"""Parses the values in a request: bytes and texts become values of the wire's types. Pure functions.

Every refusal is an ``InvalidParameterValueException``. The service checks the meaning of well-formed values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qsl

import attrs

from durable_async._wire.operations import ErrorObject, OperationUpdate
from durable_async._wire.text import JsonMembers, JsonObject, utf8
from durable_async.service import parsing
from durable_async.service.http.updates import check_updates
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.runtime.inputs import ForkOptions

_NULL = b"null"
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def json_value(body: bytes) -> object:
    """Return the JSON value in ``body``, as :func:`parsing.loads <durable_async.service.parsing.loads>` reads it.

    :raises InvalidParameterValueError: it is not JSON, or is refused
    """
    try:
        return parsing.loads(body)
    except parsing.NotReadable as error:
        raise InvalidParameterValueError(f"Could not parse request body into json: {error}.") from None


def query(text: str) -> list[tuple[str, str]]:
    """Return the names and values of a query, in its order.

    :raises InvalidParameterValueError: its bytes are not UTF-8
    """
    try:
        return parse_qsl(text.encode("ascii").decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidParameterValueError("The query is not UTF-8, percent-encoded.") from None


def members(body: bytes) -> JsonMembers:
    """Return the structure in ``body``, without members that are null. An empty body is an empty structure."""
    return _structure(json_value(body), "The request body", nulls=_NULL in body) if body else {}


@attrs.frozen
class Checkpoint:
    token: str
    updates: list[OperationUpdate]
    client_token: str | None


def checkpoint(body: bytes) -> Checkpoint:
    """Return token and updates of a checkpoint."""
    request = members(body)
    token = text(request, "CheckpointToken")
    if not token:
        raise InvalidParameterValueError("CheckpointToken is required.")
    updates: Any = request.get("Updates", [])
    if not isinstance(updates, list):
        raise InvalidParameterValueError("Updates must be a list.")
    read = [_structure(update, "An update", nulls=_NULL in body) for update in cast("list[object]", updates)]
    check_updates(read)
    return Checkpoint(token, cast("list[OperationUpdate]", read), text(request, "ClientToken"))


def fork(body: bytes) -> ForkOptions:
    return _fork(members(body))


def fork_history(body: bytes) -> tuple[ForkOptions, object]:
    """Return what is asked for, and the exported history."""
    request = members(body)
    return _fork(request), request.get("History")


def _fork(request: JsonMembers) -> ForkOptions:
    event = text(request, "Input")
    return {
        "before": text(request, "Before"),
        "execution_name": text(request, "DurableExecutionName"),
        "payload": None if event is None else utf8(event),
        "replace": _texts(request, "Replace"),
        "tags": _texts(request, "Tags"),
    }


def _texts(request: JsonMembers, member: str) -> dict[str, str]:
    """Return an object whose members are texts; empty if it is absent."""
    value = _structure(request.get(member, {}), member, nulls=True)
    return {name: text(value, name) or "" for name in value}


def error_object(body: bytes) -> ErrorObject | None:
    """Return the error in ``body``; None if there is none, for which clients send ``{}`` or nothing."""
    request = members(body)
    error = ErrorObject()
    for member in ("ErrorType", "ErrorMessage", "ErrorData"):
        if (value := text(request, member)) is not None:
            error[member] = value
    lines = request.get("StackTrace")
    if lines is not None:
        if not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):  # pyright: ignore[reportUnknownVariableType]
            raise InvalidParameterValueError("StackTrace must be a list of strings.")
        error["StackTrace"] = cast("list[str]", lines)
    return error or None


def text(request: Mapping[str, object], member: str) -> str | None:
    value = request.get(member)
    if value is None or isinstance(value, str):
        return value
    raise InvalidParameterValueError(f"{member} must be a string.")


def truth(request: Mapping[str, object], member: str, *, default: bool) -> bool:
    """Return a boolean: a JSON value of a body, or a text in a query."""
    match request.get(member):
        case None:
            return default
        case True | "true":
            return True
        case False | "false":
            return False
        case _:
            raise InvalidParameterValueError(f"{member} must be true or false.")


def number(query: Mapping[str, str], member: str) -> int:
    """Return an integer of a query; 0 if it is absent."""
    value = query.get(member, "0")
    if _INTEGER.fullmatch(value) is None:
        raise InvalidParameterValueError(f"{member} must be an integer.")
    return int(value)


def tags(header: str | None) -> dict[str, str] | None:
    """Return the tags of a header, which has the form of a query: ``team=blue&region=eu``, percent-encoded."""
    return None if header is None else dict(query(header))


def tag(text: str) -> tuple[str, str]:
    """Return the key and the value of ``key=value``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidParameterValueError(f"'{text[:256]}' is not of the form key=value.")
    return key, value


def timestamp(query: Mapping[str, str], member: str) -> datetime | None:
    """Return an ISO 8601 time, which is UTC if it names no offset; None if it is absent."""
    value = query.get(member)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidParameterValueError(f"{member} must be an ISO 8601 timestamp.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _structure(value: object, what: str, *, nulls: bool) -> dict[str, object]:
    """Return an object without its members that are null.

    :param nulls: True: it may have such members. False: it has none, and is returned as it is
    """
    if not isinstance(value, dict):
        raise InvalidParameterValueError(f"{what} must be a JSON object.")
    members = cast("JsonObject", value)
    return _without_nulls(members) if nulls else members


def _without_nulls(given: JsonObject) -> JsonObject:
    """Remove members that are null, which means that they are absent."""
    return {
        name: _without_nulls(cast("JsonObject", member)) if isinstance(member, dict) else member
        for name, member in given.items()
        if member is not None
    }
