"""How long to wait before trying again: the arithmetic that retry and wait strategies share.

Pure: the source of randomness is an argument. The formula is the one of the official SDKs, with attempt ``n``
counted from 1 and the result in whole seconds, the unit of the service::

    base  = min(initial * rate ** (n - 1), max)         exponential
    base  = min(initial + increment * (n - 1), max)     linear
    delay = max(1, ceil(jitter(base)))
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias, TypeVar, assert_never

import attrs

from durable_async._durations import checked_timedelta, positive, whole_seconds

T = TypeVar("T")

Uniform: TypeAlias = Callable[[float, float], float]
"""``uniform(low, high)``: a number of seconds between the two, as :func:`random.uniform` draws it."""


class JitterStrategy(StrEnum):
    """How much of a delay is random, so that attempts that failed together are not repeated together."""

    NONE = "NONE"
    """The whole delay."""
    HALF = "HALF"
    """Between half of the delay and the whole delay."""
    FULL = "FULL"
    """Between zero and the whole delay."""

    def apply(self, base: float, uniform: Uniform) -> float:
        match self:
            case JitterStrategy.NONE:
                return base
            case JitterStrategy.HALF:
                return base / 2 + uniform(0.0, base / 2)
            case JitterStrategy.FULL:
                return uniform(0.0, base)
            case _:
                assert_never(self)


@attrs.frozen
class Exponential:
    rate: float

    def base(self, initial: float, steps: int) -> float:
        try:
            return initial * self.rate**steps
        except OverflowError:  # reached after some thousand attempts; the caller takes the cap
            return math.inf


@attrs.frozen
class Linear:
    increment: float  # seconds

    def base(self, initial: float, steps: int) -> float:
        return initial + self.increment * steps


@attrs.frozen
class Backoff:
    """Delays that grow with the attempts. Made by :meth:`exponential`, :meth:`linear` and :meth:`fixed`.

    They check their arguments and raise :class:`ValueError`, or :class:`TypeError` for a duration that is not a
    ``timedelta``. The message names the argument.
    """

    initial: float  # seconds
    cap: float  # seconds
    growth: Exponential | Linear
    jitter: JitterStrategy
    uniform: Uniform = attrs.field(repr=False)

    @classmethod
    def exponential(
        cls,
        *,
        initial_delay: timedelta,
        max_delay: timedelta,
        backoff_rate: float,
        jitter: JitterStrategy,
        uniform: Uniform = random.uniform,
    ) -> Backoff:
        if not (math.isfinite(backoff_rate) and backoff_rate >= 1):
            raise ValueError(f"backoff_rate must be a finite number of at least 1, not {backoff_rate!r}")
        initial, cap = _bounds(initial_delay, max_delay)
        return cls(initial, cap, Exponential(float(backoff_rate)), JitterStrategy(jitter), uniform)

    @classmethod
    def linear(
        cls,
        *,
        initial_delay: timedelta,
        increment: timedelta,
        max_delay: timedelta,
        jitter: JitterStrategy,
        uniform: Uniform = random.uniform,
    ) -> Backoff:
        if checked_timedelta("increment", increment) < timedelta(0):
            raise ValueError(f"increment must not be negative, got {increment}")
        initial, cap = _bounds(initial_delay, max_delay)
        return cls(initial, cap, Linear(increment.total_seconds()), JitterStrategy(jitter), uniform)

    @classmethod
    def fixed(cls, *, delay: timedelta, jitter: JitterStrategy, uniform: Uniform = random.uniform) -> Backoff:
        seconds = positive("delay", delay).total_seconds()
        return cls(seconds, max(1.0, seconds), Linear(0.0), JitterStrategy(jitter), uniform)

    def delay(self, attempt: int) -> timedelta:
        """Return how long to wait before the next attempt.

        :param attempt: the attempt that just ended, 1-based
        :return: whole seconds, at least 1 and at most the cap
        """
        base = min(self.growth.base(self.initial, attempt - 1), self.cap)
        delay = timedelta(seconds=whole_seconds(timedelta(seconds=self.jitter.apply(base, self.uniform))))
        return max(timedelta(seconds=1), min(delay, timedelta(seconds=math.floor(self.cap))))


def checked_attempts(value: int) -> int:
    """Return the number of attempts if it is valid.

    :raises ValueError: the number of attempts is less than 1, or not a whole number
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"max_attempts must be a whole number of at least 1, not {value!r}")
    return value


def _bounds(initial_delay: timedelta, max_delay: timedelta) -> tuple[float, float]:
    if positive("initial_delay", initial_delay) > positive("max_delay", max_delay):
        raise ValueError(f"initial_delay ({initial_delay}) must not be longer than max_delay ({max_delay})")
    return initial_delay.total_seconds(), max_delay.total_seconds()


def checked_decision(strategy: object, kind: str, decision: object, cls: type[T], instead: str) -> T:
    """Return what a strategy decided.

    :param kind: of the strategy, for the error
    :param instead: what the error adds if the strategy returned a bool
    :raises TypeError: it is not a ``cls``
    """
    if isinstance(decision, cls):
        return decision
    hint = instead if isinstance(decision, bool) else ""
    raise TypeError(f"the {kind} strategy {strategy!r} must return a {cls.__name__}, but returned {decision!r}{hint}")
