"""The types and functions that the converter's hooks have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from cattrs import Converter

from durable_async.serializers._json.tree import SCALARS, Misfit, class_name, is_array, is_object, kind_name, type_name

Read: TypeAlias = Callable[[Any, Any], object]
"""``read(tree, declared)`` returns the value."""
Write: TypeAlias = Callable[[Any], object]
"""``write(value)`` returns the tree."""


class UnexpectedError(ValueError):
    """A tree does not fit a type. The message contains no values."""

    def __init__(self, declared: object, tree: object) -> None:
        super().__init__(f"expected {type_name(declared)}, found {kind_name(tree)}")


def misfit(converter: Converter, value: object, declared: object) -> object:
    """Return what to write for a value that is not of the declared type.

    Plain JSON is allowed for every type, because types are read from it. Anything else is refused.
    """
    if type(value) in SCALARS or is_array(value) or is_object(value):
        return converter.unstructure(value)
    return Misfit(class_name(value), declared)
