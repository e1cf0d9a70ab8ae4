"""Invokes the handlers of executions: waits for a turn, invokes, and records the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import cast

import attrs

from durable_async.service import machine
from durable_async.service.functions.base import Function, InvocationFailed, InvocationRequest
from durable_async.service.machine import Execution, Moment
from durable_async.service.own_tasks import OwnTasks
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.invoking import Invoker, exit_program
from durable_async.service.runtime.registry import Registered
from durable_async.service.runtime.settings import Settings
from durable_async.service.runtime.slots import Place
from durable_async.service.runtime.trial import Trial


class Handlers:
    """The handlers that run. Belongs to one event loop.

    :ivar trial: decides when an execution is invoked that may have ended an earlier service's process
    """

    def __init__(self, settings: Settings, tasks: OwnTasks, commands: Commands, invoker: Invoker) -> None:
        self._settings = settings
        self._observer = settings.observer
        self._tasks = tasks
        self._commands = commands
        self._invoker = invoker
        self._running: dict[str, RunningInvocation] = {}  # by execution
        self.trial: Trial = Trial({}, None)

    async def run(self, execution: Execution, request_id: str, registered: Registered) -> None:
        """Invoke the handler of an execution once, when its turn has come."""
        invocation = partial(self._take_place, registered, execution, request_id)
        if not self.trial.concerns(execution.id) or not machine.is_waiting(execution, request_id):
            await invocation()
            return
        async with self.trial.turn(execution.id):
            watched = self._tasks.start(invocation())
            await asyncio.wait([watched], timeout=self.trial.seconds(execution.id))
        await watched

    async def _take_place(self, registered: Registered, execution: Execution, request_id: str) -> None:
        began = perf_counter()
        async with self._invoker.slots.taken(registered.key, _turn(execution)) as place:
            if self._observer is not None:
                self._observer.invoked(perf_counter() - began)
            if machine.is_waiting(execution, request_id):
                await self._commands.command_until_stored(
                    execution.id, lambda execution, _: machine.invocation_begun(execution, request_id)
                )
            await self._invoke(registered, execution.id, request_id, place)

    async def _invoke(self, registered: Registered, execution_id: str, request_id: str, place: Place) -> None:
        execution = await self._commands.until_stored(lambda: self._commands.stored(execution_id))
        if execution is not None:
            memory = registered.function.memory
            whole = memory is None or not memory.keeps(execution.arn)
            event = machine.invocation_event(execution, request_id, self._settings.limits, whole=whole)
            if event is not None:
                trace_header = execution.trace_header
                if self._observer is not None:
                    trace_header = self._observer.trace_header(execution)
                request = self._invoker.request(registered, request_id, execution.tenant_id, trace_header)
                with RunningInvocation.of_this_task(place).among(self._running, execution_id):
                    try:
                        end = await invocation_end(
                            registered.function,
                            event,
                            request,
                            interrupted=lambda: self._commands.draining,
                            parks=registered.on_mismatch == "park",
                        )
                    except (SystemExit, KeyboardInterrupt):
                        await exit_program(
                            self._commands,
                            execution_id,
                            lambda execution, at: machine.invocation_failed(
                                execution, request_id, machine.EXITED, at, ending=True
                            ),
                        )
                        return
                await self._commands.command_until_stored(execution_id, end)
        if self._commands.invocations.get(execution_id) == request_id:
            del self._commands.invocations[execution_id]

    def abandon(self, execution_id: str) -> None:
        """End the invocation of an execution that was closed from outside, without waiting for its end."""
        if (running := self._running.get(execution_id)) is not None:
            running.abandon()
        if (request_id := self._commands.invocations.pop(execution_id, None)) is not None:
            self._tasks.start(
                self._commands.command_until_stored(
                    execution_id, lambda execution, at: machine.invocation_interrupted(execution, request_id, at)
                )
            )


def _turn(execution: Execution) -> str:
    """Return the key by which an execution takes turns. All executions that one execution started share a key."""
    return execution.id if execution.parent is None else execution.parent.execution_id


@attrs.frozen(eq=False)
class RunningInvocation:
    """A call of a function that runs in ``task`` and holds ``place``."""

    task: asyncio.Task[None]
    place: Place

    @classmethod
    def of_this_task(cls, place: Place) -> RunningInvocation:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("An invocation runs in a task.")
        return cls(task, place)

    @contextmanager
    def among(self, running: dict[str, RunningInvocation], execution_id: str) -> Generator[None]:
        """Keep this call in ``running`` while the code inside runs."""
        running[execution_id] = self
        try:
            yield
        finally:
            if running.get(execution_id) is self:
                del running[execution_id]

    def abandon(self) -> None:
        """Cancel the call, and free its place at once, before the call has ended."""
        self.task.cancel()
        self.place.give_back()


async def invocation_end(
    function: Function,
    event: object,
    request: InvocationRequest,
    *,
    interrupted: Callable[[], bool],
    parks: bool,
) -> Callable[[Execution, Moment], None]:
    """Invoke a durable function, and return what its answer does to the execution.

    :param interrupted: returns whether the service is shutting down. A cancelled function is then not a failure
    :param parks: True: an execution whose code does not fit the record is parked. False: it fails
    """
    request_id = request.request_id
    try:
        output = await function.invoke(event, request)
    except InvocationFailed as failed:
        error = failed.error
        return lambda execution, at: machine.invocation_failed(execution, request_id, error, at, parks=parks)
    if interrupted() and _is_pending(output):
        return lambda execution, at: machine.invocation_interrupted(execution, request_id, at)
    return lambda execution, at: machine.invocation_answered(execution, request_id, output, at, parks=parks)


def _is_pending(output: object) -> bool:
    return isinstance(output, Mapping) and cast("Mapping[str, object]", output).get("Status") == "PENDING"
