"""Tasks of the service's own: they belong to nobody who happened to call it.

A task takes over the context variables of what creates it. The service's work must not: a workflow's durable identity
is one of them, and a request's user is another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

from anyio import CancelScope

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("durable_async.service")

_CLEAN_UP_SECONDS = 6.0  # for what is cancelled: a little more than an invocation gives its workflow's clean-ups
_LAST_SECONDS = 0.5  # for what is cancelled a second time

_abandoned: set[asyncio.Task[object]] = set()
"""Kept: collecting a task that did not end would run its code once more."""


class OwnTasks:
    """The tasks of one service.

    :param told: errors of a task that reach whoever waits for it, or end the program. Others are logged
    :ivar context: each task runs in a copy of it
    """

    def __init__(self, told: tuple[type[BaseException], ...]) -> None:
        self.context: Context = Context()
        self._told = told
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        task = start(work, self.context)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    @property
    def is_idle(self) -> bool:
        """Whether none runs."""
        return not self._tasks

    async def idle(self) -> None:
        """Return when none runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self, grace: float) -> None:
        """Give the tasks ``grace`` seconds to end, then cancel them, twice if need be, and abandon what still goes on.

        Cancelling this cuts short what is waited for: once, ``grace``; once more, the clean-ups.
        """
        for seconds in (grace, _CLEAN_UP_SECONDS, _LAST_SECONDS):
            await self._ended(seconds)
            for task in self._tasks:
                task.cancel()
        await self._ended(_LAST_SECONDS)
        self._abandon()

    async def _ended(self, seconds: float) -> None:
        """Wait for the tasks, no longer than that, and not when this is cancelled."""
        time = asyncio.get_running_loop().time
        until = time() + seconds
        with suppress(asyncio.CancelledError):
            while self._tasks and (left := until - time()) > 0:
                await asyncio.wait(self._tasks, timeout=left)

    def _abandon(self) -> None:
        for task in self._tasks:
            logger.warning("Abandoned a function that goes on although it was cancelled: %r", task)
            _abandoned.add(task)
            asyncio._unregister_task(task)  # noqa: SLF001 - documented; else the loop's shutdown would wait for it
        self._tasks.clear()

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, self._told):
            logger.error("The service failed at its own work.", exc_info=error)


def start(work: Coroutine[object, object, T], context: Context | None = None) -> asyncio.Task[T]:
    """Start a task that takes over nothing from the caller.

    :param context: the task runs in a copy of it; None: in an empty one
    """
    # Made where the caller's variables are not set: a task factory looks at those, whatever context the task gets.
    context = Context() if context is None else context.copy()
    return context.run(asyncio.get_running_loop().create_task, work)


async def finish(work: Coroutine[object, object, T], *, context: Context | None = None, hurry: bool = False) -> T:
    """Run ``work`` to its end, even in an anyio scope that is cancelled. A cancellation is raised afterwards.

    :param context: as for :func:`start`
    :param hurry: True: a cancellation of the caller cancels ``work``, which knows what to leave out and goes on; False:
        ``work`` is not told
    """
    task = start(work, context)
    cancelled = await _until_done(task, hurry=hurry)
    if cancelled is not None:
        if not task.cancelled() and (failed := task.exception()) is not None:
            raise failed
        raise cancelled
    return task.result()


async def in_thread(call: Callable[[], T], *, undo: Callable[[T], object]) -> T:
    """Run ``call``, which opens something, in a thread. A thread cannot be stopped: a cancellation waits for its end.

    :param undo: called with what was opened if this is cancelled meanwhile
    """
    task = start(asyncio.to_thread(call))
    cancelled = await _until_done(task, hurry=False)
    if cancelled is not None:
        if task.exception() is None:
            undo(task.result())
        raise cancelled
    return task.result()


async def _until_done(task: asyncio.Task[object], *, hurry: bool) -> asyncio.CancelledError | None:
    """Wait for the end of ``task``, whatever cancels this. Return the last cancellation."""
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
                if hurry:
                    task.cancel()
    return cancelled
