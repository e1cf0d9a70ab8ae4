"""Watches a workflow's own code for calls that may answer differently when it is run again.

A profile hook sees each call. What happens in the body of a step is fine, and so is what the SDK does for itself; what
the workflow's code calls, directly or through functions of its own or of libraries, is reported with file and line.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import inspect
import os
import random
import sys
import sysconfig
from collections.abc import Collection, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType

import attrs

from durable_async._engine.branches import Branch
from durable_async._engine.calling import current
from durable_async.testing.report import place_in_code

_PACKAGE = str(Path(__file__).parents[1])
_STDLIB = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "<frozen")
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
"""Parts of the paths of installed libraries. A venv can use those of another one, or of the system."""
_HARMLESS = (str(Path(sysconfig.get_path("stdlib")) / "logging"), "<frozen importlib")
"""Code that reads a clock or a file and gives nothing of it to the workflow."""

_BUILTINS = {
    ("time", "time"): "the clock",
    ("time", "time_ns"): "the clock",
    ("time", "monotonic"): "the clock",
    ("time", "monotonic_ns"): "the clock",
    ("time", "perf_counter"): "the clock",
    ("time", "perf_counter_ns"): "the clock",
    ("time", "localtime"): "the clock",
    ("time", "gmtime"): "the clock",
    ("time", "sleep"): "a sleep",
    ("posix", "urandom"): "randomness",
    ("nt", "urandom"): "randomness",
    ("io", "open"): "a file",
    ("_io", "open"): "a file",
    ("posix", "listdir"): "a file",
    ("posix", "scandir"): "a file",
    ("posix", "remove"): "a file",
    ("posix", "unlink"): "a file",
    ("posix", "rename"): "a file",
    ("posix", "mkdir"): "a file",
}
_MEANING = {
    "the clock": ("reads the clock", "use ctx.now(), or read it in a step"),
    "randomness": ("draws a random value", "use ctx.random() or ctx.uuid(), or draw it in a step"),
    "the environment": ("reads the environment", "read it in a step"),
    "a file": ("uses a file", "do it in a step"),
    "a connection": ("uses a connection", "do it in a step"),
    "a process": ("starts a process", "do it in a step"),
    "a sleep": ("sleeps", "use ctx.wait"),
}
"""By what a call does: how a message says it, and what to do instead."""


@attrs.frozen
class Call:
    """A call in the workflow's own code.

    :ivar what: ``"the clock"``, ``"randomness"`` ...
    :ivar called: for example ``"datetime.now"``
    :ivar library: the module of a library that made the call; None: the user's own code did, directly or through the
        standard library
    :ivar places: file, line and function, from the innermost of the user's functions to the workflow
    """

    what: str
    called: str
    library: str | None
    places: tuple[tuple[str, int, str], ...]

    def __str__(self) -> str:
        does, instead = _MEANING[self.what]
        places = "\n".join(place_in_code(*place) for place in self.places)
        if self.library is None:
            return f"{self.called}() {does}. Instead, {instead}.\n{places}"
        package = self.library.partition(".")[0]
        return (
            f"{self.called}(), called in {self.library}, {does}. Instead, {instead}. If the workflow decides "
            f"nothing by it, leave the package out with ignore=({package!r},).\n{places}"
        )


def check_ignored(packages: Collection[str]) -> None:
    """Check the names of packages whose calls are not reported.

    :raises TypeError: it is one name, and not a collection of names
    :raises ValueError: there is no package or module of this name
    """
    if isinstance(packages, str):
        raise TypeError(f"ignore= takes several names: write ignore=({packages!r},)")
    for name in packages:
        try:
            is_there = name in sys.modules or find_spec(name) is not None
        except (ImportError, ValueError):
            is_there = False
        if not is_there:
            raise ValueError(
                f"ignore= names {name!r}, and there is no package or module of this name. Use the name that an import "
                "statement has, such as 'pydantic_ai'"
            )


def _watched_functions() -> dict[CodeType, str]:
    import socket
    import subprocess

    return {
        type(os.environ).__getitem__.__code__: "the environment",
        asyncio.sleep.__code__: "a sleep",
        asyncio.open_connection.__code__: "a connection",
        asyncio.create_subprocess_exec.__code__: "a process",
        asyncio.create_subprocess_shell.__code__: "a process",
        socket.create_connection.__code__: "a connection",
        subprocess.Popen.__init__.__code__: "a process",
    }


@contextmanager
def watching(calls: dict[Call, None], ignore: Collection[str] = ()) -> Generator[None]:
    """Add to ``calls`` what the workflow's code calls in this thread while the block runs.

    :param ignore: packages and modules: what their code calls, directly or through other libraries, is not added
    """
    functions = _watched_functions()
    before = sys.getprofile()

    def hook(frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call" and isinstance(argument, BuiltinFunctionType):
            what = _what_of_builtin(argument)
            name = getattr(argument, "__qualname__", "")
        elif event == "call":
            what = functions.get(frame.f_code)
            if what == "a sleep" and not frame.f_locals.get("delay"):
                return
            name = frame.f_code.co_name
        else:
            return
        if what is not None and isinstance(current(), Branch) and (places := _places(frame, ignore)):
            calls[Call(what, _readable(name, argument), _library(frame), places)] = None

    sys.setprofile(hook)
    try:
        yield
    finally:
        sys.setprofile(before if callable(before) else None)  # cProfile's object cannot be set again from Python


def _what_of_builtin(function: BuiltinFunctionType) -> str | None:
    owner = function.__self__
    if isinstance(owner, random.Random):
        # ctx.random() and generators with a seed of the workflow's own draw the same values each time.
        return "randomness" if owner is _shared_random() else None
    if inspect.isclass(owner) and issubclass(owner, dt.date):
        return "the clock" if function.__name__ in ("now", "today", "utcnow") else None
    if type(owner).__name__ == "socket" and function.__name__ in ("connect", "send", "sendall", "sendto", "recv"):
        return "a connection"
    module = getattr(function, "__module__", None)
    return _BUILTINS.get((module, function.__name__)) if isinstance(module, str) else None


def _shared_random() -> object:
    return random.random.__self__  # type: ignore[attr-defined]


def _readable(name: str, argument: object) -> str:
    module = getattr(argument, "__module__", None)
    if name == "__getitem__":
        return "os.environ"
    return f"{module}.{name}" if isinstance(module, str) and module not in ("posix", "nt", "io", "_io") else name


def _places(frame: FrameType | None, ignore: Collection[str]) -> tuple[tuple[str, int, str], ...]:
    """Return the user's frames that lead to a call; none if it is not the user's doing, or that of ignored code."""
    found: list[tuple[str, int, str]] = []
    collecting = [getattr(callback, "__code__", None) for callback in gc.callbacks]  # it may begin in any code
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HARMLESS) or frame.f_code in collecting:
            return ()
        if not found and ignore and _is_of(_module(frame), ignore):
            return ()
        if not (_is_of_sdk_or_stdlib(file) or _is_of_library(file)):
            found.append((file, frame.f_lineno, frame.f_code.co_name))
        elif found or file.startswith(_PACKAGE):
            break
        frame = frame.f_back
    return tuple(found)


def _library(frame: FrameType | None) -> str | None:
    """Return the module of the library that made a call; None: it was made by the user's code."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not _is_of_sdk_or_stdlib(file):
            return _module(frame) if _is_of_library(file) else None
        frame = frame.f_back
    return None


def _is_of_sdk_or_stdlib(file: str) -> bool:
    return file.startswith(_PACKAGE) or (file.startswith(_STDLIB) and not _is_of_library(file))


def _is_of_library(file: str) -> bool:
    return any(part in file for part in _LIBRARIES) and not file.startswith(_PACKAGE)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _is_of(module: str, packages: Collection[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in packages)
