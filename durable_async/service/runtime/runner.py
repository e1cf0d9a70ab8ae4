"""Carries out what the machine decides: stores it, runs functions, wakes at due times.

- a command runs without awaiting, so no two interleave and no lock is needed;
- what a command changed is stored first, and only then done and answered;
- what could not be stored has not happened: the store drops the execution, and the next command finds it as it was;
- one task per running function, and one timer for everything;
- an execution that cannot be read is set aside, and keeps no other waiting.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any, TypeVar
from uuid import uuid4

import attrs

from durable_async.service import machine, own_tasks
from durable_async.service.functions.base import InvocationFailed
from durable_async.service.machine import Changes, Execution, ExecutionStatus, Moment, NewExecution
from durable_async.service.model.errors import ApiError, DamagedExecutionError, ServiceClosedError, StoreError
from durable_async.service.model.history import milliseconds
from durable_async.service.own_tasks import OwnTasks
from durable_async.service.runtime.chaining import ChainedInvokes
from durable_async.service.runtime.invoking import Invoker, RunningInvocation, invocation_end, outcome_of
from durable_async.service.runtime.listeners import Listeners
from durable_async.service.runtime.observing import ServiceObserver
from durable_async.service.runtime.registry import Registered, Registry
from durable_async.service.runtime.retention import Retention
from durable_async.service.runtime.slots import Place
from durable_async.service.runtime.timers import Alarm
from durable_async.service.runtime.trial import Trial
from durable_async.service.store import OpenExecution, Store

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("durable_async.service")

_SWEEP_MS = 60 * 60 * 1000  # between two looks for executions whose retention is over
_DUE_AT_ONCE = 256  # executions, so that one commit of the store serves many
_STORE_SECONDS = 2.0  # until a store that failed is tried again
_TOLD = (ApiError, InvocationFailed, SystemExit, KeyboardInterrupt)  # of a task: to whoever waits, or to the program


@attrs.frozen
class Settings:
    """
    :ivar retention_days: how long a closed execution is kept
    :ivar max_concurrency: invocations that may run at once; None: any number
    :ivar passive: no handler is invoked
    :ivar observer: None: nothing is measured
    """

    clock: Callable[[], float]  # epoch seconds
    retention_days: int
    limits: machine.Limits
    retries: machine.InvocationRetryPolicy
    max_concurrency: int | None = None
    passive: bool = False
    observer: ServiceObserver | None = None


class Runner:
    """Executions in motion. Belongs to one event loop."""

    def __init__(self, registry: Registry, store: Store, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._settings = settings
        self._observer = settings.observer
        self._alarm = Alarm(self.now_ms, lambda: self._tasks.start(self.fire_due()))
        self._sweeper = Alarm(self.now_ms, lambda: self._tasks.start(self._sweep()))
        self.invoker: Invoker = Invoker(settings.max_concurrency, self.now_ms)
        self.listeners: Listeners = Listeners()
        self.retention: Retention = Retention(store, settings.retention_days, self.now_ms)
        self._chained = ChainedInvokes(registry, store, self.invoker, self)
        self._trial = Trial({}, None)
        self._tasks = OwnTasks(_TOLD)
        self._left: dict[str, list[OpenExecution]] = {}  # open since before this service, by function
        self._unregistered: dict[str, list[Callable[[], Coroutine[Any, Any, None]]]] = {}  # waits for a function
        self._invocations: dict[str, str] = {}  # execution to request id, from the begin to the recorded end
        self._running: dict[str, RunningInvocation] = {}  # by execution
        self._set_aside: set[str] = set()  # executions that cannot be read
        self.draining: bool = False

    def now_us(self) -> int:
        return round(self._settings.clock() * 1_000_000)

    def now_ms(self) -> int:
        return milliseconds(self.now_us())

    def moment(self) -> Moment:
        settings = self._settings
        return Moment(self.now_us(), lambda: uuid4().hex, settings.limits, settings.retries, settings.passive)

    # --- beginning and end ---

    async def open(self) -> None:
        """Learn what an earlier service left open. It is taken up function by function, as they are registered.

        All that this service runs sees the context variables of who opens it, and of nobody who calls it later.

        :raises StoreError: the store cannot be used
        """
        self._tasks.context = copy_context()
        await self._store.open()
        try:
            names = await self._store.function_names()
            self._left = {name: [*await self._store.open_executions(name)] for name in names}
        except BaseException:
            await self._store.aclose()
            raise
        if self._observer is not None:
            self._observer.found(sum(map(len, self._left.values())))
        left = chain.from_iterable(self._left.values())
        self._trial = Trial.after(left, self._settings.retries.quarantine_after)
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
        for found in self._left.pop(name, ()):
            if found.active:
                self._trial.expect(found.id)
                self._tasks.start(self._resume(found))
            else:
                self._alarm.set_unless_known(found.id, found.due_ms)
        for work in self._unregistered.pop(name, ()):
            self._tasks.start(work())

    async def _resume(self, found: OpenExecution) -> None:
        try:
            await self.command_until_stored(found.id, partial(self._continue, found))
        finally:  # the invocation that this led to, if any, is in the line in the loop's next turn
            asyncio.get_running_loop().call_soon(self._trial.settled, found.id)

    def _continue(self, found: OpenExecution, execution: Execution, at: Moment) -> None:
        for invoke in execution.asked.values():
            if invoke.request is not None and invoke.held is None:
                self._chained.ask(execution.id, invoke.request)
        machine.continued(execution, found.request_id, at, alone=found.id == self._trial.culprit)

    async def aclose(self, grace: float) -> None:
        """Begin nothing more, give what runs ``grace`` seconds to end, and cancel the rest, which the next service
        repeats. What then goes on for 7 seconds more is abandoned. Those who wait for an execution get an error.

        Cancelling this cuts short what is waited for: once, ``grace``; once more, the clean-ups.
        """
        self.draining = True
        self._alarm.close()
        self._sweeper.close()
        await self._tasks.end(grace)
        self.listeners.close()
        await own_tasks.finish(self._close())

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
        return await asyncio.shield(self._tasks.start(self._perform_after_add(added, execution, changes)))

    async def _perform_after_add(
        self, added: Awaitable[Execution | None], execution: Execution, changes: Changes
    ) -> Execution | None:
        began = perf_counter()
        try:
            existing = await added
        except StoreError:
            self._forget_invocation(execution, changes)
            raise
        if existing is not None:
            self._forget_invocation(execution, changes)
            return existing
        if self._observer is not None:
            self._observer.stored(execution, changes, perf_counter() - began)
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
            await asyncio.shield(self._tasks.start(self._perform_after_save(saved, execution, changes)))
        else:
            await self._await_saved(saved, execution, changes)

    async def _perform_after_save(self, saved: Awaitable[None], execution: Execution, changes: Changes) -> None:
        try:
            await self._await_saved(saved, execution, changes)
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

    async def _await_saved(self, saved: Awaitable[None], execution: Execution, changes: Changes) -> None:
        began = perf_counter()
        try:
            await saved
        except StoreError:
            self._arm_again(execution.id)
            raise
        if self._observer is not None:
            self._observer.stored(execution, changes, perf_counter() - began)
        if changes.events:
            self.listeners.notify(execution.id)

    async def command_until_stored(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """Run a command that nobody else would repeat."""
        await self.until_stored(partial(self._once, execution_id, decide))

    async def _once(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        execution = await self._store.load(execution_id)
        if execution is not None:
            await self.command(execution, partial(decide, execution))

    async def until_stored(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Repeat a call for as long as the store fails.

        :return: None if an execution has to be set aside
        """
        while True:
            try:
                return await call()
            except DamagedExecutionError as damaged:
                self._put_aside(damaged)
                return None
            except StoreError as error:
                _warn_of_store(error)
                await asyncio.sleep(_STORE_SECONDS)

    def _put_aside(self, damaged: DamagedExecutionError) -> None:
        """Trying again does not help: leave the execution to whoever reads the log."""
        self._alarm.set(damaged.execution_id, None)
        if damaged.execution_id not in self._set_aside:
            self._set_aside.add(damaged.execution_id)
            logger.error("An execution is set aside until the service is started again: %s", damaged.message)

    # --- time ---

    def _arm(self, execution: Execution) -> None:
        if not self.draining:
            self._alarm.set(execution.id, execution.next_due_ms())

    async def fire_due(self) -> None:
        """Do everything that is due by the clock."""
        if self._observer is not None and (first_due := self._alarm.next_due_ms()) is not None:
            self._observer.timers_fired(max(0, self.now_ms() - first_due) / 1000)
        due = self._alarm.pop_due()
        for first in range(0, len(due), _DUE_AT_ONCE):
            portion = due[first : first + _DUE_AT_ONCE]
            await asyncio.wait([self._tasks.start(self._fire(execution_id)) for execution_id in portion])
        if self._sweeper.pop_due():
            await self._sweep()

    async def _fire(self, execution_id: str) -> None:
        """Try it once, so that the next portion need not wait for an execution whose store fails."""
        try:
            await self._once(execution_id, machine.fire_due)
        except DamagedExecutionError as damaged:
            self._put_aside(damaged)
        except StoreError as error:
            _warn_of_store(error)
            self._arm_again(execution_id)

    def _arm_again(self, execution_id: str) -> None:
        """The store failed, and what was due is due still."""
        if not self.draining:
            self._alarm.set(execution_id, self.now_ms() + round(_STORE_SECONDS * 1000))

    async def _sweep(self) -> None:
        await self.retention.sweep()
        if not self.draining:
            self._sweeper.set("", self.now_ms() + _SWEEP_MS)

    def next_due_ms(self) -> int | None:
        """When an execution has something to do, at the earliest. Retention does not count."""
        return self._alarm.next_due_ms()

    async def idle(self) -> None:
        """Return when no function runs."""
        await self._tasks.idle()

    async def delete(self, execution: Execution) -> None:
        self._alarm.set(execution.id, None)
        await self._store.delete(execution.id)
        self.listeners.notify(execution.id)

    async def closed(self, execution: Execution) -> Execution:
        """The execution as it is closed, when it is and that is stored.

        :raises ServiceClosedError: the service ends before
        """
        while not execution.open:
            await self._store.barrier()
            kept = await self._store.load(execution.id)
            if kept is None or not kept.open:
                return execution
            execution = kept  # its end could not be stored, and has not happened
        self._check_open()
        return await self.listeners.closed(execution.id)

    # --- effects ---

    def _perform(self, execution: Execution, changes: Changes) -> None:
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler(request_id):
                    self.begin(execution.function_name, partial(self._run, execution, request_id))
                case machine.StartChained():
                    self._chained.ask(execution.id, effect)
                case machine.Quarantined(reason) | machine.Parked(reason):
                    logger.error("%s: %s", execution.arn, reason)
                case machine.ExecutionClosed():
                    self._announce(execution)

    def begin(self, function: str, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Do something with a function, now or when it is registered."""
        if self._registry.get(function) is None:
            self._unregistered.setdefault(function, []).append(work)
        elif not self.draining:
            self._tasks.start(work())

    async def _run(self, execution: Execution, request_id: str) -> None:
        """One invocation of an execution's handler."""
        registered = self._registry[execution.function_name]
        conversation = partial(self._take_place, registered, execution, request_id)
        if not self._trial.concerns(execution.id) or not machine.is_waiting(execution, request_id):
            await conversation()
            return
        async with self._trial.turn(execution.id):
            watched = self._tasks.start(conversation())
            await asyncio.wait([watched], timeout=self._trial.seconds(execution.id))
        await watched

    async def _take_place(self, registered: Registered, execution: Execution, request_id: str) -> None:
        began = perf_counter()
        async with self.invoker.slots.taken(registered.name, _turn(execution)) as place:
            if self._observer is not None:
                self._observer.invoked(perf_counter() - began)
            if machine.is_waiting(execution, request_id):
                await self.command_until_stored(
                    execution.id, lambda execution, _: machine.invocation_begun(execution, request_id)
                )
            await self._invoke(registered, execution.id, request_id, place)

    async def _invoke(self, registered: Registered, execution_id: str, request_id: str, place: Place) -> None:
        execution = await self.until_stored(lambda: self._store.load(execution_id))
        if execution is not None:
            memory = registered.function.memory
            whole = memory is None or not memory.keeps(execution.arn)
            event = machine.invocation_event(execution, request_id, self._settings.limits, whole=whole)
            if event is not None:
                trace_header = execution.trace_header
                if self._observer is not None:
                    trace_header = self._observer.trace_header(execution)
                request = self.invoker.request(registered, request_id, execution.tenant_id, trace_header)
                with RunningInvocation.of_this_task(place).among(self._running, execution_id):
                    try:
                        end = await invocation_end(
                            registered.function,
                            event,
                            request,
                            interrupted=lambda: self.draining,
                            parks=registered.on_mismatch == "park",
                        )
                    except (SystemExit, KeyboardInterrupt):
                        await self.exit(
                            execution_id,
                            lambda execution, at: machine.invocation_failed(
                                execution, request_id, machine.EXITED, at, ending=True
                            ),
                        )
                        return
                await self.command_until_stored(execution_id, end)
        if self._invocations.get(execution_id) == request_id:
            del self._invocations[execution_id]

    async def exit(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """End the program, as a function of this process asked for. First record what a SystemExit means to an
        execution, for the program's next start must know who ended it. A KeyboardInterrupt is charged to nobody.

        :raises BaseException: the one that is handled, unless the program is ending already
        """
        exiting = sys.exception()
        if isinstance(exiting, SystemExit):
            with suppress(StoreError):
                await own_tasks.finish(self._once(execution_id, decide))
        task = asyncio.current_task()
        if exiting is not None and task is not None and not task.cancelling():
            raise exiting

    async def invoke_plain(
        self, registered: Registered, event: object, tenant_id: str | None, trace_header: str | None
    ) -> object:
        """Cancelling this leaves the function running.

        :raises InvocationFailed: as the function did
        :raises ServiceClosedError: the service ends before
        """
        self._check_open()
        invocation = self._tasks.start(self.invoker.plain(registered, event, tenant_id, trace_header))
        try:
            return await asyncio.shield(invocation)
        except asyncio.CancelledError:
            if invocation.cancelled():
                raise ServiceClosedError("The service is shutting down.") from None
            raise

    def invoke_event(
        self, registered: Registered, event: object, tenant_id: str | None, trace_header: str | None
    ) -> None:
        """Nobody waits for it but the service's end.

        :raises ServiceClosedError: nothing is invoked any more
        """
        self._check_open()
        self._tasks.start(self._unattended(registered, event, tenant_id, trace_header))

    async def _unattended(
        self, registered: Registered, event: object, tenant_id: str | None, trace_header: str | None
    ) -> None:
        try:
            await self.invoker.plain(registered, event, tenant_id, trace_header)
        except InvocationFailed as failed:
            logger.warning("the asynchronous invocation of %s failed: %s", registered.name, failed)

    def _announce(self, execution: Execution) -> None:
        """The execution is closed: tell those who wait for it, the chained invoke that started it, and its function."""
        if execution.status in (ExecutionStatus.STOPPED, ExecutionStatus.TIMED_OUT):
            self._abandon_invocation(execution.id)
        self.listeners.announce(execution)
        registered = self._registry.get(execution.function_name)
        if registered is not None and registered.function.memory is not None:
            registered.function.memory.forget(execution.arn)
        if execution.parent is not None:
            self._tasks.start(self._chained.ended(execution.parent, outcome_of(execution)))

    def _abandon_invocation(self, execution_id: str) -> None:
        """End the invocation of an execution that was closed from outside. Nobody waits until it has ended."""
        if (running := self._running.get(execution_id)) is not None:
            running.abandon()
        if (request_id := self._invocations.pop(execution_id, None)) is not None:
            self._tasks.start(
                self.command_until_stored(
                    execution_id, lambda execution, at: machine.invocation_interrupted(execution, request_id, at)
                )
            )


def _warn_of_store(error: StoreError) -> None:
    logger.warning("The store failed, and is tried again in %g s: %s", _STORE_SECONDS, error.message)


def _turn(execution: Execution) -> str:
    """Under which turn an execution waits to be invoked: all that one execution started have one in common."""
    return execution.id if execution.parent is None else execution.parent.execution_id
