"""The configuration of steps. Each value is checked when it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import attrs

import durable_async  # names in annotations: the package imports what it is asked for
from durable_async._arguments import check_decider
from durable_async._callables import name_of_callable
from durable_async._options import Options, member
from durable_async.serializers import Serializer


class StepSemantics(StrEnum):
    """What happens to an attempt whose end was never recorded, because its process died."""

    AT_LEAST_ONCE_PER_RETRY = "AT_LEAST_ONCE_PER_RETRY"
    """The body runs again. This is the default; the body should be idempotent."""
    AT_MOST_ONCE_PER_RETRY = "AT_MOST_ONCE_PER_RETRY"
    """The attempt counts as failed with :class:`~durable_async.StepInterruptedError`, and the retry strategy decides.
    Use it for side effects that must not happen twice. It costs one more call to the service before the body runs."""


def _semantics(value: StepSemantics) -> StepSemantics:
    return member(StepSemantics, value)


def check_strategy(what: str, value: object) -> None:
    """Check that ``value`` is a retry strategy.

    :raises TypeError: ``value`` is not a retry strategy
    """
    from durable_async.retry import RetryStrategy, SupportsShouldRetry

    if isinstance(value, type):
        raise TypeError(f"{what} must be a strategy, not the class {value.__qualname__}: call it")
    if callable(value) and getattr(RetryStrategy, name_of_callable(value), None) == value:
        factory = f"RetryStrategy.{name_of_callable(value)}"
        raise TypeError(f"{what} must be a strategy, not the method that makes one: write {factory}()")
    if not (isinstance(value, SupportsShouldRetry) or callable(value)):
        instead = f": write RetryStrategy.exponential(max_attempts={value!r})" if isinstance(value, int) else ""
        raise TypeError(f"{what} must be a RetryStrategy or a function (error, attempt), not {value!r}{instead}")
    if not isinstance(value, SupportsShouldRetry):
        check_decider(value, ("error", "attempt"), what)


def optional_strategy(_: object, __: attrs.Attribute[durable_async.StrategyLike | None], value: object) -> None:
    if value is not None:
        check_strategy("retry_strategy", value)


def optional_function(*parameters: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return a validator that accepts None and plain functions of ``parameters``."""

    def check(_: object, attribute: attrs.Attribute[object], value: object) -> None:
        if value is None:
            return
        if not callable(value):
            raise TypeError(f"{attribute.name} must be a function of ({', '.join(parameters)}), not {value!r}")
        check_decider(value, parameters, attribute.name)

    return check


def check_serializer(_: object, __: attrs.Attribute[Serializer | None], value: object) -> None:
    if value is not None and (isinstance(value, type) or not isinstance(value, Serializer)):
        raise TypeError(f"serializer must be an object with serialize and deserialize, not {value!r}")


def _timeout(_: object, __: attrs.Attribute[timedelta | None], value: timedelta | None) -> None:
    if value is not None:
        from durable_async._durations import positive  # most steps have no timeout

        positive("timeout", value)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class StepConfig(Options):
    """How a step is attempted and recorded.

    A step without a retry strategy is attempted once: its first error is recorded as its failure, so that no side
    effect is repeated unless you ask for it. ``@durable_execution(step=StepConfig(...))`` sets the config of all steps
    of a handler that are called without one.

    :ivar retry_strategy: decides after each failed attempt whether another one follows. None, the default: never
    :ivar serializer: writes and reads the step's result. None: JSON
    :ivar timeout: how long one attempt may take before it fails with :class:`~durable_async.StepTimeoutError`. None: no
        limit
    :raises TypeError: a value is of the wrong type
    :raises ValueError: ``semantics`` is not one of the two, or ``timeout`` is not longer than zero
    """

    retry_strategy: durable_async.StrategyLike | None = attrs.field(default=None, validator=optional_strategy)
    semantics: StepSemantics = attrs.field(default=StepSemantics.AT_LEAST_ONCE_PER_RETRY, converter=_semantics)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    timeout: timedelta | None = attrs.field(default=None, validator=_timeout)
