"""Runs pure functions that compute for long in a thread, so that the event loop does not wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_one_at_a_time = threading.Lock()  # two threads that compute would make the event loop wait twice as long


async def compute(work: Callable[[], T], *, light: bool = False) -> T:
    """Return ``work()``. It must be pure Python code: the interpreter can then release its lock every few milliseconds,
    so the event loop waits no longer than that.

    A cancelled call returns at once; its thread ends with ``work``.

    :param light: True: it is called here, because it takes a few milliseconds. False: it is called in a thread
    """
    if light:
        return work()
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(act: Callable[..., None], value: object) -> None:
        if not outcome.done():
            act(value)

    def run() -> None:
        try:
            with _one_at_a_time:
                value = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result was asked for
            report: tuple[Callable[..., None], object] = (outcome.set_exception, error)
        else:
            report = (outcome.set_result, value)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *report)

    # A thread for each call: they wait for a lock, and do not use up the threads of steps.
    threading.Thread(target=run, name="durable-async-computing", daemon=True).start()
    return await outcome
