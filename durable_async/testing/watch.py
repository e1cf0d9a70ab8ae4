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
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType

import attrs

from durable_async._engine.branches import Branch
from durable_async._engine.calling import current
from durable_async.testing.report import place_in_code

_PACKAGE = str(Path(__file__).parents[1])
_NOT_USERS = (
    _PACKAGE,
    *filter(None, map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))),
    "<frozen",
)
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
    :ivar places: file, line and function, from the innermost of the user's functions to the workflow
    """

    what: str
    called: str
    places: tuple[tuple[str, int, str], ...]

    def __str__(self) -> str:
        does, instead = _MEANING[self.what]
        places = "\n".join(place_in_code(*place) for place in self.places)
        return f"{self.called}() {does}. Instead, {instead}.\n{places}"


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
def watching(calls: dict[Call, None]) -> Generator[None]:
    """Add to ``calls`` what the workflow's code calls in this thread while the block runs."""
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
        if what is not None and isinstance(current(), Branch) and (places := _places(frame)):
            calls[Call(what, _readable(name, argument), places)] = None

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


def _places(frame: FrameType | None) -> tuple[tuple[str, int, str], ...]:
    """Return the user's frames that lead to a call; none if it is not the user's doing."""
    found: list[tuple[str, int, str]] = []
    collecting = [getattr(callback, "__code__", None) for callback in gc.callbacks]  # it may begin in any code
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_HARMLESS) or frame.f_code in collecting:
            return ()
        if not file.startswith(_NOT_USERS):
            found.append((file, frame.f_lineno, frame.f_code.co_name))
        elif found or file.startswith(_PACKAGE):
            break
        frame = frame.f_back
    return tuple(found)
