"""JSON as trees of plain Python values, and as text.

A tree is made of None, bool, int, float, str, list and dict with str keys. The text has the separators of
:func:`json.dumps`. It is ASCII, because it becomes JSON within JSON on the wire, and because every str can be written
like this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeAlias, TypeGuard, Union, cast, get_args, get_origin

from durable_async._excerpts import cut
from durable_async._wire.text import JsonObject

Kinds: TypeAlias = frozenset[type[object]]

SCALARS: Kinds = frozenset((type(None), bool, int, float, str))

_KINDS: dict[type[object], str] = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class Misfit:
    """Replaces a value that cannot be written as its declared type.

    :ivar found: the name of the value's class
    """

    def __init__(self, found: str, declared: object) -> None:
        self.found = found
        self.declared = declared

    def __str__(self) -> str:
        declared = type_name(self.declared)
        return f"a {self.found} where {declared} is declared cannot be stored: it would be read back as another value"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class LongNumber(float):
    """A JSON number with more digits than a float can hold. Only types that hold a ``Decimal`` can be read from it."""

    digits: str


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{clipped(digits)} is a number that a float cannot hold. Read it as a Decimal")
    return number


def _exact(digits: str) -> float:
    number = float(digits)
    if repr(number) == digits or _holds_all(number, digits):
        return number
    long = LongNumber(number)
    long.digits = digits
    return long


def _holds_all(number: float, digits: str) -> bool:
    from decimal import Decimal, InvalidOperation  # not at import time, because few programs read such numbers

    try:
        return Decimal(repr(number)) == Decimal(digits)
    except InvalidOperation:  # even a Decimal cannot have this exponent
        return False


encode: Callable[[object], str] = json.JSONEncoder(
    allow_nan=False, check_circular=False
).encode  # a cycle raises RecursionError


def _decoding(parse_float: Callable[[str], object] | None = None) -> Callable[[str], object]:
    """Return a function that reads a JSON text.

    :param parse_float: converts the digits of a number with a fraction or exponent; None: to a float
    """
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=parse_float)
    decode_all, decode_first = decoder.decode, decoder.raw_decode

    def decode(text: str) -> object:
        """Return the tree of a JSON text.

        :raises ValueError: the text is not JSON
        """
        try:
            tree, end = decode_first(text)  # takes half of the time, and works for text without spaces around it
        except json.JSONDecodeError:
            return decode_all(text)
        return tree if end == len(text) else decode_all(text)

    return decode


decode: Callable[[str], Any] = _decoding()  # text that encode wrote
decode_finite: Callable[[str], object] = _decoding(_finite)
decode_exact: Callable[[str], object] = _decoding(_exact)


def kind_of(tree: object) -> type[object]:
    return float if type(tree) is LongNumber else type(tree)


def class_name(value: object) -> str:
    return type(value).__qualname__


def is_object(tree: object) -> TypeGuard[JsonObject]:
    return isinstance(tree, dict)


def is_array(tree: object) -> TypeGuard[list[Any]]:
    return isinstance(tree, list)


def is_plain(value: object) -> bool:
    """Return whether the value is already a tree of exactly these types, which needs no conversion."""
    kind: type[object] = type(value)
    if kind in SCALARS:
        return True
    if kind is list:
        for item in cast("list[object]", value):  # noqa: SIM110 - loops, for all(...) takes twice the time and the stack
            if type(item) not in SCALARS and not is_plain(item):
                return False
        return True
    if kind is dict:
        for key, item in cast("dict[object, object]", value).items():
            if type(key) is not str or (type(item) not in SCALARS and not is_plain(item)):
                return False
        return True
    return False


def flaw(tree: object, path: str = "$") -> str | None:
    """Return why a tree cannot be written as JSON and read again, as ``path: reason``; None: it can."""
    if tree is None or isinstance(tree, (str, int)):
        return None
    if isinstance(tree, float):
        return None if math.isfinite(tree) else f"{path}: {tree!r} is a float that JSON does not have"
    if is_array(tree):
        return next((found for i, item in enumerate(tree) if (found := flaw(item, f"{path}[{i}]"))), None)
    if isinstance(tree, dict):
        for key, item in cast("dict[object, object]", tree).items():
            if isinstance(key, Misfit):
                return f"{path}: a key of type {key.found} would not come back from text as {type_name(key.declared)}"
            if not isinstance(key, str):
                return (
                    f"{path}: a key is of type {class_name(key)} and would come back as a str. Declare the "
                    "type, such as dict[int, str], or use keys of type str"
                )
            if found := flaw(item, f"{path}{member_path(key)}"):
                return found
        return None
    if isinstance(tree, Misfit):
        return f"{path}: {tree}"
    message = f"{path}: JSON cannot hold a value of class {class_name(tree)}"
    return f"{message}. Write 'await' before it" if isinstance(tree, Awaitable) else message


def kind_name(tree: object) -> str:
    """Return the kind of a tree, in JSON's words."""
    kind: type[object] = type(tree)
    return _KINDS.get(kind, kind.__qualname__)


def type_name(declared: object) -> str:
    """Return a type as its user writes it, the members of a union sorted and None last.

    ``A | B`` equals ``B | A``, so a cache may give either of the two for the other.
    """
    if get_origin(declared) in (Union, UnionType):
        members = sorted(get_args(declared), key=lambda each: (each is NoneType, type_name(each)))
        return " | ".join("None" if each is NoneType else type_name(each) for each in members)
    return declared.__qualname__ if isinstance(declared, type) and not hasattr(declared, "__args__") else str(declared)


def member_path(key: object) -> str:
    """Return a member of an object in the notation of paths."""
    return f".{key}" if isinstance(key, str) and key.isidentifier() and len(key) <= 60 else f"[{clipped(key)}]"


def clipped(value: object, length: int = 60) -> str:
    """Return a value's ``repr``, cut for an error message."""
    return cut(repr(value), length)
