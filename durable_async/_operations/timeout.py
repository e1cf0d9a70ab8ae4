"""A durable deadline over a block of the workflow.

The block is a context in the record, and the deadline is a timer in it. How the context ended says whether the block
ended in time, and a replay repeats that: the timer itself may be due later, when it does not matter any more.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Self

import attrs

from durable_async._durations import duration_seconds
from durable_async._engine.branches import Scope
from durable_async._engine.call import BlockExpired, Call
from durable_async._engine.calling import entered_scope
from durable_async._engine.order import Place
from durable_async._operations.one_block import OneBlock
from durable_async._operations.wait import scheduled_end
from durable_async._wire.operations import TERMINAL, Action, Operation, OperationStatus, OperationType, SubType
from durable_async._wire.timestamps import end_microseconds, start_microseconds
from durable_async.errors import ContextMisuseError, DurableTimeoutError


@attrs.define(eq=False)
class Deadline:
    """What ``ctx.timeout`` returns: ``async with`` it."""

    _call: Call
    _timeout: timedelta
    _scope: Scope = attrs.field(init=False)
    _block: OneBlock = attrs.field(init=False)
    _decided: Operation | None = attrs.field(default=None, init=False)
    _cancelled: asyncio.Task[object] | None = attrs.field(default=None, init=False)
    _cancelling: int = attrs.field(default=0, init=False)  # at the entry, or before the deadline cancelled
    _news: asyncio.Future[None] | None = attrs.field(default=None, init=False)
    _expiry: Place | None = attrs.field(default=None, init=False)
    _is_left: bool = attrs.field(default=False, init=False)  # the deadline cancels nothing any more
    _entered: ExitStack = attrs.field(factory=ExitStack, init=False)

    def __attrs_post_init__(self) -> None:
        self._block = OneBlock("ctx.timeout()", self._call.name)
        outer = self._call.scope
        self._scope = Scope(self._call.id, outer, order=outer.order)
        self._scope.has_deadline = True

    def expired(self) -> bool:
        """Return whether the deadline has passed."""
        return self._scope.expired

    async def __aenter__(self) -> Self:
        call = self._call
        self._block.enter()
        self._cancelling = _cancelling()
        call.scope.unstarted.pop(call, None)
        record = await call.read()
        branch = self._entered.enter_context(entered_scope(call.branch, self._scope, call.id))
        timer = Call(call.journal, branch, branch.claim(None), OperationType.WAIT, SubType.WAIT, call.name, call.number)
        try:
            if record is not None and record["Status"] in TERMINAL:
                self._decided = record
            elif record is None:
                call.post(Action.START)
            await self._set(timer)
        except BaseException:
            self._leave()  # __aexit__ is not called
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
        self._leave()
        if self._call.journal.refuses:
            return
        self._call.ended(self._decided or await self._decide())
        await self._call.hand_over()
        if self._scope.expired and (error is None or self._is_own(error)):
            raise DurableTimeoutError(self._call.name, self._timeout) from error
        if forgotten is not None:
            raise forgotten

    def _leave(self) -> None:
        """Let the deadline cancel nothing any more, and take back what it has cancelled."""
        self._is_left = True
        if self._news is not None:
            self._news.cancel()
        if self._expiry is not None:
            self._expiry.withdraw()
        if self._cancelled is not None:
            self._cancelled.uncancel()

    def _observe(self) -> None:
        if (observer := self._call.journal.observer) is not None:
            self._entered.enter_context(observer.user_function(self._call))

    def _as_seen(self, error: BaseException | None) -> BaseException | None:
        """Return what the block raised, as a plugin gets it: instead of the deadline's cancellation its error."""
        if isinstance(error, asyncio.CancelledError) and self._scope.expired and not self._call.journal.refuses:
            return DurableTimeoutError(self._call.name, self._timeout)
        return error

    def _is_own(self, error: BaseException) -> bool:
        """Return whether the deadline cancelled the block, and nothing else did meanwhile.

        The task's count of cancellations is compared with what it was, and not with zero: up to Python 3.12 an
        asyncio.TaskGroup that fails leaves it one too high.
        """
        if isinstance(error, BlockExpired):
            return True
        return isinstance(error, asyncio.CancelledError) and _cancelling() <= self._cancelling

    async def _set(self, timer: Call) -> None:
        """Start the timer. Return when its start has its turn in the order."""
        record = await timer.read(start=True)
        if record is None and self._decided is None:
            seconds = duration_seconds(self._timeout, what="the timeout of a block")
            record = await timer.commit(Action.START, WaitOptions={"WaitSeconds": seconds})
        owner = asyncio.current_task()
        assert owner is not None
        if self._decided is None or self._decided["Status"] != OperationStatus.SUCCEEDED:
            self._watch(timer, owner)
        timer.happened((start_microseconds(record) or 0) if record else 0)
        await timer.hand_over()

    def _watch(self, timer: Call, owner: asyncio.Task[object], _: object = None) -> None:
        """Wait for the end of the timer, without keeping the workflow from being suspended."""
        if self._is_left:
            return
        record = timer.recorded()
        ended = record if record is not None and record["Status"] in TERMINAL else self._decided
        if ended is None:
            self._news = timer.journal.change(timer.id, record, scheduled_end(record))
            self._news.add_done_callback(partial(self._watch, timer, owner))
            return
        self._scope.is_expiring = True
        order, at = self._scope.order, end_microseconds(ended) or 0
        self._expiry = order.take_place(at, timer.number, self._call, order.handed_over)
        turn = timer.journal.activity.expect(self._expiry)
        turn.add_done_callback(lambda _: self._expire(timer, ended, owner))

    def _expire(self, timer: Call, ended: Operation, owner: asyncio.Task[object]) -> None:
        if self._is_left:
            return
        self._scope.order.latest = max(self._scope.order.latest, end_microseconds(ended) or 0)
        timer.forget()
        self._scope.expired = True
        self._cancelled, self._cancelling = owner, owner.cancelling()
        owner.cancel()
        self._scope.cancel_tasks()
        self._scope.cancel_tasks_inside(owner)

    async def _decide(self) -> Operation:
        # Either way the block itself is replayed, so the service must keep what is in it.
        if self._scope.expired:
            failure = self._call.error_object(DurableTimeoutError(self._call.name, self._timeout))
            return await self._call.commit(Action.FAIL, Error=failure, ContextOptions={"ReplayChildren": True})
        return await self._call.commit(Action.SUCCEED, ContextOptions={"ReplayChildren": True})


def _cancelling() -> int:
    """Return how many cancellations of the running task are pending."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
