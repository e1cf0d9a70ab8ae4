"""Carries out what the machine decides: stores it, runs functions, wakes at due times.

- a command runs without awaiting, so no two interleave and no lock is needed;
- what a command changed is stored first, and only then done and answered;
- one task per running function, and one timer for everything.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from uuid import uuid4

import attrs

from durable_async.service import machine
from durable_async.service.errors import ApiError, ServiceClosedError
from durable_async.service.functions import InvocationFailed, InvocationRequest
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
from durable_async.service.store import Store
from durable_async.service.timers import Alarm
from durable_async.wire.operations import ErrorObject

T = TypeVar("T")

_DAY_MS = 24 * 60 * 60 * 1000


@attrs.frozen
class Settings:
    """``retention_days`` is how long a closed execution is kept."""

    clock: Callable[[], float]  # epoch seconds
    retention_days: int
    limits: machine.Limits
    retries: machine.InvocationRetryPolicy


class Runner:
    """Executions in motion. Belongs to one event loop."""

    def __init__(self, registry: Registry, store: Store, settings: Settings) -> None:
        self._registry = registry
        self._store = store
        self._settings = settings
        self._alarm = Alarm(self.now_ms, lambda: self._spawn(self.fire_due()))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing: dict[str, asyncio.Future[None]] = {}  # resolved when the execution is closed

    def now_ms(self) -> int:
        return round(self._settings.clock() * 1000)

    def moment(self) -> Moment:
        return Moment(self.now_ms(), lambda: uuid4().hex, self._settings.limits, self._settings.retries)

    async def recover(self) -> None:
        """Take up the executions that an earlier service left open: what ran then runs again."""
        lost: ErrorObject = {
            "ErrorType": "Runtime.ExitError",
            "ErrorMessage": "The service ended during the invocation.",
        }
        for execution in await self._store.unfinished():
            for operation in execution.operations:
                if operation.request is not None and operation.held is None:
                    self._spawn(self._chain(execution, operation.request))
            if execution.invocation is not None:
                machine.invocation_failed(execution, execution.invocation.request_id, lost, self.moment())
            await self.commit(execution)

    async def aclose(self) -> None:
        """Cancel what runs, and wait until it is gone. Those who wait for an execution get an error."""
        self._alarm.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        for future in self._closing.values():
            future.set_exception(ServiceClosedError("The service is shutting down."))
            future.exception()  # nobody may be waiting
        self._closing.clear()

    # --- commands ---

    async def start(self, new: NewExecution) -> Execution | None:
        """Start an execution. Returns None; or, with nothing started, the execution that has the name already."""
        # As in commit: what is stored must also be set in motion.
        return await asyncio.shield(self._spawn(self._add_and_perform(machine.start(new, self.moment()))))

    async def _add_and_perform(self, execution: Execution) -> Execution | None:
        changes = execution.take_changes()
        if (existing := await self._store.add(execution, changes)) is not None:
            return existing
        self._arm(execution)
        self._perform(execution, changes)
        return None

    async def command(self, execution: Execution, decide: Callable[[Moment], T]) -> T:
        """Run a command, store what it changed, set in motion what it asks for, and return its answer."""
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
        if changes.effects:
            # A caller that goes away while it waits must not take along what the execution has to do.
            await asyncio.shield(self._spawn(self._save_and_perform(execution, changes)))
        else:
            await self._store.save(execution, changes)

    async def fire_due(self) -> None:
        """Do everything that is due by the clock."""
        for execution_id in self._alarm.pop_due():
            execution = await self._store.load(execution_id)
            if execution is None:
                continue
            if self.expired(execution):
                await self._store.delete(execution_id)
                continue
            machine.fire_due(execution, self.moment())
            await self.commit(execution)

    def next_due_ms(self) -> int | None:
        return self._alarm.next_due_ms()

    async def idle(self) -> None:
        """Return when no function runs."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # --- closed executions ---

    async def closed(self, execution: Execution) -> None:
        """Return when the execution is closed.

        :raises ServiceClosedError: the service ends before
        """
        if execution.open:
            future = self._closing.get(execution.id)
            if future is None:
                future = self._closing[execution.id] = asyncio.get_running_loop().create_future()
            await asyncio.shield(future)

    def expired(self, execution: Execution) -> bool:
        """Whether its retention is over."""
        return execution.ended_ms is not None and self._kept_until(execution.ended_ms) <= self.now_ms()

    async def delete(self, execution: Execution) -> None:
        self._alarm.set(execution.id, None)
        await self._store.delete(execution.id)

    def _kept_until(self, ended_ms: int) -> int:
        return ended_ms + self._settings.retention_days * _DAY_MS

    # --- effects ---

    def _arm(self, execution: Execution) -> None:
        due = execution.next_due_ms() if execution.ended_ms is None else self._kept_until(execution.ended_ms)
        self._alarm.set(execution.id, due)

    async def _save_and_perform(self, execution: Execution, changes: Changes) -> None:
        await self._store.save(execution, changes)
        self._perform(execution, changes)

    def _perform(self, execution: Execution, changes: Changes) -> None:
        for effect in changes.effects:
            match effect:
                case machine.InvokeHandler():
                    self._spawn(self._run(execution, effect))
                case machine.StartChained():
                    self._spawn(self._chain(execution, effect))
                case machine.ExecutionClosed():
                    self._announce(execution)

    async def _run(self, execution: Execution, invocation: machine.InvokeHandler) -> None:
        """One invocation of an execution's handler."""
        registered = self._registry.get(execution.function_name)
        if registered is None:
            gone: ErrorObject = {
                "ErrorType": "ResourceNotFoundException",
                "ErrorMessage": f"Function not found: {execution.function_arn}",
            }
            await self.command(execution, lambda at: machine.function_gone(execution, gone, at.now_ms))
            return
        request = self.request(registered, invocation.request_id, execution.tenant_id)
        try:
            output = await registered.function.invoke(invocation.event, request)
        except InvocationFailed as failed:
            error = failed.error
            await self.command(
                execution, lambda at: machine.invocation_failed(execution, request.request_id, error, at)
            )
        else:
            await self.command(
                execution, lambda at: machine.invocation_answered(execution, request.request_id, output, at)
            )

    def request(self, registered: Registered, request_id: str, tenant_id: str | None) -> InvocationRequest:
        return InvocationRequest(
            request_id=request_id,
            function_name=registered.name,
            function_arn=registered.arn,
            tenant_id=tenant_id,
            deadline_ms=self.now_ms() + registered.function_timeout * 1000,
        )

    async def _chain(self, execution: Execution, chained: machine.StartChained) -> None:
        registered = self._registry.get(chained.target.name)
        if registered is None:
            outcome = ChainedOutcome(
                "FAILED",
                error={
                    "ErrorType": "ResourceNotFoundException",
                    "ErrorMessage": f"Function not found: {chained.target.function_arn}",
                },
            )
        elif chained.child is None:
            outcome = await self._invoke_target(registered, chained)
        else:
            await self._start_child(execution, registered, chained, chained.child)
            return
        await self._chained_ended(execution, chained.operation_id, outcome)

    async def _invoke_target(self, registered: Registered, chained: machine.StartChained) -> ChainedOutcome:
        request = self.request(registered, uuid4().hex, chained.tenant_id)
        try:
            value = await registered.function.invoke(json.loads(chained.payload), request)
        except InvocationFailed as failed:
            return ChainedOutcome("FAILED", error=failed.error)
        return ChainedOutcome("SUCCEEDED", json.dumps(value, ensure_ascii=False))

    async def _start_child(
        self, execution: Execution, registered: Registered, chained: machine.StartChained, child: machine.Child
    ) -> None:
        # After a restart this may be the second time; then the child is found under its name, and nothing is started.
        await self.start(
            NewExecution(
                id=child.id,
                arn=child.arn,
                name=child.name,
                function_name=registered.name,
                function_arn=registered.arn,
                version=chained.target.version,
                input=chained.payload,
                timeout_seconds=registered.execution_timeout,
                tenant_id=chained.tenant_id,
                parent=Parent(execution.id, chained.operation_id),
            )
        )

    def _announce(self, execution: Execution) -> None:
        """The execution is closed: tell those who wait for it, and the chained invoke that started it."""
        if (future := self._closing.pop(execution.id, None)) is not None:
            future.set_result(None)
        if execution.parent is not None:
            self._spawn(self._tell_parent(execution, execution.parent))

    async def _tell_parent(self, execution: Execution, parent: Parent) -> None:
        started_by = await self._store.load(parent.execution_id)
        if started_by is not None:
            await self._chained_ended(started_by, parent.operation_id, _outcome(execution))

    async def _chained_ended(self, execution: Execution, operation_id: str, outcome: ChainedOutcome) -> None:
        await self.command(execution, lambda at: machine.chained_invoke_ended(execution, operation_id, outcome, at))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _outcome(child: Execution) -> ChainedOutcome:
    error: ErrorObject | None = child.error
    if child.status is ExecutionStatus.TIMED_OUT:
        error = {
            "ErrorType": "ChainedInvoke.Timeout",
            "ErrorMessage": f"CHAINED_INVOKE timed out after {child.timeout_seconds} seconds.",
        }
    return ChainedOutcome(str(child.status), child.result, error)
