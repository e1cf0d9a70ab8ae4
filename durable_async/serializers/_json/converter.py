"""The cattrs converter between values and JSON trees.

cattrs converts types with fields: attrs classes, dataclasses, TypedDicts, also generic ones. This module adds:

- texts for types that JSON does not have, in forms that other languages read: ISO 8601 (a ``timedelta`` is a duration
  such as ``P1DT2H3M4.5S``, ``-PT1S`` or ``PT0S``), base64, decimal digits
- strictness when reading: a string is not read as a list of characters, nor ``"12"`` as an int. A guess would lose data
- when writing, a value that does not fit its declared type stays in the tree, unchanged or as a :class:`Misfit`. The
  check of the tree then reports its path, which cattrs cannot
- containers and unions, each in its own module

Loaded at the first use, because it loads cattrs. Its hooks are made once for each type.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from math import isinf
from pathlib import PurePath
from typing import Any, TypeVar, is_typeddict
from uuid import UUID

from cattrs import Converter

from durable_async.serializers._json.containers import register_containers
from durable_async.serializers._json.hooks import Read, UnexpectedError, Write, misfit
from durable_async.serializers._json.kinds import Model, has_fields, is_model, may_hold_decimal
from durable_async.serializers._json.plain import class_of
from durable_async.serializers._json.tree import SCALARS, LongNumber, encode, is_array, is_object, type_name
from durable_async.serializers._json.unions import register_unions

_PATTERN = re.compile(r"(-?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?")


def format_duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    days = f"{value.days}D" if value.days else ""
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction or not (days or clock):
        clock += f"{seconds}{fraction}S"
    return f"{sign}P{days}{'T' if clock else ''}{clock}"


def parse_duration(text: str) -> timedelta:
    """Return the duration that ``text`` describes.

    :raises ValueError: it is not a duration, or is in months or years, whose length varies
    """
    match = _PATTERN.fullmatch(text)
    if match is None or text[-1] in "PT":
        raise ValueError("not an ISO 8601 duration in weeks, days, hours, minutes and seconds")
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in match.groups()[1:6])
    microseconds = int((match[7] or "").ljust(6, "0"))
    value = timedelta(days, seconds, microseconds, 0, minutes, hours, weeks)
    return -value if match[1] else value


def make_converter() -> Converter:
    converter = Converter()
    _register_scalars(converter)
    _register_texts(converter)
    _register_classes(converter)
    _register_enums(converter)
    register_containers(converter)
    register_unions(converter)
    return converter


# --- null, booleans, numbers, strings ---


def _register_scalars(converter: Converter) -> None:
    for cls, read in ((bool, _read_scalar), (str, _read_scalar), (int, _read_int), (float, _read_float)):
        converter.register_structure_hook(cls, read)
    converter.register_structure_hook_func(_is_none, _read_none)
    converter.register_structure_hook_func(_is_anything, lambda tree, _: tree)
    converter.register_unstructure_hook_func(
        _is_anything, lambda value: value if type(value) is object else converter.unstructure(value)
    )


_ACCEPTED: dict[object, type | tuple[type, ...]] = {bool: bool, str: str, int: int, float: (float, bool)}


def _read_scalar(tree: object, declared: Any) -> Any:
    accepted = _ACCEPTED.get(declared)
    if accepted is None:  # a subclass, such as a StrEnum
        return declared(tree)
    if not isinstance(tree, accepted):
        raise UnexpectedError(declared, tree)
    return tree


def _read_int(tree: object, declared: object) -> object:
    if isinstance(tree, float) and tree.is_integer():  # a language with only one kind of number may write it like this
        tree = int(Decimal(tree.digits) if isinstance(tree, LongNumber) else tree)
    return _read_scalar(tree, declared)


def _read_float(tree: Any, declared: object) -> object:
    if type(tree) in (int, LongNumber):
        tree = float(tree)
    number = _read_scalar(tree, declared)
    if isinf(number):
        raise ValueError("a number that a float cannot hold")
    return number


def _is_none(declared: object) -> bool:
    return declared is None or declared is type(None)


def _read_none(tree: object, declared: object) -> None:
    if tree is not None:
        raise UnexpectedError(declared, tree)


def _is_anything(declared: object) -> bool:
    return declared is object or isinstance(declared, TypeVar)


# --- types that JSON does not have, as texts ---


def _register_texts(converter: Converter) -> None:
    def register(cls: type, write: Callable[[Any], str], read: Callable[[Any, str], object]) -> None:
        def write_text(value: object) -> object:
            fits = isinstance(value, cls) and not (cls is date and isinstance(value, datetime))
            return write(value) if fits else misfit(converter, value, cls)

        def read_text(tree: object, declared: object) -> object:
            if not isinstance(tree, str):
                raise UnexpectedError(declared, tree)
            return read(declared, tree)

        converter.register_unstructure_hook(cls, write_text)
        converter.register_structure_hook(cls, read_text)

    for moment in (date, datetime, time):
        register(moment, lambda value: value.isoformat(), lambda cls, text: cls.fromisoformat(text))
    register(timedelta, format_duration, lambda _, text: parse_duration(text))
    register(UUID, str, lambda cls, text: cls(text))
    register(PurePath, str, lambda cls, text: cls(text))
    for binary in (bytes, bytearray):
        register(binary, _base64, lambda cls, text: cls(base64.b64decode(text, validate=True)))
    register(Decimal, str, _decimal)
    converter.register_structure_hook(Decimal, _read_decimal)


def _base64(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _read_decimal(tree: object, declared: type[Decimal]) -> Decimal:
    """Read digits, or a number, which another language may have written."""
    if type(tree) not in (str, int, float, LongNumber):
        raise UnexpectedError(declared, tree)
    return _decimal(declared, tree.digits if isinstance(tree, LongNumber) else str(tree))


def _decimal(cls: type[Decimal], text: str) -> Decimal:
    try:
        return cls(text)
    except InvalidOperation:
        raise ValueError("not a decimal number") from None


# --- types with fields ---


def _register_classes(converter: Converter) -> None:
    def write_fields(declared: Any) -> Write:
        return _exact(converter, declared, converter.gen_unstructure_attrs_fromdict(declared))

    def read_fields(declared: Any) -> Read:
        parameters = getattr(declared, "__parameters__", ())
        known = declared[(Any,) * len(parameters)] if parameters else declared
        return _from_object(declared, converter.gen_structure_attrs_fromdict(known))

    def write_typeddict(declared: Any) -> Write:
        write: Write = _untyped(converter).gen_unstructure_typeddict(declared)
        return lambda value: write(value) if is_object(value) else misfit(converter, value, declared)

    def read_typeddict(declared: Any) -> Read:
        read: Read = _untyped(converter).gen_structure_typeddict(declared)
        return _from_object(declared, read)

    def write_model(declared: object) -> Write:
        return _exact(converter, declared, _dump_model)

    converter.register_unstructure_hook_factory(has_fields, write_fields)
    converter.register_structure_hook_factory(has_fields, read_fields)
    converter.register_unstructure_hook_factory(is_typeddict, write_typeddict)
    converter.register_structure_hook_factory(is_typeddict, read_typeddict)
    converter.register_unstructure_hook_factory(is_model, write_model)
    converter.register_structure_hook_func(is_model, _read_model)


def _untyped(converter: Converter) -> Any:
    """Return the converter without its type: its functions for TypedDicts are only partly annotated."""
    return converter


def _exact(converter: Converter, declared: object, write: Write) -> Write:
    """Refuse subclasses, whose own fields would be lost silently."""
    cls = class_of(declared)
    return lambda value: write(value) if type(value) is cls else misfit(converter, value, declared)


def _from_object(declared: object, read: Read) -> Read:
    def read_object(tree: object, _: object) -> object:
        if not is_object(tree):
            raise UnexpectedError(declared, tree)
        return read(tree, declared)

    return read_object


def _dump_model(model: Model) -> object:
    return model.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)  # it is compared anyway


def _read_model(tree: object, cls: type[Model]) -> object:
    """Read a pydantic model from JSON text, because pydantic reads Python values by other rules."""
    return cls.model_validate_json(encode(_with_digits(tree) if may_hold_decimal(cls) else tree))


def _with_digits(tree: object) -> object:
    """Replace numbers that a float cannot hold by text, which pydantic can read as a Decimal."""
    if isinstance(tree, LongNumber):
        return tree.digits
    if is_array(tree):
        return [_with_digits(item) for item in tree]
    return {key: _with_digits(item) for key, item in tree.items()} if is_object(tree) else tree


# --- enums: cattrs reads those whose values JSON has ---


def _register_enums(converter: Converter) -> None:
    def write_enum(declared: object) -> Write:
        return lambda member: (
            converter.unstructure(member.value) if isinstance(member, Enum) else misfit(converter, member, declared)
        )

    def read_enum(declared: Any) -> Read:
        members = {encode(converter.unstructure(member.value)): member for member in declared}

        def read(tree: object, _: object) -> object:
            member = members.get(encode(tree))
            if member is None:
                raise ValueError(f"not a value of {type_name(declared)}")
            return member

        return read

    converter.register_unstructure_hook_factory(_is_enum, write_enum)
    converter.register_structure_hook_factory(_is_rich_enum, read_enum)


def _is_enum(declared: object) -> bool:
    return isinstance(declared, type) and issubclass(declared, Enum)


def _is_rich_enum(declared: Any) -> bool:
    return _is_enum(declared) and any(type(member.value) not in SCALARS for member in declared)
