"""The plugins of one invocation, and what they have been told of it.

Source of the order in which hooks are called: protocol.md, "Plugin hooks". All calls come from the event loop: starts
and user functions from the operation's own task; changes and ends from the flusher's, before it wakes whoever waits
for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from durable_async._engine.branches import entered
from durable_async._engine.invocation import Invocation
from durable_async._engine.observer import ObservedCall
from durable_async._engine.outcomes import Broken, Exited, Failed, Outcome, Returned, Superseded, Suspended
from durable_async._engine.plugin_infos import Operations, children_first, moment, of_call, of_operation
from durable_async._engine.plugin_sources import listeners
from durable_async._wire.operations import TERMINAL, Operation, OperationStatus, OperationType
from durable_async._wire.timestamps import start_microseconds
from durable_async.plugins import (
    InvocationEndInfo,
    InvocationStartInfo,
    InvocationStatus,
    InvokeInfo,
    OperationChangeInfo,
    OperationInfo,
    PluginSource,
    UserFunctionEndInfo,
    UserFunctionInfo,
    UserFunctionOutcome,
)

logger: logging.Logger = logging.getLogger("durable_async")


class Instrumentation:
    """
    :param request_id: names the invocation; None if nothing does
    :param updated: ids of the operations that changed since the last invocation
    """

    def __init__(
        self, sources: Iterable[PluginSource], invocation: Invocation, request_id: str | None, updated: Sequence[str]
    ) -> None:
        self._listeners = listeners(sources)
        self._invocation = invocation
        self._arn = invocation.execution_arn
        self._record = invocation.record
        self._request_id = request_id
        self._updated = updated
        self._operations = Operations(self._record, self._info)
        self._is_first = False
        self._over = False
        self._statuses: dict[str, str] = {}  # as the plugins know them
        self._replayed: dict[str, bool] = {}  # of the operations whose start was told: were they on record before?
        self._unread: dict[str, Operation] = {}  # ended between the invocations, and the workflow has not come by yet

    async def observe(self, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Tell of an invocation: its beginning, its end, and all in between."""
        await self._invocation.loaded()
        self._begin()
        try:
            outcome = await run()
        except BaseException as error:
            self._end(Broken(error))
            raise
        self._end(outcome)
        return outcome

    # --- for the engine and the operations ---

    def starting(self, call: ObservedCall) -> None:
        """The START of ``call`` is about to be enqueued."""
        self._replayed[call.id] = self._record.get(call.id) is not None
        if self._listeners["on_operation_start"]:
            self._tell("on_operation_start", self._info_of(call))

    def reached(self, operation: Operation) -> None:
        """The workflow asks for an operation that is on record."""
        operation_id, status = operation["Id"], operation["Status"]
        if status in TERMINAL:
            if operation_id in self._unread and not (operation.get("ContextDetails") or {}).get("ReplayChildren"):
                self._tell_end(self._unread.pop(operation_id))
        elif status != OperationStatus.READY and operation_id not in self._replayed:
            self._replayed[operation_id] = True
            if self._listeners["on_operation_start"]:
                self._tell("on_operation_start", self._info(operation))

    @contextmanager
    def attempt(self, call: ObservedCall, attempt: int) -> Generator[None]:
        """``call.running()`` for an attempt of a step or condition, and the plugins are told."""
        with self.user_function(call, attempt), call.running():
            yield

    @contextmanager
    def user_function(
        self, call: ObservedCall, attempt: int | None = None, *, recorded: bool = True
    ) -> Generator[None]:
        """Entered while a user's function runs.

        :param attempt: of a step or condition
        :param recorded: False for a context that is not, of whose end nothing else can tell
        """
        operation = self._record.get(call.id)
        replayed = operation if attempt is None and operation is not None and operation["Status"] in TERMINAL else None
        info = UserFunctionInfo(
            **_identity(self._info_of(call)),
            start_time=self._now(),
            attempt=attempt,
            is_replay_children=replayed is not None,
        )
        self._tell_function("start", info)
        outcome, raised = UserFunctionOutcome.INCOMPLETE, None
        try:
            yield
            outcome = UserFunctionOutcome.SUCCEEDED
        except Exception as error:
            outcome, raised = UserFunctionOutcome.FAILED, error
            raise
        finally:
            end = UserFunctionEndInfo(
                **_identity(info),
                start_time=info.start_time,
                end_time=self._now(),
                attempt=attempt,
                error=raised,
                is_replay_children=info.is_replay_children,
                outcome=outcome,
            )
            self._tell_function("end", end)
            if outcome is not UserFunctionOutcome.INCOMPLETE:
                if replayed is not None:
                    self._unread.pop(call.id, None)
                    self._tell_end(replayed)
                elif not recorded:
                    self._tell_end_unrecorded(end)

    def trace_header(self, call: ObservedCall, function_name: str) -> str | None:
        """What a function that is about to be invoked is to get as its trace header, if a plugin says so."""
        if not self._listeners["trace_header"]:
            return None
        info = InvokeInfo(
            execution_arn=self._arn,
            operation_id=call.id,
            parent_operation_id=call.branch.scope.id,
            target_function_name=function_name,
        )
        return next((header for header in self._tell("trace_header", info) if header is not None), None)

    # --- the invocation ---

    def _begin(self) -> None:
        self._statuses = {operation["Id"]: operation["Status"] for operation in self._record}
        self._is_first = all(operation["Type"] == OperationType.EXECUTION for operation in self._record)
        updated = [operation for each in self._updated if (operation := self._record.get(each)) is not None]
        self._unread = {operation["Id"]: operation for operation in updated if _has_ended(operation)}
        self._invocation.plugins = self
        self._record.observer = self._changed
        if self._listeners["on_invocation_start"]:
            info = InvocationStartInfo(**self._of_invocation(), updated_operations=self._infos(updated))
            self._tell("on_invocation_start", info)

    def _end(self, outcome: Outcome) -> None:
        for operation in children_first(self._unread.values(), self._record):
            self._tell_end(operation)
        if self._listeners["on_invocation_end"]:
            self._tell("on_invocation_end", InvocationEndInfo(**self._of_invocation(), **_of_outcome(outcome)))
        self._over = True  # an abandoned task that ends later is no part of the invocation

    def _of_invocation(self) -> dict[str, Any]:
        execution = self._record.execution()
        return {
            "execution_arn": self._arn,
            "request_id": self._request_id,
            "is_first_invocation": self._is_first,
            "execution_start_time": moment(start_microseconds(execution)) if execution else None,
            "execution_input": (execution.get("ExecutionDetails") or {}).get("InputPayload") if execution else None,
            "operations": self._operations,
        }

    # --- operations ---

    def _changed(self, told: Sequence[Operation]) -> None:
        """The record has taken in what the service told."""
        changed = [
            operation
            for operation in told
            if operation["Type"] != OperationType.EXECUTION
            and operation["Status"] != self._statuses.get(operation["Id"])
        ]
        if not changed:
            return
        ended = [operation for operation in changed if _has_ended(operation)]
        self._statuses.update((operation["Id"], operation["Status"]) for operation in changed)
        if self._listeners["on_operation_change"]:
            info = OperationChangeInfo(
                execution_arn=self._arn, updated_operations=self._infos(changed), operations=self._operations
            )
            self._tell("on_operation_change", info)
        for operation in children_first(ended, self._record):
            self._tell_end(operation)

    def _tell_end(self, operation: Operation) -> None:
        if self._listeners["on_operation_end"]:
            self._tell("on_operation_end", self._info(operation))

    def _tell_end_unrecorded(self, end: UserFunctionEndInfo) -> None:
        if self._listeners["on_operation_end"]:
            identity = _identity(end)
            identity["status"] = end.outcome.value
            info = OperationInfo(**identity, start_time=end.start_time, end_time=end.end_time, error=end.error)
            self._tell("on_operation_end", info)

    def _infos(self, operations: Iterable[Operation]) -> dict[str, OperationInfo]:
        return {operation["Id"]: self._info(operation) for operation in operations}

    def _info(self, operation: Operation) -> OperationInfo:
        return of_operation(self._arn, operation, is_replayed=self._replayed.get(operation["Id"], True))

    def _info_of(self, call: ObservedCall) -> OperationInfo:
        operation = self._record.get(call.id)
        return of_call(call) if operation is None else self._info(operation)

    # --- telling ---

    def _tell_function(self, when: str, info: UserFunctionInfo) -> None:
        hooks = [f"on_attempt_{when}", f"on_user_function_{when}"]
        if info.attempt is None:
            del hooks[0]
        elif when == "end":
            hooks.reverse()
        for hook in hooks:
            self._tell(hook, info)

    def _tell(self, hook: str, info: object) -> list[Any]:
        """Call the hook of each plugin. What they returned, but of those that raised."""
        answers: list[Any] = []
        if self._over:
            return answers
        with entered(None):  # what tasks a hook starts is nobody's business
            for listener in self._listeners[hook]:
                try:
                    answers.append(listener.call(info))
                except (Exception, asyncio.CancelledError):  # which cannot be meant for a function that awaits nothing
                    logger.exception("%s: ignored what the plugin's %s raised", self._arn, listener.name)
        return answers

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._invocation.clock(), UTC)


def _identity(info: OperationInfo) -> dict[str, Any]:
    """What stays the same over all that is told of an operation's user functions."""
    return {
        "execution_arn": info.execution_arn,
        "operation_id": info.operation_id,
        "operation_type": info.operation_type,
        "sub_type": info.sub_type,
        "name": info.name,
        "parent_id": info.parent_id,
        "status": info.status,
        "is_replayed": info.is_replayed,
    }


def _of_outcome(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Returned(text):
            return {"status": InvocationStatus.SUCCEEDED, "execution_result": text}
        case Failed(error):
            return {"status": InvocationStatus.FAILED, "error": error}
        case Suspended() | Superseded():
            return {"status": InvocationStatus.PENDING}
        case Broken(error) | Exited(error):
            return {"status": InvocationStatus.RETRY, "error": error}


def _has_ended(operation: Operation) -> bool:
    return operation["Status"] in TERMINAL and operation["Type"] != OperationType.EXECUTION
