"""Finds what an event loop is about to run that does not show it, such as uvloop.

uvloop has a queue of handles as asyncio's own loops have, but in C. No code can read it there, except for the garbage
collector, which visits whatever a loop and a handle keep alive. A callback that is put into the queue tells whether
this finds the queue, and reads it rightly.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from contextvars import Context
from typing import Any, cast


def hidden_queue_of(loop: asyncio.AbstractEventLoop) -> deque[Any] | None:
    """Return the handles that a loop is about to run, in their order; None: they are not found, or not read rightly."""
    context, callback = Context(), int
    handle = loop.call_soon(callback, context=context)
    try:
        match gc.get_referents(handle):
            case [_, its_context, its_callback, *_] if its_context is context and its_callback is callback:
                deques = cast("list[deque[Any]]", [each for each in gc.get_referents(loop) if isinstance(each, deque)])
                return next((each for each in deques if handle in each.copy()), None)
            case _:
                return None
    finally:
        handle.cancel()


def shown_by(handle: object) -> tuple[Context, object]:
    """Return the context and the callback of such a handle, which lie between its loop and the arguments."""
    _, context, callback, *_ = gc.get_referents(handle)
    return context, callback
