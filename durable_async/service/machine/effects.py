"""The inputs of a command besides the execution, and the effects that the runner carries out after storing changes."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service.machine.limits import InvocationRetryPolicy, Limits
from durable_async.service.model.columns import PAYLOAD
from durable_async.service.model.history import milliseconds
from durable_async.service.model.values import quick_frozen

Mint = Callable[[], str]
"""Returns a new, unguessable text of letters and digits at each call, for ids and tokens."""


def _milliseconds(moment: Moment) -> int:
    return milliseconds(moment.now_us)


@quick_frozen
class Moment:
    """The time of a command, and the rules that apply to it.

    :ivar now_us: the time in epoch microseconds
    :ivar now_ms: the same in milliseconds, rounded. Timers start from it
    :ivar mint: returns a new id or token at each call
    :ivar passive: True: nothing can be invoked here, and what has to run is left to the next service on the store.
        False: functions can be invoked
    """

    now_us: int
    mint: Mint
    limits: Limits = attrs.Factory(Limits)
    retries: InvocationRetryPolicy = attrs.Factory(InvocationRetryPolicy)
    passive: bool = False
    now_ms: int = attrs.field(init=False, default=attrs.Factory(_milliseconds, takes_self=True))


@attrs.frozen
class Target:
    """The function that a chained invoke names. ``function_arn`` is qualified with ``version``."""

    function_arn: str
    name: str
    version: str
    durable: bool


@attrs.frozen
class Child:
    """The execution that a chained invoke of a durable function starts."""

    arn: str
    name: str
    id: str


@attrs.frozen
class StartChained:
    """Invoke another function; report its end with ``chained_invoke_ended``.

    :ivar child: the execution to start; None: the target is not durable
    :ivar cancels: True: the child is cancelled if the execution that asks is cancelled or ends. False or None: it
        continues
    """

    operation_id: str
    target: Target
    payload: str = attrs.field(metadata=PAYLOAD)
    tenant_id: str | None = None
    child: Child | None = None
    trace_header: str | None = None
    cancels: bool | None = False


@attrs.frozen
class InvokeHandler:
    """Invoke the execution's function now; report its end with ``invocation_answered`` or ``invocation_failed``.

    When the function is ready, ``invocation_event`` returns its event.
    """

    request_id: str


@attrs.frozen
class Quarantined:
    """The execution was paused because its handler crashes. Log it."""

    reason: str


@attrs.frozen
class Parked:
    """The execution was paused because its code does not fit its record. Log it."""

    reason: str


@attrs.frozen
class ExecutionClosed:
    """The execution has its final status."""


@attrs.frozen
class FollowParent:
    """The execution that started this child was cancelled, or is closed: cancel the child, too.

    :ivar execution_id: of the child, which may not be started yet
    """

    execution_id: str


Effect = StartChained | InvokeHandler | Quarantined | Parked | ExecutionClosed | FollowParent


@attrs.frozen
class ChainedOutcome:
    """The end of a chained invoke's target. ``status`` is SUCCEEDED, FAILED, TIMED_OUT or STOPPED."""

    status: str
    result: str | None = attrs.field(default=None, metadata=PAYLOAD)
    error: ErrorObject | None = attrs.field(default=None, metadata=PAYLOAD)
