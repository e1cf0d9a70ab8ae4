"""Child contexts, and what is made of them: retried blocks, groups of branches, deadlines, compensation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Never, Self, TypeVar, TypeVarTuple

from durable_async.arguments import check_config, check_context_function, check_keywords
from durable_async.config import ChildConfig, check_strategy, duration_seconds
from durable_async.context.handle import checked_name, described, name_of
from durable_async.context.steps import Steps
from durable_async.operations.child import run_child
from durable_async.operations.compensation import Compensations
from durable_async.operations.group import DurableTaskGroup
from durable_async.operations.retried import run_retried
from durable_async.operations.timeout import Deadline
from durable_async.retry import StrategyLike
from durable_async.serializers import NO_TYPE
from durable_async.wire.operations import OperationType, SubType

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_DEFAULT_CHILD = ChildConfig()


def _parameters(args: tuple[object, ...]) -> tuple[str, ...]:
    """What a function is to take that gets a context and ``args``, for the message to the one who wrote another."""
    return ("ctx", "value") if len(args) == 1 else ("ctx", *(f"value{number}" for number in range(1, len(args) + 1)))


class Contexts(Steps):
    def run_in_child_context(
        self,
        func: Callable[[Self, *Ts], Awaitable[T]],
        *args: *Ts,
        name: str | None = None,
        key: str | None = None,
        config: ChildConfig | None = None,
        returns: Any = NO_TYPE,
        **keywords: Never,
    ) -> Coroutine[Any, Any, T]:
        """Run ``func(ctx, *args)`` with operations of its own, and record its result as one.

        Once it has ended, a replay does not enter it again, and what it left behind in tasks can write no more.
        ``name``, ``key`` and ``returns`` are those of :meth:`step`.

        :raises TypeError: ``func`` is no coroutine function of ``(ctx, *args)``, or ``config`` is no ChildConfig
        :raises ChildContextError: ``func`` raised
        """
        check_keywords(keywords, func, "ctx.run_in_child_context")
        check_context_function(func, _parameters(args), "ctx.run_in_child_context")
        config = check_config(config, _DEFAULT_CHILD)
        call = self._call(OperationType.CONTEXT, SubType.RUN_IN_CHILD_CONTEXT, name_of(name, func), key)
        call.coroutine = run_child(call, partial(func, self, *args), config, described(call, func, returns))
        return call.coroutine

    def with_retry(
        self,
        func: Callable[[Self, *Ts], Awaitable[T]],
        *args: *Ts,
        strategy: StrategyLike,
        name: str | None = None,
        key: str | None = None,
        config: ChildConfig | None = None,
        returns: Any = NO_TYPE,
        **keywords: Never,
    ) -> Coroutine[Any, Any, T]:
        """Run ``func(ctx, *args)``, a block of operations, in a child context, and again as ``strategy`` says.

        Between attempts the service keeps the delay. Each attempt has operations of its own. On a replay the strategy
        is asked anew about the recorded failures, so it must decide alike.

        :raises TypeError: as :meth:`run_in_child_context`, or ``strategy`` is none
        :raises ChildContextError: the last attempt allowed has failed
        """
        check_keywords(keywords, func, "ctx.with_retry")
        check_context_function(func, _parameters(args), "ctx.with_retry")
        config = check_config(config, _DEFAULT_CHILD)
        check_strategy("strategy", strategy)
        call = self._call(OperationType.CONTEXT, SubType.RUN_IN_CHILD_CONTEXT, name_of(name, func), key)

        def wait(delay: timedelta, wait_name: str | None) -> Coroutine[Any, Any, None]:
            return self.wait(delay, name=wait_name)

        body = partial(run_retried, call, partial(func, self, *args), strategy, self.now, wait)
        call.coroutine = run_child(call, body, config, described(call, func, returns))
        return call.coroutine

    def task_group(self) -> DurableTaskGroup[Self]:
        """``async with ctx.task_group() as group:`` and ``group.start_soon(func, *args, name=...)`` in it, which runs
        ``func(ctx, *args)`` as a durable branch. See :class:`~durable_async.DurableTaskGroup`."""
        return DurableTaskGroup(self.run_in_child_context)

    def timeout(self, delay: timedelta, *, name: str | None = None, key: str | None = None) -> Deadline:
        """``async with ctx.timeout(delay):`` puts a deadline on a block that survives suspension.

        When it comes, what runs or waits in the block is cancelled, nothing in it can write any more, and the block
        raises :class:`~durable_async.DurableTimeoutError`; on a replay too. Deadlines nest.

        :param delay: more than zero and at most 366 days; rounded up to whole seconds
        """
        duration_seconds(delay, what="the timeout of a block")
        call = self._call(OperationType.CONTEXT, SubType.RUN_IN_CHILD_CONTEXT, checked_name(name), key)
        return Deadline(call, delay)

    def compensations(self) -> Compensations:
        """``async with ctx.compensations() as undo:`` and ``undo.add(refund, payment)`` in it: what to undo if it
        fails. See :class:`~durable_async.Compensations`."""
        return Compensations(self.step)
