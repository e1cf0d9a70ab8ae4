"""What a program results in: told without the SDK, by reading the program from top to bottom.

Concurrency, retries and waits leave no trace in a result, so here one branch comes after the other. What the workflow
would raise, this raises.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, assert_never

import attrs

from durable_async import (
    CallbackFailedError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    DurableTimeoutError,
    InvokeFailedError,
    NonRetryableError,
    OperationError,
    StepError,
    WaitForConditionError,
)
from durable_async._raised import message_of, type_name

from .program import (
    Answer,
    Batch,
    Block,
    Callback,
    Child,
    Compensated,
    Concurrency,
    Condition,
    Derive,
    Gathered,
    Guarded,
    InTime,
    Invoke,
    Program,
    Race,
    Raise,
    Retried,
    Statement,
    Step,
    Together,
    TooLate,
    Verdict,
    Wait,
    WaitForCallback,
)

NEAR = timedelta(seconds=5)


class Broken(Exception):
    """What fails in a program."""


class Hopeless(NonRetryableError, Broken):
    """What fails and must not be attempted again."""


@attrs.frozen
class Returned:
    value: Any


@attrs.frozen
class Failed:
    error_type: str | None
    message: str | None


def meaning(program: Program) -> Returned | Failed:
    """How an execution of the program ends."""
    try:
        return Returned(block_value(program.body, ""))
    except Exception as error:
        return Failed(_type(error), message_of(error))


def fails(block: Block) -> bool:
    return isinstance(meaning(Program(block)), Failed)


def step_error(step: Step, place: str) -> Broken:
    """What the last attempt of a step raises that fails."""
    return (Hopeless if step.at_most_once else Broken)(f"{place} is broken")


def described(error: Exception) -> list[Any]:
    """An error as a value of a program."""
    match error:
        case ExceptionGroup():
            return ["ExceptionGroup", error.message, [described(each) for each in error.exceptions]]
        case OperationError():
            return [type(error).__name__, str(error), error.error_type]
        case _:
            return [type(error).__name__, str(error)]


def block_value(block: Block, place: str) -> list[Any]:
    return [_value(statement, f"{place}{n}") for n, statement in enumerate(block)]


def _value(statement: Statement, place: str) -> Any:
    match statement:
        case Step():
            if statement.fails:
                raise _recorded(StepError, step_error(statement, place))
            return place
        case Wait() | Derive():
            return None
        case Raise():
            raise Broken(f"{place} is broken")
        case Callback():
            return _answer(statement.answer, place)
        case WaitForCallback():
            if statement.fails:
                raise _recorded(CallbackSubmitterError, Broken(f"{place} is broken"))
            return _answer(statement.answer, place)
        case Condition():
            return _condition(statement, place)
        case Invoke():
            if statement.fails:
                kind = type_name(Broken) if statement.durable else Broken.__name__
                raise InvokeFailedError(f"{place} is broken", kind)
            return place
        case Child() | Race():
            return _in_context(lambda: block_value(statement.body, f"{place}."))
        case Retried():
            return _in_context(lambda: _retried(statement, place))
        case Guarded():
            return _settled(lambda: block_value(statement.body, f"{place}."))
        case InTime():
            return block_value(statement.body, f"{place}.")
        case TooLate():
            raise DurableTimeoutError(place, NEAR)
        case Compensated():
            return _compensated(statement, place)
        case Batch():
            return _batch(statement, place)
        case Together():
            return _together(statement, place)
        case Gathered():
            return [_settled(partial(_value, call, f"{place}.{n}")) for n, call in enumerate(statement.calls)]
        case _:
            assert_never(statement)


def _settled(evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except Exception as error:
        return described(error)


def _recorded(kind: type[OperationError], error: Exception) -> OperationError:
    return kind(message_of(error), _type(error))


def _type(error: Exception) -> str:
    """What is recorded as the type: of an operation's error that of what its body raised."""
    raised = error.error_type if isinstance(error, OperationError) else None
    return raised or type_name(type(error))


def _in_context(evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except Exception as error:
        raise _recorded(ChildContextError, error) from None


def _answer(answer: Answer, place: str) -> str:
    match answer:
        case Answer.RESULT:
            return place
        case Answer.FAILURE:
            raise CallbackFailedError(f"{place} is rejected", "Rejected")
        case Answer.NOTHING:
            raise CallbackTimeoutError("Callback timed out", "Callback.Timeout")
        case _:
            assert_never(answer)


def _condition(statement: Condition, place: str) -> int:
    match statement.verdict:
        case Verdict.MET:
            return statement.checks
        case Verdict.EXHAUSTED:
            error = WaitForConditionError(f"the condition was not met after {statement.checks} checks")
            raise _recorded(WaitForConditionError, error)
        case Verdict.RAISES:
            raise _recorded(WaitForConditionError, Broken(f"{place} is broken"))
        case _:
            assert_never(statement.verdict)


def _batch(statement: Batch, place: str) -> list[Any]:
    items = [
        partial(_in_context, partial(block_value, item, f"{place}.{n}.")) for n, item in enumerate(statement.items)
    ]
    return [item() for item in items] if statement.fail_fast else [_settled(item) for item in items]


def _retried(statement: Retried, place: str) -> Any:
    for attempt in range(1, statement.max_attempts):
        try:
            return _attempt(statement, place, attempt)
        except Exception:
            continue
    return _attempt(statement, place, statement.max_attempts)


def _attempt(statement: Retried, place: str, attempt: int) -> Any:
    return retried_attempt(statement, place, attempt, block_value(statement.body, f"{place}#{attempt}."))


def retried_attempt(statement: Retried, place: str, attempt: int, value: Any) -> Any:
    """How an attempt ends whose block gave ``value``."""
    if attempt <= statement.failures:
        raise Broken(f"{place}, attempt {attempt}")
    return value


def _compensated(statement: Compensated, place: str) -> list[Any]:
    values: list[Any] = []
    failure: Exception | None = None
    try:
        for n, each in enumerate(statement.body):
            values.append(_value(each, f"{place}.{n}"))
    except Exception as error:
        failure = error
    todo = [f"{place}.undo{n}" for n in range(len(values)) if failure is not None and statement.undo_fails[n]]
    cleanups = [f"{place}.cleanup{n}" for n, fails in enumerate(statement.cleanups_fail) if fails]
    failures = [_recorded(StepError, Broken(f"{name} is broken")) for name in (*reversed(todo), *reversed(cleanups))]
    if failures:
        raise ExceptionGroup("compensation or clean-up failed", [*([failure] if failure else []), *failures])
    if failure is not None:
        raise failure
    return values


def _together(statement: Together, place: str) -> list[Any]:
    values: list[Any] = []
    errors: list[Exception] = []
    for n, branch in enumerate(statement.branches):
        evaluate = partial(block_value, branch, f"{place}.{n}.")
        if not statement.how.fails_together:
            values.append(_settled(evaluate))
            continue
        try:
            values.append(_in_context(evaluate) if statement.how is Concurrency.DURABLE_GROUP else evaluate())
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("unhandled errors in a TaskGroup", errors)
    return values
