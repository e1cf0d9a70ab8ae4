"""Runs code whose end is recorded in a copy of the context variables, as in a task of its own.

On a replay such code does not run, so a variable that it sets would be missing then. A task for it would cost more:
here the running task drives the code's coroutine in another context.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextvars import Context, copy_context
from typing import Any, Never, TypeVar, cast

from durable_async._engine.tasks import Coro, Task

T = TypeVar("T")


@types.coroutine
def driven(work: Coro[T], context: Context) -> Generator[object, object, T]:
    """Await ``work``, which runs in ``context``."""
    resume: Callable[[Any], object] = work.send  # or throw, which takes only errors
    argument: object = None
    try:
        while True:
            try:
                awaited = context.run(resume, argument)
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                argument = yield awaited
                resume = work.send
            except GeneratorExit:
                context.run(work.close)
                raise
            # Thrown outside of this block: in it, the error would be the context of whatever the work raises.
            except BaseException as error:  # noqa: BLE001
                resume, argument = work.throw, error
    finally:
        argument = None  # an error holds this frame, which must not hold the error


def isolated(body: Callable[[], Awaitable[T]], context: Context | None = None) -> Awaitable[T]:
    """Call ``body`` and await what it returns. It sees the caller's context variables, and sets only its own.

    :param context: the context to run it in; None: a copy of the caller's
    """
    if context is None:
        context = copy_context()
    work = context.run(body)
    coro = cast("Coro[T]", work) if isinstance(work, types.CoroutineType) else _awaited(work)
    return driven(coro, context)


async def _awaited(work: Awaitable[T]) -> T:
    return await work


def coroutines_of(task: Task) -> Iterator[tuple[types.CoroutineType[object, Never, object], types.FrameType]]:
    """Return the coroutines that a task is in, the outermost first, each with its frame."""
    coro: object = task.get_coro()
    while isinstance(coro, types.CoroutineType) and coro.cr_frame is not None:
        yield coro, coro.cr_frame
        coro = _driven_by(coro.cr_await)


def _driven_by(awaited: object) -> object:
    """Return the coroutine that ``driven`` drives, if ``awaited`` is made by ``driven``; otherwise ``awaited``."""
    frame: types.FrameType | None = getattr(awaited, "gi_frame", None)
    if frame is not None and frame.f_code is driven.__code__:
        work: object = frame.f_locals["work"]
        return work
    return awaited
