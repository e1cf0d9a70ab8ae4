"""Carries out what the machine decides: stores changes, runs functions, fires timers.

- a command runs without awaiting, so commands do not interleave and no lock is needed;
- the changes of a command are stored first; then its effects are carried out and its caller gets the answer;
- if changes cannot be stored, the store drops the execution, and the next command finds it as it was before;
- there is one task per running function, and one timer for all due times;
- an execution that cannot be read is set aside, and the others continue.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import chain
from time import perf_counter
from typing import TypeVar

from durable_async.service import machine, own_tasks
from durable_async.service.functions.base import InvocationFailed
from durable_async.service.machine import Changes, Execution, ExecutionStatus, Moment, NewExecution
from durable_async.service.model.errors import ApiError, DamagedExecutionError, ServiceClosedError, StoreError
from durable_async.service.model.history import milliseconds
from durable_async.service.own_tasks import OwnTasks
from durable_async.service.runtime.chaining import ChainedInvokes
from durable_async.service.runtime.invoking import Invoker, RunningInvocation, invocation_end, mint, outcome_of
from durable_async.service.runtime.listeners import Listeners
from durable_async.service.runtime.registry import Registered, Registry
from durable_async.service.runtime.retention import Retention
from durable_async.service.runtime.settings import Settings
from durable_async.service.runtime.slots import Place
from durable_async.service.runtime.timers import Alarm
from durable_async.service.runtime.trial import Trial
from durable_async.service.store import OpenExecution, Store

T = TypeVar("T")
Work = Callable[[Registered], Coroutine[object, object, None]]

logger: logging.Logger = logging.getLogger("durable_async.service")

_DUE_AT_ONCE = 256  # executions, so that one commit of the store serves many
_RAISED = (
    ApiError,
    InvocationFailed,
    SystemExit,
    KeyboardInterrupt,
)  # errors of a task that its caller gets, or that end the program


class Runner:
    """Runs executions. Belongs to one event loop."""

    def __init__(self, registry: Registry, store: Store, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._settings = settings
        self._observer = settings.observer
        self._timing = timing = settings.timing
        self._alarm = Alarm(self.now_ms, lambda: self._tasks.start(self.fire_due()), timing.check_clock)
        self._sweeper = Alarm(self.now_ms, lambda: self._tasks.start(self._sweep_if_due()), timing.check_clock)
        self.invoker: Invoker = Invoker(settings.max_concurrency, self.now_ms)
        self.listeners: Listeners = Listeners()
        self.retention: Retention = Retention(store, settings.retention_days, self.now_ms)
        self._chained = ChainedInvokes(store, self.invoker, self)
        self._trial = Trial({}, None)
        self._tasks = OwnTasks(_RAISED, timing.clean_up, timing.abandon)
        self._left: dict[str, list[OpenExecution]] = {}  # open since before this service, by function
        self._unregistered: dict[str, list[tuple[str, Work]]] = {}  # waits for a version of a function
        self._invocations: dict[str, str] = {}  # execution to request id, from the begin to the recorded end
        self._running: dict[str, RunningInvocation] = {}  # by execution
        self._saving: dict[str, Awaitable[None]] = {}  # by execution: the latest save, until it is known how it ended
        self._set_aside: set[str] = set()  # executions that cannot be read
        self.draining: bool = False

    def now_us(self) -> int:
        return round(self._settings.clock() * 1_000_000)

    def now_ms(self) -> int:
        return milliseconds(self.now_us())

    def moment(self) -> Moment:
        settings = self._settings
        return Moment(self.now_us(), mint, settings.limits, settings.retries, settings.passive)

    # --- beginning and end ---

    async def open(self) -> None:
        """Open the store, and find the executions that an earlier service left open. They continue when their functions
        are registered.

        Everything that this service runs sees the context variables of the task that opens it, and not those of later
        callers.

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
        self._sweeper.set("", self.now_ms() + round(self._timing.sweep * 1000))
        for registered in self._registry.all():
            self._take_up(registered)

    def registered(self, registered: Registered) -> None:
        """Continue the executions that wait for this function."""
        self.invoker.slots.limit(registered.key, registered.max_concurrency)
        self._take_up(registered)

    def left(self) -> dict[str, int]:
        """Return how many executions wait for each function that is not registered."""
        return {**Counter(_label(name, each.version) for name, left in self._left.items() for each in left)}

    def _take_up(self, registered: Registered) -> None:
        name, serving = registered.name, self._registry.serving
        left = self._left.pop(name, [])
        self._left[name] = [each for each in left if serving(name, each.version) is not registered]
        for found in left:
            if serving(name, found.version) is not registered:
                continue
            if found.active:
                self._trial.expect(found.id)
                self._tasks.start(self._resume(found))
            else:
                self._alarm.set_unless_known(found.id, found.due_ms)
        for version, work in self._unregistered.pop(name, ()):
            self.begin(name, version, work)

    async def _resume(self, found: OpenExecution) -> None:
        try:
            await self.command_until_stored(found.id, partial(self._continue, found))
            await self.follow_parent(found.id)
        finally:  # the invocation that this led to waits for its turn from the loop's next iteration on
            asyncio.get_running_loop().call_soon(self._trial.settled, found.id)

    async def follow_parent(self, execution_id: str) -> None:
        """Cancel a child if the execution that invoked it was cancelled or is closed."""
        child = await self.until_stored(lambda: self._store.load(execution_id))
        if child is None or child.parent is None or not (child.parent.cancels and child.open):
            return
        parent_id = child.parent.execution_id
        parent = await self.until_stored(lambda: self._store.load(parent_id))
        await self.command_until_stored(
            execution_id, lambda execution, at: machine.follow_parent(execution, parent, at)
        )

    def _continue(self, found: OpenExecution, execution: Execution, at: Moment) -> None:
        for invoke in execution.asked.values():
            if invoke.request is not None and invoke.held is None:
                self._chained.ask(execution.id, invoke.request)
        machine.continued(execution, found.request_id, at, alone=found.id == self._trial.culprit)

    async def aclose(self, grace: float) -> None:
        """Begin nothing more, wait up to ``grace`` seconds for running functions, then cancel them. The next service
        repeats their invocations. Tasks that still run 7 seconds later are abandoned. Calls that wait for an execution
        raise an error.

        A cancellation ends ``grace`` at once; a second one ends the wait for clean-ups.
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
            logger.warning("Interrupted invocations could not be recorded and will count as crashes: %s", error.message)
        finally:
            await self._store.aclose()

    async def _interrupt(self, execution_id: str, request_id: str) -> None:
        """Record that the service ended the invocation, so that it does not count as a failure."""
        execution = await self._store.load(execution_id)
        if execution is not None:
            machine.invocation_interrupted(execution, request_id, self.moment())
            await self._store.save(execution, execution.take_changes())

    # --- commands ---

    def _check_open(self) -> None:
        if self.draining:
            raise ServiceClosedError("The service is shutting down.")

    async def start(
        self, new: NewExecution, make: Callable[[NewExecution, Moment], Execution] = machine.start
    ) -> Execution | None:
        """Start an execution. Returns None; or, with nothing started, the execution that has the name already.

        :param make: how it begins
        :raises ServiceClosedError: nothing is started any more
        :raises StoreError: nothing is started
        """
        self._check_open()
        execution = make(new, self.moment())
        changes = execution.take_changes()
        self._note_invocation(execution, changes)
        added = self._store.add(execution, changes)
        # In a task, as in commit: a stored execution must be started even if the caller is cancelled.
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
        self.listeners.notify(execution.id)
        return None

    async def command(self, execution: Execution, decide: Callable[[Moment], T]) -> T:
        """Run a command, store its changes, carry out its effects, and return its answer.

        :raises StoreError: the changes could not be stored, and are undone
        """
        try:
            answer = decide(self.moment())
        except ApiError:
            await self.commit(execution)  # a refused command changes nothing itself, but it has fired due timers first
            raise
        await self.commit(execution)
        return answer

    async def commit(self, execution: Execution) -> None:
        """Store the changes of ``execution``, then carry out its effects."""
        changes = execution.take_changes()
        self._arm(execution)
        self._note_invocation(execution, changes)
        saved = self._store.save(execution, changes)  # at once: saves are to have the order of the commands
        self._saving[execution.id] = saved
        if changes.effects:
            # In a task, so that the effects are carried out even if the caller is cancelled while it waits.
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
        """Note an invocation that may be stored. If it does not run before the service ends, that is not a failure."""
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
            self._saved(execution.id, saved)
            self._arm_again(execution.id)
            raise
        self._saved(execution.id, saved)
        if self._observer is not None:
            self._observer.stored(execution, changes, perf_counter() - began)
        if changes.events:
            self.listeners.notify(execution.id)

    def _saved(self, execution_id: str, saved: Awaitable[None] | None) -> None:
        if self._saving.get(execution_id) is saved:
            self._saving.pop(execution_id, None)

    async def stored(self, execution_id: str) -> Execution | None:
        """Return the execution when all of its changes are stored, or undone: a handler must not act on a change that
        may still be lost."""
        execution = await self._store.load(execution_id)
        while (latest := self._saving.get(execution_id)) is not None:
            await self._store.barrier()
            self._saved(execution_id, latest)
            execution = await self._store.load(execution_id)
        return execution

    async def command_until_stored(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        """Run a command that nobody else would repeat."""
        await self.until_stored(partial(self._once, execution_id, decide))

    async def _once(self, execution_id: str, decide: Callable[[Execution, Moment], None]) -> None:
        execution = await self._store.load(execution_id)
        if execution is not None:
            await self.command(execution, partial(decide, execution))

    async def until_stored(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Repeat a call for as long as the store fails.

        :return: the result; None if the execution is damaged and was set aside
        """
        while True:
            try:
                return await call()
            except DamagedExecutionError as damaged:
                self._put_aside(damaged)
                return None
            except StoreError as error:
                self._warn_of_store(error)
                await asyncio.sleep(self._timing.retry_store)

    def _warn_of_store(self, error: StoreError) -> None:
        logger.warning("The store failed. Trying again in %g s: %s", self._timing.retry_store, error.message)

    def _put_aside(self, damaged: DamagedExecutionError) -> None:
        """Stop working on a damaged execution, and log it."""
        self._alarm.set(damaged.execution_id, None)
        if damaged.execution_id not in self._set_aside:
            self._set_aside.add(damaged.execution_id)
            logger.error("An execution was set aside until the service is started again: %s", damaged.message)

    # --- time ---

    def _arm(self, execution: Execution) -> None:
        if not self.draining:
            self._alarm.set(execution.id, execution.next_due_ms())

    async def fire_due(self) -> None:
        """Fire all timers that are due."""
        if self._observer is not None and (first_due := self._alarm.next_due_ms()) is not None:
            self._observer.timers_fired(max(0, self.now_ms() - first_due) / 1000)
        due = self._alarm.pop_due()
        for first in range(0, len(due), _DUE_AT_ONCE):
            portion = due[first : first + _DUE_AT_ONCE]
            await asyncio.wait([self._tasks.start(self._fire(execution_id)) for execution_id in portion])
        await self._sweep_if_due()

    async def _fire(self, execution_id: str) -> None:
        """Fire the timers of one execution. If the store fails, try again later, so that other executions need not
        wait.
        """
        try:
            await self._once(execution_id, machine.fire_due)
        except DamagedExecutionError as damaged:
            self._put_aside(damaged)
        except StoreError as error:
            self._warn_of_store(error)
            self._arm_again(execution_id)

    def _arm_again(self, execution_id: str) -> None:
        """Set the alarm again, because the store failed and the timers have not fired."""
        if not self.draining:
            self._alarm.set(execution_id, self.now_ms() + round(self._timing.retry_store * 1000))

    async def _sweep_if_due(self) -> None:
        if not self._sweeper.pop_due():  # or the alarm would ring again in each turn of the loop, until the sweep ends
            return
        await self.retention.sweep()
        if not self.draining:
            self._sweeper.set("", self.now_ms() + round(self._timing.sweep * 1000))

    def next_due_ms(self) -> int | None:
        """Return the earliest due time of all executions, without retention; None if there is none."""
        return self._alarm.next_due_ms()

    @property
    def is_idle(self) -> bool:
        """Whether no function runs."""
        return self._tasks.is_idle

    async def idle(self) -> None:
        """Return when no function runs."""
        await self._tasks.idle()

    async def delete(self, execution: Execution) -> None:
        self._alarm.set(execution.id, None)
        await self._store.delete(execution.id)
        self.listeners.notify(execution.id)

    async def closed(self, execution: Execution) -> Execution:
        """Wait until the execution is closed and this is stored, and return it.

        :raises ServiceClosedError: the service shuts down before
        """
        while not execution.open:
            await self._store.barrier()
            kept = await self._store.load(execution.id)
            if kept is None or not kept.open:
                return execution
            execution = kept  # its end could not be stored, so it is still open
        self._check_open()
        return await self.listeners.closed(execution.id)

    # --- effects ---

    def _perform(self, execution: Execution, changes: Changes) -> None:
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler(request_id):
                    self.begin(execution.function_name, execution.version, partial(self._run, execution, request_id))
                case machine.StartChained():
                    self._chained.ask(execution.id, effect)
                case machine.Quarantined(reason) | machine.Parked(reason):
                    logger.error("%s: %s", execution.arn, reason)
                case machine.ExecutionClosed():
                    self._announce(execution)
                case machine.FollowParent(child_id):
                    self._tasks.start(self.follow_parent(child_id))

    def begin(self, function: str, version: str, work: Work) -> None:
        """Do something with a version of a function, now or when it is registered."""
        registered = self._registry.serving(function, version)
        if registered is None:
            self._unregistered.setdefault(function, []).append((version, work))
        elif not self.draining:
            self._tasks.start(work(registered))

    async def _run(self, execution: Execution, request_id: str, registered: Registered) -> None:
        """Invoke the handler of an execution once, when its turn has come."""
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
        async with self.invoker.slots.taken(registered.key, _turn(execution)) as place:
            if self._observer is not None:
                self._observer.invoked(perf_counter() - began)
            if machine.is_waiting(execution, request_id):
                await self.command_until_stored(
                    execution.id, lambda execution, _: machine.invocation_begun(execution, request_id)
                )
            await self._invoke(registered, execution.id, request_id, place)

    async def _invoke(self, registered: Registered, execution_id: str, request_id: str, place: Place) -> None:
        execution = await self.until_stored(lambda: self.stored(execution_id))
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
        """End the program, because a function of this process raised SystemExit or KeyboardInterrupt. A SystemExit is
        recorded first as a failure of the execution, so that the next start knows what ended the program. A
        KeyboardInterrupt is not a failure.

        :raises BaseException: the current exception, unless the program is ending already
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
        """Invoke a function that is not durable, and return its answer. Cancelling this leaves the function running.

        :raises InvocationFailed: the function failed
        :raises ServiceClosedError: the service shuts down before
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
        """Invoke a function that is not durable, without waiting. If it fails, this is logged.

        :raises ServiceClosedError: the service is shutting down
        """
        self._check_open()
        self._tasks.start(self._unattended(registered, event, tenant_id, trace_header))

    async def _unattended(
        self, registered: Registered, event: object, tenant_id: str | None, trace_header: str | None
    ) -> None:
        try:
            await self.invoker.plain(registered, event, tenant_id, trace_header)
        except InvocationFailed as failed:
            logger.warning("The asynchronous invocation of %s failed: %s", registered.name, failed)

    def _announce(self, execution: Execution) -> None:
        """Wake the calls that wait for a closed execution, end the invoke of its parent, and free its memory."""
        if execution.status in (ExecutionStatus.STOPPED, ExecutionStatus.TIMED_OUT):
            self._abandon_invocation(execution.id)
        self.listeners.announce(execution)
        registered = self._registry.serving(execution.function_name, execution.version)
        if registered is not None and registered.function.memory is not None:
            registered.function.memory.forget(execution.arn)
        if execution.parent is not None:
            self._tasks.start(self._chained.ended(execution.parent, outcome_of(execution)))

    def _abandon_invocation(self, execution_id: str) -> None:
        """End the invocation of an execution that was closed from outside, without waiting for its end."""
        if (running := self._running.get(execution_id)) is not None:
            running.abandon()
        if (request_id := self._invocations.pop(execution_id, None)) is not None:
            self._tasks.start(
                self.command_until_stored(
                    execution_id, lambda execution, at: machine.invocation_interrupted(execution, request_id, at)
                )
            )


def _label(name: str, version: str | None) -> str:
    return f"{name}:{version}" if version is not None and version.isdecimal() else name


def _turn(execution: Execution) -> str:
    """Return the key by which an execution takes turns. All executions that one execution started share a key."""
    return execution.id if execution.parent is None else execution.parent.execution_id
