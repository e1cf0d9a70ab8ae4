"""Runs commands on executions: stores what they change, then has the effects carried out.

- a command runs without awaiting, so commands do not interleave and no lock is needed;
- the changes of a command are stored first; then its effects are carried out and its caller gets the answer;
- if changes cannot be stored, the store drops the execution, and the next command finds it as it was before;
- there is one timer for all due times; a due time runs a command too;
- an execution that cannot be read is set aside, and the others continue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from durable_async.service import machine
from durable_async.service.machine import Changes, Execution, Moment, NewExecution
from durable_async.service.model.errors import (
    ApiError,
    DamagedExecutionError,
    ExecutionDeletedError,
    ServiceClosedError,
    StoreError,
)
from durable_async.service.own_tasks import OwnTasks
from durable_async.service.runtime.listeners import Listeners
from durable_async.service.runtime.settings import Settings
from durable_async.service.runtime.timers import Alarm
from durable_async.service.store import Store

T = TypeVar("T")
Perform = Callable[[Execution, Changes], None]
Make = Callable[[NewExecution, Moment], Awaitable[Execution]]

logger: logging.Logger = logging.getLogger("durable_async.service")

_DUE_AT_ONCE = 256  # executions, so that one commit of the store serves many


async def start_at_once(new: NewExecution, at: Moment) -> Execution:
    """Return an execution without a record, whose handler is to be invoked."""
    return machine.start(new, at)


class Commands:
    """The commands of one service. Belongs to one event loop.

    :param perform: carries out the effects of changes that are stored
    :ivar draining: True: the service shuts down. Nothing is started, and no timer is set. False: it runs
    :ivar invocations: execution to request id, from the command that begins the invocation until its end is recorded
    """

    def __init__(
        self, store: Store, settings: Settings, tasks: OwnTasks, listeners: Listeners, perform: Perform
    ) -> None:
        self._store = store
        self._settings = settings
        self._observer = settings.observer
        self._retry_seconds = settings.timing.retry_store
        self._tasks = tasks
        self._listeners = listeners
        self._perform = perform
        self.alarm: Alarm = Alarm(settings.now_ms, lambda: tasks.start(self.fire_due()), settings.timing.check_clock)
        self._saving: dict[str, Changes] = {}  # by execution: what was saved last, until it is known how that ended
        self._set_aside: set[str] = set()  # executions that cannot be read
        self.invocations: dict[str, str] = {}
        self.draining: bool = False

    def close(self) -> None:
        """Start nothing more, and fire no timer more."""
        self.draining = True
        self.alarm.close()

    # --- commands ---

    def check_open(self) -> None:
        """Refuse a call that would start something while the service shuts down.

        :raises ServiceClosedError: the service is shutting down
        """
        if self.draining:
            raise ServiceClosedError("The service is shutting down, or has ended.")

    async def start(self, new: NewExecution, make: Make = start_at_once) -> Execution | None:
        """Start an execution. Returns None; or, with nothing started, the execution that has the name already.

        :param make: how it begins
        :raises ServiceClosedError: nothing is started any more
        :raises StoreError: nothing is started
        """
        execution = await make(new, self._settings.moment())
        self.check_open()
        changes = execution.take_changes()
        self._note_invocation(execution, changes)
        return await self._store.add(execution, changes, partial(self._added, execution, changes, perf_counter()))

    def _added(self, execution: Execution, changes: Changes, began: float, stored: bool) -> None:  # noqa: FBT001 - ``Settled``
        if not stored:
            self._forget_invocation(execution, changes)
            return
        self._note_invocation(execution, changes)  # again: the store may have tried before, and an old name was taken
        self._arm(execution)
        self._stored(execution, changes, began)

    async def command(self, execution: Execution, decide: Callable[[Moment], T]) -> T:
        """Run a command, store its changes, carry out its effects, and return its answer.

        :raises StoreError: the changes could not be stored, and are undone; an ExecutionDeletedError: the execution
            was deleted
        """
        try:
            answer = decide(self._settings.moment())
        except ApiError:
            await self.commit(execution)  # a refused command changes nothing itself, but it has fired due timers first
            raise
        await self.commit(execution)
        return answer

    def commit(self, execution: Execution) -> Awaitable[None]:
        """Store the changes of ``execution``, then carry out its effects, even if the caller is cancelled.

        :return: await it to know that they are stored, or that a StoreError has undone them
        """
        changes = execution.take_changes()
        self._arm(execution)
        self._note_invocation(execution, changes)
        self._saving[execution.id] = changes
        settled = partial(self._saved, execution, changes, perf_counter())
        try:
            return self._store.save(execution, changes, settled)  # at once: saves must have the order of the commands
        except StoreError:
            settled(stored=False)
            raise

    def _saved(self, execution: Execution, changes: Changes, began: float, stored: bool) -> None:  # noqa: FBT001 - ``Settled``
        if self._saving.get(execution.id) is changes:
            del self._saving[execution.id]
        if stored:
            self._stored(execution, changes, began)
        else:
            self._forget_invocation(execution, changes)
            self._arm_again(execution.id)

    def _stored(self, execution: Execution, changes: Changes, began: float) -> None:
        """Call ``perform`` with changes that are stored, and wake the calls that wait for events."""
        if self._observer is not None:
            self._observer.stored(execution, changes, perf_counter() - began)
        if changes.effects:
            self._perform(execution, changes)
        if changes.events:
            self._listeners.notify(execution.id)

    def _note_invocation(self, execution: Execution, changes: Changes) -> None:
        """Note an invocation that may be stored. If it does not run before the service ends, that is not a failure."""
        if changes.effects and (request_id := changes.invoked()) is not None:
            self.invocations[execution.id] = request_id

    def _forget_invocation(self, execution: Execution, changes: Changes) -> None:
        if changes.effects and self.invocations.get(execution.id) == changes.invoked():
            self.invocations.pop(execution.id, None)

    async def stored(self, execution_id: str) -> Execution | None:
        """Return the execution when all of its changes are stored, or undone: a handler must not act on a change that
        may still be lost."""
        execution = await self._store.load(execution_id)
        while execution_id in self._saving:
            await self._store.barrier()
            execution = await self._store.load(execution_id)
        return execution

    async def command_until_stored(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """Run a command that nobody else would repeat."""
        await self.until_stored(partial(self.once, execution_id, decide))

    async def once(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """Run a command, unless the execution has been deleted.

        :raises StoreError: the execution could not be read, or its changes could not be stored
        """
        execution = await self._store.load(execution_id)
        if execution is not None:
            await self.command(execution, partial(decide, execution))

    async def until_stored(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Repeat a call for as long as the store fails.

        :return: the result; None if the execution was deleted, or is damaged and was set aside
        """
        while True:
            try:
                return await call()
            except ExecutionDeletedError:
                return None
            except DamagedExecutionError as damaged:
                self._put_aside(damaged)
                return None
            except StoreError as error:
                self._warn_of_store(error)
                await asyncio.sleep(self._retry_seconds)

    def _warn_of_store(self, error: StoreError) -> None:
        logger.warning("The store failed. Trying again in %g s: %s", self._retry_seconds, error.message)

    def _put_aside(self, damaged: DamagedExecutionError) -> None:
        """Stop working on a damaged execution, and log it."""
        self.alarm.set(damaged.execution_id, None)
        if damaged.execution_id not in self._set_aside:
            self._set_aside.add(damaged.execution_id)
            logger.error("An execution was set aside until the service is started again: %s", damaged.message)

    # --- time ---

    def _arm(self, execution: Execution) -> None:
        if not self.draining:
            self.alarm.set(execution.id, execution.next_due_ms())

    async def fire_due(self) -> None:
        """Fire all timers that are due."""
        if self._observer is not None and (first_due := self.alarm.next_due_ms()) is not None:
            self._observer.timers_fired(max(0, self._settings.now_ms() - first_due) / 1000)
        due = self.alarm.pop_due()
        for first in range(0, len(due), _DUE_AT_ONCE):
            portion = due[first : first + _DUE_AT_ONCE]
            await asyncio.wait([self._tasks.start(self._fire(execution_id)) for execution_id in portion])

    async def _fire(self, execution_id: str) -> None:
        """Fire the timers of one execution. If the store fails, try again later, so that other executions need not
        wait.
        """
        try:
            await self.once(execution_id, machine.fire_due)
        except DamagedExecutionError as damaged:
            self._put_aside(damaged)
        except StoreError as error:
            self._warn_of_store(error)
            self._arm_again(execution_id)

    def _arm_again(self, execution_id: str) -> None:
        """Set the alarm again, because the store failed and the timers have not fired."""
        if not self.draining:
            self.alarm.set(execution_id, self._settings.now_ms() + round(self._retry_seconds * 1000))

    def next_due_ms(self) -> int | None:
        """Return the earliest due time of all executions, without retention; None if there is none."""
        return self.alarm.next_due_ms()
