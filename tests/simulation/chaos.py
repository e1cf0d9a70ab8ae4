"""Chance: what goes wrong and how long things take, drawn from the seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from .conditions import Conditions

_TURNS = 4
_MAX_TRACE = 10_000
_DEATHS = 0.3  # of the places at which something else may go wrong


class Chaos:
    """
    :param now: the virtual time in epoch seconds
    :ivar kill: ends a process
    :ivar trace: what happened, one line for each thing: the same in every run of one seed
    """

    def __init__(self, rng: Random, conditions: Conditions, now: Callable[[], float]) -> None:
        self.rng = rng
        self.conditions = conditions
        self.trace: list[str] = []
        self._faults_left = conditions.faults
        self._now = now
        self.kill: Callable[[], None] = lambda: None

    def note(self, what: str) -> None:
        self.trace.append(f"{self._now():.6f} {what}")
        if len(self.trace) > _MAX_TRACE:  # something goes round and round
            asyncio.get_running_loop().stop()

    def strikes(self, what: str) -> bool:
        """Return whether this fault happens now."""
        if self._faults_left == 0 or self.rng.random() >= self.conditions.likely:
            return False
        self._faults_left -= 1
        self.note(f"fault: {what}")
        return True

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self._faults_left = 0
        self.kill = lambda: None

    async def travel(self) -> None:
        await self._delay(self.conditions.latency)

    async def disk(self) -> None:
        await self._delay(self.conditions.disk_latency)

    async def _delay(self, limit: float) -> None:
        for _ in range(self.rng.randrange(_TURNS)):
            await asyncio.sleep(0)
        if limit and self.rng.random() < 0.5:
            await asyncio.sleep(self.rng.random() * limit)
        if self.rng.random() < _DEATHS and self.strikes("a process dies"):
            asyncio.get_running_loop().call_soon(lambda: self.kill())  # noqa: PLW0108 - it may be another one by then
