"""Whether a failed step is attempted again, and when.

Pure: no clock, no I/O. A strategy holds no state, so one value may serve any number of steps, and a decision depends
on its arguments alone (and on the jitter's source of randomness). The decision is recorded; a replay reads it
from the record and does not ask again.

A strategy is a :class:`RetryStrategy`, any object with such a ``should_retry``, or a function
``(error, attempt) -> RetryDecision``.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Protocol, TypeAlias, runtime_checkable

import attrs

from durable_async._backoff import Backoff, JitterStrategy, Uniform, checked_attempts, checked_decision
from durable_async._durations import positive, timedelta_field, whole_seconds
from durable_async._raised import holds, is_a, is_group, leaves, text_of
from durable_async._wire.limits import DELAY_SECONDS
from durable_async.errors import NonRetryableError, RetryAfterError

__all__ = ["JitterStrategy", "RetryDecision", "RetryStrategy", "StrategyLike", "SupportsShouldRetry", "decide"]


@attrs.frozen
class RetryDecision:
    """The answer of a retry strategy. Made by :meth:`retry_after` and :meth:`do_not_retry`.

    :ivar delay: how long to wait before the next attempt; zero if there is no next attempt
    """

    should_retry: bool
    delay: timedelta = attrs.field(default=timedelta(0), validator=timedelta_field)

    @classmethod
    def retry_after(cls, delay: timedelta) -> RetryDecision:
        """Attempt again once ``delay`` has passed. The service counts whole seconds: see :attr:`delay_seconds`."""
        return cls(should_retry=True, delay=delay)

    @classmethod
    def do_not_retry(cls) -> RetryDecision:
        """Make no further attempt: the step fails."""
        return cls(should_retry=False)

    @property
    def delay_seconds(self) -> int:
        """The delay in whole seconds, rounded up: from 1 second to 366 days."""
        return min(max(1, whole_seconds(self.delay)), DELAY_SECONDS)


@runtime_checkable
class SupportsShouldRetry(Protocol):
    """The method that makes an object of your own a retry strategy."""

    def should_retry(self, error: Exception, attempt: int, /) -> RetryDecision: ...


StrategyLike: TypeAlias = SupportsShouldRetry | Callable[[Exception, int], RetryDecision]

ErrorTypes: TypeAlias = type[Exception] | Iterable[type[Exception]]
Patterns: TypeAlias = str | re.Pattern[str] | Iterable[str | re.Pattern[str]]


class RetryStrategy(ABC):
    """Decides whether another attempt follows a failed one. The factories make the strategies of this package.

    Their parameters: ``max_attempts`` counts the first attempt too. With ``retry_on`` (exception types;
    subclasses count) or ``retry_on_message`` (regular expressions, searched for in ``str(error)``), only errors that
    match one entry of either are retried; an empty tuple matches nothing. An exception group, as a task group raises
    it, is retried if it matches itself or if each error in it does. Causes do not count. ``total_timeout`` is
    measured from the start of the first attempt: a retry that would begin later than that is not made. A
    :class:`~durable_async.NonRetryableError` ends the step whatever the filters say, in a group too. A
    :class:`~durable_async.RetryAfterError` asks to be retried, so it is, whatever the filters say, while attempts
    and time remain, and not before its delay, even if that is longer than ``max_delay``. ``uniform`` is the
    random source of the jitter. Invalid arguments raise :class:`ValueError` at once.
    """

    @abstractmethod
    def should_retry(self, error: Exception, attempt: int) -> RetryDecision:
        """Decide whether another attempt follows.

        :param error: what the attempt raised
        :param attempt: the number of the attempt that failed, 1-based
        """

    def decide(self, error: Exception, attempt: int, elapsed: timedelta) -> RetryDecision:
        """Decide like :meth:`should_retry`. Override this method if the decision depends on the elapsed time.

        :param elapsed: the time since the first attempt started, according to the record
        """
        del elapsed
        return self.should_retry(error, attempt)

    @staticmethod
    def default() -> RetryStrategy:
        """Allow 6 attempts; delays from 5 s to 60 s that double, with full jitter."""
        return RetryStrategy.exponential(max_attempts=6, max_delay=timedelta(seconds=60))

    @staticmethod
    def transient() -> RetryStrategy:
        """Return a strategy for errors that pass quickly: 3 attempts, delays from 1 s to 5 s, with jitter."""
        return RetryStrategy.exponential(
            initial_delay=timedelta(seconds=1), max_delay=timedelta(seconds=5), jitter=JitterStrategy.HALF
        )

    @staticmethod
    def none() -> RetryStrategy:
        """Allow one attempt. A step without a strategy behaves like this."""
        return RetryStrategy.exponential(max_attempts=1)

    @staticmethod
    def exponential(
        *,
        max_attempts: int = 3,
        initial_delay: timedelta = timedelta(seconds=5),
        max_delay: timedelta = timedelta(seconds=300),
        backoff_rate: float = 2.0,
        jitter: JitterStrategy = JitterStrategy.FULL,
        retry_on: ErrorTypes | None = None,
        retry_on_message: Patterns | None = None,
        total_timeout: timedelta | None = None,
        uniform: Uniform = random.uniform,
    ) -> RetryStrategy:
        """Return a strategy whose delay is multiplied by ``backoff_rate`` with each attempt, up to ``max_delay``."""
        backoff = Backoff.exponential(
            initial_delay=initial_delay, max_delay=max_delay, backoff_rate=backoff_rate, jitter=jitter, uniform=uniform
        )
        return _Limited(max_attempts, backoff, retry_on, retry_on_message, total_timeout)

    @staticmethod
    def linear(
        *,
        max_attempts: int = 6,
        initial_delay: timedelta = timedelta(seconds=1),
        increment: timedelta = timedelta(seconds=1),
        max_delay: timedelta = timedelta(seconds=300),
        jitter: JitterStrategy = JitterStrategy.FULL,
        retry_on: ErrorTypes | None = None,
        retry_on_message: Patterns | None = None,
        total_timeout: timedelta | None = None,
        uniform: Uniform = random.uniform,
    ) -> RetryStrategy:
        """Return a strategy whose delay grows by ``increment`` with each attempt, up to ``max_delay``."""
        backoff = Backoff.linear(
            initial_delay=initial_delay, increment=increment, max_delay=max_delay, jitter=jitter, uniform=uniform
        )
        return _Limited(max_attempts, backoff, retry_on, retry_on_message, total_timeout)

    @staticmethod
    def fixed(
        *,
        delay: timedelta = timedelta(seconds=5),
        max_attempts: int = 5,
        jitter: JitterStrategy = JitterStrategy.NONE,
        retry_on: ErrorTypes | None = None,
        retry_on_message: Patterns | None = None,
        total_timeout: timedelta | None = None,
        uniform: Uniform = random.uniform,
    ) -> RetryStrategy:
        """Return a strategy with the same ``delay`` before each attempt."""
        backoff = Backoff.fixed(delay=delay, jitter=jitter, uniform=uniform)
        return _Limited(max_attempts, backoff, retry_on, retry_on_message, total_timeout)

    @staticmethod
    def from_callable(function: Callable[[Exception, int], RetryDecision]) -> RetryStrategy:
        """Return a :class:`RetryStrategy` that calls ``function``, which decides alone, for each error."""
        if not callable(function):
            raise TypeError(f"a retry strategy must be a function of (error, attempt), not {function!r}")
        return _FromCallable(function)


def decide(strategy: StrategyLike | None, error: Exception, attempt: int, elapsed: timedelta) -> RetryDecision:
    """Ask a strategy of any kind.

    :param strategy: None: no further attempt
    :param attempt: the number of the attempt that failed, 1-based
    :param elapsed: the time since the first attempt started
    :raises TypeError: the strategy did not return a :class:`RetryDecision`
    :raises ValueError: ``attempt`` is less than 1
    """
    if attempt < 1:
        raise ValueError(f"attempts are counted from 1, so there is no attempt {attempt}")
    match strategy:
        case None:
            return RetryDecision.do_not_retry()
        case RetryStrategy():
            decision = strategy.decide(error, attempt, elapsed)
        case SupportsShouldRetry():
            decision = strategy.should_retry(error, attempt)
        case _:
            decision = strategy(error, attempt)
    instead = ": return RetryDecision.retry_after(delay) or RetryDecision.do_not_retry()"
    return checked_decision(strategy, "retry", decision, RetryDecision, instead)


def _error_types(value: ErrorTypes | None) -> tuple[type[Exception], ...] | None:
    if value is None:
        return None
    types = (value,) if isinstance(value, type | str) else tuple(value)
    for each in types:
        if not (isinstance(each, type) and issubclass(each, Exception)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(  # noqa: TRY004 - one kind of error for all arguments
                f"retry_on must name exception types (subclasses of Exception), which {each!r} is not"
            )
    return types


def _patterns(value: Patterns | None) -> tuple[re.Pattern[str], ...] | None:
    if value is None:
        return None
    try:
        return tuple(re.compile(each) for each in ((value,) if isinstance(value, (str, re.Pattern)) else value))
    except re.error as error:
        raise ValueError(f"retry_on_message: invalid regular expression: {error}") from None


def _total_timeout(value: timedelta | None) -> timedelta | None:
    return None if value is None else positive("total_timeout", value)


@attrs.frozen
class _Limited(RetryStrategy):
    """A limited number of attempts, for some errors, within a total time, with a backoff."""

    max_attempts: int = attrs.field(converter=checked_attempts)
    backoff: Backoff
    retry_on: tuple[type[Exception], ...] | None = attrs.field(default=None, converter=_error_types)
    retry_on_message: tuple[re.Pattern[str], ...] | None = attrs.field(default=None, converter=_patterns)
    total_timeout: timedelta | None = attrs.field(default=None, converter=_total_timeout)

    def should_retry(self, error: Exception, attempt: int) -> RetryDecision:
        return self.decide(error, attempt, timedelta(0))

    def decide(self, error: Exception, attempt: int, elapsed: timedelta) -> RetryDecision:
        if attempt >= self.max_attempts or not self._retryable(error):
            return RetryDecision.do_not_retry()
        delay = self.backoff.delay(attempt)
        for leaf in leaves(error):
            if is_a(leaf, RetryAfterError):
                delay = max(delay, _asked_for(leaf))
        if self.total_timeout is not None and elapsed + delay > self.total_timeout:
            return RetryDecision.do_not_retry()
        return RetryDecision.retry_after(delay)

    def _retryable(self, error: Exception) -> bool:
        if holds(error, NonRetryableError):
            return False
        return self._matches(error) or (is_group(error) and all(self._matches(leaf) for leaf in leaves(error)))

    def _matches(self, error: BaseException) -> bool:
        if is_a(error, RetryAfterError) or (self.retry_on is None and self.retry_on_message is None):
            return True
        if self.retry_on is not None and is_a(error, self.retry_on):
            return True
        if self.retry_on_message is None:
            return False
        text = text_of(error)
        return any(each.search(text) for each in self.retry_on_message)


def _asked_for(error: BaseException) -> timedelta:
    delay: object = getattr(error, "delay", None)
    if not isinstance(delay, timedelta):
        raise TypeError(f"the delay of a {type(error).__qualname__} must be a datetime.timedelta, not {delay!r}")
    return delay


@attrs.frozen
class _FromCallable(RetryStrategy):
    function: Callable[[Exception, int], RetryDecision]

    def should_retry(self, error: Exception, attempt: int) -> RetryDecision:
        return self.function(error, attempt)
