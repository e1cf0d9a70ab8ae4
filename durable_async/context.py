"""The context that a workflow gets: every durable operation is a method of it.

Only the code of steps is imported with this module. Each other method imports what it needs when it is called, so
that a cold start does not pay for what the workflow never uses.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Never, Self, TypeAlias, TypeVar, TypeVarTuple, overload

import attrs

import durable_async  # names in annotations: the package imports what it is asked for
from durable_async._arguments import (
    check_config,
    check_context_function,
    check_function,
    check_function_name,
    check_keywords,
    checked_name,
    context_parameters,
    name_of,
)
from durable_async._callables import accepts_plainly
from durable_async._engine.branches import Branch
from durable_async._engine.call import Call
from durable_async._engine.calling import calling_branch, current
from durable_async._engine.journal import Journal
from durable_async._engine.tasks import Coro
from durable_async._lazy import LazyModule
from durable_async._operations.step import run_step
from durable_async._operations.values import serializer_context
from durable_async._wire.operations import OperationType, SubType
from durable_async.config import StepConfig, check_strategy
from durable_async.errors import ContextMisuseError
from durable_async.logs import DurableLogger
from durable_async.serializers import NO_TYPE
from durable_async.serializers._json.annotations import return_type
from durable_async.step_context import StepContext

if TYPE_CHECKING:
    import random as random_module
    import uuid as uuid_module

    from durable_async._operations.batch import NamedBranch
    from durable_async._operations.batch_contexts import Items
else:
    random_module, uuid_module = LazyModule("random"), LazyModule("uuid")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
ItemT = TypeVar("ItemT")
StateT = TypeVar("StateT")
ContextT = TypeVar("ContextT")

BranchLike: TypeAlias = Callable[[ContextT], Awaitable[T]] | tuple[str, Callable[[ContextT], Awaitable[T]]]
"""``branch(ctx)``, or its name and that."""


class DurableContext:
    """The handle through which a workflow calls durable operations.

    A call belongs to the branch of the code that makes it: the workflow's own coroutine, a child context, or an asyncio
    task. It does not matter through which context object it is made. The operation takes its identity when it is
    called, not when it is awaited, so ``asyncio.gather(ctx.step(a), ctx.step(b))`` replays correctly, whatever ends
    first.

    All operations raise :class:`~durable_async.NonDeterminismError` if another operation is recorded in their place,
    :class:`~durable_async.ContextMisuseError` if called where none can be called, and ``asyncio.CancelledError`` while
    the invocation is suspending: let that pass.

    :ivar logger: adds the execution to its records, and is silent while the calling context replays
    """

    def __init__(self, journal: Journal, step_config: StepConfig, keyed: Branch | None = None) -> None:
        self._journal = journal
        self._step_config = step_config
        self._keyed = keyed  # where its calls take their identities, if that is not the calling branch
        self.logger: DurableLogger = DurableLogger(self._log_fields, self._is_silent)

    @property
    def execution_arn(self) -> str:
        """Identifies the execution. Opaque: not every service gives an ARN in Amazon's form."""
        return self._journal.execution_arn

    @property
    def lambda_context(self) -> Any:
        """The context object that the Lambda runtime gives to the invocation; None elsewhere."""
        return self._journal.lambda_context

    @property
    def is_replaying(self) -> bool:
        """True: the record has ended operations of the calling context whose ends were not handed over yet. False: the
        code is at the end of the record."""
        return self._journal.record.is_replaying(self._branch().scope.id)

    def now(self) -> datetime:
        """Return the time of the last end of an operation that was handed over in the calling context, or of the
        execution's start. It never goes back, and is the same on every replay. Aware, in UTC. Costs no operation."""
        latest = self._branch().scope.order.latest
        return datetime.fromtimestamp(latest / 1_000_000 if latest else self._journal.started_at(), UTC)

    def uuid(self) -> uuid_module.UUID:
        """Return a UUID (version 4 in form) derived from the execution and the position of the call. It is the same on
        every replay. Costs no operation."""
        return uuid_module.UUID(int=self.random().getrandbits(128), version=4)

    def random(self) -> random_module.Random:
        """Return a generator seeded from the execution and the position of the call. It is the same on every replay.
        Do not use it for secrets. Costs no operation."""
        return random_module.Random(f"{self.execution_arn}\n{self._branch().claim_value()}")

    @overload
    def step(
        self,
        func: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = ...,
    ) -> Coro[T]: ...
    @overload
    def step(
        self,
        func: Callable[[*Ts], T],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = ...,
    ) -> Coro[T]: ...
    @overload
    def step(
        self,
        func: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = ...,
        returns: type[T],
    ) -> Coro[T]: ...
    @overload
    def step(
        self,
        func: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = ...,
        returns: object,
    ) -> Coro[Any]: ...
    def step(
        self,
        func: Callable[[*Ts], object],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: StepConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[object]:
        """Run ``func(*args)`` once and record its result.

        A coroutine function runs on the event loop, and so does a function that is annotated to return an awaitable.
        Any other function runs in a worker thread. What is returned has been through the record: it is what a replay
        returns. The body can ask :func:`~durable_async.current_step` for its
        attempt, logger and idempotency key; durable operations cannot be called in it.

        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the function's own name
        :param key: an identity by meaning rather than by position, such as an order number: unique among the calls
            of one context or task. A call with a key finds its record after the code around it was reordered
        :param config: None: the handler's own, ``@durable_execution(step=...)``
        :param returns: the type to read the result as; without it, the return annotation of ``func``
        :raises TypeError: ``func`` cannot be called with ``args``, or ``config`` is not a StepConfig
        :raises StepError: the step failed, and its retry strategy allows no further attempt
        :raises SerializationError: the recorded result cannot be read as the type asked for
        """
        if keywords:
            check_keywords(keywords, func, "ctx.step", StepConfig)
        if not accepts_plainly(func, len(args)):
            check_function(func, len(args), "ctx.step")
        if config is None:
            config = self._step_config
        elif type(config) is not StepConfig:
            config = check_config(config, self._step_config, "config=StepConfig(retry_strategy=...)")
        call = self._call(OperationType.STEP, SubType.STEP, name_of(name, func), key)
        call.coroutine = call.perform(run_step, partial(func, *args), config, serializer_context(call, func, returns))
        return call.coroutine

    def wait(self, duration: timedelta, *, name: str | None = None, key: str | None = None) -> Coro[None]:
        """Wait for ``duration``. No process has to run meanwhile.

        :param duration: more than zero and at most 366 days; rounded up to whole seconds
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :raises TypeError: the duration is not a ``timedelta``
        :raises ValueError: the duration is out of bounds
        """
        from durable_async._durations import duration_seconds
        from durable_async._operations.wait import run_wait

        seconds = duration_seconds(duration, what="the duration of a wait")
        call = self._call(OperationType.WAIT, SubType.WAIT, checked_name(name), key)
        call.coroutine = call.perform(run_wait, seconds)
        return call.coroutine

    def run_in_child_context(
        self,
        func: Callable[[Self, *Ts], Awaitable[T]],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.ChildConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[T]:
        """Run ``func(ctx, *args)`` with operations of its own, and record its result as one operation.

        When it has ended, a replay does not enter it again, and tasks that it started can write nothing more.

        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the name of ``func``
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: None: ``ChildConfig()``
        :param returns: the type to read the result as; without it, the return annotation of ``func``
        :raises TypeError: ``func`` is not a coroutine function of ``(ctx, *args)``, or ``config`` is not a ChildConfig
        :raises ChildContextError: ``func`` raised
        """
        from durable_async._operations.child import run_child
        from durable_async.operation_config import ChildConfig

        check_keywords(keywords, func, "ctx.run_in_child_context", ChildConfig)
        check_context_function(func, context_parameters(args), "ctx.run_in_child_context")
        config = check_config(config, ChildConfig())
        call = self._call(OperationType.CONTEXT, SubType.RUN_IN_CHILD_CONTEXT, name_of(name, func), key)
        call.coroutine = call.perform(
            run_child, partial(func, self, *args), config, serializer_context(call, func, returns)
        )
        return call.coroutine

    def with_retry(
        self,
        func: Callable[[Self, *Ts], Awaitable[T]],
        *args: *Ts,
        strategy: durable_async.StrategyLike,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.ChildConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[T]:
        """Run ``func(ctx, *args)``, a block of operations, in a child context, and again as ``strategy`` says.

        Between attempts the service keeps the delay. Each attempt has operations of its own. A replay calls the
        strategy again for the recorded failures, so it must return the same.

        :param strategy: a :class:`~durable_async.RetryStrategy` or a function ``(error, attempt) -> RetryDecision``
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the name of ``func``
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: of the child context; None: ``ChildConfig()``
        :param returns: the type to read the result as; without it, the return annotation of ``func``
        :raises TypeError: ``func`` is not a coroutine function of ``(ctx, *args)``, ``config`` is not a ChildConfig, or
            ``strategy`` is not a strategy
        :raises ChildContextError: the last attempt allowed has failed
        """
        from durable_async._operations.child import run_child
        from durable_async._operations.retried import run_retried
        from durable_async.operation_config import ChildConfig

        check_keywords(keywords, func, "ctx.with_retry", ChildConfig)
        check_context_function(func, context_parameters(args), "ctx.with_retry")
        config = check_config(config, ChildConfig())
        check_strategy("strategy", strategy)
        call = self._call(OperationType.CONTEXT, SubType.RUN_IN_CHILD_CONTEXT, name_of(name, func), key)

        def wait(delay: timedelta, wait_name: str | None) -> Coro[None]:
            return self.wait(delay, name=wait_name)

        body = partial(run_retried, call, partial(func, self, *args), strategy, self.now, wait)
        call.coroutine = call.perform(run_child, body, config, serializer_context(call, func, returns))
        return call.coroutine

    def task_group(self) -> durable_async.DurableTaskGroup[Self]:
        """Return a group of durable branches, for ``async with ctx.task_group() as group:``. In the block,
        ``group.start_soon(func, *args, name=...)`` runs ``func(ctx, *args)`` as a branch. See
        :class:`~durable_async.DurableTaskGroup`."""
        from durable_async._operations.group import DurableTaskGroup

        return DurableTaskGroup(self.run_in_child_context)

    def timeout(self, delay: timedelta, *, name: str | None = None, key: str | None = None) -> durable_async.Deadline:
        """Return a deadline for a block, which survives suspension: ``async with ctx.timeout(delay):``.

        When it passes, the code in the block is cancelled, nothing in it can write any more, and the block raises
        :class:`~durable_async.DurableTimeoutError`; on a replay too. Deadlines can be nested.

        :param delay: more than zero and at most 366 days; rounded up to whole seconds
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :raises TypeError: ``delay`` is not a ``timedelta``
        :raises ValueError: ``delay`` is out of bounds
        """
        from durable_async._durations import duration_seconds
        from durable_async._operations.timeout import Deadline

        duration_seconds(delay, what="the timeout of a block")
        call = self._call(OperationType.CONTEXT, SubType.RUN_IN_CHILD_CONTEXT, checked_name(name), key)
        return Deadline(call, delay)

    def patched(self, patch: str) -> Coro[bool]:
        """Return whether to run the new code of a change here: ``if await ctx.patched("audit-2026"):``.

        True if the execution has not passed this place yet. That is recorded as a step named ``patched:audit-2026``,
        together with what is recorded next. False if the execution passed this place before the change was deployed.
        The answer is the same on every replay, and for all calls with the same ``patch`` in one context or task. The
        call moves no other operation.

        :param patch: names the change: printable ASCII, 1 to 248 characters. In a loop that is to take the new code
            from its next round on, give each round a name of its own, such as ``f"audit-{number}"``
        :raises ValueError: the name is empty or cannot be recorded
        """
        from durable_async._operations.patched import run_patched
        from durable_async._wire.patches import marker_name

        if not patch:
            raise ValueError("the name of a patch is empty: name the change, as in ctx.patched('audit-2026')")
        call = self._call(OperationType.STEP, SubType.STEP, checked_name(marker_name(patch)), patch=patch)
        call.coroutine = call.perform(run_patched, patch)
        return call.coroutine

    def compensations(self) -> durable_async.Compensations:
        """Return a collector of compensations, for ``async with ctx.compensations() as undo:``. In the block,
        ``undo.add(refund, payment)`` registers what to undo if the block fails. See
        :class:`~durable_async.Compensations`."""
        from durable_async._operations.compensation import Compensations

        return Compensations(self.step)

    @overload
    def create_callback(
        self,
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.CallbackConfig | None = ...,
        returns: type[T],
    ) -> Coro[durable_async.Callback[T]]: ...
    @overload
    def create_callback(
        self, *, timeout: timedelta | None = None, name: str | None = None, key: str | None = None, config: None = None
    ) -> Coro[durable_async.Callback[str | None]]: ...
    @overload
    def create_callback(
        self,
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.CallbackConfig | None = ...,
        returns: object = ...,
    ) -> Coro[durable_async.Callback[Any]]: ...
    def create_callback(
        self,
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.CallbackConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[durable_async.Callback[object]]:
        """Make a callback: an id of the service to which the outside world can send an answer. Wait for the answer with
        ``await callback.result()``.

        :param timeout: takes the place of the one in ``config``
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: its timeouts and its serializer; None: ``CallbackConfig()``, which has neither
        :param returns: the type to read the answer as, which is then JSON. Without it and without a serializer the
            answer is its text, whatever that is
        """
        from durable_async._operations.callback import create_callback
        from durable_async.operation_config import CallbackConfig

        check_keywords(keywords, None, "ctx.create_callback", CallbackConfig)
        config = check_config(config, CallbackConfig())
        if timeout is not None:
            config = attrs.evolve(config, timeout=timeout)
        call = self._call(OperationType.CALLBACK, SubType.CALLBACK, checked_name(name), key)
        call.coroutine = call.perform(create_callback, config, serializer_context(call, returns=returns))
        return call.coroutine

    @overload
    def wait_for_callback(
        self,
        submitter: Callable[[str], object],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.WaitForCallbackConfig | None = ...,
        returns: type[T],
    ) -> Coro[T]: ...
    @overload
    def wait_for_callback(
        self,
        submitter: Callable[[str], object],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: None = None,
    ) -> Coro[str | None]: ...
    @overload
    def wait_for_callback(
        self,
        submitter: Callable[[str], object],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.WaitForCallbackConfig | None = ...,
        returns: object = ...,
    ) -> Coro[Any]: ...
    def wait_for_callback(
        self,
        submitter: Callable[[str], object],
        *,
        timeout: timedelta | None = None,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.WaitForCallbackConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[Any]:
        """Make a callback, send its id with ``submitter(callback_id)``, and wait for the answer.

        The submitter runs as a step; what it returns is ignored. Without a retry strategy in ``config`` it is attempted
        like the handler's steps that are called without a config.

        :param timeout: takes the place of the one in ``config``
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the name of ``submitter``
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: None: ``WaitForCallbackConfig()``
        :param returns: the type to read the answer as, which is then JSON. Without it and without a serializer the
            answer is its text, whatever that is
        :raises TypeError: ``submitter`` cannot be called with an id, or ``config`` is not a WaitForCallbackConfig
        :raises CallbackFailedError: the answer was a failure
        :raises CallbackTimeoutError: the answer or a heartbeat did not come in time
        :raises CallbackSubmitterError: the submitter failed, and its retry strategy allows no further attempt
        """
        from durable_async._operations.wait_for_callback import run_wait_for_callback
        from durable_async.operation_config import WaitForCallbackConfig

        check_keywords(keywords, submitter, "ctx.wait_for_callback", WaitForCallbackConfig)
        check_function(submitter, 1, "ctx.wait_for_callback")
        config = check_config(config, WaitForCallbackConfig())
        if timeout is not None:
            config = attrs.evolve(config, timeout=timeout)
        call = self._call(OperationType.CONTEXT, SubType.WAIT_FOR_CALLBACK, name_of(name, submitter), key)
        call.coroutine = call.perform(
            partial(run_wait_for_callback, step_config=self._step_config),
            self._call,
            submitter,
            config,
            serializer_context(call, returns=returns),
        )
        return call.coroutine

    @overload
    def invoke(
        self,
        function_name: str,
        payload: object = None,
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.InvokeConfig | None = ...,
        returns: type[T],
    ) -> Coro[T]: ...
    @overload
    def invoke(
        self,
        function_name: str,
        payload: object = None,
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.InvokeConfig | None = ...,
        returns: object = ...,
    ) -> Coro[Any]: ...
    def invoke(
        self,
        function_name: str,
        payload: object = None,
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.InvokeConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[Any]:
        """Run another function, durable or not, and wait for its result.

        :param function_name: a name or an ARN in this account and Region. A durable function needs a qualifier:
            ``"ship:$LATEST"``
        :param payload: the function's event
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: None: ``InvokeConfig()``
        :param returns: the type to read the result as; without it, plain JSON
        :raises InvokeFailedError: the function failed, or there is none of this name
        :raises InvokeTimeoutError: its execution ran into its timeout
        :raises InvokeStoppedError: its execution was stopped
        :raises PayloadTooLargeError: the payload is larger than the service accepts
        :raises SerializationError: the payload cannot be written, or the result not be read as the type asked for
        """
        from durable_async._operations.invoke import run_invoke
        from durable_async.operation_config import InvokeConfig

        check_keywords(keywords, None, "ctx.invoke", InvokeConfig)
        check_function_name(function_name)
        config = check_config(config, InvokeConfig())
        call = self._call(OperationType.CHAINED_INVOKE, SubType.CHAINED_INVOKE, checked_name(name), key)
        call.coroutine = call.perform(
            run_invoke, function_name, payload, config, serializer_context(call, returns=returns)
        )
        return call.coroutine

    @overload
    def wait_for_condition(
        self,
        check: Callable[[StateT], Awaitable[StateT]],
        initial_state: StateT,
        strategy: durable_async.WaitStrategyLike[StateT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.WaitForConditionConfig | None = ...,
        returns: object = ...,
    ) -> Coro[StateT]: ...
    @overload
    def wait_for_condition(
        self,
        check: Callable[[StateT], StateT],
        initial_state: StateT,
        strategy: durable_async.WaitStrategyLike[StateT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.WaitForConditionConfig | None = ...,
        returns: object = ...,
    ) -> Coro[StateT]: ...
    def wait_for_condition(
        self,
        check: Callable[[StateT], Awaitable[StateT]] | Callable[[StateT], StateT],
        initial_state: StateT,
        strategy: durable_async.WaitStrategyLike[StateT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.WaitForConditionConfig | None = None,
        returns: object = NO_TYPE,
    ) -> Coro[StateT]:
        """Check a state until ``strategy`` accepts it, and return it.

        ``check(state)`` returns the next state, which is recorded. The strategy decides whether to stop, and if not,
        how long the service waits before the next check. Like the body of a step, a check runs on the event loop or in
        a worker thread, can call :func:`~durable_async.current_step`, and is repeated if it was interrupted.

        :param initial_state: what the first check gets
        :param strategy: a :class:`~durable_async.WaitStrategy` or a function ``(state, attempt) -> WaitDecision``
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the name of ``check``
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: None: ``WaitForConditionConfig()``
        :param returns: the type to read states as; without it, the return annotation of ``check``
        :raises TypeError: ``check`` cannot be called with a state, or ``config`` is not a WaitForConditionConfig
        :raises WaitForConditionError: the strategy allows no further check, or a check raised, which is final
        """
        from durable_async._operations.condition import check_wait_strategy, run_condition
        from durable_async.operation_config import WaitForConditionConfig

        check_function(check, 1, "ctx.wait_for_condition")
        check_wait_strategy(strategy)
        config = check_config(config, WaitForConditionConfig())
        call = self._call(OperationType.STEP, SubType.WAIT_FOR_CONDITION, name_of(name, check), key)
        call.coroutine = call.perform(
            partial(
                run_condition,
                check=check,
                initial_state=initial_state,
                strategy=strategy,
                config=config,
                described=serializer_context(call, check, returns),
            )
        )
        return call.coroutine

    def map(
        self,
        func: Callable[[Self, ItemT], Awaitable[T]],
        items: Iterable[ItemT],
        *,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.MapConfig | None = None,
        returns: object = NO_TYPE,
        **keywords: Never,
    ) -> Coro[durable_async.BatchResult[T]]:
        """Run ``func(ctx, item)`` for each item, each in a child context of its own.

        Items are started in order; ``config`` says how many may run at once, and when the batch ends early. By default
        the first failure ends it. Items that still run then are cancelled and can write nothing more. When a batch has
        ended, a replay does not enter its items again.

        The failure of an item raises nothing here: :meth:`~durable_async.BatchResult.results` of the batch raises it,
        and a batch that ends as failed is logged as a warning.

        :param items: read at once, in an order that is the same on every replay
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters. Without
            one, the name of ``func``
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: None: ``MapConfig()``
        :param returns: the type to read one item's result as; without it, the return annotation of ``func``
        :raises ChildContextError: what belongs to the batch itself failed: its custom completion, serializer, summary
        :raises TypeError: ``func`` is not a coroutine function of ``(ctx, item)``, or ``config`` is not a MapConfig
        :raises ValueError: fewer items are given than have to succeed
        """
        from durable_async._operations.batch import batch_type, check_enough, run_batch
        from durable_async._operations.batch_contexts import Items
        from durable_async.batch_config import MapConfig

        check_keywords(keywords, func, "ctx.map", MapConfig)
        check_context_function(func, ("ctx", "item"), "ctx.map")
        config = check_config(config, MapConfig())
        if not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"ctx.map takes a list of items: ctx.map(function, [first, second]), not {items!r}")
        given = tuple(items)
        check_enough(config, len(given))
        names: list[str | None] | None = None
        if config.item_namer is not None:
            names = [checked_name(config.item_namer(item, index)) for index, item in enumerate(given)]
        item_type = return_type(func) if returns is NO_TYPE else returns
        contexts = Items(
            len(given),
            SubType.MAP_ITERATION,
            body=lambda index: func(self, given[index]),
            name=lambda index: f"map-item-{index}" if names is None else names[index],
            type=lambda _: item_type,
        )
        call = self._call(OperationType.CONTEXT, SubType.MAP, name_of(name, func), key)
        call.coroutine = call.perform(
            run_batch, contexts, config, serializer_context(call, returns=batch_type(item_type))
        )
        return call.coroutine

    def parallel(
        self,
        branches: Iterable[BranchLike[Self, T]],
        *others: Never,
        name: str | None = None,
        key: str | None = None,
        config: durable_async.ParallelConfig | None = None,
        **keywords: Never,
    ) -> Coro[durable_async.BatchResult[T]]:
        """Run each ``branch(ctx)``, in a child context of its own.

        Branches are started in order; ``config`` says how many may run at once, and when the batch ends early. By
        default the first failure ends it. Branches that still run then are cancelled and can write nothing more. When
        the batch has ended, a replay does not enter its branches again. The failure of a branch raises nothing here:
        :meth:`~durable_async.BatchResult.results` of the batch raises it.

        :param branches: functions, or pairs of a name for the history and a function
        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :param config: None: ``ParallelConfig()``
        :raises ChildContextError: what belongs to the batch itself failed: its custom completion, serializer, summary
        :raises TypeError: a branch is not a coroutine function of ``(ctx)``, or ``config`` is not a ParallelConfig
        :raises ValueError: fewer branches are given than have to succeed
        """
        from durable_async._operations.batch import check_enough, common_type, named_branches, run_batch
        from durable_async.batch_config import ParallelConfig

        check_keywords(keywords, None, "ctx.parallel", ParallelConfig)
        config = check_config(config, ParallelConfig())
        if others:
            raise TypeError("ctx.parallel takes its branches in a list: ctx.parallel([first, second])")
        named = named_branches(branches, "ctx.parallel")
        check_enough(config, len(named))
        call = self._call(OperationType.CONTEXT, SubType.PARALLEL, checked_name(name), key)
        call.coroutine = call.perform(
            run_batch, self._branches(named), config, serializer_context(call, returns=common_type(named))
        )
        return call.coroutine

    def race(self, *branches: BranchLike[Self, T], name: str | None = None, key: str | None = None) -> Coro[T]:
        """Run each ``branch(ctx)``, in a child context of its own, until the first has succeeded or failed.

        The others are cancelled and can write nothing more. A replay has the same winner.

        :param name: shown in the history, and compared on replay: printable ASCII, at most 256 characters
        :param key: an identity by meaning rather than by position, unique among the calls of one context or task
        :return: what the first one returned
        :raises ChildContextError: the first one failed
        :raises TypeError: a branch is not a coroutine function of ``(ctx)``
        :raises ValueError: there are no branches
        """
        from durable_async._operations.batch import common_type, named_branches
        from durable_async._operations.race import run_race

        if not branches:
            raise ValueError("a race needs branches")
        if isinstance(branches[0], list):
            raise TypeError("ctx.race takes its branches one by one, not in a list: ctx.race(*branches)")
        named = named_branches(branches, "ctx.race")
        call = self._call(OperationType.CONTEXT, SubType.PARALLEL, checked_name(name), key)
        call.coroutine = call.perform(
            run_race, self._branches(named), serializer_context(call, returns=common_type(named))
        )
        return call.coroutine

    def at(self, key: str) -> Self:
        """Return this context with an identity by meaning: the ids of the operations called through it derive from
        ``key`` and the order of these calls, whatever task calls them.

        Use it where tasks are started in an order that another version of a library may change, or by callbacks: the
        id of a tool call, for example, stays the same however many helper tasks were started before.

            await ctx.at(tool_call.id).step(run_tool, tool_call)

        :param key: unique among all uses of ``at`` in one context, whichever task they are made in
        :raises ContextMisuseError: the key was used in this context before, or no workflow runs here
        """
        self._check_key(key)
        return type(self)(self._journal, self._step_config, calling_branch(self._journal.workflow).at(key))

    @staticmethod
    def _check_key(key: object) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a key must be a str, not {key!r}: write its text, which must be the same on each replay")

    def _branch(self) -> Branch:
        here = calling_branch(self._journal.workflow)
        keyed = self._keyed
        return here if keyed is None or here.scope is not keyed.scope else keyed

    def _call(
        self,
        kind: OperationType,
        subtype: SubType,
        name: str | None,
        key: str | None = None,
        *,
        patch: str | None = None,
    ) -> Call:
        """Return a new call. A public method must call this itself: the line of its caller is taken two frames up."""
        if self._journal.refuses:  # the call will be refused when it is awaited
            here, workflow = current(), self._journal.workflow
            # Outside of a workflow it may be an abandoned task of this one, whose coroutine is being closed.
            if here.workflow is workflow if isinstance(here, Branch) else workflow.tasks:
                return Call(self._journal, Branch(self._journal.workflow), "", kind, subtype, name)
        if key is not None:
            self._check_key(key)
        branch = calling_branch(self._journal.workflow) if self._keyed is None else self._branch()
        frame = sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
        operation_id = branch.claim(key) if patch is None else branch.claim_patch(patch)
        scope = branch.scope
        scope.order.calls = number = scope.order.calls + 1
        call = Call(self._journal, branch, operation_id, kind, subtype, name, number)
        call.caller, call.instruction = frame.f_code, frame.f_lasti
        scope.unstarted[call] = None
        return call

    def _log_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"executionArn": self.execution_arn}
        here = current()
        parent_id = here.scope.id if isinstance(here, Branch) else None
        if parent_id is not None:
            fields["parentId"] = parent_id
        return fields

    def _is_silent(self) -> bool:
        here = current()
        return isinstance(here, Branch) and self._journal.record.is_replaying(here.scope.id)

    def _branches(self, named: Sequence[NamedBranch[Self, T]]) -> Items[T]:
        from durable_async._operations.batch_contexts import Items

        return Items(
            len(named),
            SubType.PARALLEL_BRANCH,
            body=lambda index: named[index][1](self),
            name=lambda index: named[index][0],
            type=lambda index: return_type(named[index][1]),
        )


def current_context() -> DurableContext | None:
    """Return the context of the running workflow, so that a library can attach itself.

    None outside of a workflow, and in the body of a step, where no durable operation can be called.
    """
    here = current()
    return here.workflow.context if isinstance(here, Branch) else None


def require_context() -> DurableContext:
    """Return the context of the running workflow, for a library that must not work without.

    :raises ContextMisuseError: no workflow runs here, or this is the body of a step. The message says which, and what
        to do
    """
    context = current_context()
    if context is not None:
        return context
    if isinstance(here := current(), StepContext):
        raise ContextMisuseError(
            f"the body of step {here.name or here.operation_id!r} has no durable context. A step is recorded as a "
            "whole: call durable operations from the workflow, or make the function a child context"
        )
    raise ContextMisuseError(
        "no durable workflow runs here. Call this from a function with @durable_execution, or from a task of it"
    )


def current_step() -> StepContext:
    """Return the running attempt, for the body of a step. This works in its worker thread too.

    :raises RuntimeError: no step's body is running here
    """
    here = current()
    if not isinstance(here, StepContext):
        raise RuntimeError(  # noqa: TRY004 - the place is wrong, not a type
            "current_step() was called outside the body of a step"
        )
    return here
