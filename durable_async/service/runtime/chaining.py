"""Carries out chained invokes: starts the target of each, and reports its end to the execution that asked."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial

from durable_async._wire.operations import ErrorObject
from durable_async.service import machine
from durable_async.service.machine import (
    ChainedOutcome,
    Child,
    Execution,
    ExecutionStatus,
    Moment,
    NewExecution,
    Parent,
    StartChained,
)
from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.commands import Commands
from durable_async.service.runtime.invoking import Invoker, exit_program
from durable_async.service.runtime.registry import Registered
from durable_async.service.store import Store

Begin = Callable[[str, str, Callable[[Registered], Coroutine[object, object, None]]], None]


class ChainedInvokes:
    """The chained invokes whose target runs, or is not registered yet.

    :param begin: does something with a version of a function, now or when it is registered
    """

    def __init__(self, store: Store, invoker: Invoker, commands: Commands, begin: Begin) -> None:
        self._store = store
        self._invoker = invoker
        self._commands = commands
        self._begin = begin
        self._asking: set[Parent] = set()

    def ask(self, execution_id: str, chained: StartChained) -> None:
        """Invoke the target, unless it runs already."""
        parent = Parent(execution_id, chained.operation_id, chained.cancels)
        if parent not in self._asking:
            self._asking.add(parent)
            self._begin(chained.target.name, chained.target.version, partial(self._ask, parent, chained))

    async def ended(self, parent: Parent, outcome: ChainedOutcome) -> None:
        """Report to the execution that asked how its target ended."""
        await self._commands.command_until_stored(parent.execution_id, _outcome_recorded(parent, outcome))

    async def follow_parent(self, execution_id: str) -> None:
        """Cancel a child if the execution that invoked it was cancelled or is closed."""
        child = await self._commands.until_stored(lambda: self._store.load(execution_id))
        if child is None or child.parent is None or not (child.parent.cancels and child.open):
            return
        parent_id = child.parent.execution_id
        parent = await self._commands.until_stored(lambda: self._commands.stored(parent_id))
        await self._commands.command_until_stored(
            execution_id, lambda execution, at: machine.follow_parent(execution, parent, at)
        )

    async def _ask(self, parent: Parent, chained: StartChained, registered: Registered) -> None:
        try:
            if chained.child is not None:
                await self._ask_child(parent, _new(parent, registered, chained, chained.child))
                return
            try:
                outcome = await self._invoker.target_outcome(registered, chained, parent.execution_id)
            except (SystemExit, KeyboardInterrupt):
                ended = ChainedOutcome("FAILED", error=machine.EXITED)
                await exit_program(self._commands, parent.execution_id, _outcome_recorded(parent, ended))
                return
            await self.ended(parent, outcome)
        finally:
            self._asking.discard(parent)

    async def _ask_child(self, parent: Parent, new: NewExecution) -> None:
        try:
            existing = await self._commands.until_stored(partial(self._found_or_started, new))
        except ServiceClosedError:
            return  # the next service repeats the request
        if parent.cancels:  # it may have been cancelled, or have ended, before this child was started
            await self.follow_parent(new.id)
        if existing is not None and not existing.open:  # an earlier service ended before it could report this
            await self.ended(parent, outcome_of(existing))

    async def _found_or_started(self, new: NewExecution) -> Execution | None:
        """Return the child execution if an earlier service has started it; otherwise start it and return None.

        The request contains the child's id, and there must never be two objects with one id. So ask the store first.
        """
        return await self._commands.stored(new.id) or await self._commands.start(new)


def outcome_of(child: Execution) -> ChainedOutcome:
    """Return the outcome for the chained invoke that started a closed execution."""
    error: ErrorObject | None = child.error
    if child.status is ExecutionStatus.TIMED_OUT:
        error = {
            "ErrorType": "ChainedInvoke.Timeout",
            "ErrorMessage": f"CHAINED_INVOKE timed out after {child.timeout_seconds} seconds.",
        }
    return ChainedOutcome(str(child.status), child.result, error)


def _outcome_recorded(parent: Parent, outcome: ChainedOutcome) -> Callable[[Execution, Moment], None]:
    return lambda execution, at: machine.chained_invoke_ended(execution, parent.operation_id, outcome, at)


def _new(parent: Parent, registered: Registered, chained: StartChained, child: Child) -> NewExecution:
    return NewExecution(
        id=child.id,
        arn=child.arn,
        name=child.name,
        function_name=registered.name,
        function_arn=chained.target.function_arn,
        version=chained.target.version,
        input=chained.payload,
        timeout_seconds=registered.execution_timeout,
        tenant_id=chained.tenant_id,
        trace_header=chained.trace_header,
        parent=parent,
        cancel_before_seconds=registered.cancel_before,
    )
