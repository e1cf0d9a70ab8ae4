"""Decides whether a condition is checked again, and when. Pure, like :mod:`durable_async.retry`.

A strategy is a :class:`WaitStrategy` or a function ``(state, attempt) -> WaitDecision``.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from enum import Enum, auto
from typing import Generic, TypeAlias, TypeVar, cast

import attrs

from durable_async._backoff import Backoff, JitterStrategy, Uniform, checked_attempts, checked_decision
from durable_async._durations import timedelta_field, whole_seconds
from durable_async._wire.limits import DELAY_SECONDS

__all__ = ["JitterStrategy", "WaitDecision", "WaitOutcome", "WaitStrategy", "WaitStrategyLike", "decide"]

StateT = TypeVar("StateT")
StateT_contra = TypeVar("StateT_contra", contravariant=True)


class WaitOutcome(Enum):
    """What follows a check of a condition."""

    STOP = auto()
    """The condition is met: the state is the result."""
    CONTINUE = auto()
    """Check again after the delay."""
    EXHAUSTED = auto()
    """The condition is not met, and no further check is allowed."""


@attrs.frozen
class WaitDecision:
    """The answer of a wait strategy. Made by :meth:`stop`, :meth:`continue_after` and :meth:`exhausted`.

    :ivar delay: how long to wait before the next check; zero if there is no next check
    """

    outcome: WaitOutcome
    delay: timedelta = attrs.field(default=timedelta(0), validator=timedelta_field)

    @classmethod
    def stop(cls) -> WaitDecision:
        return cls(WaitOutcome.STOP)

    @classmethod
    def continue_after(cls, delay: timedelta) -> WaitDecision:
        return cls(WaitOutcome.CONTINUE, delay)

    @classmethod
    def exhausted(cls) -> WaitDecision:
        return cls(WaitOutcome.EXHAUSTED)

    @property
    def delay_seconds(self) -> int:
        """The delay in whole seconds, rounded up: from 1 second to 366 days."""
        return min(max(1, whole_seconds(self.delay)), DELAY_SECONDS)


class WaitStrategy(ABC, Generic[StateT_contra]):
    """Decides whether another check follows. The factories make the strategies of this package.

    They call ``should_continue(state)`` before they count, so a condition that is met at the last allowed check is met.
    ``max_attempts`` counts checks, and ``uniform`` is the random source of the jitter. Invalid arguments raise
    :class:`ValueError` at once.
    """

    @abstractmethod
    def decide(self, state: StateT_contra, attempt: int) -> WaitDecision:
        """Decide whether another check follows.

        :param state: what the check returned
        :param attempt: the number of that check, 1-based
        """

    @staticmethod
    def exponential(
        should_continue: Callable[[StateT], bool],
        *,
        max_attempts: int = 60,
        initial_delay: timedelta = timedelta(seconds=5),
        max_delay: timedelta = timedelta(seconds=300),
        backoff_rate: float = 1.5,
        jitter: JitterStrategy = JitterStrategy.FULL,
        uniform: Uniform = random.uniform,
    ) -> WaitStrategy[StateT]:
        """Return a strategy whose delay is multiplied by ``backoff_rate`` with each check, up to ``max_delay``."""
        backoff = Backoff.exponential(
            initial_delay=initial_delay, max_delay=max_delay, backoff_rate=backoff_rate, jitter=jitter, uniform=uniform
        )
        return _Polling(should_continue, max_attempts, backoff)

    @staticmethod
    def linear(
        should_continue: Callable[[StateT], bool],
        *,
        max_attempts: int = 60,
        initial_delay: timedelta = timedelta(seconds=5),
        increment: timedelta = timedelta(seconds=5),
        max_delay: timedelta = timedelta(seconds=300),
        jitter: JitterStrategy = JitterStrategy.FULL,
        uniform: Uniform = random.uniform,
    ) -> WaitStrategy[StateT]:
        """Return a strategy whose delay grows by ``increment`` with each check, up to ``max_delay``."""
        backoff = Backoff.linear(
            initial_delay=initial_delay, increment=increment, max_delay=max_delay, jitter=jitter, uniform=uniform
        )
        return _Polling(should_continue, max_attempts, backoff)

    @staticmethod
    def fixed(
        should_continue: Callable[[StateT], bool],
        *,
        delay: timedelta = timedelta(seconds=5),
        max_attempts: int = 60,
        jitter: JitterStrategy = JitterStrategy.NONE,
        uniform: Uniform = random.uniform,
    ) -> WaitStrategy[StateT]:
        """Return a strategy with the same ``delay`` before each check."""
        return _Polling(should_continue, max_attempts, Backoff.fixed(delay=delay, jitter=jitter, uniform=uniform))

    @staticmethod
    def from_callable(function: Callable[[StateT, int], WaitDecision]) -> WaitStrategy[StateT]:
        """Return a :class:`WaitStrategy` that calls ``function``."""
        if not callable(function):
            raise TypeError(f"a wait strategy must be a function of (state, attempt), not {function!r}")
        return _FromCallable(function)


WaitStrategyLike: TypeAlias = WaitStrategy[StateT] | Callable[[StateT, int], WaitDecision]


def decide(strategy: WaitStrategyLike[StateT], state: StateT, attempt: int) -> WaitDecision:
    """Ask a strategy of either kind.

    :param attempt: the number of the check that returned ``state``, 1-based
    :raises TypeError: the strategy did not return a :class:`WaitDecision`
    :raises ValueError: ``attempt`` is less than 1
    """
    if attempt < 1:
        raise ValueError(f"checks are counted from 1, so there is no check {attempt}")
    decide_on = strategy.decide if isinstance(strategy, WaitStrategy) else strategy  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    instead = ". For a function that says whether to go on, write WaitStrategy.fixed(function)"
    return checked_decision(cast("object", strategy), "wait", decide_on(state, attempt), WaitDecision, instead)


@attrs.frozen
class _Polling(WaitStrategy[StateT]):
    should_continue: Callable[[StateT], bool]
    max_attempts: int = attrs.field(converter=checked_attempts)
    backoff: Backoff

    def decide(self, state: StateT, attempt: int) -> WaitDecision:
        if not self.should_continue(state):
            return WaitDecision.stop()
        if attempt >= self.max_attempts:
            return WaitDecision.exhausted()
        return WaitDecision.continue_after(self.backoff.delay(attempt))


@attrs.frozen
class _FromCallable(WaitStrategy[StateT]):
    function: Callable[[StateT, int], WaitDecision]

    def decide(self, state: StateT, attempt: int) -> WaitDecision:
        return self.function(state, attempt)
