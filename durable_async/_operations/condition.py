"""A condition: a state that is checked until a wait strategy accepts it.

In the record it is a step whose retries are not failures: they carry the state from one check to the next. So the rules
of a step with at-least-once semantics apply. A check that raises is not repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import TypeVar, assert_never

from durable_async._arguments import check_decider
from durable_async._callables import why_not_called
from durable_async._engine.call import Call
from durable_async._operations.step import run_attempt
from durable_async._operations.step_rules import Interrupted, Raise, Return, Run, Start, Wait, next_action
from durable_async._operations.values import recorded, round_trip
from durable_async._wire.operations import Action, Operation, StepDetails, StepOptions
from durable_async.config import StepSemantics
from durable_async.errors import WaitForConditionError
from durable_async.operation_config import WaitForConditionConfig
from durable_async.serializers import SerializerContext
from durable_async.wait_strategy import WaitDecision, WaitOutcome, WaitStrategy, WaitStrategyLike, decide

T = TypeVar("T")


def check_wait_strategy(strategy: object) -> None:
    """Check that ``strategy`` is a wait strategy.

    :raises TypeError: it is not
    """
    if isinstance(strategy, type) or not (isinstance(strategy, WaitStrategy) or callable(strategy)):
        raise TypeError(f"strategy must be a WaitStrategy or a function (state, attempt), not {strategy!r}")
    if not isinstance(strategy, WaitStrategy):
        if why_not_called(strategy, 2) is not None and why_not_called(strategy, 1) is None:
            raise TypeError(
                "strategy must be a WaitStrategy or a function (state, attempt), not a function of the state alone: "
                "write WaitStrategy.fixed(should_continue), which checks again as long as should_continue(state) is "
                "true"
            )
        check_decider(strategy, ("state", "attempt"), "strategy")


async def run_condition(
    call: Call,
    check: Callable[[T], Awaitable[T]] | Callable[[T], T],
    initial_state: T,
    strategy: WaitStrategyLike[T],
    *,
    config: WaitForConditionConfig,
    described: SerializerContext,
) -> T:
    """Read the record, do what it says, and read it again, until the condition has ended."""
    serializer = config.serializer
    while True:
        record = await call.read()
        action = next_action(record, StepSemantics.AT_LEAST_ONCE_PER_RETRY)
        match action:
            case Return(payload):
                accepted: T = await recorded(call, serializer, payload, described)
                return accepted
            case Raise(error):
                raise call.failure(WaitForConditionError, error)
            case Wait(until):
                await call.wait(record, until)
            case Run(attempt, start):
                if start is Start.POSTED:
                    call.post(Action.START)
                try:
                    before = last_state(record, attempt)
                    if before is None:  # the first check also gets a state that was written and read
                        _, state = await round_trip(call, serializer, initial_state, described)
                    else:
                        state = await recorded(call, serializer, before, described)
                    state = await run_attempt(call, partial(check, state), attempt)
                    payload, state = await round_trip(call, serializer, state, described)
                    call.sized(payload)
                    decision = copy_context().run(decide, strategy, state, attempt)
                except Exception as error:  # noqa: BLE001 - whatever is raised here is the condition's failure
                    await call.commit(Action.FAIL, Error=call.error_object(error))
                else:
                    await _end_check(call, decision, payload, attempt)
            case Interrupted():
                raise AssertionError("only an at-most-once attempt counts as interrupted")


def last_state(record: Operation | None, attempt: int) -> str | None:
    """Return the recorded state of the previous check; None: there is none.

    The record may have lost it: a service may drop it at the START of a check that was then interrupted.
    """
    details: StepDetails = (record.get("StepDetails") or {}) if record else {}
    return details.get("Result") if attempt > 1 else None


async def _end_check(call: Call, decision: WaitDecision, payload: str, attempt: int) -> None:
    match decision.outcome:
        case WaitOutcome.STOP:
            await call.commit(Action.SUCCEED, Payload=payload)
        case WaitOutcome.CONTINUE:
            delay: StepOptions = {"NextAttemptDelaySeconds": decision.delay_seconds}
            await call.commit(Action.RETRY, Payload=payload, StepOptions=delay)
        case WaitOutcome.EXHAUSTED:
            error = WaitForConditionError(f"the condition was not met after {attempt} checks", data=payload)
            await call.commit(Action.FAIL, Error=call.error_object(error))
        case _:
            assert_never(decision.outcome)
