"""Limits how many invocations run at once, and how many begin at once, and lets them take turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import attrs

from durable_async._counts import checked_count

Waiter = asyncio.Future[None]

_BEGIN_AT_ONCE = 16  # in one turn of the event loop: a burst of hundreds would keep it from everything else


@attrs.define(eq=False)
class Place:
    """The share of the limits that a running invocation uses."""

    _give_back: Callable[[], None]
    _taken: bool = True

    def give_back(self) -> None:
        """Let another invocation run instead, even if this one has not ended. A second call does nothing."""
        if self._taken:
            self._taken = False
            self._give_back()


@attrs.define(eq=False)
class _Queue:
    """The invocations of one function that wait. ``max_concurrency`` may run at once; None: no limit."""

    max_concurrency: int | None
    running: int = 0
    turns: OrderedDict[str, deque[Waiter]] = attrs.Factory(OrderedDict[str, deque[Waiter]])

    def is_free(self) -> bool:
        return self.max_concurrency is None or self.running < self.max_concurrency

    def pop(self) -> Waiter | None:
        """Return the next waiter of the key that was served the longest ago; None if there is none."""
        while self.turns:
            turn, waiters = self.turns.popitem(last=False)
            waiter = waiters.popleft()
            if waiters:
                self.turns[turn] = waiters
            if not waiter.done():
                return waiter
        return None


class Slots:
    """A limit for all invocations, and one for each function.

    The functions take turns, and within a function the keys (``turn``) take turns: a key with ten thousand waiting
    invocations gets as many places as a key with one.

    :param max_concurrency: the maximum number of all invocations at once; None: no limit
    """

    def __init__(self, max_concurrency: int | None = None) -> None:
        if max_concurrency is not None:
            checked_count("max_concurrency", max_concurrency, 1)
        self._max_concurrency = max_concurrency
        self._running = 0
        self._begun = 0  # since the last call of _next_turn
        self._queues: OrderedDict[str, _Queue] = OrderedDict()

    def limit(self, function: str, max_concurrency: int | None) -> None:
        """Let at most ``max_concurrency`` invocations of ``function`` run at once; None: any number."""
        self._queues[function] = _Queue(max_concurrency)

    @asynccontextmanager
    async def taken(self, function: str, turn: str) -> AsyncGenerator[Place]:
        """Wait for a place for an invocation of ``function``, and hold it while the code inside runs."""
        queue = self._queues[function]
        if self._is_free() and queue.is_free():  # then nobody waits who could have it
            self._take(queue)
        else:
            await self._wait(queue, turn)
        place = Place(partial(self._free, queue))
        try:
            yield place
        finally:
            place.give_back()

    async def _wait(self, queue: _Queue, turn: str) -> None:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        queue.turns.setdefault(turn, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it got a place and was cancelled at the same moment
                self._free(queue)
            raise

    def _is_free(self) -> bool:
        if self._begun == _BEGIN_AT_ONCE:
            return False
        return self._max_concurrency is None or self._running < self._max_concurrency

    def _take(self, queue: _Queue) -> None:
        queue.running += 1
        self._running += 1
        self._begun += 1
        if self._begun == _BEGIN_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._begun = 0
        self._hand_on()

    def _free(self, queue: _Queue) -> None:
        queue.running -= 1
        self._running -= 1
        self._hand_on()

    def _hand_on(self) -> None:
        """Give free places to waiting invocations, one to each function at a time."""
        is_served = True
        while is_served:
            is_served = False
            for function, queue in [*self._queues.items()]:
                if self._is_free() and queue.is_free() and (waiter := queue.pop()) is not None:
                    self._take(queue)
                    waiter.set_result(None)
                    self._queues.move_to_end(function)
                    is_served = True
