"""Timers that come due while something else runs: the operation that waits continues in the same invocation.

The timers are kept by the service. When one should be due, the service is asked what has changed, and the answer wakes
the operations that it names. The service's clock decides: as long as it reports nothing new, it is asked again at
growing intervals, and meanwhile the timer does not keep the invocation from suspending.
"""

import asyncio
import heapq
from collections.abc import Callable
from typing import NamedTuple

from durable_async.config import DEFAULT_LIMITS, EngineLimits


class _Timer(NamedTuple):  # the earliest is the least
    due: float  # epoch seconds
    operation_id: str
    ask_again: float  # seconds after an answer that did not bring its end


class Timers:
    """The timers of the operations that wait. The earliest is armed on the loop.

    :param is_awaited: returns whether an operation still waits; a timer whose operation does not is dropped
    :param refresh: asks the service what has changed; the future is done when the answer is known
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        is_awaited: Callable[[str], bool],
        refresh: Callable[[], asyncio.Future[None]],
        limits: EngineLimits = DEFAULT_LIMITS,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._is_awaited = is_awaited
        self._refresh = refresh
        self._limits = limits
        self._timers: list[_Timer] = []
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, operation_id: str, due: float) -> None:
        """Ask the service for the operation when its timer is due.

        :param due: epoch seconds
        """
        heapq.heappush(self._timers, _Timer(due, operation_id, self._limits.ask_again))
        self.arm()

    def next_due(self) -> float | None:
        """Return when the earliest timer of an operation that waits is due, in epoch seconds; None: there is none."""
        while self._timers and not self._is_awaited(self._timers[0].operation_id):
            heapq.heappop(self._timers)
        return self._timers[0].due if self._timers else None

    def stop(self) -> None:
        """Do not ring until ``arm`` is called."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def close(self) -> None:
        self._timers.clear()
        self.stop()

    def arm(self) -> None:
        due = self.next_due()
        when = None if due is None else self._loop.time() + max(0.0, due - self._clock())
        if self._alarm is not None:
            if when is not None and self._alarm.when() <= when:
                return
            self._alarm.cancel()
        self._alarm = None if when is None else self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock()
        due: list[_Timer] = []
        while (earliest := self.next_due()) is not None and earliest <= now:
            due.append(heapq.heappop(self._timers))
        if due:
            self._refresh().add_done_callback(lambda answered: self._ask_again(due, answered))
        self.arm()

    def _ask_again(self, due: list[_Timer], answered: asyncio.Future[None]) -> None:
        if answered.cancelled():
            return
        for timer in due:
            if self._is_awaited(timer.operation_id):
                later = min(2 * timer.ask_again, self._limits.ask_again_max)
                heapq.heappush(self._timers, _Timer(self._clock() + timer.ask_again, timer.operation_id, later))
        self.arm()
