"""Builds the JSON Schema of a type, with which an answer is checked before it is recorded.

The schema accepts everything that can be written for a value of the type. It may also accept more than the type can be
read from: for example, it does not check that a text is a date, or the validators of a pydantic model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from enum import Enum, Flag
from types import NoneType
from typing import Any, Literal, cast, get_args, get_type_hints, is_typeddict

import attrs

from durable_async._wire.text import JsonObject
from durable_async.serializers._json.kinds import (
    has_fields,
    is_array,
    is_mapping,
    is_model,
    is_namedtuple,
    kinds,
)
from durable_async.serializers._json.plain import bare, class_of, is_union
from durable_async.serializers._json.tree import SCALARS

Schema = JsonObject

_TYPES: dict[type[object], str] = {
    NoneType: "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def schema_of(declared: object) -> Schema:
    """Return the schema; it is empty if every value fits."""
    return _schema(declared, frozenset())


def _schema(declared: object, around: frozenset[object]) -> Schema:
    """Return the schema of a type inside others.

    :param around: the classes that contain this type. A class that contains itself is not checked further
    """
    declared = NoneType if declared is None else bare(declared)
    cls = class_of(declared)
    if is_union(declared):
        return _choice(declared, around)
    if cls is Literal:
        return _values(get_args(declared))
    if not isinstance(cls, type) or cls in around:
        return {}
    return _of_class(declared, cast("type[object]", cls), around)


def _of_class(declared: object, cls: type[object], around: frozenset[object]) -> Schema:
    if issubclass(cls, Enum) and not issubclass(cls, Flag) and "_missing_" not in vars(cls):
        return _values(member.value for member in cls)
    inner = around | {cls}
    if is_model(cls):
        from durable_async.serializers._json.model_schema import schema_of_model  # for those who use pydantic

        return schema_of_model(cls)
    if has_fields(cls) or is_typeddict(cls):
        return _of_fields(cls, inner)
    if is_mapping(declared):
        arguments = get_args(declared)
        value = _schema(arguments[1], around) if len(arguments) == 2 else {}
        return {"type": "object", **({"additionalProperties": value} if value else {})}
    if is_array(declared):
        return _of_array(declared, cls, around)
    return _of_kinds(declared)


def _of_kinds(declared: object) -> Schema:
    from decimal import Decimal

    cls = class_of(declared)
    if isinstance(cls, type) and issubclass(cls, Decimal):
        return {"type": ["string", "number"]}
    found = sorted(_TYPES[kind] for kind in kinds(declared))
    if len(found) == len(_TYPES):
        return {}
    return {"type": found[0] if len(found) == 1 else found}


def _choice(declared: object, around: frozenset[object]) -> Schema:
    members = [_schema(member, around) for member in get_args(declared)]
    if any(not member for member in members):
        return {}
    taken = [kind for member in get_args(declared) for kind in kinds(member)]
    if len(taken) > len(set(taken)):  # a value that could be read as another member is written with the member's name
        members.append({"type": "object", "required": ["$type", "$value"]})
    return {"anyOf": members}


def _values(values: Iterable[object]) -> Schema:
    known = [*values]
    return {"enum": known} if all(type(value) in SCALARS for value in known) else {}


def _of_fields(cls: type[Any], around: frozenset[object]) -> Schema:
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError:  # imported for type checkers only
        return {"type": "object"}
    if is_typeddict(cls):
        required = [name for name in hints if name in cast("Any", cls).__required_keys__]
        names = [*hints]
    elif attrs.has(cls):
        fields = [field for field in attrs.fields(cls) if field.init]
        names = [field.name for field in fields]
        required = [field.name for field in fields if field.default is attrs.NOTHING]
    else:
        parts = [field for field in dataclasses.fields(cls) if field.init]
        missing = dataclasses.MISSING
        names = [field.name for field in parts]
        required = [field.name for field in parts if field.default is missing and field.default_factory is missing]
    properties = {name: _schema(hints.get(name, Any), around) for name in names}
    return _object(properties, required)


def _object(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": {**properties}, **({"required": required} if required else {})}


def _of_array(declared: object, cls: type[object], around: frozenset[object]) -> Schema:
    if is_namedtuple(declared):
        return {"type": "array"}
    arguments = get_args(declared)
    if not arguments:
        return {"type": "array"}
    if issubclass(cls, tuple) and arguments[-1] is not ...:
        items = [_schema(each, around) for each in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    each = _schema(arguments[0], around)
    return {"type": "array", **({"items": each} if each else {})}
