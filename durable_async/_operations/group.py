"""Structured concurrency over durable branches, in anyio's manner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, TypeVarTuple

import attrs

from durable_async._engine.unstarted import Coro

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
ContextT = TypeVar("ContextT")


@attrs.frozen(eq=False)
class BranchHandle(Generic[T]):
    """A branch of a task group, as ``group.start_soon`` returns it."""

    _task: asyncio.Task[T]

    def done(self) -> bool:
        """Return whether the branch has returned, failed or been cancelled."""
        return self._task.done()

    def result(self) -> T:
        """Return what the branch returned.

        :raises ChildContextError: it failed
        :raises asyncio.InvalidStateError: it is not done; it is when the group's block has ended
        """
        return self._task.result()


@attrs.define(eq=False)
class DurableTaskGroup(Generic[ContextT]):
    """What ``ctx.task_group`` returns: ``async with`` it.

    The block ends when all branches have. The first failure cancels the others, and the block raises an
    ``ExceptionGroup`` of what failed, as :class:`asyncio.TaskGroup` does.
    """

    _start: Callable[..., Coro[Any]]
    _group: asyncio.TaskGroup = attrs.field(factory=asyncio.TaskGroup, init=False)

    def start_soon(
        self, func: Callable[[ContextT, *Ts], Awaitable[T]], *args: *Ts, name: str | None = None
    ) -> BranchHandle[T]:
        """Run ``func(ctx, *args)`` as a branch: a child context of its own, recorded under ``name``."""
        return BranchHandle(self._group.create_task(self._start(func, *args, name=name)))

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._group.__aexit__(kind, error, trace)
