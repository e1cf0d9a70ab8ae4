"""Time that is not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import attrs

from durable_async.service.api import DurableApi
from durable_async.service.clock import steady_time

T = TypeVar("T")


@attrs.define
class VirtualClock:
    """Epoch seconds that pass as they do, and jump ahead on top of it."""

    _ahead: float = attrs.field(init=False, default=0.0)

    def __call__(self) -> float:
        return steady_time() + self._ahead

    def jump_to(self, seconds: float) -> None:
        """Never back."""
        self._ahead += max(0.0, seconds - self())


async def while_jumping(work: Coroutine[Any, Any, T], api: DurableApi, clock: VirtualClock, arn: str) -> T:
    """The result of ``work``. Whenever nothing runs meanwhile, the clock of ``api`` jumps to what is due next, as long
    as the execution is open.
    """
    working, jumping = asyncio.create_task(work), asyncio.create_task(_jump(api, clock, arn))
    try:
        await asyncio.wait((working, jumping), return_when=asyncio.FIRST_EXCEPTION)
    finally:
        working.cancel()
        jumping.cancel()
        await asyncio.wait((working, jumping))
    if not jumping.cancelled():
        jumping.result()
    return working.result()


async def _jump(api: DurableApi, clock: VirtualClock, arn: str) -> None:
    while True:
        await api.idle()
        execution = await api.get_execution(arn, include_data=False)
        due = api.next_due()
        if execution["Status"] != "RUNNING" or due is None:
            return
        clock.jump_to(due)
        await api.fire_due()
