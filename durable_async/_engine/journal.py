"""What the operations of one invocation share: its record, its flusher, and whether an operation may begin.

An operation uses it through its :class:`~durable_async._engine.call.Call`. The :class:`Invocation` runs the workflow's
task, and ends it when :meth:`Journal.answerable` is done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, NoReturn

from durable_async._engine.branches import Workflow
from durable_async._engine.flusher import Flusher
from durable_async._engine.limits import DEFAULT_LIMITS, EngineLimits
from durable_async._engine.outcomes import Broken, Exited, Failed, Suspended
from durable_async._engine.phases import DECIDED, HOLDING, IN_MEMORY, REFUSING, AtRest, Event, Life, Phase
from durable_async._engine.record import Record
from durable_async._engine.suspension import Activity
from durable_async._engine.tasks import Task, running_task
from durable_async._engine.timers import Timers
from durable_async._wire.envelope import MICROSECONDS, Envelope
from durable_async._wire.operations import Operation
from durable_async._wire.timestamps import start_microseconds
from durable_async.errors import ContextMisuseError, NonDeterminismError

if TYPE_CHECKING:
    from durable_async._engine.observer import Observer, Substitute
    from durable_async._threads import Threads
    from durable_async.transport.base import DurableServiceClient


class Journal:
    """The journal of one invocation, or of several that share a workflow in memory.

    :param max_inline_wait: seconds; a timer that is due within them is waited for in this invocation
    :param clock: returns the time in epoch seconds, which recorded timers are compared with
    :param may_cache: returns whether a workflow that is at rest may stay in memory
    :param threads: run the bodies of sync steps; None: the threads of the event loop
    :ivar phase: of ``life``; an attribute, because each operation asks for it
    :ivar refuses: no operation may begin any more
    :ivar answerable: done when the invocation can be ended: that is decided, or the workflow stays in memory
    :ivar cancelling: the cancellations of the workflow's task that were pending when it was suspended in memory
    :ivar is_cleaning_up: the workflow's tasks were cancelled, because the invocation ends
    :ivar observer: is called with what operations do; None: nothing listens. With an observer no workflow stays in
        memory, because plugins are called for each invocation
    :ivar substitute: runs users' functions; None: they run as they are
    """

    observer: Observer | None = None
    substitute: Substitute | None = None

    def __init__(
        self,
        envelope: Envelope,
        client: DurableServiceClient,
        *,
        max_inline_wait: float = 0.0,
        clock: Callable[[], float] = time.time,
        may_cache: Callable[[], bool] = lambda: False,
        lambda_context: object = None,
        threads: Threads | None = None,
        limits: EngineLimits = DEFAULT_LIMITS,
    ) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self.execution_arn: str = envelope.execution_arn
        self.extensions: frozenset[str] = frozenset(envelope.extensions)
        self.lambda_context: object = lambda_context
        self.clock = clock
        self.limits = limits
        self._threads = threads
        self._max_inline_wait = max_inline_wait
        self._may_cache = may_cache
        self.life: Life = Life()
        self.phase: Phase = self.life.phase
        self.refuses: bool = False
        self.answerable: asyncio.Future[None] = loop.create_future()
        self.cancelling: int = 0
        self.is_cleaning_up: bool = False
        self._resumed: asyncio.Future[None] | None = None  # awaited by the operations that are held
        self._refused: set[Task] = set()
        self._stuck: set[Task] = set()
        self._got_stuck: asyncio.Future[object] = loop.create_future()
        self.record: Record = Record(loop, microseconds=MICROSECONDS in envelope.extensions)
        self.record.load(envelope.operations)
        if envelope.next_marker is None:
            self.record.loaded()
        else:
            self.record.on_loaded(lambda _: self.activity.changed())
        self.workflow: Workflow = Workflow(envelope.execution_arn)
        self.activity: Activity = Activity(
            loop,
            self.workflow,
            self._at_rest,
            is_known=lambda: self.record.loading is None and not self.flusher.is_reading,
            limits=limits,
        )
        self.workflow.on_change = self.activity.changed
        self.flusher: Flusher = Flusher(
            client,
            envelope.execution_arn,
            envelope.token,
            self.record,
            loop,
            settled=self.activity.settled,
            on_sent=self.activity.changed,
            on_failed=self.flusher_failed,
            limits=limits,
        )
        self.timers: Timers = Timers(loop, clock, self.record.is_awaited, self.flusher.refresh, limits)

    @property
    def threads(self) -> Threads:
        """The threads that run the bodies of sync steps."""
        if self._threads is None:
            from durable_async._threads import threads_of  # many workflows have no sync steps

            self._threads = threads_of(self._loop)
        return self._threads

    def started_at(self) -> float:
        """Return when the execution began, in epoch seconds; 0.0 if the record does not say."""
        execution = self.record.execution()
        started = start_microseconds(execution) if execution else None
        return 0.0 if started is None else started / 1_000_000

    # --- the phases ---

    def become(self, life: Life) -> None:
        """Go over to ``life``, the state after an event, and do what follows."""
        before, self.life, self.phase = self.phase, life, life.phase
        if self.phase is before:
            return
        self.refuses = self.phase in REFUSING
        if self.phase in HOLDING and self._resumed is None:
            self._resumed = self._loop.create_future()
        if self.phase is Phase.RUNNING and self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None
        if self.phase in DECIDED:
            self.activity.close()
        if (self.phase in DECIDED or self.phase in IN_MEMORY) and not self.answerable.done():
            self.answerable.set_result(None)

    def mismatch(self, error: NonDeterminismError) -> NonDeterminismError:
        """Let the execution fail with ``error``, even if the workflow catches it, and return it."""
        self.become(self.life.mismatched(error))
        return error

    def flusher_failed(self, error: Exception) -> None:
        """Decide how the invocation ends, because nothing can be sent any more."""
        from durable_async._engine.failures import ending_of  # few calls fail

        self.become(self.life.flusher_ended(ending_of(error)))

    def _at_rest(self) -> None:
        """Decide what follows when nothing of the workflow runs and something of it waits."""
        if self.answerable.done() or self.flusher.is_awaited():
            return  # it was cancelled from outside a moment ago; or an operation is being recorded
        due = self.timers.next_due()
        action = self.life.at_rest(
            timer_is_near=due is not None and due <= self.clock() + self._max_inline_wait,
            may_cache=self._may_cache() and self.record.loading is None and self.observer is None,
            is_sent=self.flusher.is_empty(),
        )
        if action is AtRest.WAIT:
            return
        if (misuse := self.release_background_tasks()) is not None:
            self.become(self.life.ended(Failed(misuse)))
        elif action is AtRest.SUSPEND:
            self.become(self.life.ended(Suspended()))
        elif action is AtRest.FLUSH:
            self.flusher.drained()
        else:
            self.timers.stop()
            self.record.forget_ended()
            self.cancelling = self.workflow.main.cancelling() if self.workflow.main else 0
            self.become(self.life.after(Event.CACHE))

    def release_background_tasks(self) -> ContextMisuseError | None:
        """Let background tasks that a client keeps for the whole program continue when the workflow ends.

        :return: the error for the first of them; None: there are none
        """
        of_tasks = self.workflow.tasks
        tasks = [(task, branch) for task, branch in of_tasks.items() if branch.creator and not branch.is_durable]
        if not tasks:
            return None
        from durable_async._engine.background import release_kept  # few workflows leave such tasks

        return release_kept(self.workflow, tasks)

    # --- for operations ---

    async def admitted(self) -> None:
        """Wait until operations may begin again."""
        self.activity.begin_wait()
        try:
            while self._resumed is not None:
                await asyncio.shield(self._resumed)
        finally:
            self.activity.end_wait()

    async def refuse(self) -> NoReturn:
        """Keep an operation from beginning that may not begin any more."""
        if self.phase is Phase.MISMATCHED and self.life.mismatch is not None:
            raise self.life.mismatch
        if self.phase in DECIDED and not self.is_cleaning_up:
            await self.cancelled()  # with all others at once: it may hold a lock that another task would take
        task = running_task()  # None: an abandoned coroutine is collected after its loop has ended
        if task is not None and task not in self._refused:
            self._refused.add(task)
            raise asyncio.CancelledError
        # This code takes a cancellation for something to recover from, and would repeat it for ever.
        if task is not None:
            self._stuck.add(task)
            self._got_stuck.set_result(None)
            self._got_stuck = self._loop.create_future()
        while True:
            await self._loop.create_future()

    async def fail(self, error: Exception) -> NoReturn:
        """End the invocation for a reason that may be gone when it is repeated."""
        self.become(self.life.ended(Broken(error)))
        await self.refuse()

    async def exit(self, error: BaseException) -> NoReturn:
        """End the invocation, and with its answer the program. A SystemExit that left a task would stop the event loop
        before anything can be cleaned up or recorded."""
        self.workflow.exited = error
        self.become(self.life.ended(Exited(error)))
        await self.refuse()

    async def cancelled(self) -> NoReturn:
        """Wait for the cancellation of the calling task."""
        self.activity.begin_wait()
        try:
            while True:
                await self._loop.create_future()
        finally:
            self.activity.end_wait()

    async def changed(self, operation_id: str, seen: Operation | None, due: float | None) -> None:
        """Wait until the record has another state of an operation, without which the workflow cannot continue.

        :param seen: the state that the caller has read
        :param due: when its timer should be due, in epoch seconds; None: it has none
        """
        self.activity.begin_wait()
        try:
            await self.change(operation_id, seen, due)
        finally:
            self.activity.end_wait()

    def change(self, operation_id: str, seen: Operation | None, due: float | None) -> asyncio.Future[None]:
        """Return a future that is done when the record has another state of an operation. The workflow is not
        suspended because of it."""
        change = self.record.change(operation_id, seen)
        if due is not None and not change.done():
            self.timers.add(operation_id, due)
        return change

    async def gone(self, tasks: AbstractSet[Task]) -> None:
        """Wait until cancelled tasks have left ``tasks``, as they do when they end; but no longer than they may take
        to clean up, and not for tasks that are stuck in an operation."""
        deadline = self._loop.time() + self.limits.clean_up
        while (left := tasks - self._stuck) and (time_left := deadline - self._loop.time()) > 0:
            await asyncio.wait([*left, self._got_stuck], timeout=time_left, return_when=asyncio.FIRST_COMPLETED)
