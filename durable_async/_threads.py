"""Worker threads for what blocks: shared by the executions of one service, and by nobody else in the program.

- an execution gets a further thread only while it holds fewer than are free. So one alone uses half of them, two use a
  third each, and a thread is left for whoever comes next, as long as fewer executions hold threads than there are
- who waits is served in turns, those first that hold the fewest
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from anyio import CapacityLimiter

T = TypeVar("T")

DEFAULT_THREADS = 64


class Threads:
    """For one event loop.

    :param limit: how many functions may run at once; at least 1. A function that was abandoned is not counted
    :raises TypeError, ValueError: ``limit`` is no such number
    """

    def __init__(self, limit: int = DEFAULT_THREADS) -> None:
        if not isinstance(limit, int) or isinstance(limit, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"threads must be an int, not {limit!r}")
        if limit < 1:
            raise ValueError(f"threads must be at least 1, not {limit}")
        self._free = limit
        self._held: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the owner whose turn is next comes first
        self._unlimited: CapacityLimiter | None = None

    async def run(self, owner: str, func: Callable[[], T], *, abandon: bool = False) -> T:
        """What ``func()`` returns, called in a thread.

        :param owner: the execution that it runs for
        :param abandon: when cancelled, leave the thread to itself, for it cannot be stopped; otherwise wait for its end
        """
        from anyio import CapacityLimiter, to_thread

        if self._unlimited is None:
            self._unlimited = CapacityLimiter(math.inf)
        await self._acquire(owner)
        try:
            return await to_thread.run_sync(func, abandon_on_cancel=abandon, limiter=self._unlimited)
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
            if not turn.cancelled():  # it was given a thread, and cancelled before it went on
                self._release(owner)
            raise

    def _release(self, owner: str) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._serve()

    def _serve(self) -> None:
        """Give the free threads to those who wait, as far as they may have them."""
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


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Threads] = WeakKeyDictionary()


def threads_of(loop: asyncio.AbstractEventLoop) -> Threads:
    """The threads for what belongs to no service, such as a handler that Lambda invokes."""
    threads = _of_loops.get(loop)
    if threads is None:
        threads = _of_loops[loop] = Threads()
    return threads
