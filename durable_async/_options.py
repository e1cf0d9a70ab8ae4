"""The base class of configurations."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar, cast

import attrs

E = TypeVar("E", bound=StrEnum)


def instance_of(cls: type[object]) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator that accepts instances of ``cls``."""

    def check(_: object, attribute: attrs.Attribute[object], value: object) -> None:
        if not isinstance(value, cls):
            given = f"the class {value.__qualname__}: call it" if isinstance(value, type) else repr(value)
            raise TypeError(f"{attribute.name} must be a {cls.__name__}, not {given}")

    return check


def member(enum: type[E], value: E) -> E:
    """Return the member of ``enum`` that ``value`` is, or is the text of.

    :raises ValueError: there is none
    """
    try:
        return enum(value)
    except ValueError:
        names = " or ".join(f"{enum.__name__}.{each.name}" for each in enum)
        raise ValueError(f"{value!r} is not a {enum.__name__}: write {names}") from None


class Options:
    """Compared, hashed and shown by its values, as any attrs class is.

    attrs would compile these methods for each class of options, which takes nearly as long as the rest of the class,
    and each import pays for it.
    """

    __slots__ = ()

    def _values(self) -> dict[str, Any]:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
        return {field.name: getattr(self, field.name) for field in fields}

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self._values().values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self._values().items())
        return f"{type(self).__name__}({values})"
