"""When a workflow is at rest: the event loop is about to run none of its code.

A workflow at rest continues only if an operation ends, or if a body of a step that was cancelled ends. Other code in
the bodies of steps does not count, because its result has to be recorded before the workflow can see it.

- of asyncio's own loops and of uvloop it is known what they are about to run. A workflow is at rest if nothing of that
  belongs to it
- of other loops it is not. There a workflow is at rest after some turns of the loop in which nothing of it began or
  ended, if none of its tasks is about to continue. One such turn is not enough: between the end of a task and the next
  call of the code that gathered it lie several turns, one for each future that passes the result on
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from operator import attrgetter
from typing import Any, Protocol, TypeAlias
from weakref import WeakValueDictionary

from durable_async._engine.branches import Workflow
from durable_async._engine.calling import place_of_callback, place_of_task
from durable_async._engine.limits import EngineLimits
from durable_async._engine.tasks import Task
from durable_async.step_context import StepContext

Queue: TypeAlias = tuple[deque[Any], Callable[[Any], tuple[Context, object]]]
"""The handles that a loop is about to run, in their order, and what returns the context and the callback of one. The
callback is None if it was cancelled."""


class Watcher(Protocol):
    """Is called when a workflow is at rest.

    :ivar quiet: turns in which nothing of the workflow began or ended. The watcher sets it to 0 when something does
    """

    quiet: int
    limits: EngineLimits

    @property
    def workflow(self) -> Workflow: ...

    def at_rest(self) -> None:
        """Decide what follows, now that the workflow is at rest. Called once for each ``watch``."""
        ...

    def restless(self) -> None:
        """Decide what follows, now that the workflow was not at rest for ``limits.restless_turns``. It may be waiting,
        in a loop around ``asyncio.sleep(0)``, for something that it gets only at rest. Called once per ``watch``."""
        ...


class Rest:
    """Calls watchers when their workflows are at rest. All workflows on one loop share one, see ``rest_of``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: Queue | None = queue_of(loop)
        self._watchers: dict[Watcher, int] = {}  # the value: in how many turns the workflow was not at rest
        self._is_scheduled = False
        self._context = Context()  # of no workflow

    def watch(self, watcher: Watcher) -> None:
        """Call ``watcher`` when its workflow is at rest: once, however often this is called before."""
        if watcher not in self._watchers:
            self._watchers[watcher] = 0
            if not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        watchers, self._watchers = self._watchers, {}
        try:
            self._call(watchers)
        finally:
            if self._watchers:
                self._loop.call_soon(self._turn, context=self._context)
            else:
                self._is_scheduled = False

    def _call(self, watchers: dict[Watcher, int]) -> None:
        busy = _not_quiet(watchers) if self._queue is None else _about_to_run(watchers, self._queue)
        for watcher, turns in watchers.items():
            if watcher.workflow not in busy:
                watcher.at_rest()
            elif turns < watcher.limits.restless_turns:
                self._watchers[watcher] = turns + 1
            else:
                watcher.restless()


_rests: WeakValueDictionary[asyncio.AbstractEventLoop, Rest] = WeakValueDictionary()
"""A Rest lives as long as a watcher refers to it: it refers to its loop, which must not be kept alive by this."""


def rest_of(loop: asyncio.AbstractEventLoop) -> Rest:
    rest = _rests.get(loop)
    if rest is None:
        rest = _rests[loop] = Rest(loop)
    return rest


def queue_of(loop: asyncio.AbstractEventLoop) -> Queue | None:
    """Return the queue of a loop; None: it cannot be known."""
    ready: deque[Any] | None = getattr(loop, "_ready", None)
    if isinstance(ready, deque):
        return ready, attrgetter("_context", "_callback")
    from durable_async._engine.hidden_queue import hidden_queue_of, shown_by  # most programs run on asyncio's own loop

    hidden = hidden_queue_of(loop)
    return None if hidden is None else (hidden, shown_by)


def _about_to_run(watchers: Iterable[Watcher], queue: Queue) -> set[Workflow]:
    """Return those of the watched workflows whose code the loop is about to run."""
    handles, shown = queue
    busy: set[Workflow] = set()
    if not handles:
        return busy
    idle = {watcher.workflow for watcher in watchers}
    # A copy, made in one step: a thread may append to the queue at any time.
    for context, callback in map(shown, handles.copy()):
        workflow = getattr(place_of_callback(context, callback), "workflow", None)
        if workflow in idle:
            idle.remove(workflow)
            busy.add(workflow)
            if not idle:
                break
    return busy


def _not_quiet(watchers: Iterable[Watcher]) -> set[Workflow]:
    """Return those of the watched workflows whose code the loop may be about to run."""
    busy: set[Workflow] = set()
    for watcher in watchers:
        if watcher.quiet < watcher.limits.quiet_turns:
            watcher.quiet += 1
            busy.add(watcher.workflow)
        elif any(will_continue(task) for task in watcher.workflow.tasks):
            watcher.quiet = 0
            busy.add(watcher.workflow)
    return busy


def will_continue(task: Task) -> bool:
    """Return whether the loop is going to run the task, or what waits for it, without anything new. False for a task in
    the body of a step.

    A task that is done ended in this very turn, or it would have left the workflow's tasks: its callbacks have not run.
    A task's ``_fut_waiter`` is what it waits for: None if it is ready to run. It has no public form, and is the same in
    all Python versions.
    """
    if task.done():
        return True
    if isinstance(place_of_task(task), StepContext):
        return False
    waited_for = getattr(task, "_fut_waiter", None)
    return waited_for is None or _will_be_done(waited_for)


def _will_be_done(future: asyncio.Future[object]) -> bool:
    """Return whether a future is done, or is a gathering of futures that are. Nested gatherings pass their result on by
    one level each turn, so a deep nest outlasts any fixed number of quiet turns."""
    pending = [future]
    while pending:
        each = pending.pop()
        if not each.done():
            children: list[asyncio.Future[object]] = getattr(each, "_children", [])
            if not children:
                return False
            pending.extend(children)
    return True
