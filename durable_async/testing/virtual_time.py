"""Time that passes at once: the event loop's clock jumps ahead whenever nothing else is to be done.

The loop that runs keeps running; while a :class:`VirtualTime` is entered, its clock and its ``select`` are replaced.
So one clock serves the workflow's code, the SDK, the service and the test, whoever made the loop.

Time stands still while

- anything on the loop can run,
- a worker thread runs: a sync step, ``asyncio.to_thread``, ``anyio.to_thread``. After 10 seconds of
  real time it is taken to hang, and time moves, so that its timeout comes
- a connection is open on which something may still come, for a short real time (``patience``)
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from selectors import BaseSelector, SelectorKey
from typing import Any, Protocol, Self, TypeAlias

from durable_async.service.runtime.timers import Alarm

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins, unless something else is asked for. It is the same in each run, and so are histories."""

_Events: TypeAlias = list[tuple[SelectorKey, int]]
_Wait: TypeAlias = Callable[[float | None], _Events]

_MICRO = 1_000_000
_FORTNIGHT = 2**20  # about, in seconds; a float is exact there
_THREAD_PATIENCE = 10.0  # real seconds
_BUSY_TURNS = 10_000
"""After this many turns that all had something to run, time moves on anyway: code that tries again in each turn, as a
cancelled scope of anyio does with a task that does not end, may be waiting for a timer that time has to reach."""


class StuckError(AssertionError):
    """What the test waits for cannot happen: nothing runs, and the test has to act before time may pass."""


class TimedService(Protocol):
    """A service whose due times the clock jumps to, such as a :class:`~durable_async.service.LambdaApi`."""

    def next_due(self) -> float | None:
        """Return the epoch seconds at which it has something to do; None: never."""
        ...

    def is_idle(self) -> bool:
        """Return whether no function runs and no write is waiting."""
        ...


class VirtualTime:
    """Make the running loop's time virtual, for as long as this is entered: ``with VirtualTime() as clock:``.

    Called, it returns the time in epoch seconds: give it to a service as its ``clock``. Without being entered, it is a
    clock that :meth:`move_by` and :meth:`move_to` move, and nothing jumps.

    Unless a caller awaits :meth:`idle` and moves time, time moves by itself to whatever is due next: a timer of the
    loop, or a due time of an attached service. If nothing is due and nothing outside the loop can wake it, the loop
    raises :class:`StuckError`.

    :param start: when time begins; None: January 1, 2026
    :param flows: True: real time passes too, for a person who watches; False: only jumps move the clock, so that each
        run has the same times
    :param patience: how long, in real time, a connection or a thread that the loop does not know is waited for before
        each jump, while a function of an attached service runs
    :raises RuntimeError: on entering: the running loop keeps its own clock, as uvloop's does
    :ivar may_pass: asked before time moves by itself to a service's due time; False: it stays
    """

    def __init__(
        self,
        start: datetime | None = None,
        *,
        flows: bool = False,
        patience: timedelta = timedelta(seconds=1),
    ) -> None:
        start = START if start is None else start
        if start.tzinfo is None:
            raise ValueError(f"start must have a time zone, as in datetime(2026, 1, 1, tzinfo=UTC), not {start!r}")
        self._start_us = round((start - datetime.fromtimestamp(0, UTC)) / timedelta(microseconds=1))
        self._flows = flows
        self._patience = patience.total_seconds()
        self._moved_us = 0
        self._began = time.monotonic()  # real
        self._loop_began_us = 0
        self._busy: set[asyncio.Future[object]] = set()
        self._services: list[TimedService] = []
        self._threads_before: set[threading.Thread] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._undo: Callable[[], None] | None = None
        self._loop: Any = None
        self.may_pass: Callable[[], bool] = lambda: True

    # --- the clock ---

    def __call__(self) -> float:
        """Return the time in epoch seconds."""
        return (self._start_us + self._passed_us()) / _MICRO

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=self._start_us + self._passed_us())

    def move_to(self, epoch: float) -> None:
        """Move the clock to ``epoch`` seconds; never back."""
        self._moved_us += max(0, math.ceil(epoch * _MICRO - 0.5) - self._start_us - self._passed_us())

    def move_by(self, seconds: float) -> None:
        """Move the clock ahead."""
        self.move_to(self() + seconds)

    def next_due(self) -> float | None:
        """Return the epoch seconds of the next timer of the loop or of an attached service; None: nothing is due."""
        return min((due for due in (self._next_timer(), self._next_of_services()) if due is not None), default=None)

    async def idle(self) -> None:
        """Wait until nothing more can happen unless time moves, or something outside the loop acts.

        :raises RuntimeError: this has not been entered, or was left
        """
        if self._undo is None:
            raise RuntimeError(
                "time is not virtual here: drive executions inside the block of 'async with TestService(...)'"
            )
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(waiting)
        await waiting

    def attach(self, service: TimedService) -> None:
        """Let time jump to what is due by ``service``."""
        self._services.append(service)

    def detach(self, service: TimedService) -> None:
        """Forget a service that has ended."""
        self._services = [each for each in self._services if each is not service]

    # --- entering ---

    def __enter__(self) -> Self:
        loop: Any = asyncio.get_running_loop()
        if not isinstance(loop, asyncio.BaseEventLoop) or not hasattr(loop, "_selector"):
            raise RuntimeError(
                f"virtual time needs asyncio's own event loop, and {type(loop).__module__}.{type(loop).__name__} keeps "
                "its own clock. Run the test on asyncio's loop, for example with the fixture 'anyio_backend' returning "
                "('asyncio', {'use_uvloop': False})"
            )
        if isinstance(loop._selector, _Select):  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]  # noqa: SLF001
            raise RuntimeError(  # noqa: TRY004 - the place is wrong, not a type
                "the time of this loop is virtual already. Enter one TestService in a test, and give it all handlers: "
                "TestService(first, second); start executions of the second with service.start_other(second, event)"
            )
        self._loop = loop
        self._threads_before = {*threading.enumerate()}
        has_timers = bool(self._loop._scheduled)  # noqa: SLF001
        loop_us = round(loop.time() * _MICRO) if has_timers else _beginning(loop) * _MICRO
        self._loop_began_us = loop_us - self._passed_us()
        self._install()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._undo is not None
        self._undo()
        self._undo = None
        for waiting in self._idle:
            waiting.cancel()

    def _install(self) -> None:
        loop = self._loop
        selector, resolution, run_in_executor = loop._selector, loop._clock_resolution, loop.run_in_executor  # noqa: SLF001

        def run(executor: Executor | None, func: Callable[..., object], *args: object) -> asyncio.Future[object]:
            future: asyncio.Future[object] = run_in_executor(executor, func, *args)
            self._busy.add(future)
            future.add_done_callback(self._busy.discard)
            return future

        def undo() -> None:
            loop._selector, loop._clock_resolution = selector, resolution  # noqa: SLF001
            del loop.time, loop.run_in_executor

        loop._selector = _Select(selector, self)  # noqa: SLF001
        # A timer is due if it is within this. Finer than floats are after a year, the loop would go round for ever.
        loop._clock_resolution = 1 / _MICRO  # noqa: SLF001
        loop.time, loop.run_in_executor = self._loop_time, run
        self._undo = undo

    def _passed_us(self) -> int:
        flown = round((time.monotonic() - self._began) * _MICRO) if self._flows else 0
        return self._moved_us + flown

    def _loop_time(self) -> float:
        return (self._loop_began_us + self._passed_us()) / _MICRO

    # --- what is due ---

    def _next_timer(self, *, of_alarms: bool = False) -> float | None:
        """Return when the loop's next timer is due, of the services' alarms or of the others. An alarm only looks
        whether something is due, again and again."""
        whens: list[float] = [
            timer.when()
            for timer in self._loop._scheduled  # noqa: SLF001
            if not timer.cancelled() and isinstance(getattr(timer._callback, "__self__", None), Alarm) is of_alarms  # noqa: SLF001
        ]
        if not whens:
            return None
        due_us = math.ceil(min(whens) * _MICRO)
        if due_us / _MICRO < min(whens):  # the clock must not stand before the time at which the timer is due
            due_us += 1
        return (self._start_us + due_us - self._loop_began_us) / _MICRO

    def _next_of_services(self) -> float | None:
        due = min((due for each in self._services if (due := each.next_due()) is not None), default=None)
        if due is not None and due <= self():
            return self._next_timer(of_alarms=True)  # it rounds to milliseconds, and its alarm comes a moment later
        return due

    # --- what the loop asks ---

    def select(self, real: _Wait) -> _Events:
        """Wait as ``real`` would, or move time. Called when nothing on the loop can run."""
        if events := real(0):
            return events
        if self._threads_run() and (events := real(_THREAD_PATIENCE)):
            return events
        if self._patience and self._may_answer() and self._is_open_outside() and (events := real(self._patience)):
            return events
        if self._idle:
            self._wake_idle()
            return []
        return self._moved_by_itself(real)

    def _moved_by_itself(self, real: _Wait) -> _Events:
        due = self._next_timer()
        if self.may_pass() and (of_services := self._next_of_services()) is not None:
            due = of_services if due is None else min(due, of_services)
        if due is None and not self._is_open_outside():
            raise StuckError("nothing runs and nothing is due: all tasks of the event loop wait for each other")
        if due is None:
            return real(None)
        self.move_to(due)
        return []

    def _wake_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    def spun(self) -> None:
        """Move to the next timer although something runs: it tries again in each turn, and may wait for that timer."""
        if (due := self._next_timer()) is not None:
            self.move_to(due)

    def _may_answer(self) -> bool:
        """Return whether a task of the loop may wait for something outside of it."""
        return not self._services or not all(each.is_idle() for each in self._services)

    def _threads_run(self) -> bool:
        return bool(self._busy) or any(_works_for(self._loop, thread) for thread in threading.enumerate())

    def _is_open_outside(self) -> bool:
        """Return whether there is a connection other than the loop's own, or a thread that was started since and is not
        in one of the pools that get work from the loop."""
        own = {self._loop._ssock.fileno()}  # noqa: SLF001
        with suppress(AttributeError, OSError, ValueError):
            for key in self._loop._selector.get_map().values():  # noqa: SLF001
                if key.fd not in own and not _listens(key.fd):
                    return True
        return any(not thread.name.startswith(_POOLS) for thread in {*threading.enumerate()} - self._threads_before)


def _beginning(loop: asyncio.AbstractEventLoop) -> int:
    """Return a time in the loop's seconds that is the same in each run, so that sums with it are rounded in the same
    way. It is later than now, so that a timer that is left does not fire when real time is back."""
    return math.ceil(loop.time() / _FORTNIGHT) * _FORTNIGHT


def _listens(fd: int) -> bool:
    try:
        with socket.socket(fileno=socket.dup(fd)) as duplicate:
            return bool(duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _works_for(loop: object, thread: threading.Thread) -> bool:
    """Return whether the thread is one of anyio's that has work of ``loop``. anyio keeps those that have none in a
    list."""
    resting = getattr(thread, "idle_workers", None)
    return resting is not None and getattr(thread, "loop", None) is loop and thread not in resting


_POOLS = ("AnyIO worker", "asyncio_", "ThreadPoolExecutor")
"""What the names of threads begin with whose work the loop knows about."""


class _Select:
    """The loop's selector, which asks :class:`VirtualTime` what to do when nothing can run."""

    def __init__(self, selector: BaseSelector, virtual: VirtualTime) -> None:
        self._selector = selector
        self._virtual = virtual
        self._busy_turns = 0

    def __getattr__(self, name: str) -> object:
        found: object = getattr(self._selector, name)
        return found

    def select(self, timeout: float | None = None) -> _Events:
        if timeout is None or timeout > 0:
            self._busy_turns = 0
            return self._virtual.select(self._selector.select)
        self._busy_turns += 1
        if self._busy_turns % _BUSY_TURNS == 0:
            self._virtual.spun()
        return self._selector.select(0)
