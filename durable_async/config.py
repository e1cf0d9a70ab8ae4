"""How an operation is to be done: values that are checked where they are made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

import attrs

from durable_async.arguments import check_decider
from durable_async.backoff import positive, whole_seconds
from durable_async.retry import StrategyLike, SupportsShouldRetry
from durable_async.serializers import Serializer
from durable_async.wire.limits import CALLBACK_TIMEOUT_SECONDS


class StepSemantics(StrEnum):
    """What happens to an attempt that began and whose end is not on record, because its process died."""

    AT_LEAST_ONCE_PER_RETRY = "AT_LEAST_ONCE_PER_RETRY"
    """It is run again. The default; the body should be idempotent."""
    AT_MOST_ONCE_PER_RETRY = "AT_MOST_ONCE_PER_RETRY"
    """It counts as failed with :class:`~durable_async.StepInterruptedError`, and the retry strategy decides. For side
    effects that must not happen twice; costs one more call to the service before the body runs."""


def check_strategy(what: str, value: object) -> None:
    """:raises TypeError: ``value`` cannot be asked about retries"""
    if isinstance(value, type):
        raise TypeError(f"{what} must be a strategy, not the class {value.__qualname__}: call it")
    if not (isinstance(value, SupportsShouldRetry) or callable(value)):
        raise TypeError(f"{what} must be a RetryStrategy or a function (error, attempt), not {value!r}")
    if not isinstance(value, SupportsShouldRetry):
        check_decider(value, ("error", "attempt"), what)


def _strategy(_: object, __: attrs.Attribute[StrategyLike | None], value: object) -> None:
    if value is not None:
        check_strategy("retry_strategy", value)


def optional_function(*parameters: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """A validator: None, or a plain function of ``parameters``."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
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
        positive("timeout", value)


@attrs.frozen(kw_only=True)
class StepConfig:
    """How a step is attempted and recorded.

    A step without a retry strategy is attempted once: its first error is recorded as its failure, so that no side
    effect is repeated unless somebody asked for it. ``@durable_execution(step=StepConfig(...))`` says for a whole
    handler how steps are done that are called without a config.

    :ivar retry_strategy: asked after each failed attempt. None, the default, allows no further one
    :ivar serializer: writes and reads the step's result; JSON without one
    :ivar timeout: of one attempt, which then fails with :class:`~durable_async.StepTimeoutError`. No limit without one
    :raises TypeError: a value is of the wrong type
    :raises ValueError: ``semantics`` is none of the two, or ``timeout`` is not longer than zero
    """

    retry_strategy: StrategyLike | None = attrs.field(default=None, validator=_strategy)
    semantics: StepSemantics = attrs.field(default=StepSemantics.AT_LEAST_ONCE_PER_RETRY, converter=StepSemantics)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    timeout: timedelta | None = attrs.field(default=None, validator=_timeout)


@attrs.frozen(kw_only=True)
class ChildConfig:
    """How a child context is recorded.

    :ivar serializer: writes and reads its result; JSON without one
    :ivar summary: what to record in place of a result over 256 KiB, for people to read. Such a result is not recorded:
        a replay makes it anew from the recorded operations of the context
    """

    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    summary: Callable[[Any], str] | None = attrs.field(default=None, validator=optional_function("result"))


def _callback_timeout(_: object, attribute: attrs.Attribute[timedelta | None], value: timedelta | None) -> None:
    if value is None:
        return
    if not isinstance(value, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{attribute.name} must be a datetime.timedelta, not {value!r}")
    if not timedelta(0) < value <= timedelta(seconds=CALLBACK_TIMEOUT_SECONDS):
        raise ValueError(
            f"{attribute.name} must be longer than zero and at most {CALLBACK_TIMEOUT_SECONDS} seconds, not {value}"
        )


@attrs.frozen(kw_only=True)
class CallbackConfig:
    """How long a callback is waited for, and how its answer is read. The service counts whole seconds.

    :ivar timeout: from the creation of the callback, up to 99,999,999 seconds (more than 3 years). No limit without one
    :ivar heartbeat_timeout: from its creation and from each heartbeat to the next. No limit without one
    :ivar serializer: reads the text that was sent. Without one it comes as it is, or is read as JSON if ``returns=``
        says as what
    :raises TypeError: a value is of the wrong type
    :raises ValueError: a time is out of bounds
    """

    timeout: timedelta | None = attrs.field(default=None, validator=_callback_timeout)
    heartbeat_timeout: timedelta | None = attrs.field(default=None, validator=_callback_timeout)
    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)

    @property
    def timeout_seconds(self) -> int | None:
        """As the service takes it: rounded up."""
        return None if self.timeout is None else whole_seconds(self.timeout)

    @property
    def heartbeat_timeout_seconds(self) -> int | None:
        """As the service takes it: rounded up."""
        return None if self.heartbeat_timeout is None else whole_seconds(self.heartbeat_timeout)


@attrs.frozen(kw_only=True)
class WaitForCallbackConfig(CallbackConfig):
    """The same, and how the function is attempted that hands out the callback's id.

    :ivar retry_strategy: as in :class:`StepConfig`
    """

    retry_strategy: StrategyLike | None = attrs.field(default=None, validator=_strategy)


@attrs.frozen(kw_only=True)
class InvokeConfig:
    """How another function is invoked.

    There is no timeout: the service has none for an invoke, and the function has its own. To wait no longer than so
    long, put the invoke in a block under ``ctx.timeout``; what was invoked then goes on.

    :ivar tenant_id: for a function with tenant isolation: 1 to 256 letters, digits, spaces and characters of
        ``._:/=+-@``
    :ivar payload_serializer: writes the payload; JSON without one
    :ivar result_serializer: reads the result; JSON without one
    :raises TypeError: a value is of the wrong type
    :raises ValueError: the service would refuse the tenant
    """

    tenant_id: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.matches_re(r"[a-zA-Z0-9._:/=+\-@ ]{1,256}"))
    )
    payload_serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)
    result_serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)


@attrs.frozen(kw_only=True)
class WaitForConditionConfig:
    """How the state of a condition is recorded.

    :ivar serializer: writes and reads it; JSON without one
    """

    serializer: Serializer | None = attrs.field(default=None, validator=check_serializer)


def duration_seconds(value: timedelta, *, what: str) -> int:
    """A duration as the service takes it: whole seconds, rounded up, so from 1 to 31,622,400 (366 days).

    :param what: names the value in the errors
    :raises TypeError: it is no ``timedelta``
    :raises ValueError: it is zero, negative, or longer than the service waits
    """
    return whole_seconds(positive(what, value))
