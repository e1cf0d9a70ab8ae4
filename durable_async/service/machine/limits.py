"""How large things may be. Bytes are those of UTF-8."""

from __future__ import annotations

import json

import attrs

from durable_async.service.errors import InvalidParameterValueError
from durable_async.wire import limits
from durable_async.wire.operations import ErrorObject


@attrs.frozen
class Limits:
    """
    :ivar payload_bytes: of a result, state or input of every operation but the execution itself
    :ivar error_bytes: of an error that a handler records, as JSON; from outside it may have ``payload_bytes``
    :ivar execution_bytes: of an execution's result; ``child_execution_bytes`` if a chained invoke started it
    :ivar page_operations: in one page of the record, the envelope's too
    :ivar page_bytes: likewise; a single operation may be larger
    """

    payload_bytes: int = limits.PAYLOAD_BYTES
    error_bytes: int = limits.ERROR_BYTES
    execution_bytes: int = 6 * 1024 * 1024
    child_execution_bytes: int = 1024 * 1024
    page_operations: int = 1000
    page_bytes: int = 5 * 1024 * 1024


def check_error_size(error: ErrorObject, most_bytes: int) -> None:
    """:raises InvalidParameterValueError: it has more, as JSON"""
    if utf8_size(json.dumps(error, ensure_ascii=False)) > most_bytes:
        raise InvalidParameterValueError(f"Error object size must be less than {most_bytes} bytes.")


def utf8_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
