"""JSON on the wire: the types of objects, the sizes of texts, and whether two texts are the same JSON value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, TypeAlias

from durable_async._wire.operations import OperationUpdate

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object. Its members are not checked by a type checker, so read them only where their form is known."""

JsonMembers: TypeAlias = Mapping[str, Any]
"""A JSON object that is only read."""

_FRAME = 400  # bytes of an update besides its name, payload and error: member names, two ids, options


def wire_size(update: OperationUpdate) -> int:
    """Return an upper bound for the bytes of an update in a checkpoint request.

    A payload is JSON within JSON: its quotes are escaped, and a character outside ASCII takes six bytes or more.
    """
    size = _FRAME + 2 * len(update.get("Name", ""))
    payload = update.get("Payload")
    if payload is not None:
        size += len(encode_basestring_ascii(payload))
    error = update.get("Error")
    if error is not None:
        size += sum(
            len(encode_basestring_ascii(text))
            for text in (
                error.get("ErrorType", ""),
                error.get("ErrorMessage", ""),
                error.get("ErrorData", ""),
                *error.get("StackTrace", ()),
            )
        )
    return size


def utf8(text: str) -> bytes:
    """Return any ``str`` as bytes. A lone surrogate, which UTF-8 does not allow, becomes three bytes."""
    return text.encode("utf-8", "surrogatepass")


def from_utf8(data: bytes) -> str:
    """Return the text whose :func:`utf8` is ``data``.

    :raises UnicodeDecodeError: there is no such text
    """
    return data.decode("utf-8", "surrogatepass")


def utf8_size(text: str) -> int:
    """Return the number of bytes of ``utf8(text)``."""
    return len(text) if text.isascii() else len(utf8(text))


def is_same_json(text: str, other: str) -> bool:
    """Return whether both texts are the same JSON value, whatever the order of members, number formats and spacing.

    ``1`` equals ``1.0`` and ``10e-1``, but not ``true``. All digits of a number count. Texts that are not JSON, or
    nested too deeply to be read, are the same only if they are equal.
    """
    if text == other:
        return True
    try:
        return _is_same(_read(text), _read(other))
    except (ValueError, RecursionError):
        return False


def _number(digits: str) -> object:
    from decimal import Decimal, InvalidOperation  # not on import: only the service compares texts

    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent that no Decimal can have
        return "number", digits


_read = json.JSONDecoder(parse_float=_number).decode


def _is_same(value: Any, other: Any) -> bool:
    kind = _kind(value)
    if kind is not _kind(other):  # equal numbers may be of two kinds; a bool is not a number
        return bool not in (kind, _kind(other)) and bool(value == other)
    if kind is dict:
        return value.keys() == other.keys() and all(_is_same(item, other[key]) for key, item in value.items())
    if kind is list:
        return len(value) == len(other) and all(map(_is_same, value, other))
    return bool(value == other)


def _kind(value: object) -> type[object]:
    return type(value)
