"""uvloop's event loop with another clock.

- ``VirtualUvloop``: when nothing on it can run, the clock jumps to the timer that is due next. As with uvloop's timers,
  times are whole milliseconds, and what is due in less than half of one is put into the queue at once
- ``FastUvloop``: the clock runs fast, and timers are uvloop's own

All else is uvloop's: the queue of what runs next, tasks and futures. Import this only where uvloop is installed.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextvars import Context
from itertools import count
from typing import Any, TypeVar

import uvloop

from durable_async.service.runtime.api import LambdaApi
from durable_async.testing.virtual_time import _BUSY_TURNS, START, _works_for

T = TypeVar("T")

_BEGINNING = 1_000_000_000  # of the loop's clock, in milliseconds
_SPEED = 100
_MAX_DELAY = 100 * 365 * 86_400  # seconds, as in uvloop


def in_time_of(
    new_loop: Callable[[], VirtualUvloop | FastUvloop], work: Callable[[Clock], Awaitable[T]], *, eager: bool = False
) -> T:
    """Run what ``work`` returns for the clock of a new loop.

    :param eager: True: tasks start eagerly
    """

    async def timed() -> T:
        loop: Any = asyncio.get_running_loop()
        if eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        return await work(Clock(loop))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(timed())


class Clock:
    """The time of a loop, in epoch seconds."""

    def __init__(self, loop: VirtualUvloop | FastUvloop) -> None:
        self._loop = loop
        self._began = loop.time()

    def __call__(self) -> float:
        return START.timestamp() + self._loop.time() - self._began

    def attach(self, service: LambdaApi) -> None:
        """Let time jump to what is due by ``service``: it does, because its alarms are timers of the loop."""


class VirtualUvloop(uvloop.Loop):
    """When for many turns nothing runs, no timer is set and no thread works, it stops, and who runs it gets a
    RuntimeError."""

    def __init__(self) -> None:
        super().__init__()
        self._now = _BEGINNING
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []  # the second tells equal times apart
        self._timers_set = count()
        self._calls = count()  # of what puts something into the queue; from threads too, so it is no plain number
        self._calls_before = -1
        self._turns = 0  # since the clock moved, or a thread worked
        self._in_threads: set[asyncio.Future[object]] = set()
        super().call_soon(self._turn, context=Context())

    def time(self) -> float:
        return self._now / 1000

    def call_soon(self, *args: Any, **options: Any) -> Any:
        next(self._calls)
        return super().call_soon(*args, **options)

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> Any:
        next(self._calls)
        return super().call_soon_threadsafe(*args, **options)

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        milliseconds = round(min(max(delay, 0), _MAX_DELAY) * 1000)
        if not milliseconds:
            return self.call_soon(callback, *args, context=context)
        due = self._now + milliseconds
        timer = asyncio.TimerHandle(due / 1000, callback, args, self, context)
        heapq.heappush(self._timers, (due, next(self._timers_set), timer))
        return timer

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
        """Called by a timer that is cancelled."""

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return future

    def _turn(self) -> None:
        """Run once in each turn of the loop. If nothing was put into the queue since the turn before, nothing is in it:
        what was put there earlier has run."""
        calls = next(self._calls)
        is_idle = calls == self._calls_before + 1
        self._calls_before = calls
        super().call_soon(self._turn, context=Context())
        if is_idle and self._threads_work():
            self._turns = 0
            return
        self._turns += 1
        is_long = self._turns % _BUSY_TURNS == 0
        if is_idle or is_long:  # what tries again in each turn may wait for a timer
            fired = self._fire()
            if is_idle and is_long and not fired:
                self.stop()

    def _threads_work(self) -> bool:
        return bool(self._in_threads) or any(_works_for(self, thread) for thread in threading.enumerate())

    def _fire(self) -> bool:
        """Move to the next timer, and run all that are due then. Return whether there was one."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            return False
        self._turns = 0
        self._now = max(self._now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self._now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled():
                timer._run()
        return True


class WrappingUvloop(VirtualUvloop):
    """Does not let it be known what it is about to run: its handles have callbacks of its own, which call the others."""

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return super().call_soon(lambda: callback(*args), context=context)


class FastUvloop(uvloop.Loop):
    """A second passes in 10 milliseconds."""

    def time(self) -> float:
        return super().time() * _SPEED

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return super().call_later(delay / _SPEED, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return self.call_later(when - self.time(), callback, *args, context=context)


UVLOOPS: dict[str, Callable[[], VirtualUvloop]] = {"uvloop": VirtualUvloop, "wrapping uvloop": WrappingUvloop}
