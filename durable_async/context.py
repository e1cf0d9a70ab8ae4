"""What a workflow may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, overload

from durable_async.config import StepConfig, duration_seconds
from durable_async.engine.branches import Branch, calling_branch, current
from durable_async.engine.call import Call
from durable_async.engine.invocation import Invocation
from durable_async.logs import DurableLogger
from durable_async.operations.step import run_step
from durable_async.operations.wait import run_wait
from durable_async.serializers import NO_TYPE, return_type
from durable_async.step_context import StepContext
from durable_async.wire.limits import NAME_LENGTH
from durable_async.wire.operations import OperationType, SubType

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_DEFAULT_STEP = StepConfig()


class DurableContext:
    """The handle through which a workflow calls durable operations.

    A call belongs to the branch of the code that makes it: the workflow's own coroutine, or the asyncio task in which
    it stands. The operation takes its identity when it is called, not when it is awaited, so
    ``asyncio.gather(ctx.step(a), ctx.step(b))`` replays right whatever finishes first.

    All operations raise :class:`~durable_async.NonDeterminismError` if another operation is recorded in their place,
    :class:`~durable_async.ContextMisuseError` if called where none can be called, and ``asyncio.CancelledError`` while
    the invocation is suspending: let that pass.

    :ivar lambda_context: the context object of the Lambda runtime, None elsewhere
    """

    def __init__(self, invocation: Invocation, lambda_context: Any = None) -> None:
        self._invocation = invocation
        self.lambda_context = lambda_context
        self.logger = DurableLogger(self._log_fields, self._is_silent)

    @property
    def execution_arn(self) -> str:
        """Identifies the execution. Opaque: not every service gives an ARN in Amazon's form."""
        return self._invocation.execution_arn

    @property
    def is_replaying(self) -> bool:
        """Whether the calling context has finished operations on record that the workflow has not come by yet."""
        return self._invocation.record.is_replaying(calling_branch(self._invocation.workflow).scope.id)

    @overload
    def step(
        self,
        func: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def step(
        self,
        func: Callable[[*Ts], T],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig = ...,
        returns: Any = ...,
    ) -> Coroutine[Any, Any, T]: ...
    def step(
        self,
        func: Callable[[*Ts], Any],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig = _DEFAULT_STEP,
        returns: Any = NO_TYPE,
    ) -> Coroutine[Any, Any, Any]:
        """Run ``func(*args)`` once and record its result.

        A coroutine function runs on the event loop, any other function in a worker thread. What is returned has been
        through the record: it is what a replay returns. The body can ask :func:`~durable_async.current_step` for its
        attempt, logger and idempotency key; durable operations cannot be called in it.

        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the function's own name
        :param key: an identity by meaning rather than by position, such as an order number: unique among the calls
            of one context or task. A call with a key finds its record after the code around it was reordered
        :param returns: the type to read the result as; without it, the return annotation of ``func``
        :raises StepError: the step failed, and its retry strategy allows no further attempt
        :raises SerializationError: the recorded result cannot be read as the type asked for
        """
        call = self._call(OperationType.STEP, SubType.STEP, _name(name, func), key)
        return run_step(call, partial(func, *args), config, return_type(func) if returns is NO_TYPE else returns)

    def wait(
        self, duration: timedelta, *, name: str | None = None, key: str | None = None
    ) -> Coroutine[Any, Any, None]:
        """Go on after ``duration``, during which no process has to live.

        :param duration: more than zero and at most 366 days; rounded up to whole seconds
        :raises ValueError: the duration is out of bounds; :raises TypeError: it is no ``timedelta``
        """
        seconds = duration_seconds(duration, what="the duration of a wait")
        return run_wait(self._call(OperationType.WAIT, SubType.WAIT, _checked(name), key), seconds)

    def _call(self, kind: OperationType, subtype: SubType, name: str | None, key: str | None) -> Call:
        if self._invocation.decided():  # the call will be refused when it is awaited, wherever it comes from
            return Call(self._invocation, Branch(self._invocation.workflow), "", kind, subtype, name)
        branch = calling_branch(self._invocation.workflow)
        return Call(self._invocation, branch, branch.claim(key), kind, subtype, name)

    def _log_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"executionArn": self.execution_arn}
        here = current()
        parent_id = here.scope.id if isinstance(here, Branch) else None
        if parent_id is not None:
            fields["parentId"] = parent_id
        return fields

    def _is_silent(self) -> bool:
        here = current()
        return isinstance(here, Branch) and self._invocation.record.is_replaying(here.scope.id)


_context: ContextVar[DurableContext | None] = ContextVar("durable_async_context", default=None)


def bind(context: DurableContext) -> None:
    """Make ``context`` the current one of the running task and of those that it starts."""
    _context.set(context)


def current_context() -> DurableContext | None:
    """The context of the running workflow, so that a library can attach itself; None outside one, and in the body of a
    step, where no durable operation can be called."""
    return _context.get() if isinstance(current(), Branch) else None


def current_step() -> StepContext:
    """The running attempt, for the body of a step. In its worker thread too.

    :raises RuntimeError: no step's body is running here
    """
    here = current()
    if not isinstance(here, StepContext):
        raise RuntimeError(  # noqa: TRY004 - the place is wrong, not a type
            "current_step() was called outside the body of a step"
        )
    return here


def _name(name: str | None, func: Callable[..., Any]) -> str | None:
    if name is not None:
        return _checked(name)
    while isinstance(func, partial):
        func = func.func
    own: object = getattr(func, "__name__", None)
    if not isinstance(own, str) or own == "<lambda>":
        return None
    return own if own.isascii() else own.encode("ascii", "backslashreplace").decode()


def _checked(name: str | None) -> str | None:
    if name and not (len(name) <= NAME_LENGTH and name.isascii() and name.isprintable()):
        raise ValueError(
            f"the name {name!r} of an operation is not printable ASCII of at most {NAME_LENGTH} characters, which is "
            "all that the durable service takes"
        )
    return name or None
