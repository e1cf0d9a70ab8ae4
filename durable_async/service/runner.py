"""Carries out what the machine decides: stores it, runs functions, wakes at due times.

- a command runs without awaiting, so no two interleave and no lock is needed;
- what a command changed is stored first, and only then done and answered;
- what could not be stored has not happened: the store drops the execution, and the next command finds it as it was;
- one task per running function, and one timer for everything.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import attrs

from durable_async.service import machine, own_tasks
from durable_async.service.errors import ApiError, ServiceClosedError, StoreError
from durable_async.service.functions import InvocationFailed
from durable_async.service.invoking import Invoker, invocation_end
from durable_async.service.listeners import Listeners
from durable_async.service.machine import (
    ChainedOutcome,
    Changes,
    Execution,
    ExecutionStatus,
    Moment,
    NewExecution,
    Parent,
)
from durable_async.service.registry import Registered, Registry
from durable_async.service.store import OpenExecution, Store
from durable_async.service.timers import Alarm
from durable_async.wire.operations import ErrorObject

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("durable_async.service")

_DAY_MS = 24 * 60 * 60 * 1000
_SWEEP_MS = 60 * 60 * 1000  # between two looks for executions whose retention is over
_SWEEP_COUNT = 100  # deleted at once
_DUE_AT_ONCE = 256  # executions, so that one commit of the store serves many
_STORE_SECONDS = 2.0  # until a store that failed is tried again
_PROBATION_SECONDS = 60.0  # the longest that one suspicious invocation keeps the others waiting
_CLEAN_UP_SECONDS = 6.0  # for what is cancelled: a little more than an invocation gives its workflow's clean-ups
_LAST_SECONDS = 0.5  # for what is cancelled a second time
_TOLD = (ApiError, InvocationFailed, SystemExit, KeyboardInterrupt)  # of a task: to whoever waits, or to the program

_abandoned: set[asyncio.Task[Any]] = set()
"""Kept: collecting a task that did not end would run its code once more."""


@attrs.frozen
class Settings:
    """
    :ivar retention_days: how long a closed execution is kept
    :ivar max_concurrency: invocations that may run at once; None: any number
    :ivar passive: no handler is invoked
    """

    clock: Callable[[], float]  # epoch seconds
    retention_days: int
    limits: machine.Limits
    retries: machine.InvocationRetryPolicy
    max_concurrency: int | None = None
    passive: bool = False


class Runner:
    """Executions in motion. Belongs to one event loop."""

    def __init__(self, registry: Registry, store: Store, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._settings = settings
        self._alarm = Alarm(self.now_ms, lambda: self._spawn(self.fire_due()))
        self._sweeper = Alarm(self.now_ms, lambda: self._spawn(self._sweep()))
        self.invoker: Invoker = Invoker(settings.max_concurrency, self.now_ms)
        self.listeners: Listeners = Listeners()
        self._probation = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._left: dict[str, list[OpenExecution]] = {}  # open since before this service, by function
        self._unregistered: dict[str, list[Callable[[], Coroutine[Any, Any, None]]]] = {}  # waits for a function
        self._invocations: dict[str, str] = {}  # execution to request id, from the begin to the recorded end
        self._context = Context()
        self.draining: bool = False

    def now_ms(self) -> int:
        return round(self._settings.clock() * 1000)

    def moment(self) -> Moment:
        settings = self._settings
        return Moment(self.now_ms(), lambda: uuid4().hex, settings.limits, settings.retries, settings.passive)

    # --- beginning and end ---

    async def open(self) -> None:
        """Learn what an earlier service left open. It is taken up function by function, as they are registered.

        All that this service runs sees the context variables of who opens it, and of nobody who calls it later.

        :raises StoreError: the store cannot be used
        """
        self._context = copy_context()
        await self._store.open()
        try:
            names = await self._store.function_names()
            self._left = {name: [*await self._store.open_executions(name)] for name in names}
        except BaseException:
            await self._store.aclose()
            raise
        self._sweeper.set("", self.now_ms() + _SWEEP_MS)
        for registered in self._registry.all():
            self._take_up(registered.name)

    def registered(self, registered: Registered) -> None:
        """A function is there: what waits for it goes on."""
        self.invoker.slots.limit(registered.name, registered.max_concurrency)
        self._take_up(registered.name)

    def left(self) -> dict[str, int]:
        """How many executions wait for each function that is not registered."""
        return {name: len(executions) for name, executions in self._left.items() if executions}

    def _take_up(self, name: str) -> None:
        begun = {*self._invocations}  # by what came from outside before the function did
        for found in self._left.pop(name, ()):
            if found.active and found.id not in begun:
                self._spawn(self._insist(found.id, self._continue))
            else:
                self._alarm.set(found.id, found.due_ms)
        for work in self._unregistered.pop(name, ()):
            self._spawn(work())

    def _continue(self, execution: Execution, at: Moment) -> None:
        for invoke in execution.asked.values():
            if invoke.request is not None and invoke.held is None:
                self._begin(invoke.request.target.name, partial(self._chain, execution.id, invoke.request))
        machine.taken_up(execution, at)

    async def aclose(self, grace: float) -> None:
        """Begin nothing more, give what runs ``grace`` seconds to end, and cancel the rest, which the next service
        repeats. What then goes on for 7 seconds more is abandoned. Those who wait for an execution get an error.

        Cancelling this cuts short what is waited for: once, ``grace``; once more, the clean-ups.
        """
        self.draining = True
        self._alarm.close()
        self._sweeper.close()
        for seconds in (grace, _CLEAN_UP_SECONDS, _LAST_SECONDS):
            await self._ended(seconds)
            for task in self._tasks:
                task.cancel()
        await self._ended(_LAST_SECONDS)
        self._abandon()
        self.listeners.close()
        await own_tasks.finish(self._close())

    async def _ended(self, seconds: float) -> None:
        """Wait for what runs, no longer than that, and not when this is cancelled."""
        time = asyncio.get_running_loop().time
        until = time() + seconds
        with suppress(asyncio.CancelledError):
            while self._tasks and (left := until - time()) > 0:
                await asyncio.wait(self._tasks, timeout=left)

    def _abandon(self) -> None:
        for task in self._tasks:
            logger.warning("Abandoned a function that goes on although it was cancelled: %r", task)
            _abandoned.add(task)
            asyncio._unregister_task(task)  # noqa: SLF001 - documented; else the loop's shutdown would wait for it
        self._tasks.clear()

    async def _close(self) -> None:
        interrupted, self._invocations = self._invocations, {}
        try:
            await asyncio.gather(*(self._interrupt(*invocation) for invocation in interrupted.items()))
        except StoreError as error:
            logger.warning("What was interrupted will count as crashed: %s", error.message)
        finally:
            await self._store.aclose()

    async def _interrupt(self, execution_id: str, request_id: str) -> None:
        """Note that the invocation ended with the service, and that this was nobody's failure."""
        execution = await self._store.load(execution_id)
        if execution is not None:
            machine.invocation_interrupted(execution, request_id, self.moment())
            await self._store.save(execution, execution.take_changes())

    # --- commands ---

    def _check_open(self) -> None:
        if self.draining:
            raise ServiceClosedError("The service is shutting down.")

    async def start(self, new: NewExecution) -> Execution | None:
        """Start an execution. Returns None; or, with nothing started, the execution that has the name already.

        :raises ServiceClosedError: nothing is started any more
        :raises StoreError: nothing is started
        """
        self._check_open()
        execution = machine.start(new, self.moment())
        changes = execution.take_changes()
        self._note_invocation(execution, changes)
        added = self._store.add(execution, changes)
        # As in commit: what is stored must also be set in motion.
        return await asyncio.shield(self._spawn(self._perform_if(added, execution, changes)))

    async def _perform_if(
        self, added: Awaitable[Execution | None], execution: Execution, changes: Changes
    ) -> Execution | None:
        try:
            existing = await added
        except StoreError:
            self._forget_invocation(execution, changes)
            raise
        if existing is not None:
            self._forget_invocation(execution, changes)
            return existing
        self._arm(execution)
        self._perform(execution, changes)
        return None

    async def command(self, execution: Execution, decide: Callable[[Moment], T]) -> T:
        """Run a command, store what it changed, set in motion what it asks for, and return its answer.

        :raises StoreError: it could not be stored, and is undone
        """
        try:
            answer = decide(self.moment())
        except ApiError:
            await self.commit(execution)  # a refusal changes nothing, but what was due is done before it
            raise
        await self.commit(execution)
        return answer

    async def commit(self, execution: Execution) -> None:
        """Store what was done to ``execution``, then do what it asks for."""
        changes = execution.take_changes()
        self._arm(execution)
        self._note_invocation(execution, changes)
        saved = self._store.save(execution, changes)  # at once: saves are to have the order of the commands
        if changes.effects:
            # A caller that goes away while it waits must not take along what the execution has to do.
            await asyncio.shield(self._spawn(self._perform_when(saved, execution, changes)))
        else:
            await self._known_when(saved, execution, changes)

    async def _perform_when(self, saved: Awaitable[None], execution: Execution, changes: Changes) -> None:
        try:
            await self._known_when(saved, execution, changes)
        except StoreError:
            self._forget_invocation(execution, changes)
            raise
        self._perform(execution, changes)

    def _note_invocation(self, execution: Execution, changes: Changes) -> None:
        """As soon as it may be stored: whatever then keeps it from running is not the execution's failure."""
        if (request_id := changes.invoked()) is not None:
            self._invocations[execution.id] = request_id

    def _forget_invocation(self, execution: Execution, changes: Changes) -> None:
        if self._invocations.get(execution.id) == changes.invoked():
            self._invocations.pop(execution.id, None)

    async def _known_when(self, saved: Awaitable[None], execution: Execution, changes: Changes) -> None:
        try:
            await saved
        except StoreError:
            if not self.draining:  # what was due is due still
                self._alarm.set(execution.id, self.now_ms() + round(_STORE_SECONDS * 1000))
            raise
        if changes.events:
            self.listeners.notify(execution.id)

    async def _insist(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """Run a command that nobody else would repeat."""
        await self._patiently(lambda: self._once(execution_id, decide))

    async def _once(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        execution = await self._store.load(execution_id)
        if execution is not None:
            await self.command(execution, partial(decide, execution))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call for as long as the store fails."""
        while True:
            try:
                return await call()
            except StoreError as error:
                logger.warning("The store failed, and is tried again in %g s: %s", _STORE_SECONDS, error.message)
                await asyncio.sleep(_STORE_SECONDS)

    # --- time ---

    def _arm(self, execution: Execution) -> None:
        if not self.draining:
            self._alarm.set(execution.id, execution.next_due_ms())

    async def fire_due(self) -> None:
        """Do everything that is due by the clock."""
        due = self._alarm.pop_due()
        for first in range(0, len(due), _DUE_AT_ONCE):
            portion = due[first : first + _DUE_AT_ONCE]
            await asyncio.gather(*(self._insist(execution_id, machine.fire_due) for execution_id in portion))
        if self._sweeper.pop_due():
            await self._sweep()

    async def _sweep(self) -> None:
        """Delete the executions whose retention is over, in small portions."""
        try:
            deleted = _SWEEP_COUNT
            while deleted == _SWEEP_COUNT:
                deleted = await self._store.delete_closed(self._kept_from_ms(), _SWEEP_COUNT)
        except StoreError as error:
            logger.warning("Executions whose retention is over could not be deleted: %s", error.message)
        if not self.draining:
            self._sweeper.set("", self.now_ms() + _SWEEP_MS)

    def next_due_ms(self) -> int | None:
        """When an execution has something to do, at the earliest. Retention does not count."""
        return self._alarm.next_due_ms()

    async def idle(self) -> None:
        """Return when no function runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def expired(self, execution: Execution) -> bool:
        """Whether its retention is over."""
        return execution.ended_ms is not None and execution.ended_ms < self._kept_from_ms()

    def _kept_from_ms(self) -> int:
        """The retention of executions that ended before this is over."""
        return self.now_ms() - self._settings.retention_days * _DAY_MS + 1

    async def delete(self, execution: Execution) -> None:
        self._alarm.set(execution.id, None)
        await self._store.delete(execution.id)
        self.listeners.notify(execution.id)

    async def closed(self, execution: Execution) -> Execution:
        """The execution as it is closed, when it is and that is stored.

        :raises ServiceClosedError: the service ends before
        """
        if execution.open:
            self._check_open()
            return await self.listeners.closed(execution.id)
        await self._store.barrier()
        return execution

    # --- effects ---

    def _perform(self, execution: Execution, changes: Changes) -> None:
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler(request_id):
                    self._begin(execution.function_name, partial(self._run, execution, request_id))
                case machine.StartChained():
                    self._begin(effect.target.name, partial(self._chain, execution.id, effect))
                case machine.Quarantined(reason):
                    logger.error("%s: %s", execution.arn, reason)
                case machine.ExecutionClosed():
                    self._announce(execution)

    def _begin(self, function: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something with a function, now or when it is registered."""
        if self._registry.get(function) is None:
            self._unregistered.setdefault(function, []).append(work)
        elif not self.draining:
            self._spawn(work())

    async def _run(self, execution: Execution, request_id: str) -> None:
        """One invocation of an execution's handler."""
        registered = self._registry[execution.function_name]
        async with self.invoker.slots.taken(registered.name, _turn(execution)):
            if execution.invocation is None or not execution.invocation.waiting:
                await self._converse(registered, execution.id, request_id)
                return
            # If it ends the service once more, nobody else shall be suspected.
            async with self._probation:
                await self._insist(execution.id, lambda execution, _: machine.begun(execution, request_id))
                conversation = self._spawn(self._converse(registered, execution.id, request_id))
                await asyncio.wait([conversation], timeout=_PROBATION_SECONDS)
            await conversation

    async def _converse(self, registered: Registered, execution_id: str, request_id: str) -> None:
        execution = await self._patiently(lambda: self._store.load(execution_id))
        if execution is not None:
            memory = registered.function.memory
            whole = memory is None or not memory.keeps(execution.arn)
            event = machine.tell(execution, request_id, self._settings.limits, whole=whole)
            if event is not None:
                request = self.invoker.request(registered, request_id, execution.tenant_id)
                try:
                    end = await invocation_end(registered.function, event, request, interrupted=lambda: self.draining)
                except (SystemExit, KeyboardInterrupt):
                    await self._exit(
                        execution_id,
                        lambda execution, at: machine.invocation_failed(
                            execution, request_id, machine.EXITED, at, ending=True
                        ),
                    )
                    return
                await self._insist(execution_id, end)
        if self._invocations.get(execution_id) == request_id:
            del self._invocations[execution_id]

    async def _chain(self, execution_id: str, chained: machine.StartChained) -> None:
        registered = self._registry[chained.target.name]
        parent = Parent(execution_id, chained.operation_id)
        if chained.child is None:
            try:
                outcome = await self.invoker.target_outcome(registered, chained, execution_id)
            except (SystemExit, KeyboardInterrupt):
                outcome = ChainedOutcome("FAILED", error=machine.EXITED)
                await self._exit(execution_id, _chained_end(parent, outcome))
                return
            await self._chained_ended(parent, outcome)
        else:
            await self._start_child(parent, registered, chained, chained.child)

    async def _exit(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """End the program, as a function of this process asked for. First record what a SystemExit means to an
        execution, for the program's next start must know who ended it. A KeyboardInterrupt is nobody's deed.

        :raises BaseException: the one that is handled, unless the program is ending already
        """
        exiting = sys.exception()
        if isinstance(exiting, SystemExit):
            with suppress(StoreError):
                await own_tasks.finish(self._once(execution_id, decide))
        task = asyncio.current_task()
        if exiting is not None and task is not None and not task.cancelling():
            raise exiting

    async def invoke_plain(self, registered: Registered, event: Any, tenant_id: str | None) -> Any:
        """Cancelling this leaves the function running.

        :raises InvocationFailed: as the function did
        :raises ServiceClosedError: the service ends before
        """
        self._check_open()
        invocation = self._spawn(self.invoker.plain(registered, event, tenant_id))
        try:
            return await asyncio.shield(invocation)
        except asyncio.CancelledError:
            if invocation.cancelled():
                raise ServiceClosedError("The service is shutting down.") from None
            raise

    def invoke_event(self, registered: Registered, event: Any, tenant_id: str | None) -> None:
        """Nobody waits for it but the service's end.

        :raises ServiceClosedError: nothing is invoked any more
        """
        self._check_open()
        self._spawn(self._unattended(registered, event, tenant_id))

    async def _unattended(self, registered: Registered, event: Any, tenant_id: str | None) -> None:
        try:
            await self.invoker.plain(registered, event, tenant_id)
        except InvocationFailed as failed:
            logger.warning("the asynchronous invocation of %s failed: %s", registered.name, failed)

    async def _start_child(
        self, parent: Parent, registered: Registered, chained: machine.StartChained, child: machine.Child
    ) -> None:
        new = NewExecution(
            id=child.id,
            arn=child.arn,
            name=child.name,
            function_name=registered.name,
            function_arn=registered.arn,
            version=chained.target.version,
            input=chained.payload,
            timeout_seconds=registered.execution_timeout,
            tenant_id=chained.tenant_id,
            parent=parent,
        )
        try:
            existing = await self._patiently(lambda: self.start(new))
        except ServiceClosedError:
            return  # the next service asks again
        if existing is not None and not existing.open:  # an earlier service ended before it could tell
            await self._chained_ended(parent, _outcome(existing))

    def _announce(self, execution: Execution) -> None:
        """The execution is closed: tell those who wait for it, the chained invoke that started it, and its function."""
        self.listeners.announce(execution)
        registered = self._registry.get(execution.function_name)
        if registered is not None and registered.function.memory is not None:
            registered.function.memory.forget(execution.arn)
        if execution.parent is not None:
            self._spawn(self._chained_ended(execution.parent, _outcome(execution)))

    async def _chained_ended(self, parent: Parent, outcome: ChainedOutcome) -> None:
        await self._insist(parent.execution_id, _chained_end(parent, outcome))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = own_tasks.start(work, self._context)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, _TOLD):
            logger.error("The service failed at its own work.", exc_info=error)


def _chained_end(parent: Parent, outcome: ChainedOutcome) -> Callable[[Execution, Moment], None]:
    return lambda execution, at: machine.chained_invoke_ended(execution, parent.operation_id, outcome, at)


def _turn(execution: Execution) -> str:
    """Under which turn an execution waits to be invoked: all that one execution started have one in common."""
    return execution.id if execution.parent is None else execution.parent.execution_id


def _outcome(child: Execution) -> ChainedOutcome:
    error: ErrorObject | None = child.error
    if child.status is ExecutionStatus.TIMED_OUT:
        error = {
            "ErrorType": "ChainedInvoke.Timeout",
            "ErrorMessage": f"CHAINED_INVOKE timed out after {child.timeout_seconds} seconds.",
        }
    return ChainedOutcome(str(child.status), child.result, error)
