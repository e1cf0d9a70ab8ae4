"""Worker threads for blocking code. The executions of one service share them, and nothing else in the program does.

- an execution gets another thread only while it holds fewer than are free. So one execution alone uses half of the
  threads, two use a third each, and one thread stays free for the next execution, as long as there are more threads
  than executions that hold some
- waiting executions get free threads in turn, first those that hold the fewest
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from durable_async._counts import checked_count

if TYPE_CHECKING:
    from anyio import CapacityLimiter

T = TypeVar("T")

DEFAULT_THREADS = 64


class InThread(Generic[T]):
    """A function that a thread calls once."""

    def __init__(self, func: Callable[[], T]) -> None:
        self._func = func
        self._thread: int | None = None

    def __call__(self) -> T:
        self._thread = threading.get_ident()
        return self._func()

    @property
    def has_begun(self) -> bool:
        return self._thread is not None

    def frame(self) -> FrameType | None:
        """Return the innermost frame of the thread; None: it has not begun."""
        frames = sys._current_frames()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
        return None if self._thread is None else frames.get(self._thread)


class Threads:
    """Limits the worker threads of one event loop.

    :param limit: how many functions may run at once; at least 1. A function that was abandoned is not counted
    :raises TypeError: ``limit`` is not an int
    :raises ValueError: ``limit`` is less than 1
    """

    def __init__(self, limit: int = DEFAULT_THREADS) -> None:
        self._free = checked_count("threads", limit, 1)
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the owner whose turn is next comes first
        self._unlimited: CapacityLimiter | None = None

    async def run(self, owner: str, func: Callable[[], T]) -> T:
        """Call ``func()`` in a thread and return its result. If this is cancelled, the thread is left running, because
        it cannot be stopped.

        :param owner: the execution that it runs for
        """
        from anyio import CapacityLimiter, to_thread

        if self._unlimited is None:
            self._unlimited = CapacityLimiter(math.inf)
        in_thread = InThread(func)
        await self._acquire(owner)
        try:
            return await to_thread.run_sync(in_thread, abandon_on_cancel=True, limiter=self._unlimited)
        finally:
            self._release(owner)

    async def _acquire(self, owner: str) -> None:
        if owner not in self._waiting and self._may_take(owner):
            self._take(owner)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it got a thread and was cancelled before it used it
                self._release(owner)
            raise

    def _release(self, owner: str) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._serve()

    def _serve(self) -> None:
        """Give free threads to the executions that wait, within their limits."""
        while self._waiting:
            owner = min(self._waiting, key=self._holds)
            turns = self._waiting.pop(owner)
            while turns and turns[0].done():  # cancelled
                turns.popleft()
            if not turns:
                continue
            if not self._may_take(owner):
                self._waiting = {owner: turns, **self._waiting}
                return
            self._take(owner)
            turns.popleft().set_result(None)
            if turns:
                self._waiting[owner] = turns

    def _holds(self, owner: str) -> int:
        return self._held.get(owner, 0)

    def _may_take(self, owner: str) -> bool:
        return self._holds(owner) < self._free

    def _take(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] = self._holds(owner) + 1


def in_thread_of(coroutines: Iterable[tuple[CoroutineType[Any, Any, Any], FrameType]]) -> InThread[object] | None:
    """Return what a thread does for a task; None: nothing.

    :param coroutines: that the task is in, with their frames
    """
    for coroutine, frame in coroutines:
        if coroutine.cr_code is Threads.run.__code__:
            return frame.f_locals.get("in_thread")
    return None


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Threads] = WeakKeyDictionary()


def threads_of(loop: asyncio.AbstractEventLoop) -> Threads:
    """Return the threads for code that belongs to no service, such as a handler that Lambda invokes."""
    threads = _of_loops.get(loop)
    if threads is None:
        threads = _of_loops[loop] = Threads()
    return threads
