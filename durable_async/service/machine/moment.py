"""What a command is given from outside, because it must not make it itself."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from durable_async.service.machine.limits import Limits
from durable_async.service.machine.retries import InvocationRetryPolicy

Mint = Callable[[], str]
"""Gives a fresh, unguessable text of letters and digits at each call: the source of ids and tokens."""


@attrs.frozen
class Moment:
    """When a command happens (epoch milliseconds), and under which rules.

    :ivar passive: nothing can be invoked here: what has to run is left to the next service on the store
    """

    now_ms: int
    mint: Mint
    limits: Limits = attrs.Factory(Limits)
    retries: InvocationRetryPolicy = attrs.Factory(InvocationRetryPolicy)
    passive: bool = False
