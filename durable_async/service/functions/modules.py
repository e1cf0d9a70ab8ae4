"""Imports the modules of functions, by the names or paths that a user gives."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

_STANDARD_LIBRARY = {str(Path(os.__file__).parent), str(Path(os.__file__).parent / "lib-dynload")}


def load_module(place: str) -> ModuleType:
    """Import the module at ``place``, once per process.

    A file is loaded even if another module has its name, such as ``queue.py``. It is then in ``sys.modules`` under a
    special name, so that pickling and ``get_type_hints`` find it there.

    :param place: the name of a module, which is searched in the current directory and on the import path; or the path
        of a file that ends in ``.py``
    :raises ModuleNotFoundError: there is no such module or file; ``error.name`` is ``place``, or a package in it
    :raises Exception: the module's own code raised it
    """
    if not place.endswith(".py"):
        if not all(place.split(".")):
            raise ModuleNotFoundError(f"{place!r} is not the name of a module", name=place)
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
    """Return whether ``import stem`` imports another module than ``file``."""
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
    """Add ``directory`` to the import path, behind the standard library: a ``calendar.py`` in it would otherwise break
    code that uses the real one.

    :param last: True: add it at the end, because a file in it has the name of an installed module, which other code
        must still get. False: add it before the installed modules
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
