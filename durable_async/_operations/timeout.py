"""A durable deadline over a block of the workflow.

The block is a context in the record, and the deadline a timer in it. How the context ended says whether the block was
done in time, and that is what a replay goes by: the timer itself may come due later, when nobody minds any more.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

import attrs

from durable_async._engine.branches import Branch, Scope, calling_branch, entered_scope
from durable_async._engine.call import BlockExpired, Call
from durable_async._engine.task_factory import start_task
from durable_async._operations.wait import scheduled_end
from durable_async._wire.operations import TERMINAL, Action, Operation, OperationStatus, OperationType, SubType
from durable_async.config import duration_seconds
from durable_async.errors import ContextMisuseError, DurableTimeoutError


@attrs.define(eq=False)
class Deadline:
    """What ``ctx.timeout`` returns: ``async with`` it."""

    _call: Call
    _timeout: timedelta
    _scope: Scope = attrs.field(init=False)
    _was_entered: bool = attrs.field(default=False, init=False)
    _decided: Operation | None = attrs.field(default=None, init=False)
    _cancelled: asyncio.Task[object] | None = attrs.field(default=None, init=False)
    _cancelling: int = attrs.field(default=0, init=False)  # at the entry, or before the deadline cancelled
    _watch: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _entered: ExitStack = attrs.field(factory=ExitStack, init=False)

    def __attrs_post_init__(self) -> None:
        self._scope = Scope(self._call.id, self._call.branch.scope)

    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self._scope.expired

    async def __aenter__(self) -> Self:
        call = self._call
        if self._was_entered:
            raise ContextMisuseError(
                f"the deadline {call.name or '(unnamed)'} was entered twice. What ctx.timeout() returns serves one "
                "'async with' block: call ctx.timeout() for each"
            )
        self._was_entered = True
        self._cancelling = _cancelling()
        record = await call.enter()
        self._entered.enter_context(entered_scope(call.branch.workflow, self._scope, call.id))
        branch = calling_branch(call.branch.workflow)
        timer = Call(call.invocation, branch, branch.claim(None), OperationType.WAIT, SubType.WAIT, call.name)
        if record is not None and record["Status"] in TERMINAL:
            self._decided = record
            self._scope.expired = record["Status"] != OperationStatus.SUCCEEDED
            self._observe()
            return self
        try:
            if record is None:
                call.post(Action.START)
            await self._set(timer)
        except BaseException:
            self._entered.close()
            raise
        self._observe()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seen = self._as_seen(error)
        forgotten: ContextMisuseError | None = None
        try:
            self._entered.__exit__(type(seen) if seen else None, seen, trace)
        except ContextMisuseError as misuse:
            error = forgotten = misuse
        if self._watch is not None:
            self._watch.cancel()
        if self._cancelled is not None:
            self._cancelled.uncancel()
        if self._call.invocation.decided():
            return
        if self._decided is None:
            await self._decide()
        else:
            self._call.come_by(self._decided)
        if self._scope.expired and (error is None or self._is_own(error)):
            raise DurableTimeoutError(self._call.name, self._timeout) from error
        if forgotten is not None:
            raise forgotten

    def _observe(self) -> None:
        if (plugins := self._call.invocation.plugins) is not None:
            self._entered.enter_context(plugins.user_function(self._call))

    def _as_seen(self, error: BaseException | None) -> BaseException | None:
        """What the block raised, as a plugin is told it: the cancellation by the deadline is the deadline."""
        if isinstance(error, asyncio.CancelledError) and self._scope.expired and not self._call.invocation.decided():
            return DurableTimeoutError(self._call.name, self._timeout)
        return error

    def _is_own(self, error: BaseException) -> bool:
        """Whether it is the deadline that cancelled, and nobody else did meanwhile.

        The count of a task is compared with what it was, and not with zero: up to Python 3.12 an asyncio.TaskGroup
        that fails leaves it one too high for good.
        """
        if isinstance(error, BlockExpired):
            return True
        return isinstance(error, asyncio.CancelledError) and _cancelling() <= self._cancelling

    async def _set(self, timer: Call) -> None:
        record = await timer.enter()  # the time in the block is not that of its deadline
        if record is None:
            whole = duration_seconds(self._timeout, what="the timeout of a block")
            record = await timer.commit(Action.START, WaitOptions={"WaitSeconds": whole})
        if record["Status"] in TERMINAL:
            timer.invocation.record.visit(record)
            self._scope.expired = True
            return
        owner = asyncio.current_task()
        assert owner is not None
        loop = asyncio.get_running_loop()
        branch = Branch(self._call.branch.workflow, self._call.branch.scope)
        self._watch = start_task(loop, branch, self._expire(timer, owner))

    async def _expire(self, timer: Call, owner: asyncio.Task[object]) -> None:
        invocation = timer.invocation
        while (record := invocation.record.get(timer.id)) is not None and record["Status"] not in TERMINAL:
            await invocation.watched(timer.id, record, scheduled_end(record))
        self._scope.expired = True
        self._scope.cancel_tasks()
        self._cancelled, self._cancelling = owner, owner.cancelling()
        owner.cancel()

    async def _decide(self) -> None:
        # Either way the block itself is replayed, so the service must keep what is in it.
        if self._scope.expired:
            failure = self._call.error_object(DurableTimeoutError(self._call.name, self._timeout))
            await self._call.commit(Action.FAIL, Error=failure, ContextOptions={"ReplayChildren": True})
        else:
            await self._call.commit(Action.SUCCEED, ContextOptions={"ReplayChildren": True})


def _cancelling() -> int:
    """How many cancellations the running task has not got over."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
