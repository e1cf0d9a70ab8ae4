"""One invocation of one execution: runs the workflow's task against the record, and cleans up after it.

- how the invocation ends is decided in :mod:`~durable_async._engine.phases`: by the end of the workflow's task, because
  nothing can continue, or because a call to the service failed for good
- then the workflow's tasks are cancelled and awaited, so that ``finally`` blocks run and nothing is left on the loop
- a cancellation from outside passes through: it decides nothing about the execution
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, Self

from durable_async._engine.branches import Branch, Scope
from durable_async._engine.call import operations_of
from durable_async._engine.calling import entered, put_in
from durable_async._engine.isolation import coroutines_of
from durable_async._engine.journal import Journal
from durable_async._engine.order import Order
from durable_async._engine.outcomes import Broken, Ending, Exited, Failed, Outcome, Returned, Superseded, Suspended
from durable_async._engine.phases import IN_MEMORY, Event, Phase
from durable_async._engine.task_factory import start_task, task_branches
from durable_async._engine.tasks import Coro, Task, cancel, has_not_begun
from durable_async._excerpts import first_few
from durable_async._wire.envelope import Envelope
from durable_async._wire.operations import OperationUpdate
from durable_async.errors import ContextMisuseError

if TYPE_CHECKING:
    from durable_async.transport.base import DurableServiceClient

logger: logging.Logger = logging.getLogger("durable_async")

_abandoned: set[Task] = set()
"""Tasks that did not end when they were cancelled. They are kept, because collecting one would run its code again."""


class Invocation:
    """One invocation; or several, if the workflow stays in memory between them.

    Enter it for as long as the service may be written to.

    :param options: of the :class:`Journal`
    """

    def __init__(self, envelope: Envelope, client: DurableServiceClient, **options: Any) -> None:
        self.journal: Journal = Journal(envelope, client, **options)
        self.execution_arn: str = envelope.execution_arn
        self._loop = asyncio.get_running_loop()
        self._branches: task_branches | None = None
        self._next_marker = envelope.next_marker
        self._limit: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        with entered(None):  # what follows belongs to no workflow, even if this one is run inside another's step
            self._flushing = self._loop.create_task(
                self.journal.flusher.run(self._next_marker), name=f"checkpoints of {self.execution_arn}"
            )
            if self.journal.lambda_context is not None:
                self._limit = self._warning_before_limit()
        self._flushing.add_done_callback(self._flusher_ended)
        if self._branches is None:
            self._branches = task_branches(self._loop)
            self._branches.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if not self.is_cached():
            self._release()
        flusher = self.journal.flusher
        flusher.close()
        is_idle = flusher.is_idle()
        self._flushing.remove_done_callback(self._flusher_ended)
        if self._flushing.cancel():
            await (asyncio.sleep(0) if is_idle else asyncio.wait([self._flushing]))

    def _flusher_ended(self, flushing: asyncio.Task[None]) -> None:
        # Not by this invocation: by code that cancels all tasks on the loop, or by a cancellation within the client.
        # Without this, what waits for a checkpoint would wait for ever.
        if flushing.cancelled():
            self.journal.flusher_failed(
                RuntimeError("the task that sends checkpoints was cancelled; the invocation is repeated")
            )

    def _warning_before_limit(self) -> asyncio.TimerHandle | None:
        from durable_async._engine.time_limit import warn_before_limit  # replays on a developer's machine have no limit

        margin = self.journal.limits.answer_margin
        return warn_before_limit(self.execution_arn, self.journal.lambda_context, margin, self._loop)

    async def run(self, workflow: Callable[[str | None], Coro[object]]) -> Outcome:
        """Run the workflow's coroutine until it is decided how this invocation ends.

        :param workflow: called with the execution's input, JSON text or None; not called if the workflow is in memory
        :raises asyncio.CancelledError: this was cancelled from outside; so was the workflow, and nothing is decided
        """
        journal = self.journal
        main = journal.workflow.main
        if main is None:
            if journal.record.execution() is None and not await self.loaded():
                return journal.life.flusher_ending or Suspended()
            main = self._start(workflow)
        try:
            await journal.answerable
            if self.is_cached():
                return Suspended()
            returned = _outcome_of(main) if journal.life.ending is None else None
            if isinstance(returned, Returned) and journal.workflow.tasks:
                self._report_unfinished()
            misuse = await self._clean_up()
            if misuse is not None and isinstance(returned, Returned):
                returned = Failed(misuse)
            if isinstance(journal.life.ending, Suspended) and (sent := journal.flusher.drained()):
                await self._is_sent(sent)
        except asyncio.CancelledError:
            journal.flusher.stop()
            journal.become(journal.life.ended(Superseded()))
            await self._clean_up(is_last=True)
            if main.done() and not main.cancelled():
                main.exception()  # it ended just before, and nobody will ask how
            if journal.workflow.exited is not None:
                return Exited(journal.workflow.exited)
            raise
        if journal.life.ending is not None:
            self._report_ignored(main)
        return journal.life.outcome(returned, journal.workflow.exited)

    def _start(self, workflow: Callable[[str | None], Coro[object]]) -> Task:
        journal = self.journal
        execution = journal.record.execution()
        payload = (execution.get("ExecutionDetails") or {}).get("InputPayload") if execution else None
        root = Branch(journal.workflow, Scope(order=Order(tasks=0)))
        main = journal.workflow.main = start_task(self._loop, root, workflow(payload))
        main.set_name(self.execution_arn)
        context = Context()
        put_in(context, root)  # so that the workflow does not count as at rest before this is called
        main.add_done_callback(lambda _: journal.become(journal.life.ended()), context=context)
        return main

    # --- for the handler ---

    async def loaded(self) -> bool:
        """Wait for the complete record. Return False if the flusher failed before that."""
        return (loading := self.journal.record.loading) is None or await self._is_sent(loading)

    async def write_last(self, update: OperationUpdate) -> Ending | None:
        """Record ``update`` after the workflow ended.

        :return: None if it is recorded; otherwise what prevented that
        """
        sent = await self._is_sent(self.journal.flusher.commit(update))
        return None if sent else self.journal.life.flusher_ending

    async def _is_sent(self, recorded: asyncio.Future[None]) -> bool:
        """Wait until ``recorded`` is done or the flusher has ended. Return whether ``recorded`` is done."""
        await asyncio.wait([recorded, self._flushing], return_when=asyncio.FIRST_COMPLETED)
        return recorded.done()

    # --- for the execution cache ---

    def is_cached(self) -> bool:
        """Return whether the workflow is suspended in memory."""
        return self.journal.phase in IN_MEMORY

    def is_intact(self) -> bool:
        """Return whether the workflow in memory may continue. False if it was cancelled meanwhile, as at the end of a
        program."""
        main = self.journal.workflow.main
        return main is None or not (main.cancelled() or main.cancelling() > self.journal.cancelling)

    def drain(self) -> None:
        """Let no further operation begin, and suspend the workflow as soon as those that run have ended."""
        journal = self.journal
        if journal.phase is Phase.RUNNING:
            journal.become(journal.life.after(Event.DRAIN))
            journal.activity.begin_wait()  # or it would not be suspended while it waits for something else

    def resume(self, envelope: Envelope, client: DurableServiceClient, lambda_context: object) -> None:
        """Let the workflow in memory continue in another invocation, which is then entered and run like the first.

        :param envelope: it need hold only what has changed
        """
        journal = self.journal
        self._next_marker = None
        journal.lambda_context = lambda_context
        journal.flusher.resume(client, envelope.token)
        journal.record.apply(envelope.operations)
        journal.answerable = self._loop.create_future()
        journal.become(journal.life.after(Event.RESUME))
        journal.timers.arm()
        journal.activity.changed()

    async def evict(self) -> None:
        """Suspend the workflow in memory after all: its ``finally`` blocks run, and it is gone."""
        journal = self.journal
        journal.become(journal.life.evicted())
        try:
            await self._clean_up()
        except asyncio.CancelledError:
            await self._clean_up(is_last=True)
            raise
        finally:
            self._release()
        if journal.workflow.main is not None:
            self._report_ignored(journal.workflow.main)
        if journal.workflow.exited is not None:
            raise journal.workflow.exited

    # --- the end ---

    def _release(self) -> None:
        self.journal.timers.close()
        if self._branches is not None:
            self._branches.__exit__()
            self._branches = None

    async def _clean_up(self, *, is_last: bool = False) -> ContextMisuseError | None:
        """Cancel what is left of the workflow and wait for it, but no longer than it may take to clean up. Abandon what
        has not ended then.

        :param is_last: what a cancellation of this does. True: tasks are abandoned when none of them has ended for a
            few turns of the loop. False: the caller has to call this again, because tasks may be about to end
        :return: what is wrong with a task that is left to go on
        """
        workflow = self.journal.workflow
        misuse = self.journal.release_background_tasks()
        try:
            await self._cancel_tasks()
            await self.journal.gone(workflow.tasks.keys())
        except asyncio.CancelledError:
            if is_last:
                await self._abandon_soon()
            raise
        self._abandon()
        return misuse

    async def _cancel_tasks(self) -> None:
        """Cancel what is left of the workflow. Tasks that wait for their first turn get it before: one that is
        cancelled without it closes nothing that it was given, and anyio's ``TaskGroup.start`` would wait for it without
        end."""
        tasks = self.journal.workflow.tasks
        try:
            for _ in range(self.journal.limits.quiet_turns):
                if not any(map(has_not_begun, tasks)):
                    break
                await asyncio.sleep(0)
        finally:
            self.journal.is_cleaning_up = True
            for task in [*tasks]:
                cancel(task)

    async def _abandon_soon(self) -> None:
        try:
            tasks, quiet = self.journal.workflow.tasks, 0
            while tasks and quiet < self.journal.limits.quiet_turns:
                before = len(tasks)
                with suppress(asyncio.CancelledError):  # the caller raises one, and these are but a few turns
                    await asyncio.sleep(0)
                quiet = quiet + 1 if len(tasks) == before else 0
        finally:
            self._abandon()

    def _abandon(self) -> None:
        for task in self.journal.workflow.tasks:
            if task.done():  # in this very turn: its callbacks have not run
                continue
            logger.warning(
                "%s: abandoned a task that did not end when it was cancelled, at %s. Code that catches CancelledError "
                "or BaseException has to raise it again",
                self.execution_arn,
                _place(task),
            )
            _abandoned.add(task)
            asyncio._unregister_task(task)  # noqa: SLF001 - documented; else the loop's shutdown would wait for it
        if unawaited := self.journal.workflow.unawaited:
            from durable_async._engine.unstarted import close_unstarted  # few workflows leave such operations

            close_unstarted(unawaited)

    def _report_unfinished(self) -> None:
        """Warn of operations that the end of the workflow cuts short, because nobody awaited their tasks."""
        left = [task for task in self.journal.workflow.tasks if not (task.done() or task.cancelling())]
        operations = [str(operation) for task in left for operation in [*operations_of(task)][:1]]
        if operations:
            logger.warning(
                "%s: the workflow returned before tasks that it had started, which cancels their operations: %s. "
                "Await the tasks, for example with asyncio.TaskGroup, or cancel them",
                self.execution_arn,
                first_few(operations),
            )

    def _report_ignored(self, main: Task) -> None:
        if not main.done() or main.cancelled():
            return
        error = main.exception()
        if error is not None and error is not self.journal.life.mismatch:
            logger.warning("%s: ignored what the workflow raised while it ended", self.execution_arn, exc_info=error)


def _outcome_of(main: Task) -> Outcome:
    """Return what the end of the workflow's task means. A cancellation that somebody asked for decides nothing: only
    what the workflow raised itself, as when it awaits a task that it has cancelled, is its own end."""
    if main.cancelled() and main.cancelling():
        reason = "the workflow's task was cancelled, and not by its suspension; the invocation is repeated"
        return Broken(RuntimeError(reason))
    if main.cancelled():
        return Failed(asyncio.CancelledError("the workflow cancelled itself"))
    error = main.exception()
    return Returned(main.result()) if error is None else Failed(error)


def _place(task: Task) -> str:
    return " > ".join(
        f"{coro.__qualname__} ({coro.cr_code.co_filename}:{frame.f_lineno})" for coro, frame in coroutines_of(task)
    )
