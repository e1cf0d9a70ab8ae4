"""The base class of configurations."""

from __future__ import annotations

from typing import Any, cast

import attrs


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
