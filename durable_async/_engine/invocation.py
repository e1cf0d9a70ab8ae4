"""One invocation of one execution: runs the workflow's task against the record, and decides how it ends.

- the first of these decides: the workflow's task ends, nothing can progress, a call to the service fails for good
- once it is decided, no operation starts any more, whatever the workflow's code does with its cancellation
- the workflow's tasks are cancelled and awaited, so that ``finally`` blocks run and nothing is left on the loop
- a cancellation from outside passes through: it decides nothing about the execution

When nothing can progress, the workflow may also be parked: the invocation ends as if it were suspended, and the
workflow stays in memory as it is. To the service this makes no difference.

- parked, it has nothing to send and no right to: an operation that its code calls waits until it goes on
- the next invocation brings what changed; it goes on where the last one stopped, or ends as the parked workflow has
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from collections.abc import Set as AbstractSet
from contextvars import Context
from typing import Any, NoReturn, Self

from durable_async._engine.background import release_background_tasks, standing_in
from durable_async._engine.branches import Branch, Scope, Task, Workflow
from durable_async._engine.calling import entered, put_in
from durable_async._engine.flusher import Flusher
from durable_async._engine.limits import DEFAULT_LIMITS, EngineLimits
from durable_async._engine.observer import Frontier, Observer, Substitute
from durable_async._engine.order import Order
from durable_async._engine.outcomes import (
    Broken,
    Ending,
    Exited,
    Failed,
    Outcome,
    Returned,
    Superseded,
    Suspended,
    of_flusher,
    of_workflow,
)
from durable_async._engine.record import Record
from durable_async._engine.suspension import Activity
from durable_async._engine.task_factory import start_task, task_branches
from durable_async._engine.timers import Timers
from durable_async._engine.unstarted import close_unstarted
from durable_async._threads import Threads, threads_of
from durable_async._wire.envelope import MICROSECONDS, Envelope
from durable_async._wire.operations import Operation, OperationUpdate
from durable_async._wire.timestamps import start_microseconds
from durable_async.errors import ContextMisuseError, NonDeterminismError
from durable_async.transport.base import DurableServiceClient

logger: logging.Logger = logging.getLogger("durable_async")

_abandoned: set[Task] = set()
"""Tasks that did not end when they were cancelled. Kept: collecting one would run its code once more."""


class Invocation:
    """One invocation; or several, if the workflow is parked between them.

    Entered for as long as the service may be written to.

    :param max_inline_wait: seconds; a timer that is due within them is waited for in place
    :param clock: the time in epoch seconds, which recorded timers are compared with
    :param threads: those of the service that runs it; None: those of the event loop
    :param may_park: asked when nothing can progress: whether the workflow may stay in memory
    :ivar is_parked: the workflow is in memory, and no invocation runs
    :ivar admission: what an operation that is called now has to wait for; None: nothing
    :ivar threads: in which sync bodies run
    :ivar plugins: None if there are none. With some it is never parked: their hooks tell of invocations
    :ivar substitute: None if users' functions run as they are
    :ivar frontier: None if the workflow may go beyond what is on record, as it does but for a replay of a history
    """

    plugins: Observer | None = None
    frontier: Frontier | None = None
    substitute: Substitute | None = None

    def __init__(
        self,
        envelope: Envelope,
        client: DurableServiceClient,
        *,
        max_inline_wait: float = 0.0,
        clock: Callable[[], float] = time.time,
        may_park: Callable[[], bool] = lambda: False,
        lambda_context: Any = None,
        threads: Threads | None = None,
        limits: EngineLimits = DEFAULT_LIMITS,
    ) -> None:
        self.execution_arn: str = envelope.execution_arn
        self.extensions: Collection[str] = envelope.extensions
        self.lambda_context: Any = lambda_context
        self.clock = clock
        self.limits = limits
        self.is_parked: bool = False
        self.admission: asyncio.Future[None] | None = None
        self._max_inline_wait = max_inline_wait
        self._may_park = may_park
        self._loop = asyncio.get_running_loop()
        self.threads: Threads = threads or threads_of(self._loop)
        self._branches: task_branches | None = None
        self._main: Task | None = None
        self._answerable: asyncio.Future[None] = self._loop.create_future()
        self._over = False  # nothing in the workflow may start any more
        self._ending: Ending | None = None  # what decided, unless it was the end of the workflow's task
        self._silence: Ending | None = None  # what the end of the talk with the service means, once it has ended
        self._mismatch: NonDeterminismError | None = None
        self._refused: set[Task] = set()
        self._cancelling = 0  # the workflow's task, when it was parked
        self._stuck: set[Task] = set()
        self._got_stuck: asyncio.Future[None] = self._loop.create_future()
        self._next_marker = envelope.next_marker
        self.record: Record = Record(self._loop, microseconds=MICROSECONDS in envelope.extensions)
        self.record.load(envelope.operations)
        if envelope.next_marker is None:
            self.record.loaded()
        else:
            self.record.on_loaded(lambda _: self.activity.changed())
        self.workflow: Workflow = Workflow(envelope.execution_arn)
        self.activity: Activity = Activity(
            self._loop,
            self.workflow,
            self._on_quiescent,
            is_known=lambda: self.record.whole is None and not self.flusher.is_reading,
            limits=limits,
        )
        self.workflow.on_change = self.activity.changed
        self.flusher: Flusher = Flusher(
            client,
            envelope.execution_arn,
            envelope.token,
            self.record,
            self._loop,
            settled=self.activity.settled,
            on_whole=self.activity.changed,
            limits=limits,
        )
        self.timers: Timers = Timers(self._loop, clock, self.record.is_awaited, self._refresh, limits)

    async def __aenter__(self) -> Self:
        with entered(None):  # the flusher belongs to no workflow, even if this one is run inside another's step
            self._talking = self._loop.create_task(self.flusher.run(self._next_marker))
        self._talking.add_done_callback(self._on_silence)
        if self._branches is None:
            self._branches = task_branches(self._loop)
            self._branches.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.is_parked:
            self._let_go()
        self.flusher.close()
        if not self._talking.done():
            self._talking.cancel()
            await asyncio.wait([self._talking])

    async def run(self, workflow: Callable[[str | None], Coroutine[Any, Any, Any]]) -> Outcome:
        """Run the workflow's coroutine until something decides how this invocation ends.

        :param workflow: called with the execution's input, JSON text or None; not if it goes on after it was parked
        :raises asyncio.CancelledError: this was cancelled from outside; so was the workflow, and nothing is decided
        """
        main = self._main
        if main is None:
            if self.record.execution() is None and not await self.loaded():
                return self._silence or Suspended()
            execution = self.record.execution()
            payload = (execution.get("ExecutionDetails") or {}).get("InputPayload") if execution else None
            root = Branch(self.workflow, Scope(order=Order(tasks=0)))
            main = self._main = start_task(self._loop, root, workflow(payload))
            context = Context()
            put_in(context, root)  # so that the workflow is not taken for one at rest before this is called
            main.add_done_callback(self._on_main_done, context=context)
        try:
            await self._answerable
            if self.is_parked:
                return Suspended()
            returned = of_workflow(main) if self._ending is None else None
            misuse = await self._wind_down()
            if misuse is not None and isinstance(returned, Returned):
                returned = Failed(misuse)
            if isinstance(self._ending, Suspended) and (drained := self.flusher.drained()):
                await self._heard(drained)
        except asyncio.CancelledError:
            self.flusher.stop()
            self._end(Superseded())
            await self._wind_down()
            if main.done() and not main.cancelled():
                main.exception()  # it ended just before, and nobody is going to hear how
            if self.workflow.exited is not None:
                return Exited(self.workflow.exited)
            raise
        if self._ending is not None:
            self._report_ignored(main)
        return self._verdict(returned)

    # --- between invocations ---

    def resume(self, envelope: Envelope, client: DurableServiceClient, lambda_context: Any) -> None:
        """Let the parked workflow go on in a further invocation, which is then entered and run as the first was.

        :param envelope: it need not hold more of the record than what changed
        """
        self.is_parked = False
        self.lambda_context = lambda_context
        self._next_marker = None
        self.flusher.resume(client, envelope.token)
        self.record.apply(envelope.operations)
        if self.admission is not None:
            self.admission.set_result(None)
            self.admission = None
        self._answerable = self._loop.create_future()
        if self._over:
            self._answerable.set_result(None)
        self.timers.arm()
        self.activity.changed()

    async def leave(self) -> None:
        """Suspend the parked workflow after all: its ``finally`` blocks run, and it is gone."""
        self.is_parked = False
        self._end(Suspended())
        await self._wind_down()
        self._let_go()
        if self._main is not None:
            self._report_ignored(self._main)
        if self.workflow.exited is not None:
            raise self.workflow.exited

    def is_intact(self) -> bool:
        """Whether the parked workflow may go on: False if its task was cancelled since, as at the end of a program."""
        main = self._main
        return main is None or not (main.cancelled() or main.cancelling() > self._cancelling)

    def drain(self) -> None:
        """Let no further operation start, and suspend as soon as those that run have ended."""
        if self.admission is None:
            self.admission = self._loop.create_future()
            self.activity.park()

    # --- for the handler ---

    async def loaded(self) -> bool:
        """Wait for the whole record. False if the talk with the service ended before it was here."""
        return (whole := self.record.whole) is None or await self._heard(whole)

    async def write_last(self, update: OperationUpdate) -> Ending | None:
        """Record ``update`` after the workflow ended.

        :return: None if it is recorded, or what kept it from being so
        """
        return None if await self._heard(self.flusher.commit(update)) else self._silence

    # --- for the operations ---

    def started_at(self) -> float:
        """When the execution began, in epoch seconds; 0.0 if the record does not say."""
        execution = self.record.execution()
        started = start_microseconds(execution) if execution else None
        return 0.0 if started is None else started / 1_000_000

    def decided(self) -> bool:
        """Whether no operation may start any more."""
        return self._over or self._mismatch is not None

    async def admitted(self) -> None:
        """Wait until operations may start again."""
        self.activity.park()
        try:
            while self.admission is not None:
                await asyncio.shield(self.admission)
        finally:
            self.activity.resume()

    async def refuse(self) -> NoReturn:
        """Keep an operation from starting after the end was decided."""
        if self._mismatch is not None and not self._over:
            raise self._mismatch
        task = _current_task()
        if task is not None and task not in self._refused:
            self._refused.add(task)
            raise asyncio.CancelledError
        # This code takes a cancellation for something to recover from, and would go round for ever.
        if task is not None:
            self._stuck.add(task)
            self._got_stuck.set_result(None)
            self._got_stuck = self._loop.create_future()
        while True:
            await self._loop.create_future()

    async def give_up(self, error: Exception) -> NoReturn:
        """End the invocation for a reason that may be gone when it is repeated."""
        self._end(Broken(error))
        await self.refuse()

    async def exit(self, error: BaseException) -> NoReturn:
        """End the invocation, and with its answer the program. A SystemExit that left a task would stop the event loop
        before anything can be cleaned up or recorded."""
        self.workflow.exited = error
        self._end(Exited(error))
        raise asyncio.CancelledError

    def mismatch(self, error: NonDeterminismError) -> NonDeterminismError:
        """The execution fails with ``error``, even if the workflow catches it."""
        self._mismatch = error
        return error

    async def cancelled(self) -> NoReturn:
        """Wait for the cancellation of the calling task."""
        self.activity.park()
        try:
            while True:
                await self._loop.create_future()
        finally:
            self.activity.resume()

    async def parked(self, operation_id: str, seen: Operation | None, due: float | None) -> None:
        """Wait until the record says something else about the operation. The workflow cannot go on without it.

        :param seen: the operation as the caller has read it
        :param due: when its timer should come due, in epoch seconds; None if it has none
        """
        self.activity.park()
        try:
            await self.change(operation_id, seen, due)
        finally:
            self.activity.resume()

    def change(self, operation_id: str, seen: Operation | None, due: float | None) -> asyncio.Future[None]:
        """Return a future that is done when the record says something else about the operation. Nobody waits for the
        operation: it does not make the workflow suspend."""
        change = self.record.change(operation_id, seen)
        if due is not None and not change.done():
            self.timers.add(operation_id, due)
        return change

    async def gone(self, tasks: AbstractSet[Task]) -> None:
        """Wait until tasks that were cancelled have left the set that they leave when they end; but no longer than they
        may take to clean up, and not for those that are stuck."""
        deadline = self._loop.time() + self.limits.clean_up
        while (left := tasks - self._stuck) and (time_left := deadline - self._loop.time()) > 0:
            await asyncio.wait([*left, self._got_stuck], timeout=time_left, return_when=asyncio.FIRST_COMPLETED)

    # --- what decides ---

    def _end(self, ending: Ending) -> None:
        if not self._over:
            self._ending = ending
            self._decide()

    def _on_main_done(self, _: Task) -> None:
        if not self._over:
            self._decide()

    def _decide(self) -> None:
        self._over = True
        self.activity.close()
        if not self._answerable.done():  # as it is while the workflow is parked
            self._answerable.set_result(None)

    def _on_quiescent(self) -> None:
        if self._answerable.done():
            return  # it is parked; or it was cancelled from outside a moment ago
        due = self.timers.next_due()
        if due is not None and due <= self.clock() + self._max_inline_wait and self.admission is None:
            return
        if (misuse := release_background_tasks(self.workflow)) is not None:
            self._end(Failed(misuse))
        elif not (self._may_park() and self.record.whole is None and self.plugins is None and self._mismatch is None):
            self._end(Suspended())
        elif (drained := self.flusher.drained()) is not None:
            self.activity.begin()
            drained.add_done_callback(lambda _: self.activity.end())
        else:
            self._park()

    def _park(self) -> None:
        self.is_parked = True
        self._cancelling = self._main.cancelling() if self._main else 0
        self.admission = self._loop.create_future()
        self.timers.rest()
        self.record.forget_ended()
        self._answerable.set_result(None)

    def _on_silence(self, talking: asyncio.Task[None]) -> None:
        if not talking.cancelled():
            self._silence = of_flusher(talking)
            self._end(self._silence)

    def _refresh(self) -> asyncio.Future[None]:
        answered = self.flusher.refresh()
        self.activity.begin()
        answered.add_done_callback(lambda _: self.activity.end())
        return answered

    def _verdict(self, returned: Outcome | None) -> Outcome:
        if self.workflow.exited is not None:
            return Exited(self.workflow.exited)
        if isinstance(self._silence, Superseded):  # then nobody wants to hear what the workflow returned
            return self._silence
        if self._mismatch is not None and not isinstance(self._ending, Broken):
            return Failed(self._mismatch)
        if isinstance(self._ending, Suspended) and self._silence is not None:
            return self._silence
        return self._ending or returned or Suspended()

    # --- ending ---

    def _let_go(self) -> None:
        self.timers.close()
        if self._branches is not None:
            self._branches.__exit__()
            self._branches = None

    async def _wind_down(self) -> ContextMisuseError | None:
        """Cancel what is left of the workflow and wait for it, but no longer than it may take to clean up.

        :return: what is wrong with a task that is left to go on
        """
        misuse = release_background_tasks(self.workflow)
        for task in self.workflow.tasks:
            task.cancel()
        try:
            await self.gone(self.workflow.tasks.keys())
        finally:
            self._abandon()
        return misuse

    def _abandon(self) -> None:
        for task in self.workflow.tasks:
            logger.warning(
                "%s: abandoned a task that did not end when it was cancelled, at %s. Code that catches CancelledError "
                "or BaseException has to raise it again",
                self.execution_arn,
                _place(task),
            )
            _abandoned.add(task)
            asyncio._unregister_task(task)  # noqa: SLF001 - documented; else the loop's shutdown would wait for it
        close_unstarted(self.workflow.unawaited)

    async def _heard(self, recorded: asyncio.Future[None]) -> bool:
        """Wait for a checkpoint, or for the end of the talk with the service, whichever comes first."""
        await asyncio.wait([recorded, self._talking], return_when=asyncio.FIRST_COMPLETED)
        return recorded.done()

    def _report_ignored(self, main: Task) -> None:
        if not main.done() or main.cancelled():
            return
        error = main.exception()
        if error is not None and error is not self._mismatch:
            logger.warning("%s: ignored what the workflow raised while it ended", self.execution_arn, exc_info=error)


def _place(task: Task) -> str:
    return " > ".join(
        f"{coro.__qualname__} ({coro.cr_code.co_filename}:{frame.f_lineno})" for coro, frame in standing_in(task)
    )


def _current_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # an abandoned coroutine is being collected after its loop has ended
        return None
