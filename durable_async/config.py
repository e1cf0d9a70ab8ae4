"""The configuration of steps and of the engine. Each value is checked when it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any, cast

import attrs

import durable_async  # names in annotations: the package imports what it is asked for
from durable_async._arguments import check_decider
from durable_async._callables import name_of_callable
from durable_async.serializers import Serializer


class Config:
    """Compared, hashed and shown by its values, as any attrs class is.

    attrs would compile these methods for each class of options, which takes nearly as long as the rest of the class.
    """

    __slots__ = ()

    def _options(self) -> dict[str, Any]:
        fields = attrs.fields(cast("type[attrs.AttrsInstance]", type(self)))
        return {field.name: getattr(self, field.name) for field in fields}

    def __eq__(self, other: object) -> bool:
        return self._options() == other._options() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), *self._options().values()))

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({options})"


class StepSemantics(StrEnum):
    """What happens to an attempt whose end was never recorded, because its process died."""

    AT_LEAST_ONCE_PER_RETRY = "AT_LEAST_ONCE_PER_RETRY"
    """The body runs again. This is the default; the body should be idempotent."""
    AT_MOST_ONCE_PER_RETRY = "AT_MOST_ONCE_PER_RETRY"
    """The attempt counts as failed with :class:`~durable_async.StepInterruptedError`, and the retry strategy decides.
    Use it for side effects that must not happen twice. It costs one more call to the service before the body runs."""


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
class StepConfig(Config):
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
    semantics: StepSemantics = attrs.field(default=StepSemantics.AT_LEAST_ONCE_PER_RETRY, converter=StepSemantics)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    timeout: timedelta | None = attrs.field(default=None, validator=_timeout)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class EngineLimits(Config):
    """How long an invocation waits, and how often it tries again.

    :ivar clean_up: seconds that ``finally`` blocks may take when a task is cancelled. A task of the workflow that has
        not ended by then, when the workflow is suspended, is abandoned. The body of a step that has not ended by then
        no longer holds back the ends of other operations
    :ivar show_start: seconds after which the START of a running step is sent, so that an observer sees that it runs.
        The START of a step that ends earlier leaves together with its end
    :ivar busy_attempts: how often a call is repeated while the service answers that it is busy, in addition to the
        repetitions of the transport. Then the invocation fails
    :ivar busy_delay: seconds before the first of these repetitions. The delay doubles with each one
    :ivar busy_delay_max: the longest of these delays, in seconds
    :ivar ask_again: seconds before the service is asked again about a timer that is due by the handler's clock and has
        not ended. The delay doubles each time
    :ivar ask_again_max: the longest of these delays, in seconds
    :ivar answer_margin: seconds before Lambda's time limit at which plugins that still flush are cancelled
    :ivar batch_starts: how many items of a map or parallel start in one turn of the event loop
    :ivar quiet_turns: on an event loop that does not show what it runs next, such as uvloop: how many turns of the loop
        must pass without a change in the workflow before it counts as at rest
    :ivar restless_turns: how many turns of the event loop a workflow's code may run without a pause. Then the ends that
        it may be waiting for are handed over although it is not at rest
    :raises ValueError: a value is negative; or ``batch_starts``, ``ask_again`` or ``ask_again_max`` is zero
    """

    clean_up: float = 5.0
    show_start: float = 0.05
    busy_attempts: int = 8
    busy_delay: float = 0.2
    busy_delay_max: float = 10.0
    ask_again: float = 0.25
    ask_again_max: float = 8.0
    answer_margin: float = 0.5
    batch_starts: int = 250
    quiet_turns: int = 8
    restless_turns: int = 1000

    def __attrs_post_init__(self) -> None:
        for name, value in self._options().items():
            if not value >= 0:  # which NaN is not
                raise ValueError(f"{name} must not be negative, but is {value}")
            if not value and name in ("ask_again", "ask_again_max", "batch_starts"):
                raise ValueError(f"{name} must be more than zero")


DEFAULT_LIMITS = EngineLimits()
