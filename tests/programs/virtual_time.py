"""An event loop on which a day takes no time: when nothing else is to be done, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

_BUSY_TURNS = 10_000
"""After this many turns that all had something to run, the clock moves on anyway: code that tries again in each turn, as a
cancelled scope of anyio does with a task that does not end, may be waiting for a timer that time has to reach."""


class NothingHappens(Exception):
    """Everybody waits, and no timer is set."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """
    :ivar is_busy: whether something runs outside the loop, such as a worker thread: then time stands still
    """

    def __init__(self) -> None:
        self._now = 0.0
        self.is_busy: Callable[[], bool] = lambda: False
        super().__init__(_Selector(self))
        # A timer is due if it is within this. Finer than floats are after a year, the loop would go round for ever.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def advance_to_next_timer(self) -> None:
        timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]
        self._now = max(self._now, min(timers, default=self._now))


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop
        self._busy_turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        if timeout is not None and timeout <= 0:
            self._busy_turns += 1
            if self._busy_turns % _BUSY_TURNS == 0:
                self._loop.advance_to_next_timer()
            return super().select(0)
        self._busy_turns = 0
        if self._loop.is_busy():
            return super().select(None)
        events = super().select(0)
        if not events:
            if timeout is None:
                raise NothingHappens
            self._loop.advance(timeout)
        return events
