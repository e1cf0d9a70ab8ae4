"""What the handlers of several suites use."""

from datetime import timedelta

from durable_async import RetryStrategy, StepConfig

A_SECOND = timedelta(seconds=1)

TWO_ATTEMPTS = RetryStrategy.fixed(delay=A_SECOND, max_attempts=2)
FAILS_AT_ONCE = StepConfig(retry_strategy=RetryStrategy.none())


async def same(value):
    return value


async def fail():
    raise ValueError("this always fails")


async def do_nothing():
    return None
