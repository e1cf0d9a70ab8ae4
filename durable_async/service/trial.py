"""Runs the executions that may have ended an earlier service's process in groups, so that the cause is found.

What the rules are, ``machine.suspects`` says. Executions that are no suspects never wait here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import attrs

from durable_async.service.machine import group_size


@attrs.define(eq=False)
class _Waiting:
    crashes: int
    admitted: asyncio.Future[None]


class Trial:
    """Admits one group of suspects at a time. Those with the fewest crashes go first: they end, and are cleared.

    :param suspects: by execution id, in how many crashes in a row each was when the service started
    :param quarantine_after: of the retry policy
    """

    def __init__(self, suspects: Mapping[str, int], quarantine_after: int | None) -> None:
        self._suspects = {**suspects}
        self._alike = Counter(self._suspects.values())
        self._quarantine_after = quarantine_after
        self._line: list[_Waiting] = []
        self._crashes = 0  # of each in the group that runs
        self._running = 0
        self._room = 0

    def concerns(self, execution_id: str) -> bool:
        """Whether the execution was a suspect when the service started."""
        return execution_id in self._suspects

    @asynccontextmanager
    async def turn(self, execution_id: str) -> AsyncGenerator[None]:
        """Entered while an invocation of a suspect is watched. Waits until its group's turn has come."""
        waiting = _Waiting(self._suspects[execution_id], asyncio.get_running_loop().create_future())
        self._line.append(waiting)
        self._admit()
        try:
            await waiting.admitted
            yield
        finally:
            if waiting in self._line:
                self._line.remove(waiting)
            else:
                self._running -= 1
            self._admit()

    def _admit(self) -> None:
        """Let in whoever still belongs to the group that runs; when none runs, the next group."""
        if self._running == 0 and self._line:
            self._crashes = min(waiting.crashes for waiting in self._line)
            self._room = group_size(self._alike[self._crashes], self._crashes, self._quarantine_after)
        for waiting in [waiting for waiting in self._line if waiting.crashes == self._crashes][: self._room]:
            self._line.remove(waiting)
            self._room -= 1
            self._running += 1
            if not waiting.admitted.done():
                waiting.admitted.set_result(None)
