"""The life of one execution, decided without I/O, clock or randomness.

A command is a function: it takes an :class:`Execution`, what happened, and the :class:`Moment`. It changes the
execution, collects new history events and effects in ``execution.changes``, and returns the answer for its caller or
raises an ``ApiError``. The runner takes the changes, stores them, and then carries out the effects.
"""

from __future__ import annotations

from durable_async.service.machine.batch import Targets
from durable_async.service.machine.checkpoint import Checkpoint, checkpoint
from durable_async.service.machine.effects import (
    ChainedOutcome,
    Child,
    ExecutionClosed,
    FollowParent,
    InvokeHandler,
    Moment,
    Parked,
    Quarantined,
    StartChained,
    Target,
)
from durable_async.service.machine.execution import Changes, Execution, ExecutionStatus, NewExecution, Parent
from durable_async.service.machine.fork import Source, fork, is_light
from durable_async.service.machine.invocations import (
    EXITED,
    continued,
    invocation_answered,
    invocation_begun,
    invocation_event,
    invocation_failed,
    invocation_interrupted,
    is_waiting,
)
from durable_async.service.machine.lifecycle import cancel, follow_parent, pause, resume, start, stop
from durable_async.service.machine.limits import InvocationRetryPolicy, Limits
from durable_async.service.machine.operation import OperationRecord, callback_place
from durable_async.service.machine.pages import state_page
from durable_async.service.machine.progress import (
    answer_schema,
    callback_failed,
    callback_heartbeat,
    callback_succeeded,
    chained_invoke_ended,
    fire_due,
)
from durable_async.service.machine.redrive import redrive
from durable_async.service.machine.suspects import (
    Interrupted,
    culprit,
    group_order,
    group_size,
    is_suspect,
    trial_seconds,
)
from durable_async.service.machine.waiting import name_of, open_callbacks, waits_for

__all__ = [
    "EXITED",
    "ChainedOutcome",
    "Changes",
    "Checkpoint",
    "Child",
    "Execution",
    "ExecutionClosed",
    "ExecutionStatus",
    "FollowParent",
    "Interrupted",
    "InvocationRetryPolicy",
    "InvokeHandler",
    "Limits",
    "Moment",
    "NewExecution",
    "OperationRecord",
    "Parent",
    "Parked",
    "Quarantined",
    "Source",
    "StartChained",
    "Target",
    "Targets",
    "answer_schema",
    "callback_failed",
    "callback_heartbeat",
    "callback_place",
    "callback_succeeded",
    "cancel",
    "chained_invoke_ended",
    "checkpoint",
    "continued",
    "culprit",
    "fire_due",
    "follow_parent",
    "fork",
    "group_order",
    "group_size",
    "invocation_answered",
    "invocation_begun",
    "invocation_event",
    "invocation_failed",
    "invocation_interrupted",
    "is_light",
    "is_suspect",
    "is_waiting",
    "name_of",
    "open_callbacks",
    "pause",
    "redrive",
    "resume",
    "start",
    "state_page",
    "stop",
    "trial_seconds",
    "waits_for",
]
