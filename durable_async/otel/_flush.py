"""The export before an invocation's answer, in a thread, so that a slow exporter delays nothing but its own answer."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

logger: logging.Logger = logging.getLogger("durable_async.otel")


class Provider(Protocol):
    """A tracer or meter provider of OpenTelemetry's SDK."""

    def force_flush(self, timeout_millis: int = ...) -> bool: ...


async def flush(provider: Provider, limit: timedelta) -> None:
    """Have ``provider`` export what it collected, and wait for that no longer than ``limit``."""
    loop = asyncio.get_running_loop()
    flushed: asyncio.Future[bool] = loop.create_future()

    def tell(done: bool) -> None:  # noqa: FBT001
        if not flushed.done():
            flushed.set_result(done)

    def work() -> None:
        done = False
        try:
            done = provider.force_flush(max(1, int(limit.total_seconds() * 1000)))
        except Exception:
            logger.exception("The exporter failed")
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, done)

    # Not one of the threads that a pool keeps: nothing waits for it at the end of the process.
    threading.Thread(target=work, name="durable-async-otel-flush", daemon=True).start()
    done = False
    with suppress(TimeoutError):
        done = await asyncio.wait_for(flushed, limit.total_seconds())
    if not done:
        logger.warning(
            "What was traced and measured is not exported after %.1f s; the exporter's own log says why. The "
            "invocation answers without waiting longer",
            limit.total_seconds(),
        )
