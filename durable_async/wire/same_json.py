"""Whether two texts are the same JSON value."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any


def is_same_json(text: str, other: str) -> bool:
    """Whether both texts say the same: members of objects in any order, numbers by their value, any white space.

    ``1`` is ``1.0`` and ``10e-1``, but not ``true``. All digits of a number count. Texts that are not JSON, or nested
    too deeply to be read, are the same only if they are equal.
    """
    if text == other:
        return True
    try:
        return _is_same(_read(text), _read(other))
    except (ValueError, RecursionError):
        return False


def _number(digits: str) -> object:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent that no Decimal can have
        return "number", digits


_read = json.JSONDecoder(parse_float=_number).decode


def _is_same(value: Any, other: Any) -> bool:
    kind = _kind(value)
    if kind is not _kind(other):  # of numbers; a bool is none
        return bool not in (kind, _kind(other)) and bool(value == other)
    if kind is dict:
        return value.keys() == other.keys() and all(_is_same(item, other[key]) for key, item in value.items())
    if kind is list:
        return len(value) == len(other) and all(map(_is_same, value, other))
    return bool(value == other)


def _kind(value: object) -> type[object]:
    return type(value)
