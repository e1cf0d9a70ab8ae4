"""The one function of asyncio that starts coroutines in no order.

``asyncio.as_completed`` puts what it is given into a set before it makes tasks, so the tasks come in the order of
memory addresses. Their place in what it was given is the order that a replay repeats; the call's own frame knows it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, MappingView, Sequence
from types import FrameType

from durable_async._engine.tasks import Coro

_ASYNCIO = asyncio.tasks.__file__.removesuffix("tasks.py")
_ENGINE = __file__.removesuffix("as_completed.py")
_ARGUMENT = {"as_completed": "fs", "_AsCompletedIterator.__init__": "aws"}  # before and since Python 3.13
_ORDERED = (Sequence, Mapping, MappingView)


def given_to_as_completed() -> Iterable[object] | None:
    """Return the argument of ``as_completed``, if that is what makes a task now; None if it is not.

    Call this in a branch that the task factory calls: the frame that makes the task is the first one below theirs.
    """
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
    while frame is not None and frame.f_code.co_filename.startswith(_ENGINE):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_filename.startswith(_ASYNCIO):
        argument = _ARGUMENT.get(frame.f_code.co_qualname)
        if argument is not None:
            return frame.f_locals.get(argument)
        frame = frame.f_back
    return None


def places(given: Iterable[object]) -> dict[object, int] | None:
    """Return the places of what gets a task in the argument of ``as_completed``. None: it has no order, or it is an
    iterator."""
    if not issubclass(type(given), _ORDERED):
        return None
    return {each: place for place, each in enumerate(given) if not asyncio.isfuture(each)}


def made_of(coro: Coro[object]) -> object:
    """Return the awaitable object that ``coro`` awaits, if asyncio made it to await one; otherwise ``coro``."""
    frame: FrameType | None = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
    if frame is None or frame.f_code.co_name != "_wrap_awaitable" or not frame.f_code.co_filename.startswith(_ASYNCIO):
        return coro
    return frame.f_locals["awaitable"]
