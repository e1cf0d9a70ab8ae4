"""Structured concurrency over durable branches, in anyio's manner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, TypeVarTuple

import attrs

from durable_async._arguments import check_context_function, context_parameters
from durable_async._engine.tasks import Coro
from durable_async._operations.one_block import OneBlock
from durable_async.errors import ContextMisuseError

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
        if not self._task.done():
            raise asyncio.InvalidStateError(
                "the branch has not ended. Read its result after the block of ctx.task_group(), which waits for it"
            )
        return self._task.result()


@attrs.define(eq=False)
class DurableTaskGroup(Generic[ContextT]):
    """What ``ctx.task_group`` returns: ``async with`` it.

    The block ends when all branches have. The first failure cancels the others, and the block raises an
    ``ExceptionGroup`` of what failed, as :class:`asyncio.TaskGroup` does.
    """

    _start: Callable[..., Coro[Any]]
    _group: asyncio.TaskGroup = attrs.field(factory=asyncio.TaskGroup, init=False)
    _block: OneBlock = attrs.field(factory=lambda: OneBlock("ctx.task_group()"), init=False)

    def start_soon(
        self, func: Callable[[ContextT, *Ts], Awaitable[T]], *args: *Ts, name: str | None = None
    ) -> BranchHandle[T]:
        """Run ``func(ctx, *args)`` as a branch: a child context of its own, recorded under ``name``.

        :raises TypeError: ``func`` is not a coroutine function of ``(ctx, *args)``
        :raises ContextMisuseError: the block has not begun, has ended, or is ending because a branch failed
        """
        check_context_function(func, context_parameters(args), "group.start_soon")
        self._block.check_inside("start_soon", "which waits for the branches")
        branch = self._start(func, *args, name=name)
        try:
            return BranchHandle(self._group.create_task(branch))
        except RuntimeError:
            branch.close()
            raise ContextMisuseError(
                "start_soon() of ctx.task_group() was called after a branch of the group had failed. The block ends "
                "with that failure, and starts nothing more: let the cancellation pass"
            ) from None

    async def __aenter__(self) -> Self:
        self._block.enter()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, trace)
        finally:
            self._block.leave()
