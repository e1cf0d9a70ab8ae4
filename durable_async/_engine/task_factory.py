"""The hook on the event loop through which each task that a workflow starts gets its branch.

It calls the task factory that the loop had before, and is removed when the last workflow on the loop ends. Where that
factory was asyncio's own, the tasks of workflows are instances of a class whose hash is the same on every replay, so
that sets of them have the same order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from types import CellType, CodeType
from typing import Any, TypedDict, Unpack, cast
from weakref import WeakKeyDictionary

from durable_async._engine.branches import Branch, CancelledBody, Scope
from durable_async._engine.calling import Place, current_creator, entered, put_in, put_task
from durable_async._engine.tasks import Coro, Task
from durable_async.step_context import StepContext

Make = Callable[..., Task]


class Options(TypedDict, total=False):
    """What a task is made with besides its coroutine. Newer versions of Python have more options than these."""

    context: Context | None
    name: str | None


class task_branches:  # noqa: N801 - reads as a phrase
    """``with task_branches(loop):`` tasks that workflows on ``loop`` create get branches of their own."""

    __slots__ = ("_loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        factory = _factories.get(self._loop)
        if factory is None:
            factory = _factories[self._loop] = _Factory(cast("Any", self._loop.get_task_factory()))
            # typeshed has one for any result, which no class can spell
            self._loop.set_task_factory(cast("Any", factory))
        factory.users += 1

    def __exit__(self, *_: object) -> None:
        factory = _factories[self._loop]
        factory.users -= 1
        installed = cast("object", self._loop.get_task_factory())
        # Code that wrapped this factory meanwhile still calls it; it then passes everything through.
        if not factory.users and installed is factory:
            self._loop.set_task_factory(cast("Any", factory.previous))
            del _factories[self._loop]


def start_task(loop: asyncio.AbstractEventLoop, branch: Branch, coro: Coro[object]) -> Task:
    """Start a task of the workflow in ``branch``. The calling branch does not number it."""
    factory = _factories.get(loop)
    branch.task_hash = branch.hash_of_position()
    return _start(branch, partial(factory.make if factory else _make, loop, coro), {})


class WorkflowTask(Task):
    """A task of a workflow. Its hash derives from its place in the program and not from its address. It notes when it
    is cancelled in the body of a step."""

    durable_scope: Scope  # of the step in whose body it is, or was

    def __init__(
        self, coro: Coro[object], branch: Branch, loop: asyncio.AbstractEventLoop, **options: Unpack[Options]
    ) -> None:
        self._workflow = branch.workflow
        self._hash = branch.task_hash
        self.durable_place: Place = branch
        branch.task = self
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._hash

    def cancel(self, msg: object = None) -> bool:
        place, pending = self.durable_place, self.cancelling()
        is_cancelled = super().cancel(msg)
        if is_cancelled and isinstance(place, StepContext):
            bodies = self._workflow.cancelled_bodies
            if self not in bodies or bodies[self].step is not place:
                bodies[self] = CancelledBody(place, self.durable_scope, pending, self.get_loop().time())
        return is_cancelled

    def uncancel(self) -> int:
        pending = super().uncancel()
        bodies = self._workflow.cancelled_bodies
        if self in bodies and pending <= bodies[self].pending:
            del bodies[self]
            self._workflow.on_change()
        return pending


class _Factory:
    def __init__(self, previous: Make | None) -> None:
        self.previous = previous
        self.users = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Coro[object], **options: Unpack[Options]) -> Task:
        creator = current_creator()
        if creator is None and self.previous is None:  # no workflow's: a client starts one for each request, say
            return asyncio.Task(coro, loop=loop, **options)
        return _start_numbered(creator, coro, partial(self.make, loop, coro), options)

    def make(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coro[object],
        *,
        branch: Branch | None = None,
        **options: Unpack[Options],
    ) -> Task:
        previous = self.previous
        if previous is None:
            return _make(loop, coro, branch=branch, **options)
        if branch is not None and previous is _EAGER:
            return WorkflowTask(coro, branch, loop, **cast("Options", {"eager_start": True, **options}))
        return previous(loop, coro, **options)

    # anyio has tasks of its groups start lazily, also on a loop whose tasks start eagerly: it looks whether the factory
    # is asyncio's eager one, and takes what makes the tasks out of its closure. In front of such a factory, ours
    # looks like it in these two respects.

    @property
    def __code__(self) -> CodeType | None:
        return getattr(self.previous, "__code__", None)

    @property
    def __closure__(self) -> tuple[CellType, ...] | None:
        cells: tuple[CellType, ...] | None = getattr(self.previous, "__closure__", None)
        return cells and (CellType(partial(_make_lazily, cells[0].cell_contents)), *cells[1:])


_EAGER: object = getattr(asyncio, "eager_task_factory", _Factory)  # since Python 3.12


def _make_lazily(
    constructor: Make, coro: Coro[object], *, loop: asyncio.AbstractEventLoop, **options: Unpack[Options]
) -> Task:
    def make(*, branch: Branch | None, **options: Unpack[Options]) -> Task:
        if branch is not None and constructor is asyncio.Task:
            return WorkflowTask(coro, branch, loop, **options)
        return constructor(coro, loop=loop, **options)

    return _start_numbered(current_creator(), coro, make, options)


def _make(
    loop: asyncio.AbstractEventLoop, coro: Coro[object], *, branch: Branch | None = None, **options: Unpack[Options]
) -> Task:
    if branch is None:
        return asyncio.Task(coro, loop=loop, **options)
    return WorkflowTask(coro, branch, loop, **options)


def _start_numbered(creator: Place, coro: Coro[object], make: Make, options: Options) -> Task:
    if isinstance(creator, Branch):
        return _start(creator.of_new_task(coro) if creator.is_calling() else creator.of_late_task(), make, options)
    return make(branch=None, **options)


def _start(branch: Branch, make: Make, options: Options) -> Task:
    _put_in_options(options, branch)
    order = branch.scope.order
    order.begin_task()  # before it starts: a task that starts eagerly may call operations at once
    try:
        with entered(branch):  # a task copies the context in which it is made
            task = make(branch=branch, **options)
    except BaseException:
        order.end_task()
        raise
    _put_new(task, branch)
    branch.workflow.adopt(task, branch)
    return task


def _put_new(task: Task, place: Place) -> None:
    """Make ``place`` the place of a new task, unless it started eagerly and is in an inner place already."""
    if not hasattr(task, "durable_place"):
        put_task(task, place)


def _put_in_options(options: Options, place: Place) -> None:
    if (context := options.get("context")) is not None:
        # A copy: a context that two tasks share cannot hold the branch of both.
        options["context"] = context = context.copy()
        put_in(context, place)


_factories: WeakKeyDictionary[asyncio.AbstractEventLoop, _Factory] = WeakKeyDictionary()
