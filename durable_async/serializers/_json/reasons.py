"""Says in a sentence why a tree could not be read, with places and types but without the payload."""

from __future__ import annotations

from typing import Any

from cattrs.errors import StructureHandlerNotFoundError
from cattrs.v import transform_error

from durable_async._raised import text_of
from durable_async.serializers._json.tree import type_name

_SHOWN = 3


def reason(error: Exception) -> str:
    found = transform_error(error, format_exception=_sentence)
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(_place_first(each) for each in found[:_SHOWN]) + more


def _sentence(error: BaseException, declared: object) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, StructureHandlerNotFoundError):
        return f"there is no rule to read {type_name(error.type_)}"
    details: Any = getattr(error, "errors", None)
    if callable(details):  # an error of pydantic, whose own text would contain the input
        found: Any = details(include_input=False)
        return _clipped("; ".join(": ".join(filter(None, (_place(each["loc"]), each["msg"]))) for each in found))
    return _clipped(text_of(error)) or f"{type(error).__name__} for {type_name(declared)}"


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))


def _clipped(text: str, length: int = 120) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _place_first(sentence: str) -> str:
    what, _, place = sentence.rpartition(" @ ")
    return f"{place}: {what}"
