"""The values with which a service is configured."""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs

from durable_async.service import machine
from durable_async.service.model.history import milliseconds
from durable_async.service.runtime.observing import ServiceObserver


def mint() -> str:
    """Return 32 random hexadecimal digits, for ids and tokens."""
    return os.urandom(16).hex()


@attrs.frozen
class Timing:
    """When a service repeats its own work and gives up waiting, in seconds.

    :ivar clean_up: how long cancelled functions may take to end at shutdown, after the grace. It is a little longer
        than what an invocation grants the clean-ups of its workflow
    :ivar abandon: how long they may take after a second cancellation. What still runs then is abandoned
    :ivar check_clock: the longest sleep of the timer, so that a clock that jumps forward is noticed
    :ivar retry_store: how long to wait before a failed call of the store is repeated
    :ivar sweep: how often closed executions are deleted whose retention is over
    """

    clean_up: float = 6.0
    abandon: float = 0.5
    check_clock: float = 60.0
    retry_store: float = 2.0
    sweep: float = 3600.0


@attrs.frozen
class Settings:
    """
    :ivar clock: returns the time in epoch seconds
    :ivar retention_days: how long a closed execution is kept
    :ivar max_concurrency: the maximum number of invocations at once; None: no limit
    :ivar passive: True: no handler is invoked. False: handlers are invoked
    :ivar observer: is called with what the service does; None: nothing is measured
    """

    clock: Callable[[], float]
    retention_days: int
    limits: machine.Limits
    retries: machine.InvocationRetryPolicy
    max_concurrency: int | None = None
    passive: bool = False
    observer: ServiceObserver | None = None
    timing: Timing = Timing()

    def now_us(self) -> int:
        """Return the time in epoch microseconds."""
        return round(self.clock() * 1_000_000)

    def now_ms(self) -> int:
        """Return the time in epoch milliseconds."""
        return milliseconds(self.now_us())

    def moment(self) -> machine.Moment:
        """Return what the machine knows of the time at which it decides."""
        return machine.Moment(self.now_us(), mint, self.limits, self.retries, self.passive)
