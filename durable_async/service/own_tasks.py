"""Tasks of the service's own: they belong to nobody who happened to call it.

A task takes over the context variables of what creates it. The service's work must not: a workflow's durable identity
is one of them, and a request's user is another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def start(work: Coroutine[Any, Any, T], context: Context | None = None) -> asyncio.Task[T]:
    """Start a task that takes over nothing from the caller.

    :param context: the task runs in a copy of it; None: in an empty one
    """
    # Made where the caller's variables are not set: a task factory looks at those, whatever context the task gets.
    context = Context() if context is None else context.copy()
    return context.run(asyncio.get_running_loop().create_task, work)


async def finish(work: Coroutine[Any, Any, T], *, context: Context | None = None, hurry: bool = False) -> T:
    """Run ``work`` to its end, even in an anyio scope that is cancelled. A cancellation is raised afterwards.

    :param context: as for :func:`start`
    :param hurry: True: a cancellation of the caller cancels ``work``, which knows what to leave out and goes on; False:
        ``work`` is not told
    """
    from anyio import CancelScope

    task = start(work, context)
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
                if hurry:
                    task.cancel()
    if cancelled is not None:
        if not task.cancelled() and (failed := task.exception()) is not None:
            raise failed
        raise cancelled
    return task.result()


async def in_thread(call: Callable[[], T], *, undo: Callable[[T], object]) -> T:
    """Run ``call``, which opens something, in a thread. A thread cannot be stopped: a cancellation waits for its end.

    :param undo: called with what was opened if this is cancelled meanwhile
    """
    opening = asyncio.create_task(asyncio.to_thread(call))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if opening.exception() is None:
            undo(opening.result())
        raise
