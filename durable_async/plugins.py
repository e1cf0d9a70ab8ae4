"""Instrumentation: the hooks of plugins, which are called while an execution runs.

A plugin is an object of a class derived from :class:`DurablePlugin` that overrides some hooks.
``durable_execution(plugins=[...])`` takes such objects, each of which serves all invocations of the handler. It also
takes classes and other functions without parameters, which are called once per invocation and return its plugin.

- hooks are plain functions, except ``flush``. They run on the event loop and block it: hand slow work to a thread
- a context variable that ``on_invocation_start`` sets is seen by the workflow, by its tasks and by its steps. The hooks
  around an invocation run in one context, and so do the hooks around one call of a function
- plugins are called in the order of the list
- an exception in a hook is logged and changes nothing; the other plugins are called nevertheless
- a task that a hook starts is not part of the workflow

Within one operation the order is: operation start, user function start, user function end; then the operation's end is
recorded; then operation end, and after that the workflow's code continues. A child ends before its parent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import attrs

__all__ = [
    "CheckpointInfo",
    "DurablePlugin",
    "InvocationEndInfo",
    "InvocationInfo",
    "InvocationStartInfo",
    "InvocationStatus",
    "InvokeInfo",
    "OperationChangeInfo",
    "OperationInfo",
    "PluginSource",
    "UserFunctionEndInfo",
    "UserFunctionInfo",
    "UserFunctionOutcome",
]


class InvocationStatus(StrEnum):
    """How an invocation ended."""

    SUCCEEDED = "SUCCEEDED"
    """The workflow returned: the execution has ended."""
    FAILED = "FAILED"
    """The execution has ended in failure."""
    PENDING = "PENDING"
    """The execution continues in a later invocation."""
    RETRY = "RETRY"
    """The invocation failed with an error and will be repeated."""


class UserFunctionOutcome(StrEnum):
    """The end of a call of a user's function."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    INCOMPLETE = "INCOMPLETE"
    """The call was interrupted, for example by a suspension. A context's function is called again in a later
    invocation.
    """


@attrs.frozen(kw_only=True, slots=False)
class OperationInfo:
    """An operation at the moment when the hook is called.

    :ivar operation_type: ``STEP``, ``WAIT``, ``CONTEXT``, ``CALLBACK``, ``CHAINED_INVOKE`` or ``EXECUTION``
    :ivar sub_type: a more exact type, such as ``ParallelBranch``
    :ivar parent_id: the id of the context around it; None at the root
    :ivar status: the recorded status; ``STARTED`` if its start is not recorded yet
    :ivar is_replayed: True: it was already on record before this event. False: it was not
    :ivar start_time: the recorded time; None if its start is not recorded yet. For a user function, the time of the
        call
    :ivar attempt: of a step or condition, from 1: the attempt that runs or is next, otherwise the last one
    :ivar error: an :class:`~durable_async.OperationError` with the recorded fields; for a user function, the exception
        that it raised
    :ivar result: the recorded, serialized result. Neither shown by ``repr`` nor compared
    """

    execution_arn: str
    operation_id: str
    operation_type: str
    sub_type: str | None
    name: str | None
    parent_id: str | None
    status: str
    is_replayed: bool
    start_time: datetime | None = None
    end_time: datetime | None = None
    attempt: int | None = None
    error: BaseException | None = attrs.field(default=None, eq=False)
    result: str | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True, slots=False)
class UserFunctionInfo(OperationInfo):
    """A call of a user's function: an attempt of a step or condition, or the body of a context or branch.

    :ivar is_replay_children: True: the context has ended, and its function only builds its result again from the
        recorded children. False: it has not ended
    """

    is_replay_children: bool = False


@attrs.frozen(kw_only=True, slots=False)
class UserFunctionEndInfo(UserFunctionInfo):
    outcome: UserFunctionOutcome


@attrs.frozen(kw_only=True)
class OperationChangeInfo:
    """Changes that came from the service.

    :ivar updated_operations: the operations whose status has changed, by id
    :ivar operations: all operations of the execution, by id. A look-up returns their current state
    """

    execution_arn: str
    updated_operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)
    operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvocationInfo:
    """One invocation of an execution.

    :ivar request_id: the request id of the Lambda runtime; None elsewhere
    :ivar is_first_invocation: True: no operation of the execution is on record yet. False: some are
    :ivar execution_input: JSON text. Neither shown by ``repr`` nor compared
    :ivar operations: all operations of the execution, by id. A look-up returns their current state
    :ivar clock: returns the time in epoch seconds, on the clock that measures user functions
    """

    execution_arn: str
    request_id: str | None
    is_first_invocation: bool
    execution_start_time: datetime | None
    clock: Callable[[], float] = attrs.field(repr=False, eq=False)
    execution_input: str | None = attrs.field(repr=False, eq=False)
    operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvocationStartInfo(InvocationInfo):
    """An invocation that begins.

    :ivar updated_operations: the operations that changed between the invocations, by id: timers that fired, callbacks
    :ivar start_time: when the handler was called. The record is read after that and before this hook
    :ivar trace_header: the X-Ray trace header that the service gave this invocation; None if it gave none
    """

    start_time: datetime
    trace_header: str | None

    updated_operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvocationEndInfo(InvocationInfo):
    """An invocation that has ended.

    :ivar error: why the execution or the invocation failed; None: it did not fail
    :ivar execution_result: JSON text if the execution succeeded; empty if it was too large to return and is on record
    :ivar end_time: when the end was known
    :ivar remaining_time: the time until the service ends the invocation; None if it is not known
    """

    status: InvocationStatus
    end_time: datetime
    remaining_time: timedelta | None
    error: BaseException | None = attrs.field(default=None, eq=False)
    execution_result: str | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvokeInfo:
    """A function that a workflow is about to invoke."""

    execution_arn: str
    operation_id: str
    parent_operation_id: str | None
    target_function_name: str


@attrs.frozen(kw_only=True)
class CheckpointInfo:
    """One checkpoint call.

    :ivar updates: the number of updates that it sent; 0: it only asked for changes
    :ivar size: the approximate size of the updates, in bytes
    :ivar error: why the call failed; None: it succeeded
    """

    execution_arn: str
    updates: int
    size: int
    duration: timedelta
    error: BaseException | None = attrs.field(default=None, eq=False)


class DurablePlugin:
    """The hooks of a plugin. They do nothing here; override those that you need."""

    def on_invocation_start(self, info: InvocationStartInfo) -> None:
        """Called when the record has been read, before the workflow is called and before anything is written."""

    def on_invocation_end(self, info: InvocationEndInfo) -> None:
        """Called once for each start, as the last hook before ``flush``: the answer is decided, and everything is
        written.
        """

    async def flush(self, info: InvocationEndInfo) -> None:
        """Send the collected data. It is awaited after ``on_invocation_end`` and before every answer, because Lambda
        freezes the process after the answer. The plugins' calls run concurrently, and are cancelled shortly before
        ``remaining_time`` is over.
        """

    def on_operation_start(self, info: OperationInfo) -> None:
        """Called before a start is recorded, such as that of each attempt of a step. Also called once per invocation
        when a replay reaches an operation that has started and not ended (``is_replayed``).
        """

    def on_operation_change(self, info: OperationChangeInfo) -> None:
        """Called when the service reports operations whose status has changed."""

    def on_operation_end(self, info: OperationInfo) -> None:
        """Called once per operation when its end is on record, in the invocation that sees it first. A retry is not an
        end. A context that is not recorded, or whose result is built again, ends each time that its function ends.
        """

    def on_user_function_start(self, info: UserFunctionInfo) -> None:
        """Called before a user's function, in the same task: the function sees a context variable that is set here."""

    def on_user_function_end(self, info: UserFunctionEndInfo) -> None:
        """Called in the same task when the function has returned, raised or was interrupted."""

    def on_attempt_start(self, info: UserFunctionInfo) -> None:
        """Called directly before ``on_user_function_start``, but only for steps and conditions."""

    def on_attempt_end(self, info: UserFunctionEndInfo) -> None:
        """Called directly after ``on_user_function_end``, but only for steps and conditions."""

    def on_checkpoint(self, info: CheckpointInfo) -> None:
        """Called when a checkpoint was answered or has failed, also for each repetition."""

    def trace_header(self, info: InvokeInfo) -> str | None:
        """Return the X-Ray trace header for an invoked function; None: the next plugin decides."""


PluginSource = DurablePlugin | Callable[[], DurablePlugin]
"""A plugin for all invocations, or a function that returns one for each."""
