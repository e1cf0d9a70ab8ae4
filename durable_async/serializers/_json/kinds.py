"""Finds out how values of a type look in JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import (
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeGuard,
    get_args,
    get_type_hints,
    is_typeddict,
)
from uuid import UUID

import attrs

from durable_async.serializers._json.plain import bare, class_of, is_union
from durable_async.serializers._json.tree import SCALARS, Kinds, kind_of

_TEXTS = (datetime, date, time, timedelta, Decimal, UUID, PurePath, bytes, bytearray)
_ANYTHING: Kinds = SCALARS | {list, dict}
_NONE: Kinds = frozenset((type(None),))
_OBJECT: Kinds = frozenset((dict,))
_ARRAY: Kinds = frozenset((list,))
_TEXT: Kinds = frozenset((str,))


def kinds(declared: object) -> Kinds:
    """Return the classes of the trees that values of this type are written as."""
    declared = bare(declared)
    if declared is None:
        return _NONE
    if is_union(declared):
        return _any_of(get_args(declared))
    cls = class_of(declared)
    if cls is Literal:
        return _any_of(kind_of(value) for value in get_args(declared))
    return _class_kinds(cls) if isinstance(cls, type) else _ANYTHING


def _any_of(declared: Iterable[object]) -> Kinds:
    return frozenset[type[object]]().union(*map(kinds, declared))


def _class_kinds(cls: type[object]) -> Kinds:
    if issubclass(cls, Enum):
        return _any_of(kind_of(member.value) for member in cls)
    if is_model(cls):
        return kinds(cls.model_fields["root"].annotation) if is_root_model(cls) else _OBJECT
    if has_fields(cls) or is_typeddict(cls) or issubclass(cls, Mapping):
        return _OBJECT
    if issubclass(cls, _TEXTS):
        return _TEXT
    for scalar in (bool, int, float, str, type(None)):
        if issubclass(cls, scalar):
            return frozenset((scalar,))
    return _ARRAY if issubclass(cls, Collection) or cls is Iterable else _ANYTHING


def may_hold_decimal(declared: object) -> bool:
    """Return whether values of this type may contain a ``Decimal``, so that all digits of a number matter."""
    try:
        return _may_hold_decimal(declared)
    except TypeError:  # not hashable, such as Annotated[int, []]
        return True


@cache
def _may_hold_decimal(declared: object) -> bool:
    return _mentions_decimal(declared, set())


def _mentions_decimal(declared: object, seen: set[object]) -> bool:
    declared = bare(declared)
    if declared in seen:
        return False
    seen.add(declared)
    cls = class_of(declared)
    inner = [*get_args(declared)]
    if isinstance(cls, type):
        if issubclass(cls, Decimal):
            return True
        try:
            inner += _field_types(cls)
        except NameError:  # imported for type checkers only
            return True
    return cls is not Literal and any(_mentions_decimal(each, seen) for each in inner)


def _field_types(cls: Any) -> Iterable[object]:
    if is_model(cls):
        return [field.annotation for field in cls.model_fields.values()]
    if has_fields(cls) or is_typeddict(cls) or is_namedtuple(cls):
        return get_type_hints(cls, include_extras=True).values()
    return ()


def has_fields(declared: object) -> bool:
    """Return whether a type is an attrs class or a dataclass, with or without type arguments."""
    cls = class_of(declared)
    return isinstance(cls, type) and (attrs.has(cls) or is_dataclass(cls))


class ModelField(Protocol):
    """What is used of the description of a pydantic field."""

    annotation: object
    exclude: bool | None
    alias: str | None
    validation_alias: object
    metadata: list[object]

    def is_required(self) -> bool: ...


class ModelDecorators(Protocol):
    """What is used of the decorated methods of a pydantic model."""

    model_validators: Mapping[str, Any]
    field_validators: Mapping[str, Any]
    validators: Mapping[str, Any]


class Model(Protocol):
    """What is used of a pydantic model."""

    model_config: ClassVar[Mapping[str, object]]
    model_fields: ClassVar[Mapping[str, ModelField]]
    __pydantic_decorators__: ClassVar[ModelDecorators]
    __pydantic_private__: Mapping[str, object] | None
    __pydantic_extra__: Mapping[str, object] | None

    def model_dump(self, *, mode: str, by_alias: bool, round_trip: bool, warnings: bool) -> object: ...
    @classmethod
    def model_validate_json(cls, json_data: str) -> Self: ...


def is_model(declared: object) -> TypeGuard[type[Model]]:
    """Return whether a type is a pydantic model. It is recognized by its methods, so pydantic need not be installed."""
    return isinstance(declared, type) and hasattr(declared, "model_validate_json") and hasattr(declared, "model_dump")


def is_root_model(cls: type[Model]) -> bool:
    """Return whether a model is written as its only field, ``root``."""
    return getattr(cls, "__pydantic_root_model__", False)


def is_namedtuple(declared: object) -> bool:
    return isinstance(declared, type) and _is_a(declared, tuple) and hasattr(declared, "_fields")


def is_array(declared: object) -> bool:
    cls = class_of(declared)
    return isinstance(cls, type) and not _is_a(cls, Enum) and not is_model(cls) and kinds(declared) == _ARRAY


def is_mapping(declared: object) -> bool:
    cls = class_of(declared)
    return isinstance(cls, type) and _is_a(cls, Mapping) and not is_typeddict(cls)


def _is_a(cls: type[object], base: type[object]) -> bool:
    return issubclass(cls, base)
