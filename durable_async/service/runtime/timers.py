"""One timer of the event loop for any number of due times."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context

_LOOK_SECONDS = 60.0  # the longest sleep, because ``clock`` may be put forward meanwhile


class Alarm:
    """Calls ``ring`` when the earliest of its due times has come.

    Each key has one due time. Times are epoch milliseconds by ``clock``, which may be another clock than the loop's:
    if it has not come that far when the loop's timer fires, the timer is set again. If ``clock`` jumps ahead, what is
    due then is noticed within a minute.
    """

    def __init__(self, clock: Callable[[], int], ring: Callable[[], object]) -> None:
        self._clock = clock
        self._ring = ring
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []  # holds entries of the past, too; _due says which are good
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due: int | None = None
        self._context = Context()  # or a timer would keep, and ring in, the context of who set it

    def set(self, key: str, due_ms: int | None) -> None:
        """Give ``key`` a new due time, or none."""
        if due_ms == self._due.get(key):
            return
        if due_ms is None:
            del self._due[key]
        else:
            self._due[key] = due_ms
            heapq.heappush(self._heap, (due_ms, key))
        self._wind()

    def set_unless_known(self, key: str, due_ms: int | None) -> None:
        """Give ``key`` a due time, unless it has one: that one is newer."""
        if key not in self._due:
            self.set(key, due_ms)

    def next_due_ms(self) -> int | None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self) -> list[str]:
        """The keys whose time has come, earliest first. They are unset."""
        keys: list[str] = []
        while (due := self.next_due_ms()) is not None and due <= self._clock():
            keys.append(heapq.heappop(self._heap)[1])
            del self._due[keys[-1]]
        self._wind()
        return keys

    def close(self) -> None:
        self._due.clear()
        self._wind()

    def _wind(self) -> None:
        due = self.next_due_ms()
        if due == self._handle_due:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._handle_due = due
        if due is not None:
            delay = min(max(0, due - self._clock()) / 1000, _LOOK_SECONDS)
            self._handle = asyncio.get_running_loop().call_later(delay, self._strike, context=self._context)

    def _strike(self) -> None:
        due, self._handle_due = self._handle_due, None
        if due is not None and due <= self._clock():
            self._ring()
        self._wind()
