"""One invocation of one execution: runs the workflow's task against the record, and decides how it ends.

- the first of these decides: the workflow's task ends, nothing can progress, a call to the service fails for good
- once it is decided, no operation starts any more, whatever the workflow's code does with its cancellation
- the workflow's tasks are cancelled and awaited, so that ``finally`` blocks run and nothing is left on the loop
- a cancellation from outside passes through: it decides nothing about the execution
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from types import CoroutineType
from typing import Any, NoReturn, Self

from durable_async.engine.branches import Branch, Task, Workflow, entered
from durable_async.engine.failures import Verdict, verdict
from durable_async.engine.flusher import Flusher, TokenWithdrawn
from durable_async.engine.observer import Observer
from durable_async.engine.outcomes import Broken, Ending, Failed, Outcome, Returned, Superseded, Suspended
from durable_async.engine.record import Record
from durable_async.engine.suspension import Activity
from durable_async.engine.task_factory import start_task, task_branches
from durable_async.engine.timers import Timers
from durable_async.errors import NonDeterminismError, ServiceCallError
from durable_async.transport.base import DurableServiceClient
from durable_async.wire.envelope import Envelope
from durable_async.wire.operations import OperationUpdate
from durable_async.wire.timestamps import seconds

logger: logging.Logger = logging.getLogger("durable_async")

GRACE = 5.0  # seconds that the workflow's ``finally`` blocks may take when it is cancelled

_abandoned: set[Task] = set()
"""Tasks that did not end when they were cancelled. Kept: collecting one would run its code once more."""


class Invocation:
    """Entered for as long as the service may be written to.

    :param stay: seconds; a parked timer that is due within them is waited for in place
    :param clock: the time in epoch seconds, which recorded timers are compared with
    :ivar plugins: None if there are none
    """

    plugins: Observer | None = None

    def __init__(
        self,
        envelope: Envelope,
        client: DurableServiceClient,
        *,
        stay: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.execution_arn: str = envelope.execution_arn
        self.clock = clock
        self._stay = stay
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._ending: Ending | None = None  # what decided, unless it was the end of the workflow's task
        self._silence: Ending | None = None  # what the end of the talk with the service means, once it has ended
        self._mismatch: NonDeterminismError | None = None
        self._refused: set[Task] = set()
        self._stuck: set[Task] = set()
        self._got_stuck: asyncio.Future[None] = self._loop.create_future()
        self._resources = ExitStack()
        self._next_marker = envelope.next_marker
        self.record: Record = Record(self._loop)
        self.record.load(envelope.operations)
        if envelope.next_marker is None:
            self.record.loaded()
        self.flusher: Flusher = Flusher(client, envelope.execution_arn, envelope.token, self.record, self._loop)
        self.activity: Activity = Activity(self._loop, lambda: self.workflow.tasks, self._on_quiescent)
        self.workflow: Workflow = Workflow(envelope.execution_arn, self.activity.changed)
        self.timers: Timers = Timers(self._loop, clock, self.record.is_awaited, self._refresh)

    async def __aenter__(self) -> Self:
        with entered(None):  # the flusher belongs to no workflow, even if this one is run inside another's step
            self._talking = self._loop.create_task(self.flusher.run(self._next_marker))
        self._talking.add_done_callback(self._on_silence)
        self._resources.enter_context(task_branches(self._loop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._resources.close()
        self.timers.close()
        self.flusher.close()
        if not self._talking.done():
            self._talking.cancel()
            await asyncio.wait([self._talking])

    async def run(self, workflow: Callable[[str | None], Coroutine[Any, Any, Any]]) -> Outcome:
        """Run the workflow's coroutine until something decides how this invocation ends.

        :param workflow: called with the execution's input, JSON text or None
        :raises asyncio.CancelledError: this was cancelled from outside; so was the workflow, and nothing is decided
        """
        if self.record.execution() is None and not await self.loaded():
            return self._silence or Suspended()
        execution = self.record.execution()
        payload = execution.get("ExecutionDetails", {}).get("InputPayload") if execution else None
        main = start_task(self._loop, Branch(self.workflow), workflow(payload))
        main.add_done_callback(self._on_main_done)
        try:
            await self._over
            returned = _outcome(main) if self._ending is None else None
            await self._wind_down()
            if isinstance(self._ending, Suspended) and (drained := self.flusher.drained()):
                await self._heard(drained)
        except asyncio.CancelledError:
            self._end(Superseded())
            await self._wind_down()
            if main.done() and not main.cancelled():
                main.exception()  # it ended just before, and nobody is going to hear how
            raise
        self._report_ignored(main)
        return self._verdict(returned)

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
        return seconds(execution.get("StartTimestamp") or 0.0) if execution else 0.0

    def decided(self) -> bool:
        """Whether no operation may start any more."""
        return self._over.done() or self._mismatch is not None

    async def refuse(self) -> NoReturn:
        """Keep an operation from starting after the end was decided."""
        if self._mismatch is not None and not self._over.done():
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

    def mismatch(self, error: NonDeterminismError) -> NonDeterminismError:
        """The execution fails with ``error``, even if the workflow catches it."""
        self._mismatch = error
        return error

    async def parked(self, operation_id: str, due: float | None) -> None:
        """Wait until the service says something new about the operation. The workflow cannot go on without it.

        :param due: when its timer should come due, in epoch seconds; None if it has none
        """
        self.activity.park()
        try:
            await self.watched(operation_id, due)
        finally:
            self.activity.resume()

    async def watched(self, operation_id: str, due: float | None) -> None:
        """The same, for an operation that nobody waits for: it does not make the workflow suspend."""
        change = self.record.change(operation_id)
        if due is not None:
            self.timers.add(operation_id, due)
        await change

    async def gone(self, tasks: set[Task]) -> None:
        """Wait until tasks that were cancelled have left the set that they leave when they end; but no longer than they
        may take to clean up, and not for those that are stuck."""
        deadline = self._loop.time() + GRACE
        while (left := tasks - self._stuck) and (time_left := deadline - self._loop.time()) > 0:
            await asyncio.wait([*left, self._got_stuck], timeout=time_left, return_when=asyncio.FIRST_COMPLETED)

    # --- what decides ---

    def _end(self, ending: Ending) -> None:
        if not self._over.done():
            self._ending = ending
            self._over.set_result(None)
            self.activity.close()

    def _on_main_done(self, _: Task) -> None:
        if not self._over.done():
            self._over.set_result(None)
            self.activity.close()

    def _on_quiescent(self) -> None:
        due = self.timers.next_due()
        if due is None or due > self.clock() + self._stay:
            self._end(Suspended())

    def _on_silence(self, talking: asyncio.Task[None]) -> None:
        if not talking.cancelled():
            self._silence = _meaning(talking.exception())
            self._end(self._silence)

    def _refresh(self) -> asyncio.Future[None]:
        answered = self.flusher.refresh()
        self.activity.begin()
        answered.add_done_callback(lambda _: self.activity.end())
        return answered

    def _verdict(self, returned: Outcome | None) -> Outcome:
        if isinstance(self._silence, Superseded):  # then nobody wants to hear what the workflow returned
            return self._silence
        if self._mismatch is not None and not isinstance(self._ending, Broken):
            return Failed(self._mismatch)
        if isinstance(self._ending, Suspended) and self._silence is not None:
            return self._silence
        return self._ending or returned or Suspended()

    # --- ending ---

    async def _wind_down(self) -> None:
        """Cancel what is left of the workflow and wait for it, but no longer than it may take to clean up."""
        for task in self.workflow.tasks:
            task.cancel()
        await self.gone(self.workflow.tasks)
        for task in self.workflow.tasks:
            logger.warning(
                "%s: abandoned a task that did not end when it was cancelled, at %s. Code that catches CancelledError "
                "or BaseException has to raise it again",
                self.execution_arn,
                _place(task),
            )
            _abandoned.add(task)
            asyncio._unregister_task(task)  # noqa: SLF001 - documented; else the loop's shutdown would wait for it

    async def _heard(self, recorded: asyncio.Future[None]) -> bool:
        """Wait for a checkpoint, or for the end of the talk with the service, whichever comes first."""
        await asyncio.wait([recorded, self._talking], return_when=asyncio.FIRST_COMPLETED)
        return recorded.done()

    def _report_ignored(self, main: Task) -> None:
        if self._ending is None or not main.done() or main.cancelled():
            return
        error = main.exception()
        if error is not None and error is not self._mismatch:
            logger.warning("%s: ignored what the workflow raised while it ended", self.execution_arn, exc_info=error)


def _place(task: Task) -> str:
    """The chain of coroutines that a task stands in, outermost first."""
    places: list[str] = []
    coro: Any = task.get_coro()
    while isinstance(coro, CoroutineType) and coro.cr_frame is not None:
        places.append(f"{coro.__qualname__} ({coro.cr_code.co_filename}:{coro.cr_frame.f_lineno})")
        coro = coro.cr_await
    return " > ".join(places)


def _current_task() -> Task | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # an abandoned coroutine is being collected after its loop has ended
        return None


def _outcome(main: Task) -> Outcome:
    if main.cancelled():
        return Failed(asyncio.CancelledError("the workflow cancelled itself"))
    error = main.exception()
    return Returned(main.result()) if error is None else Failed(error)


def _meaning(error: BaseException | None) -> Ending:
    """What the end of the flusher means for the invocation."""
    match error:
        case TokenWithdrawn():
            return Superseded()
        case ServiceCallError():
            match verdict(error):
                case Verdict.FAIL:
                    return Failed(error)
                case Verdict.END:
                    return Superseded()
                case Verdict.RAISE | Verdict.WAIT:
                    return Broken(error)
        case _:
            return Broken(error or AssertionError("the flusher returned"))
