"""A block that is repeated as a retry strategy says. The service keeps the delays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from durable_async._engine.branches import Scope
from durable_async._engine.call import Call
from durable_async._engine.calling import calling_branch, entered_scope
from durable_async._raised import holds
from durable_async._wire.cancellation import ERROR_TYPE
from durable_async._wire.ids import operation_id
from durable_async.errors import ContextMisuseError, ExecutionCancelledError, NonDeterminismError
from durable_async.retry import StrategyLike, decide

T = TypeVar("T")


async def run_retried(
    call: Call,
    body: Callable[[], Awaitable[T]],
    strategy: StrategyLike,
    now: Callable[[], datetime],
    wait: Callable[[timedelta, str | None], Awaitable[None]],
) -> T:
    """Run the body of the child context ``call``: attempts of ``body``, and waits between them.

    A replay calls the strategy again for the recorded failures, so it must return the same for the same error and
    attempt. The delay is recorded with its wait.
    """
    started = now()
    attempt = 1
    while True:
        around = calling_branch(call.branch.workflow).scope
        scope = Scope(around.id, around, order=around.order)
        try:
            with entered_scope(call.branch, scope, operation_id(call.id, f"attempt-{attempt}")):
                return await body()
        except Exception as error:
            if holds(error, (NonDeterminismError, ContextMisuseError, ExecutionCancelledError)) or _is_cancelled(error):
                raise
            decision = decide(strategy, error, attempt, now() - started)
            if not decision.should_retry:
                raise
        await wait(timedelta(seconds=decision.delay_seconds), call.name and f"{call.name}-backoff-{attempt}")
        attempt += 1


def _is_cancelled(error: Exception) -> bool:
    """Return whether it is the error of a context in which the workflow received its cancellation."""
    return getattr(error, "error_type", None) == ERROR_TYPE
