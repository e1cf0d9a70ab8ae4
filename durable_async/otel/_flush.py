"""The flush before an invocation's answer, in a thread, so that a slow exporter stops nothing but its own answer."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Protocol

from durable_async._threads import Threads

logger: logging.Logger = logging.getLogger("durable_async.otel")


class Provider(Protocol):
    """A tracer or meter provider of OpenTelemetry's SDK."""

    def force_flush(self, timeout_millis: int = ...) -> bool: ...


async def flush(provider: Provider, limit: timedelta, remaining: timedelta | None) -> None:
    """Have ``provider`` export what it collected, and wait for that no longer than ``limit``.

    :param remaining: until the service gives up on the invocation; None: there is no such limit
    """
    from anyio import move_on_after

    if remaining is not None:
        limit = min(limit, remaining)
    seconds = limit.total_seconds()
    work = partial(provider.force_flush, max(1, int(seconds * 1000)))
    done = None
    with move_on_after(seconds):
        done = await Threads(1).run("flush", work, abandon=True)
    if not done:
        logger.warning(
            "What was measured and traced is not exported after %.1f s; the exporter's own log says why. The invocation "
            "answers without waiting longer",
            seconds,
        )
