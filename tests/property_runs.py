"""How long the property tests run.

`DURABLE_ASYNC_PROPERTY_RUNS=10` gives each property test ten times as many examples as a normal run, and new ones each
time. A normal run tries the same examples each time.
"""

import os

FACTOR = int(os.environ.get("DURABLE_ASYNC_PROPERTY_RUNS", "1"))


def examples(number: int) -> int:
    """Return how many examples a property test runs that normally runs `number` of them."""
    return number * FACTOR
