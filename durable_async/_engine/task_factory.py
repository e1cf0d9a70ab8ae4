"""The hook on the event loop through which each task that a workflow starts gets its branch.

It stands in front of whatever task factory the loop had, and is taken back when the last workflow on the loop ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from types import CellType, CodeType
from typing import Any, cast
from weakref import WeakKeyDictionary

import attrs

from durable_async._engine.branches import Branch, Task, current, entered, put_in

Coro = Coroutine[Any, Any, Any]
Make = Callable[..., Task]


class task_branches:  # noqa: N801 - what a workflow is run with, and each parked one has its own
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
        installed: Any = self._loop.get_task_factory()
        # Somebody who wrapped ours meanwhile goes on calling it; it then passes everything through.
        if not factory.users and installed is factory:
            self._loop.set_task_factory(factory.previous)
            del _factories[self._loop]


def start_task(loop: asyncio.AbstractEventLoop, branch: Branch, coro: Coro) -> Task:
    """Start a task of the workflow in ``branch``, which is not numbered among those of the calling branch."""
    factory = _factories.get(loop)
    return _start(branch, partial(factory.make if factory else _make, loop, coro), {})


@attrs.define(eq=False, repr=False)
class _Factory:
    previous: Make | None
    users: int = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coro: Coro, **options: Any) -> Task:
        return _start_numbered(coro, partial(self.make, loop, coro), options)

    def make(self, loop: asyncio.AbstractEventLoop, coro: Coro, **options: Any) -> Task:
        return self.previous(loop, coro, **options) if self.previous else _make(loop, coro, **options)

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


def _make_lazily(constructor: Make, coro: Coro, *, loop: asyncio.AbstractEventLoop, **options: Any) -> Task:
    return _start_numbered(coro, partial(constructor, coro, loop=loop), options)


def _make(loop: asyncio.AbstractEventLoop, coro: Coro, **options: Any) -> Task:
    return asyncio.Task(coro, loop=loop, **options)


def _start_numbered(coro: Coro, make: Make, options: dict[str, Any]) -> Task:
    creator = current()
    if not isinstance(creator, Branch):
        return make(**options)
    return _start(creator.of_new_task(coro) if creator.is_calling() else None, make, options)


def _start(branch: Branch | None, make: Make, options: dict[str, Any]) -> Task:
    if options.get("context") is not None:
        # A copy: a context that two tasks share cannot hold the branch of both.
        options["context"] = options["context"].copy()
        put_in(options["context"], branch)
    with entered(branch):  # a task copies the context in which it is made
        task = make(**options)
    if branch is not None:
        branch.task = task
        branch.workflow.adopt(task, branch)
        branch.scope.adopt(task)
    return task


_factories: WeakKeyDictionary[asyncio.AbstractEventLoop, _Factory] = WeakKeyDictionary()
