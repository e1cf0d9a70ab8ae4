"""Whether two texts are the same JSON value."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, cast


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


def _is_same(value: object, other: object) -> bool:
    if isinstance(value, dict) and isinstance(other, dict):
        members, others = cast("dict[str, Any]", value), cast("dict[str, Any]", other)
        return members.keys() == others.keys() and all(_is_same(item, others[key]) for key, item in members.items())
    if isinstance(value, list) and isinstance(other, list):
        items, counterparts = cast("list[Any]", value), cast("list[Any]", other)
        return len(items) == len(counterparts) and all(map(_is_same, items, counterparts))
    if isinstance(value, bool) or isinstance(other, bool):  # which are ints to Python
        return value is other
    return value == other
