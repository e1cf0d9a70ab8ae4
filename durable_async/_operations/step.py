"""A step: a function whose result is recorded, attempted as its retry strategy says."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from durable_async._callables import is_coroutine_function
from durable_async._engine.call import Call
from durable_async._engine.calling import place_of_task, put_in, put_in_body, put_task
from durable_async._engine.isolation import isolated
from durable_async._operations.step_rules import Interrupted, Raise, Return, Run, Start, Wait, next_action
from durable_async._operations.values import recorded, round_trip
from durable_async._wire.operations import Action
from durable_async._wire.timestamps import seconds
from durable_async.config import StepConfig
from durable_async.errors import (
    ContextMisuseError,
    NonDeterminismError,
    PayloadTooLargeError,
    SerializationError,
    StepError,
    StepInterruptedError,
    StepTimeoutError,
)
from durable_async.serializers import SerializerContext
from durable_async.serializers._json.annotations import returns_awaitable
from durable_async.step_context import StepContext

if TYPE_CHECKING:
    from durable_async._engine.observer import Substitute

_NO_LOOP = ("no running event loop", "There is no current event loop in thread", "Not currently running on any async")
"""What asyncio and anyio say to code that needs the running loop."""


async def run_attempt(call: Call, body: Callable[[], object], attempt: int, timeout: timedelta | None = None) -> Any:
    """Run ``body`` and return what it returns. A suspension waits until it has ended. The body can call
    ``current_step``. It sees the workflow's context variables, and what it sets in them is gone when it ends.

    :param attempt: from 1
    :param timeout: None: it may take any time
    :raises StepTimeoutError: it took longer than ``timeout``
    """
    observer = call.journal.observer
    if observer is not None and not observer.passes(call, Action.START):
        await call.stop()
    task = asyncio.current_task()
    assert task is not None
    cancelling = task.cancelling()  # a TaskGroup that failed may have left it above zero
    here = StepContext(call.journal.execution_arn, call.id, call.name, call.scope.id, attempt)
    with call.running if observer is None else observer.attempt(call, attempt):
        context = copy_context()
        put_in(context, here)
        substitute = call.journal.substitute
        run = _run if substitute is None else partial(_substituted, substitute, attempt)
        outside = place_of_task(task)
        put_in_body(task, here, call.scope)
        try:
            if timeout is None:
                return await isolated(partial(run, call, body), context)
            deadline = asyncio.timeout(timeout.total_seconds())
            try:
                async with deadline:
                    return await isolated(partial(run, call, body), context)
            except TimeoutError:
                if deadline.expired():
                    raise StepTimeoutError(call.name, timeout) from None
                raise
        except (SystemExit, KeyboardInterrupt) as error:
            await call.journal.exit(error)
        except asyncio.CancelledError as error:
            if task.cancelling() > cancelling:
                raise
            # Nobody cancelled the workflow: something that the body waited for was, and that is the body's failure.
            raise RuntimeError(f"the body of {call} ended with CancelledError, but was not cancelled") from error
        finally:
            put_task(task, outside)


def _run(call: Call, body: Callable[[], Any]) -> Awaitable[object]:
    """Run a function that returns an awaitable on the loop, and any other one in a worker thread. If this is cancelled,
    it does not wait for the thread, because a thread cannot be stopped."""
    if is_coroutine_function(body) or returns_awaitable(body):
        awaitable: Awaitable[object] = body()
        return awaitable
    return _run_in_thread(call, body)


async def _run_in_thread(call: Call, body: Callable[[], object]) -> object:
    """Run ``body`` in a worker thread.

    :raises ContextMisuseError: it needs the event loop, which could not be seen before it was called
    """
    try:
        value = await call.journal.threads.run(call.journal.execution_arn, body)
    except RuntimeError as error:
        if not str(error).startswith(_NO_LOOP):
            raise
        raise ContextMisuseError(
            f"the body of {call} is not an 'async def', so it ran in a worker thread, and what it called needs the "
            "event loop. Write an 'async def' that awaits it: async def both(): return await asyncio.gather(one(), "
            "two())"
        ) from error
    return await value if inspect.isawaitable(value) else value


async def _substituted(substitute: Substitute, attempt: int, call: Call, body: Callable[[], object]) -> object:
    return await substitute(call, attempt, body, partial(_run, call, body))


_NEVER_RETRIED = (ContextMisuseError, NonDeterminismError, PayloadTooLargeError, SerializationError)


async def run_step(call: Call, body: Callable[[], object], config: StepConfig, described: SerializerContext) -> object:
    """Read the record, do what it says, and read it again, until the step has ended."""
    while True:
        record = await call.read()
        match next_action(record, config.semantics):
            case Return(payload):
                return await recorded(call, config.serializer, payload, described)
            case Raise(error):
                raise call.failure(StepError, error)
            case Wait(until):
                await call.wait(record, until)
            case Interrupted(attempt):
                await _end_failed(call, StepInterruptedError(call.id, call.name, attempt), attempt, config)
            case Run(attempt, start):
                if start is Start.COMMITTED:
                    await call.commit(Action.START)
                elif start is Start.POSTED:
                    call.post(Action.START)
                try:
                    value = await run_attempt(call, body, attempt, config.timeout)
                    payload, result = await round_trip(call, config.serializer, value, described)
                    call.sized(payload)
                except Exception as error:  # noqa: BLE001 - whatever a body raises is the outcome of its attempt
                    await _end_failed(call, error, attempt, config)
                else:
                    await call.commit(Action.SUCCEED, Payload=payload)
                    return result


async def _end_failed(call: Call, error: Exception, attempt: int, config: StepConfig) -> None:
    from durable_async._raised import holds  # most invocations see no failed attempt
    from durable_async.retry import RetryDecision, decide

    record = call.recorded()  # read after the attempt: when the first one began, nothing was there
    started = record.get("StartTimestamp") if record else None
    elapsed = timedelta(seconds=max(0.0, call.journal.clock() - seconds(started))) if started else timedelta(0)
    try:
        decision = (
            RetryDecision.do_not_retry()
            if holds(error, _NEVER_RETRIED)
            else copy_context().run(decide, config.retry_strategy, error, attempt, elapsed)
        )
    except Exception as broken:  # noqa: BLE001 - a strategy that raises decides nothing, and must not be called again
        error, decision = broken, RetryDecision.do_not_retry()
    if decision.should_retry:
        await call.commit(
            Action.RETRY,
            Error=call.error_object(error),
            StepOptions={"NextAttemptDelaySeconds": decision.delay_seconds},
        )
    else:
        await call.commit(Action.FAIL, Error=call.error_object(error))
