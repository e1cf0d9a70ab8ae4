"""Whether a JSON value fits a JSON Schema, as far as the SDK of this package writes schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from durable_async._wire.text import JsonMembers, JsonObject

_CLASSES: Mapping[str, tuple[type[object], ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def misfit(schema: object, value: Any, path: str = "$") -> str | None:
    """Return what is wrong with ``value``, without quoting it; None: it fits.

    A keyword that is not known is ignored. A boolean passes for a number: workflows in Python read it as one.
    """
    if not isinstance(schema, Mapping):
        return None
    known = cast("JsonMembers", schema)
    if (types := known.get("type")) is not None and not _is_one_of(types, value):
        wanted = types if isinstance(types, str) else " or ".join(map(str, types))
        return f"{path} must be {wanted}, and is {_name(value)}"
    values: Sequence[object] | None = known.get("enum")
    if values is not None and value not in values:
        return f"{path} must be one of {values}"
    choices: Sequence[object] = known.get("anyOf") or ()
    found = [misfit(choice, value, path) for choice in choices]
    if found and None not in found:
        return " and ".join(map(str, found))
    match value:
        case dict():
            return _of_object(known, cast("JsonObject", value), path)
        case [*items]:
            return _of_array(known, items, path)
        case _:
            return None


def _of_object(schema: JsonMembers, value: JsonObject, path: str) -> str | None:
    for name in schema.get("required") or ():
        if name not in value:
            return f"{path}.{name} is missing"
    properties: JsonMembers = schema.get("properties") or {}
    for name, member in value.items():
        if wrong := misfit(properties.get(name, schema.get("additionalProperties")), member, f"{path}.{name}"):
            return wrong
    return None


def _of_array(schema: JsonMembers, value: list[object], path: str) -> str | None:
    fixed: list[object] = schema.get("prefixItems") or []
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if not low <= len(value) <= high:
        return f"{path} must have {low} items, and has {len(value)}"
    for number, item in enumerate(value):
        of_item = fixed[number] if number < len(fixed) else schema.get("items")
        if wrong := misfit(of_item, item, f"{path}[{number}]"):
            return wrong
    return None


def _is_one_of(types: str | Sequence[str], value: object) -> bool:
    names = [types] if isinstance(types, str) else types
    return any(
        isinstance(value, _CLASSES.get(name, object))
        and (name != "integer" or not isinstance(value, float) or value.is_integer())
        for name in names
    )


def _name(value: object) -> str:
    return next(name for name, classes in _CLASSES.items() if name != "integer" and isinstance(value, classes))
