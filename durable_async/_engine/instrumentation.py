"""Calls the plugins of one invocation.

Source of the order in which hooks are called: protocol.md, "Plugin hooks". All calls come from the event loop: starts
and user functions from the operation's own task; changes and ends from the flusher's task, before it wakes the
operations that wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any

import attrs

from durable_async._engine.calling import entered
from durable_async._engine.invocation import Invocation
from durable_async._engine.observed_client import ObservedClient
from durable_async._engine.observer import ObservedCall
from durable_async._engine.outcomes import Broken, Exited, Failed, Outcome, Returned, Superseded, Suspended
from durable_async._engine.plugin_infos import (
    Operations,
    children_first,
    identity_of_call,
    moment,
    of_call,
    of_operation,
)
from durable_async._engine.plugin_sources import Listener, listeners
from durable_async._engine.time_limit import remaining_time
from durable_async._wire.operations import TERMINAL, Action, Operation, OperationStatus, OperationType
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
    """Calls the plugins of one invocation.

    :param updated: ids of the operations that changed since the last invocation
    """

    def __init__(self, sources: Iterable[PluginSource], invocation: Invocation, updated: Sequence[str]) -> None:
        self._listeners = hooks = listeners(sources)
        self._on_operation_start = hooks["on_operation_start"]
        self._on_operation_end = hooks["on_operation_end"]
        self._before_attempt = hooks["on_attempt_start"] + hooks["on_user_function_start"]
        self._after_attempt = hooks["on_user_function_end"] + hooks["on_attempt_end"]
        self._invocation = invocation
        self._arn = invocation.execution_arn
        self._journal = invocation.journal
        self._record = invocation.journal.record
        self._function = FunctionContext(invocation.journal.lambda_context)
        self._started = self._now()
        self._updated = updated
        self._operations = Operations(self._record, self._info)
        self._is_first = False
        self._over = False
        self._statuses: dict[str, str] = {}  # as the plugins know them
        self._replayed: dict[str, bool] = {}  # whether an operation was on record before on_operation_start
        self._unread: dict[str, Operation] = {}  # those that ended between the invocations and were not read yet

    async def observe(self, run: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """Run an invocation, and call the plugins at its beginning, at its end, and for all in between."""
        await self._invocation.loaded()
        self._begin()
        try:
            outcome = await run()
        except BaseException as error:
            await self._end(Broken(error))
            raise
        await self._end(outcome)
        return outcome

    # --- for the engine and the operations ---

    def passes(self, call: ObservedCall, action: Action) -> bool:
        del call, action
        return True

    def starting(self, call: ObservedCall) -> None:
        """Note that the START of ``call`` is about to be enqueued, and call the hooks for it."""
        self._replayed[call.id] = self._record.get(call.id) is not None
        if self._on_operation_start:
            operation = self._record.get(call.id)
            self._call(self._on_operation_start, of_call(call) if operation is None else self._info(operation))

    def reached(self, operation: Operation) -> None:
        """Note that the workflow asks for an operation that is on record."""
        operation_id, status = operation["Id"], operation["Status"]
        if status in TERMINAL:
            if operation_id in self._unread and not (operation.get("ContextDetails") or {}).get("ReplayChildren"):
                self._operation_ended(self._unread.pop(operation_id))
        elif status != OperationStatus.READY and operation_id not in self._replayed:
            self._replayed[operation_id] = True
            if self._on_operation_start:
                self._call(self._on_operation_start, self._info(operation))

    def attempt(self, call: ObservedCall, attempt: int) -> AbstractContextManager[None]:
        """Return what is entered while an attempt of a step or condition runs: ``call.running``, with the plugins'
        hooks around it."""
        return _UserFunction(self, call, attempt, call.running)

    def user_function(
        self, call: ObservedCall, attempt: int | None = None, *, recorded: bool = True
    ) -> AbstractContextManager[None]:
        """Return what is entered while a user's function runs.

        :param attempt: of a step or condition
        :param recorded: True: its end is recorded. False: it is the function of a context that is not recorded, so
            nothing else tells of its end
        """
        return _UserFunction(self, call, attempt, recorded=recorded)

    def function_starts(self, call: ObservedCall, attempt: int | None) -> UserFunctionInfo:
        """Call the hooks for a user's function that is about to be called, and return what they got."""
        operation = self._record.get(call.id)
        info = UserFunctionInfo(
            **(identity_of_call(call) if operation is None else _identity(self._info(operation))),
            start_time=self._now(),
            attempt=attempt,
            is_replay_children=attempt is None and operation is not None and operation["Status"] in TERMINAL,
        )
        self._call(self._listeners["on_user_function_start"] if attempt is None else self._before_attempt, info)
        return info

    def function_ended(self, info: UserFunctionInfo, error: BaseException | None, *, recorded: bool) -> None:
        """Call the hooks for a user's function that returned, raised ``error``, or was interrupted by it.

        :param info: what the hooks got when it was called
        """
        outcome = UserFunctionOutcome.INCOMPLETE
        if error is None:
            outcome = UserFunctionOutcome.SUCCEEDED
        elif isinstance(error, Exception):
            outcome = UserFunctionOutcome.FAILED
        end = UserFunctionEndInfo(
            **_identity(info),
            start_time=info.start_time,
            end_time=self._now(),
            attempt=info.attempt,
            error=error if outcome is UserFunctionOutcome.FAILED else None,
            is_replay_children=info.is_replay_children,
            outcome=outcome,
        )
        self._call(self._listeners["on_user_function_end"] if info.attempt is None else self._after_attempt, end)
        if outcome is UserFunctionOutcome.INCOMPLETE:
            return
        if info.is_replay_children:
            self._unread.pop(info.operation_id, None)
            if (operation := self._record.get(info.operation_id)) is not None:
                self._operation_ended(operation)
        elif not recorded:
            self._unrecorded_ended(end)

    def trace_header(self, call: ObservedCall, function_name: str) -> str | None:
        """Return the trace header that a plugin gives to a function that is about to be invoked; None: none does."""
        asked = self._listeners["trace_header"]
        if not asked:
            return None
        info = InvokeInfo(
            execution_arn=self._arn,
            operation_id=call.id,
            parent_operation_id=call.branch.scope.id,
            target_function_name=function_name,
        )
        answers: list[str | None] = []
        self._call(asked, info, answers.append)
        return next((header for header in answers if header is not None), None)

    # --- the invocation ---

    def _begin(self) -> None:
        self._statuses = {operation["Id"]: operation["Status"] for operation in self._record}
        self._is_first = all(operation["Type"] == OperationType.EXECUTION for operation in self._record)
        updated = [operation for each in self._updated if (operation := self._record.get(each)) is not None]
        self._unread = {operation["Id"]: operation for operation in updated if _has_ended(operation)}
        self._journal.observer = self
        if hooks := self._listeners["on_checkpoint"]:
            flusher = self._journal.flusher
            flusher.client = ObservedClient(flusher.client, partial(self._call, hooks))
        self._record.observer = self._changed
        if hooks := self._listeners["on_invocation_start"]:
            info = InvocationStartInfo(
                **self._of_invocation(),
                updated_operations=self._infos(updated),
                start_time=self._started,
                trace_header=self._function.trace_header(),
            )
            self._call(hooks, info)

    async def _end(self, outcome: Outcome) -> None:
        for operation in children_first(self._unread.values(), self._record):
            self._operation_ended(operation)
        if self._listeners["on_invocation_end"] or self._listeners["flush"]:
            await self._end_of_invocation(outcome)
        self._over = True  # an abandoned task that ends later is not part of the invocation

    async def _end_of_invocation(self, outcome: Outcome) -> None:
        info = InvocationEndInfo(
            **self._of_invocation(),
            **_of_outcome(outcome),
            end_time=self._now(),
            remaining_time=remaining_time(self._function.given),
        )
        self._call(self._listeners["on_invocation_end"], info)
        self._over = True
        if self._listeners["flush"]:
            await self._flush(info)

    async def _flush(self, info: InvocationEndInfo) -> None:
        left = info.remaining_time
        limit = None if left is None else max(0.0, left.total_seconds() - self._journal.limits.answer_margin)
        with entered(None):
            flushes = {
                asyncio.get_running_loop().create_task(listener.call(info)): listener.name
                for listener in self._listeners["flush"]
            }
        try:
            await asyncio.wait(flushes, timeout=limit)
        finally:
            for task, name in flushes.items():
                if not task.done():
                    task.cancel()
                    logger.warning("%s: cancelled %s, which did not end in time", self._arn, name)
                elif not task.cancelled() and (error := task.exception()) is not None:
                    logger.error("%s: ignored what the plugin's %s raised", self._arn, name, exc_info=error)

    def _of_invocation(self) -> dict[str, Any]:
        execution = self._record.execution()
        return {
            "execution_arn": self._arn,
            "request_id": self._function.request_id(),
            "clock": self._journal.clock,
            "is_first_invocation": self._is_first,
            "execution_start_time": moment(start_microseconds(execution)) if execution else None,
            "execution_input": (execution.get("ExecutionDetails") or {}).get("InputPayload") if execution else None,
            "operations": self._operations,
        }

    # --- operations ---

    def _changed(self, sent: Sequence[Operation]) -> None:
        """Call the hooks for operations that the service sent. The record has them already."""
        changed: list[Operation] = []
        ended: list[Operation] = []
        for operation in sent:
            operation_id, status = operation["Id"], operation["Status"]
            if self._statuses.get(operation_id) == status or operation["Type"] == OperationType.EXECUTION:
                continue
            self._statuses[operation_id] = status
            changed.append(operation)
            if status in TERMINAL:
                ended.append(operation)
        if not changed:
            return
        if hooks := self._listeners["on_operation_change"]:
            info = OperationChangeInfo(
                execution_arn=self._arn, updated_operations=self._infos(changed), operations=self._operations
            )
            self._call(hooks, info)
        for operation in children_first(ended, self._record):
            self._operation_ended(operation)

    def _operation_ended(self, operation: Operation) -> None:
        if self._on_operation_end:
            self._call(self._on_operation_end, self._info(operation))

    def _unrecorded_ended(self, end: UserFunctionEndInfo) -> None:
        if self._on_operation_end:
            identity = _identity(end)
            identity["status"] = end.outcome.value
            info = OperationInfo(**identity, start_time=end.start_time, end_time=end.end_time, error=end.error)
            self._call(self._on_operation_end, info)

    def _infos(self, operations: Iterable[Operation]) -> dict[str, OperationInfo]:
        return {operation["Id"]: self._info(operation) for operation in operations}

    def _info(self, operation: Operation) -> OperationInfo:
        return of_operation(self._arn, operation, is_replayed=self._replayed.get(operation["Id"], True))

    # --- calling the hooks ---

    def _call(
        self, hooks: Sequence[Listener], info: object, answered: Callable[[str | None], object] | None = None
    ) -> None:
        """Call hooks.

        :param answered: called with what a hook returned; None: hooks return nothing
        """
        if self._over or not hooks:
            return
        with entered(None):  # a task that a hook starts is not part of the workflow
            for listener in hooks:
                try:
                    answer = listener.call(info)
                except (Exception, asyncio.CancelledError):  # which cannot be meant for a function that awaits nothing
                    logger.exception("%s: ignored what the plugin's %s raised", self._arn, listener.name)
                else:
                    if answered is not None:
                        answered(answer)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._journal.clock(), UTC)


class _UserFunction:
    """Entered while a user's function runs. A class, since a generator costs twice as much for each step.

    :param running: entered in it; None: nothing is
    """

    __slots__ = ("_attempt", "_call", "_info", "_plugins", "_recorded", "_running")

    def __init__(
        self,
        plugins: Instrumentation,
        call: ObservedCall,
        attempt: int | None,
        running: AbstractContextManager[None] | None = None,
        *,
        recorded: bool = True,
    ) -> None:
        self._plugins = plugins
        self._call = call
        self._attempt = attempt
        self._running = running
        self._recorded = recorded

    def __enter__(self) -> None:
        self._info = self._plugins.function_starts(self._call, self._attempt)
        if self._running is not None:
            self._running.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.__exit__(kind, error, trace)
        self._plugins.function_ended(self._info, error, recorded=self._recorded)


@attrs.frozen
class FunctionContext:
    """What Lambda, or another service, says about an invocation.

    :param given: the second argument of the handler, of whatever class
    """

    given: Any

    def request_id(self) -> str | None:
        request_id: str | None = getattr(self.given, "aws_request_id", None)
        return request_id

    def trace_header(self) -> str | None:
        """Return the trace header; None: there is none. A process that runs several invocations at once gets one with
        each of them. Lambda's process has a variable."""
        if hasattr(self.given, "trace_header"):
            header: str | None = self.given.trace_header
            return header
        return os.environ.get("_X_AMZN_TRACE_ID") if self.given is not None else None


def _identity(info: OperationInfo) -> dict[str, Any]:
    """Return the fields that all infos about an operation's user functions share."""
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
