"""Names and modules that are imported when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType


def names_from(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], Sequence[str]]]:
    """Return a ``__getattr__`` for ``package`` that imports names at their first use, and its ``__dir__``.

    :param modules: by name, the module in the package that has it
    """

    def find(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    def names() -> Sequence[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return find, names


class LazyModule(ModuleType):
    """A module that is imported when it is first asked for a name.

    For annotations: ``typing.get_type_hints`` finds the names, which it would not if only type checkers imported them.
    """

    def __getattr__(self, name: str) -> object:
        return getattr(import_module(self.__name__), name)
