"""What a command is given from outside, and what it asks the shell to do after its changes are stored."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service.machine.limits import InvocationRetryPolicy, Limits
from durable_async.service.model.columns import PAYLOAD
from durable_async.service.model.history import milliseconds

Mint = Callable[[], str]
"""Gives a fresh, unguessable text of letters and digits at each call: the source of ids and tokens."""


@attrs.frozen
class Moment:
    """When a command happens, and under which rules.

    :ivar now_us: the time in epoch microseconds
    :ivar mint: returns a fresh id or token at each call
    :ivar passive: nothing can be invoked here: what has to run is left to the next service on the store
    """

    now_us: int
    mint: Mint
    limits: Limits = attrs.Factory(Limits)
    retries: InvocationRetryPolicy = attrs.Factory(InvocationRetryPolicy)
    passive: bool = False

    @property
    def now_ms(self) -> int:
        """The time in epoch milliseconds, to the nearest. Timers count from it."""
        return milliseconds(self.now_us)


@attrs.frozen
class Target:
    """A function that a chained invoke names, found. ``function_arn`` is qualified with ``version``."""

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
    """Invoke another function; tell its end by ``chained_invoke_ended``.

    :ivar child: None: the target is not durable
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
    """Invoke the execution's function now; tell its end by ``invocation_answered`` or ``invocation_failed``.

    Its event is made by ``tell``, when the function is ready for it.
    """

    request_id: str


@attrs.frozen
class Quarantined:
    """The execution is paused because its handler crashes; somebody should know."""

    reason: str


@attrs.frozen
class Parked:
    """The execution is paused because its code does not fit what is on record; somebody should know."""

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
    """How a chained invoke's target ended: ``status`` is SUCCEEDED, FAILED, TIMED_OUT or STOPPED."""

    status: str
    result: str | None = attrs.field(default=None, metadata=PAYLOAD)
    error: ErrorObject | None = attrs.field(default=None, metadata=PAYLOAD)
