"""When nothing can progress.

An invocation counts what runs (bodies of operations, checkpoints awaited) and what is parked (operations that wait
for the service). When nothing runs and something is parked, the loop is watched: a turn in which nothing started,
ended or parked is quiet. After some quiet turns the workflow's tasks are looked at once; if none of them is about to
go on, the workflow is quiescent.

Why not at the first quiet turn: between the end of a step and the next call of the code that gathered it lie several
turns of the loop, one for each future that hands its result on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

_QUIET_TURNS = 8


class Activity:
    """Counts what runs and what is parked, and says when nothing can progress.

    Entered (``with activity:``) for as long as something runs that must not be cut short.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: Callable[[], Iterable[asyncio.Task[Any]]],
        on_quiescent: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._tasks = tasks
        self._on_quiescent = on_quiescent
        self._running = 0
        self._parked = 0
        self._generation = 0
        self._watching = False
        self._over = False

    def begin(self) -> None:
        self._running += 1
        self._generation += 1

    def end(self) -> None:
        self._running -= 1
        self.changed()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def changed(self) -> None:
        """Something started, ended, parked or resumed."""
        self._generation += 1
        if self._can_be_quiescent() and not self._watching:
            self._watching = True
            self._loop.call_soon(self._turn, self._generation, 0)

    def park(self) -> None:
        self._parked += 1
        self.changed()

    def resume(self) -> None:
        self._parked -= 1
        self._generation += 1

    def close(self) -> None:
        self._over = True

    def _can_be_quiescent(self) -> bool:
        return self._running == 0 and self._parked > 0 and not self._over

    def _turn(self, generation: int, quiet: int) -> None:
        if not self._can_be_quiescent():
            self._watching = False
        elif generation != self._generation:
            self._loop.call_soon(self._turn, self._generation, 0)
        elif quiet < _QUIET_TURNS:
            self._loop.call_soon(self._turn, generation, quiet + 1)
        elif any(will_go_on(task) for task in self._tasks()):
            self._loop.call_soon(self._turn, generation, 0)
        else:
            self._watching = False
            self._on_quiescent()


def will_go_on(task: asyncio.Task[Any]) -> bool:
    """Whether the loop is going to run the task, or what waits for it, with nothing new happening.

    One that is done ended in this very turn, or it would have left the workflow's tasks: nobody has been told yet. A
    task's ``_fut_waiter`` is what it waits for: none if it is ready to run. It has no public form, and is the same
    in all Python versions and in uvloop.
    """
    if task.done():
        return True
    waited_for = getattr(task, "_fut_waiter", None)
    return waited_for is None or _will_be_done(waited_for)


def _will_be_done(future: asyncio.Future[Any]) -> bool:
    """Whether a future is done, or is a gathering of futures that are: gatherings of gatherings hand their result on
    by one level a turn, so a deep nest outlasts any fixed number of quiet turns."""
    pending = [future]
    while pending:
        each = pending.pop()
        if not each.done():
            children: list[asyncio.Future[Any]] = getattr(each, "_children", [])
            if not children:
                return False
            pending.extend(children)
    return True
