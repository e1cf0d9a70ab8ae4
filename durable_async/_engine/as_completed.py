"""The one function of asyncio that starts coroutines in no order.

``asyncio.as_completed`` puts what it is given into a set before it makes tasks, so the tasks come in the order of
memory addresses. Their place in what it was given is the order that a replay repeats; the call's own frame knows it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, MappingView, Sequence
from types import FrameType

_ASYNCIO = asyncio.tasks.__file__.removesuffix("tasks.py")
_ARGUMENT = {"as_completed": "fs", "_AsCompletedIterator.__init__": "aws"}  # before and since Python 3.13
_ORDERED = (Sequence, Mapping, MappingView)


def given_to_as_completed() -> Iterable[object] | None:
    """Return the argument of ``as_completed``, if that is what makes a task now; None if it is not.

    To be called by the branch that the task factory calls: the frame that made the task is looked up from there.
    """
    frame: FrameType | None = sys._getframe(4)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
    while frame is not None and frame.f_code.co_filename.startswith(_ASYNCIO):
        argument = _ARGUMENT.get(frame.f_code.co_qualname)
        if argument is not None:
            return frame.f_locals.get(argument)
        frame = frame.f_back
    return None


def places(given: Iterable[object]) -> dict[int, int] | None:
    """Return the places of coroutines in the argument of ``as_completed``, by their ids. None: it has no order, or it
    is an iterator."""
    return {id(coro): place for place, coro in enumerate(given)} if issubclass(type(given), _ORDERED) else None
