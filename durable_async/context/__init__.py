"""What a workflow may do: one module for each family of operations."""

from __future__ import annotations

from contextvars import ContextVar

from durable_async.context.batches import Batches
from durable_async.context.callbacks import Callbacks
from durable_async.engine.branches import Branch, current
from durable_async.step_context import StepContext


class DurableContext(Callbacks, Batches):
    """The handle through which a workflow calls durable operations.

    A call belongs to the branch of the code that makes it: the workflow's own coroutine, a child context, or the
    asyncio task in which it stands, whichever handle it is made through. The operation takes its identity when it is
    called, not when it is awaited, so ``asyncio.gather(ctx.step(a), ctx.step(b))`` replays right whatever finishes
    first.

    All operations raise :class:`~durable_async.NonDeterminismError` if another operation is recorded in their place,
    :class:`~durable_async.ContextMisuseError` if called where none can be called, and ``asyncio.CancelledError`` while
    the invocation is suspending: let that pass.
    """


_context: ContextVar[DurableContext | None] = ContextVar("durable_async_context", default=None)


def bind(context: DurableContext) -> None:
    """Make ``context`` the current one of the running task and of those that it starts."""
    _context.set(context)


def current_context() -> DurableContext | None:
    """The context of the running workflow, so that a library can attach itself; None outside one, and in the body of a
    step, where no durable operation can be called."""
    return _context.get() if isinstance(current(), Branch) else None


def current_step() -> StepContext:
    """The running attempt, for the body of a step. In its worker thread too.

    :raises RuntimeError: no step's body is running here
    """
    here = current()
    if not isinstance(here, StepContext):
        raise RuntimeError(  # noqa: TRY004 - the place is wrong, not a type
            "current_step() was called outside the body of a step"
        )
    return here
