"""Says in a sentence why a tree could not be read, with places and types but without the payload."""

from __future__ import annotations

from typing import Any

from cattrs.errors import StructureHandlerNotFoundError
from cattrs.v import transform_error

from durable_async._excerpts import cut, first_few
from durable_async._raised import text_of
from durable_async.serializers._json.tree import type_name

_SHOWN = 3
_LENGTH = 120  # characters of one reason


def reason(error: Exception) -> str:
    found = transform_error(error, format_exception=_sentence)
    return first_few([*map(_place_first, found)], _SHOWN, separator="; ")


def _sentence(error: BaseException, declared: object) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, StructureHandlerNotFoundError):
        return f"there is no rule to read {type_name(error.type_)}"
    details: Any = getattr(error, "errors", None)
    if callable(details):  # an error of pydantic, whose own text would contain the input
        found: Any = details(include_input=False)
        return cut("; ".join(": ".join(filter(None, (_place(each["loc"]), each["msg"]))) for each in found), _LENGTH)
    return cut(text_of(error), _LENGTH) or f"{type(error).__name__} for {type_name(declared)}"


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))


def _place_first(sentence: str) -> str:
    what, _, place = sentence.rpartition(" @ ")
    return f"{place}: {what}"
