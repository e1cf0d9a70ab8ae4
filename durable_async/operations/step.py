"""A step: a function whose result is recorded, attempted as its retry strategy says."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from durable_async.config import StepConfig
from durable_async.engine.call import Call
from durable_async.errors import (
    ContextMisuseError,
    NonDeterminismError,
    PayloadTooLargeError,
    SerializationError,
    StepError,
    StepInterruptedError,
)
from durable_async.operations.attempt import run_attempt
from durable_async.operations.step_rules import Interrupted, Park, Raise, Return, Run, Start, next_action
from durable_async.operations.values import recorded, round_trip
from durable_async.raised import holds
from durable_async.serializers import SerializerContext
from durable_async.wire.operations import Action
from durable_async.wire.timestamps import seconds

_HOPELESS = (ContextMisuseError, NonDeterminismError, PayloadTooLargeError, SerializationError)


async def run_step(call: Call, body: Callable[[], Any], config: StepConfig, described: SerializerContext) -> Any:
    """Ask the record, do what it says, and ask again, until it has an end."""
    while True:
        record = await call.look()
        match next_action(record, config.semantics):
            case Return(payload):
                return await recorded(call, config.serializer, payload, described)
            case Raise(error):
                raise call.failure(StepError, error)
            case Park(until):
                await call.park(record, until)
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
    from durable_async.retry import RetryDecision, decide  # most invocations see no failed attempt

    record = call.invocation.record.get(call.id)  # read after the attempt: when the first one began, nothing was there
    started = record.get("StartTimestamp") if record else None
    elapsed = timedelta(seconds=max(0.0, call.invocation.clock() - seconds(started))) if started else timedelta(0)
    try:
        decision = (
            RetryDecision.do_not_retry()
            if holds(error, _HOPELESS)
            else copy_context().run(decide, config.retry_strategy, error, attempt, elapsed)
        )
    except Exception as broken:  # noqa: BLE001 - a strategy that raises decides nothing, and must not be asked again
        error, decision = broken, RetryDecision.do_not_retry()
    if decision.should_retry:
        await call.commit(
            Action.RETRY,
            Error=call.error_object(error),
            StepOptions={"NextAttemptDelaySeconds": decision.delay_seconds},
        )
    else:
        await call.commit(Action.FAIL, Error=call.error_object(error))
