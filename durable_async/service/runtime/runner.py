"""Runs executions: begins and ends the service's work, and carries out the effects of commands."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import chain

from durable_async.service import machine, own_tasks
from durable_async.service.functions.base import InvocationFailed
from durable_async.service.machine import Changes, Execution, ExecutionStatus, Moment
from durable_async.service.model.errors import ApiError, ExecutionDeletedError, ServiceClosedError, StoreError
from durable_async.service.own_tasks import OwnTasks
from durable_async.service.runtime.chaining import ChainedInvokes, outcome_of
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.handlers import Handlers
from durable_async.service.runtime.invoking import Invoker
from durable_async.service.runtime.listeners import Listeners
from durable_async.service.runtime.registry import Registered, Registry
from durable_async.service.runtime.retention import Retention
from durable_async.service.runtime.settings import Settings
from durable_async.service.runtime.trial import Trial
from durable_async.service.runtime.views import Closed
from durable_async.service.store import OpenExecution, Store

Work = Callable[[Registered], Coroutine[object, object, None]]

logger: logging.Logger = logging.getLogger("durable_async.service")

_RAISED = (ApiError, InvocationFailed, SystemExit, KeyboardInterrupt)
"""Errors of a task that its caller gets, or that end the program."""


class Runner:
    """Runs executions, with one task per running function. Belongs to one event loop.

    :ivar commands: what callers and functions do to executions
    :ivar listeners: the calls that wait for an execution
    :ivar retention: how long closed executions are kept
    """

    def __init__(self, registry: Registry, store: Store, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._settings = settings
        self._observer = settings.observer
        self._tasks = tasks = OwnTasks(_RAISED, settings.timing.clean_up, settings.timing.abandon)
        self.listeners: Listeners = Listeners()
        self.retention: Retention = Retention(store, settings, tasks)
        self.commands: Commands = Commands(store, settings, tasks, self.listeners, self._perform)
        self._invoker = Invoker(settings)
        self._handlers = Handlers(settings, tasks, self.commands, self._invoker)
        self._chained = ChainedInvokes(store, self._invoker, self.commands, self.begin)
        self._left: dict[str, list[OpenExecution]] = {}  # open since before this service, by function
        self._unregistered: dict[str, list[tuple[str, Work]]] = {}  # waits for a version of a function
        self._ended = False  # whether the effects of what is stored now are left to the next service

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
        self._handlers.trial = Trial.after(left, self._settings.retries.quarantine_after)
        self.retention.begin()
        for registered in self._registry.all():
            self._take_up(registered)

    def registered(self, registered: Registered) -> None:
        """Continue the executions that wait for this function."""
        self._invoker.slots.limit(registered.key, registered.max_concurrency)
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
                self._handlers.trial.expect(found.id)
                self._tasks.start(self._resume(found))
            else:
                self.commands.alarm.set_unless_known(found.id, found.due_ms)
        for version, work in self._unregistered.pop(name, ()):
            self.begin(name, version, work)

    async def _resume(self, found: OpenExecution) -> None:
        try:
            await self.commands.command_until_stored(found.id, partial(self._continue, found))
            await self._chained.follow_parent(found.id)
        finally:  # the invocation that this led to waits for its turn from the loop's next iteration on
            asyncio.get_running_loop().call_soon(self._handlers.trial.settled, found.id)

    def _continue(self, found: OpenExecution, execution: Execution, at: Moment) -> None:
        for invoke in execution.asked.values():
            if invoke.request is not None and invoke.held is None:
                self._chained.ask(execution.id, invoke.request)
        machine.continued(execution, found.request_id, at, alone=found.id == self._handlers.trial.culprit)

    async def aclose(self, grace: float) -> None:
        """Begin nothing more, wait up to ``grace`` seconds for running functions, then cancel them. The next service
        repeats their invocations. Tasks that still run 7 seconds later are abandoned. Calls that wait for an execution
        raise an error.

        A cancellation ends ``grace`` at once; a second one ends the wait for clean-ups.
        """
        self.commands.close()
        self.retention.close()
        await self._tasks.end(grace)
        self._ended = True
        self.listeners.close()
        await own_tasks.finish(self._close())

    async def _close(self) -> None:
        interrupted, self.commands.invocations = self.commands.invocations, {}
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
            machine.invocation_interrupted(execution, request_id, self._settings.moment())
            with suppress(ExecutionDeletedError):
                await self._store.save(execution, execution.take_changes())

    @property
    def is_idle(self) -> bool:
        """Whether no function runs."""
        return self._tasks.is_idle

    async def idle(self) -> None:
        """Return when no function runs and no write is waiting."""
        while not (self.is_idle and self._store.is_settled()):
            await self._store.barrier()
            await self._tasks.idle()

    async def delete(self, execution_id: str) -> None:
        """Delete an execution that does not run. A cancellation is raised afterwards: the write goes on without the
        caller, and those who watch have to hear of it."""
        await own_tasks.finish(self._delete(execution_id))

    async def _delete(self, execution_id: str) -> None:
        self.commands.alarm.set(execution_id, None)
        await self._store.delete(execution_id)
        self.listeners.notify(execution_id)

    async def closed(self, execution: Execution) -> Closed:
        """Wait until the execution is closed and this is stored, and return how it ended.

        :raises ServiceClosedError: the service shuts down before
        """
        while not execution.open:
            await self._store.barrier()
            kept = await self._store.load(execution.id)
            if kept is None:  # it was deleted
                return Closed.of(execution)
            execution = kept
            if not kept.open:  # otherwise its end could not be stored, or was taken back
                return Closed.of(kept)
        self.commands.check_open()
        return await self.listeners.closed(execution.id)

    # --- effects ---

    def _perform(self, execution: Execution, changes: Changes) -> None:
        if self._ended:
            return
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler(request_id):
                    self.begin(
                        execution.function_name, execution.version, partial(self._handlers.run, execution, request_id)
                    )
                case machine.StartChained():
                    self._chained.ask(execution.id, effect)
                case machine.Quarantined(reason) | machine.Parked(reason):
                    logger.error("%s: %s", execution.arn, reason)
                case machine.ExecutionClosed():
                    self._announce(execution)
                case machine.FollowParent(child_id):
                    self._tasks.start(self._chained.follow_parent(child_id))

    def begin(self, function: str, version: str, work: Work) -> None:
        """Do something with a version of a function, now or when it is registered."""
        registered = self._registry.serving(function, version)
        if registered is None:
            self._unregistered.setdefault(function, []).append((version, work))
        elif not self.commands.draining:
            self._tasks.start(work(registered))

    def _announce(self, execution: Execution) -> None:
        """Wake the calls that wait for a closed execution, end the invoke of its parent, and free its memory."""
        if execution.status in (ExecutionStatus.STOPPED, ExecutionStatus.TIMED_OUT):
            self._handlers.abandon(execution.id)
        self.listeners.announce(execution)
        registered = self._registry.serving(execution.function_name, execution.version)
        if registered is not None and registered.function.memory is not None:
            registered.function.memory.forget(execution.arn)
        if execution.parent is not None:
            self._tasks.start(self._chained.ended(execution.parent, outcome_of(execution)))

    # --- functions that are not durable ---

    async def invoke_plain(
        self, registered: Registered, event: object, tenant_id: str | None, trace_header: str | None
    ) -> object:
        """Invoke a function that is not durable, and return its answer. Cancelling this leaves the function running.

        :raises InvocationFailed: the function failed
        :raises ServiceClosedError: the service shuts down before
        """
        self.commands.check_open()
        invocation = self._tasks.start(self._invoker.plain(registered, event, tenant_id, trace_header))
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
        self.commands.check_open()
        self._tasks.start(self._unattended(registered, event, tenant_id, trace_header))

    async def _unattended(
        self, registered: Registered, event: object, tenant_id: str | None, trace_header: str | None
    ) -> None:
        try:
            await self._invoker.plain(registered, event, tenant_id, trace_header)
        except InvocationFailed as failed:
            logger.warning("The asynchronous invocation of %s failed: %s", registered.name, failed)


def _label(name: str, version: str | None) -> str:
    return f"{name}:{version}" if version is not None and version.isdecimal() else name
