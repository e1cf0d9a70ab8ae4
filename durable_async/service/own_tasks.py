"""Tasks that do not take over the context variables of the code that happens to start them.

asyncio copies the context of the caller into a new task. The service's own work must not see it, because it may hold a
workflow's durable identity or the user of a request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import TypeVar

from anyio import CancelScope

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("durable_async.service")

_abandoned: set[asyncio.Task[object]] = set()
"""References to abandoned tasks: garbage collection of a task that has not ended would run its code once more."""


class OwnTasks:
    """The tasks of one service.

    :param raised: the errors of a task that its caller gets or that end the program. Other errors are logged
    :param clean_up: how many seconds :meth:`end` waits after cancelling the tasks
    :param abandon: how many seconds it waits after cancelling them a second time
    :ivar context: each task runs in a copy of it
    """

    def __init__(self, raised: tuple[type[BaseException], ...], clean_up: float, abandon: float) -> None:
        self.context: Context = Context()
        self._raised = raised
        self._clean_up = clean_up
        self._abandon_after = abandon
        self._tasks: set[asyncio.Task[object]] = set()

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
        """Wait until no task runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def end(self, grace: float) -> None:
        """Wait up to ``grace`` seconds for the tasks, then cancel them, twice if needed, and abandon the rest.

        A cancellation ends ``grace`` at once; a second one ends the wait for clean-ups.
        """
        for seconds in (grace, self._clean_up, self._abandon_after):
            await self._ended(seconds)
            for task in self._tasks:
                task.cancel()
        await self._ended(self._abandon_after)
        self._abandon()

    async def _ended(self, seconds: float) -> None:
        """Wait for the tasks, but not longer than ``seconds`` and not after a cancellation."""
        time = asyncio.get_running_loop().time
        until = time() + seconds
        with suppress(asyncio.CancelledError):
            while self._tasks and (left := until - time()) > 0:
                await asyncio.wait(self._tasks, timeout=left)

    def _abandon(self) -> None:
        for task in self._tasks:
            logger.warning("Abandoned a function that still runs although it was cancelled: %r", task)
            _abandoned.add(task)
            asyncio._unregister_task(task)  # noqa: SLF001 - documented; else the loop's shutdown would wait for it
        self._tasks.clear()

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, self._raised):
            logger.error("Unexpected error in a task of the service.", exc_info=error)


def start(work: Coroutine[object, object, T], context: Context | None = None) -> asyncio.Task[T]:
    """Start a task that does not see the caller's context variables.

    :param context: the task runs in a copy of it; None: in an empty context
    """
    # Created inside the context, because a task factory may read context variables before the task has its own.
    context = Context() if context is None else context.copy()
    return context.run(asyncio.get_running_loop().create_task, work)


async def finish(work: Coroutine[object, object, T], *, context: Context | None = None, hurry: bool = False) -> T:
    """Run ``work`` to its end, even in an anyio scope that is cancelled. A cancellation is raised afterwards.

    :param context: as for :func:`start`
    :param hurry: True: a cancellation of the caller is passed on to ``work``, which then skips its waits and continues.
        False: ``work`` does not notice it
    """
    task = start(work, context)
    cancelled = await _until_done(task, hurry=hurry)
    if cancelled is not None:
        if not task.cancelled() and (failed := task.exception()) is not None:
            raise failed
        raise cancelled
    return task.result()


async def in_thread(call: Callable[[], T], *, undo: Callable[[T], object]) -> T:
    """Run ``call``, which opens something, in a thread. A cancellation waits for the thread, which cannot be stopped.

    :param undo: is called with the result if this was cancelled meanwhile
    """
    task = start(asyncio.to_thread(call))
    cancelled = await _until_done(task, hurry=False)
    if cancelled is not None:
        if task.exception() is None:
            undo(task.result())
        raise cancelled
    return task.result()


async def _until_done(task: asyncio.Task[object], *, hurry: bool) -> asyncio.CancelledError | None:
    """Wait for the end of ``task`` despite cancellations, and return the last one."""
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
