"""Instrumentation: what plugins are told while an execution runs.

A plugin is an object of a class derived from :class:`DurablePlugin` that overrides the hooks it wants.
``durable_execution(plugins=[...])`` takes such objects, each of which then serves all invocations of the handler, and
classes or other functions without parameters, called once an invocation for a plugin of its own.

- hooks are plain functions, except ``flush``. They run on the event loop and block it: hand slow work to a thread
- a context variable that ``on_invocation_start`` sets is seen by the workflow, by its tasks and by its steps. The hooks
  around an invocation run in one context, and so do the hooks around one call of a function
- plugins are told in the order of the list
- an exception in a hook is logged and changes nothing; the other plugins are told all the same
- a task that a hook starts is not part of the workflow

Within one operation the order is: operation start, user function start, user function end, the operation's end on
record, operation end, and only then does the workflow's code go on. A child's end comes before its parent's.
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
    """The execution goes on in a later invocation."""
    RETRY = "RETRY"
    """The invocation broke off with an error and is going to be repeated."""


class UserFunctionOutcome(StrEnum):
    """How a call of a user's function ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    INCOMPLETE = "INCOMPLETE"
    """It was cut short, as by a suspension. A context's function is called again in a later invocation."""


@attrs.frozen(kw_only=True)
class OperationInfo:
    """An operation as it is at the moment of the call.

    :ivar operation_type: ``STEP``, ``WAIT``, ``CONTEXT``, ``CALLBACK``, ``CHAINED_INVOKE`` or ``EXECUTION``
    :ivar sub_type: what kind of it, such as ``ParallelBranch``
    :ivar parent_id: of the context that it is recorded in; None at the root
    :ivar status: as recorded; ``STARTED`` if its start is yet to be recorded
    :ivar is_replayed: it was on record before what is told here
    :ivar start_time: as recorded, so None if its start is yet to be recorded; of a user function, when it was called
    :ivar attempt: of a step or condition, from 1: the one that runs or is next, else the last
    :ivar error: an :class:`~durable_async.OperationError` with the recorded fields; of a user function, what it raised
    :ivar result: as recorded, which is serialized. Neither shown by ``repr`` nor compared
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


@attrs.frozen(kw_only=True)
class UserFunctionInfo(OperationInfo):
    """A call of a user's function: an attempt of a step or condition, or the body of a context or branch.

    :ivar is_replay_children: the context has ended; its function only makes its result anew from the recorded children
    """

    is_replay_children: bool = False


@attrs.frozen(kw_only=True)
class UserFunctionEndInfo(UserFunctionInfo):
    outcome: UserFunctionOutcome


@attrs.frozen(kw_only=True)
class OperationChangeInfo:
    """What the service told of.

    :ivar updated_operations: those whose status is another than before, by id
    :ivar operations: all operations of the execution, by id, as they are whenever one is looked up
    """

    execution_arn: str
    updated_operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)
    operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvocationInfo:
    """One invocation of an execution.

    :ivar request_id: the Lambda runtime's; None elsewhere
    :ivar is_first_invocation: no operation of the execution is on record yet
    :ivar execution_input: JSON text. Neither shown by ``repr`` nor compared
    :ivar operations: all operations of the execution, by id, as they are whenever one is looked up
    :ivar clock: returns the time in epoch seconds, on the clock from which the times of user functions are taken
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

    :ivar updated_operations: those that changed between the invocations, by id: timers that came due, callbacks
    :ivar start_time: when the handler was called. Reading the record comes after it and before this hook
    :ivar trace_header: the X-Ray trace header of this invocation, as the service gave it; None if it gave none
    """

    start_time: datetime
    trace_header: str | None

    updated_operations: Mapping[str, OperationInfo] = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvocationEndInfo(InvocationInfo):
    """An invocation that has ended.

    :ivar error: why the execution failed or the invocation broke off
    :ivar execution_result: JSON text if the execution succeeded; empty if it was too large to return and is on record
    :ivar end_time: when this was known
    :ivar remaining_time: until the service gives up on the invocation; None if that is not known
    """

    status: InvocationStatus
    end_time: datetime
    remaining_time: timedelta | None
    error: BaseException | None = attrs.field(default=None, eq=False)
    execution_result: str | None = attrs.field(default=None, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class InvokeInfo:
    """Another function that is about to be invoked."""

    execution_arn: str
    operation_id: str
    parent_operation_id: str | None
    target_function_name: str


@attrs.frozen(kw_only=True)
class CheckpointInfo:
    """One call that recorded what the workflow did.

    :ivar updates: how many changes of operations it sent; 0: it only asked for news
    :ivar size: of what it sent, in bytes, approximately
    :ivar error: why it failed; None: it succeeded
    """

    execution_arn: str
    updates: int
    size: int
    duration: timedelta
    error: BaseException | None = attrs.field(default=None, eq=False)


class DurablePlugin:
    """The hooks, which do nothing here: override those that you want."""

    def on_invocation_start(self, info: InvocationStartInfo) -> None:
        """The record of the execution is here; the workflow has not been called, and nothing was written."""

    def on_invocation_end(self, info: InvocationEndInfo) -> None:
        """Once for each start, as the last hook but ``flush``: the answer is certain, and what had to be written is
        written."""

    async def flush(self, info: InvocationEndInfo) -> None:
        """Send away what was collected. Awaited after ``on_invocation_end`` and before the answer, however the
        invocation ended, because Lambda freezes the process after the answer. The plugins' calls run side by side, and
        are cancelled shortly before ``remaining_time`` is over."""

    def on_operation_start(self, info: OperationInfo) -> None:
        """A start is about to be recorded, as before each attempt of a step. Or, once an invocation, a replay came to
        an operation that has started and not ended (``is_replayed``)."""

    def on_operation_change(self, info: OperationChangeInfo) -> None:
        """The service told of operations whose status is another than before."""

    def on_operation_end(self, info: OperationInfo) -> None:
        """The operation's end is on record. Once an operation, in the invocation that learns of it first; a retry is
        no end. A context that is not recorded, or whose result is made anew, ends each time that its function does."""

    def on_user_function_start(self, info: UserFunctionInfo) -> None:
        """A user's function is about to be called, in the task in which this hook runs: a context variable set here is
        seen by the function."""

    def on_user_function_end(self, info: UserFunctionEndInfo) -> None:
        """It returned, raised, or was cut short. In the same task."""

    def on_attempt_start(self, info: UserFunctionInfo) -> None:
        """The same as ``on_user_function_start`` and right before it, but only of steps and conditions."""

    def on_attempt_end(self, info: UserFunctionEndInfo) -> None:
        """The same as ``on_user_function_end`` and right after it, but only of steps and conditions."""

    def on_checkpoint(self, info: CheckpointInfo) -> None:
        """A checkpoint has been answered, or has failed. One that is repeated is told each time."""

    def trace_header(self, info: InvokeInfo) -> str | None:
        """What the invoked function is to get as its X-Ray trace header. The first plugin that returns one decides."""


PluginSource = DurablePlugin | Callable[[], DurablePlugin]
"""A plugin for all invocations, or what makes one for each."""
