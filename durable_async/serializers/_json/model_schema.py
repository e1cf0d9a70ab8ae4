"""The JSON Schema of a pydantic model.

pydantic reads an answer itself, and by its own rules: it takes the text ``"3"`` for the number 3, and a validator may
take anything. So this schema is wider than that of a dataclass, and empty wherever it is not certain that pydantic
refuses what the schema refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin
from uuid import UUID

from durable_async._wire.text import JsonObject
from durable_async.serializers._json.kinds import Model, is_model, is_root_model
from durable_async.serializers._json.plain import class_of, is_union

_NUMBERS: JsonObject = {"type": ["number", "string", "boolean"]}
_LENIENT: Mapping[object, JsonObject] = {
    NoneType: {"type": "null"},
    str: {"type": "string"},
    bool: _NUMBERS,
    int: _NUMBERS,
    float: _NUMBERS,
    Decimal: _NUMBERS,
    datetime: _NUMBERS,
    date: _NUMBERS,
    time: _NUMBERS,
    timedelta: _NUMBERS,
    UUID: {"type": "string"},
    list: {"type": "array"},
    dict: {"type": "object"},
}


def schema_of_model(cls: type[Model], around: frozenset[object] = frozenset()) -> JsonObject:
    """Return the schema; it is empty if nothing is known.

    :param around: the models that contain this one. A model that contains itself is not checked further
    """
    decorators = cls.__pydantic_decorators__
    if cls in around or _has_own_schema(cls) or _read_before(decorators.model_validators):
        return {}
    inner = around | {cls}
    early = [*_read_before(decorators.field_validators), *_read_before(decorators.validators)]
    validated = {name for each in early for name in each.info.fields}
    converts_numbers = bool(cls.model_config.get("coerce_numbers_to_str"))

    def of_field(name: str) -> JsonObject:
        field = cls.model_fields[name]
        if validated & {name, "*"} or not _only_restrict(field.metadata):
            return {}
        return _of(field.annotation, inner, converts_numbers=converts_numbers)

    if is_root_model(cls):
        return of_field("root")
    fields = {name: field for name, field in cls.model_fields.items() if not (field.alias or field.validation_alias)}
    required = [name for name, field in fields.items() if field.is_required()]
    return {
        "type": "object",
        "properties": {name: of_field(name) for name in fields},
        **({"required": required} if required else {}),
    }


def _of(declared: object, around: frozenset[object], *, converts_numbers: bool) -> JsonObject:
    if get_origin(declared) is Annotated:
        declared, *metadata = get_args(declared)
        if not _only_restrict(metadata):
            return {}
    cls = class_of(declared)
    arguments = get_args(declared)
    if is_union(declared):
        members = [_of(member, around, converts_numbers=converts_numbers) for member in arguments]
        return {"anyOf": members} if all(members) else {}
    if cls is Literal:
        return _texts(arguments)
    if isinstance(cls, type) and issubclass(cls, Enum):
        return {} if "_missing_" in vars(cls) else _texts(member.value for member in cls)
    if is_model(declared):
        return schema_of_model(declared, around)
    if cls is str and converts_numbers:
        return _NUMBERS
    schema = _LENIENT.get(cast("object", cls), {}) if isinstance(cls, type) else {}
    inner = _of(arguments[-1], around, converts_numbers=converts_numbers) if arguments else {}
    if not inner or cls not in (list, dict):
        return schema
    return {**schema, ("items" if cls is list else "additionalProperties"): inner}


def _texts(values: Iterable[object]) -> JsonObject:
    """Return the schema of some values, if all are text: of others, pydantic reads ``True`` as 1, for example."""
    known = [*values]
    return {"enum": known} if all(type(value) is str for value in known) else {}


def _only_restrict(metadata: Iterable[object]) -> bool:
    """Return whether metadata of a field, such as ``Gt(0)``, lets pydantic read nothing that the type does not say."""
    return all(type(each).__module__ == "annotated_types" for each in metadata)


def _read_before(validators: Mapping[str, Any]) -> list[Any]:
    """Return the validators that get what was sent, and may read whatever they like."""
    return [each for each in validators.values() if each.info.mode != "after"]


def _has_own_schema(cls: type[object]) -> bool:
    return any(
        "__get_pydantic_core_schema__" in vars(each)
        for each in cls.__mro__
        if each.__module__.partition(".")[0] != "pydantic"
    )
