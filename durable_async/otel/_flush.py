"""The export before an invocation's answer, in a thread, so that a slow exporter delays nothing but its own answer."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

logger: logging.Logger = logging.getLogger("durable_async.otel")


async def flush(force_flush: Callable[[int], object], limit: timedelta) -> None:
    """Have a provider of OpenTelemetry's SDK export what it collected, and wait no longer than ``limit``.

    :param force_flush: of the provider; takes milliseconds, and returns whether everything is exported
    """
    loop = asyncio.get_running_loop()
    flushed: asyncio.Future[bool] = loop.create_future()

    def report(done: bool) -> None:  # noqa: FBT001
        if not flushed.done():
            flushed.set_result(done)

    def work() -> None:
        done = False
        try:
            done = bool(force_flush(max(1, int(limit.total_seconds() * 1000))))
        except Exception:
            logger.exception("The exporter failed")
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(report, done)

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
