"""Importing the modules that functions are in, named as a user names them."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

_STANDARD_LIBRARY = {str(Path(os.__file__).parent), str(Path(os.__file__).parent / "lib-dynload")}


def load_module(place: str) -> ModuleType:
    """The module at ``place``, imported once per process.

    A file is loaded as that file, also when it has the name of another module, such as ``queue.py``. It is then in
    ``sys.modules`` under a name of its own, so that pickling and ``get_type_hints`` find it there.

    :param place: the name of a module, looked for in the current directory and on the import path; or the path of a
        file that ends in ``.py``
    :raises ModuleNotFoundError: there is no such module or file; its ``name`` is ``place``, or a package in it
    :raises Exception: whatever the module's own code raises
    """
    if not place.endswith(".py"):
        if place not in sys.modules:
            _make_importable(Path.cwd(), last=False)
        return import_module(place)
    file = Path(place).resolve()
    if not file.is_file():
        raise ModuleNotFoundError(f"There is no file {file}", name=place)
    stem = file.stem.replace(".", "_")
    shadows = _means_another(stem, file)
    _make_importable(file.parent, last=shadows)
    name = f"{stem}_py" if shadows else stem
    while _is_taken(name, file):
        name += "_"
    return sys.modules.get(name) or _execute(name, file)


def _means_another(stem: str, file: Path) -> bool:
    """Whether ``import stem`` is how other code gets a module that is not ``file``."""
    if stem in sys.stdlib_module_names or _is_taken(stem, file):
        return True
    found = None if stem in sys.modules else importlib.util.find_spec(stem)
    return found is not None and not _is(found.origin, file)


def _is_taken(name: str, file: Path) -> bool:
    loaded = sys.modules.get(name)
    return loaded is not None and not _is(getattr(loaded, "__file__", None), file)


def _is(origin: str | None, file: Path) -> bool:
    return origin is not None and Path(origin).resolve() == file


def _make_importable(directory: Path, *, last: bool) -> None:
    """Let modules be imported from ``directory``.

    The standard library stays before it: a ``calendar.py`` there would otherwise break whatever uses the real one.

    :param last: a file there is named like an installed module, and must not take its place for other code
    """
    if str(directory) not in sys.path:
        own = [at for at, entry in enumerate(sys.path) if entry in _STANDARD_LIBRARY]
        sys.path.insert(len(sys.path) if last else max(own, default=-1) + 1, str(directory))


def _execute(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
