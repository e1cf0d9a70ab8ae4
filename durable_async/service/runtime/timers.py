"""One timer of the event loop for any number of due times."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context

_OUTDATED = 1000  # entries that the heap may have beside as many as there are valid ones


class Alarm:
    """Calls ``ring`` when the earliest of its due times has come.

    Each key has one due time. Times are epoch milliseconds of ``clock``, which may differ from the loop's clock: if it
    has not reached the due time when the loop's timer fires, the timer is set again. If ``clock`` jumps forward, this
    is noticed after at most ``check_seconds``.
    """

    def __init__(self, clock: Callable[[], int], ring: Callable[[], object], check_seconds: float = 60.0) -> None:
        self._clock = clock
        self._ring = ring
        self._check_seconds = check_seconds
        self._due: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []  # also has outdated entries; the valid ones are in _due
        self._handle: asyncio.TimerHandle | None = None
        self._handle_due = 0  # the due time for which the loop's timer was set
        self._context = Context()  # otherwise a timer would keep the context of its caller, and run in it

    def set(self, key: str, due_ms: int | None) -> None:
        """Give ``key`` a new due time; None: remove it."""
        if due_ms == self._due.get(key):
            return
        if due_ms is None:
            del self._due[key]
        else:
            self._due[key] = due_ms
            heapq.heappush(self._heap, (due_ms, key))
        if len(self._heap) > 2 * len(self._due) + _OUTDATED:
            self._heap = [(due, known) for known, due in self._due.items()]
            heapq.heapify(self._heap)
        self._wind()

    def set_unless_known(self, key: str, due_ms: int | None) -> None:
        """Give ``key`` a due time, unless it already has one, which is newer."""
        if key not in self._due:
            self.set(key, due_ms)

    def next_due_ms(self) -> int | None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self) -> list[str]:
        """Remove and return the keys that are due, the earliest first."""
        keys: list[str] = []
        while (due := self.next_due_ms()) is not None and due <= self._clock():
            keys.append(heapq.heappop(self._heap)[1])
            del self._due[keys[-1]]
        self._wind()
        return keys

    def close(self) -> None:
        self._due.clear()
        self._unwind()

    def _wind(self) -> None:
        """Set the loop's timer, unless it is set for an earlier time: then it is set again when it fires."""
        due = self.next_due_ms()
        if due is None or (self._handle is not None and self._handle_due <= due):
            return
        self._unwind()
        self._handle_due = due
        delay = min(max(0, due - self._clock()) / 1000, self._check_seconds)
        self._handle = asyncio.get_running_loop().call_later(delay, self._strike, context=self._context)

    def _unwind(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _strike(self) -> None:
        self._handle = None
        due = self.next_due_ms()
        if due is not None and due <= self._clock():
            self._ring()
        self._wind()
