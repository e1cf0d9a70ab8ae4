"""The one function of asyncio that starts coroutines in no order.

``asyncio.as_completed`` puts what it is given into a set before it makes tasks, so the tasks come in the order of
memory addresses. Their place in what it was given is the order that a replay repeats; the call's own frame knows it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from types import FrameType
from typing import Any

from durable_async.errors import ContextMisuseError

_ASYNCIO = asyncio.tasks.__file__.removesuffix("tasks.py")
_ARGUMENT = {"as_completed": "fs", "_AsCompletedIterator.__init__": "aws"}  # before and since Python 3.13


def place_in_as_completed(coro: Coroutine[Any, Any, Any]) -> tuple[Sequence[Any], int] | None:
    """What ``as_completed`` was given and where in it ``coro`` stands; None if it is not what makes a task of it.

    Called by the branch that the task factory asks, so a few frames from what made the task.

    :raises ContextMisuseError: it was given something without an order, or that is used up
    """
    frame: FrameType | None = sys._getframe(4)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
    while frame is not None and frame.f_code.co_filename.startswith(_ASYNCIO):
        argument = _ARGUMENT.get(frame.f_code.co_qualname)
        if argument is not None:
            given: Any = frame.f_locals.get(argument)
            if issubclass(type(given), Sequence):
                return given, next(n for n, item in enumerate(given) if item is coro)
            raise ContextMisuseError(
                "asyncio.as_completed starts coroutines in no order that a replay repeats, unless it is given a list"
            )
        frame = frame.f_back
    return None
