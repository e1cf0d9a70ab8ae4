"""Runs the executions that may have ended an earlier service's process in groups, so that the cause is found.

The rules are in ``machine.suspects``. Executions that are not suspects never wait here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager

from durable_async.service.machine import Interrupted, culprit, group_order, group_size, is_suspect, trial_seconds
from durable_async.service.store import OpenExecution


class Trial:
    """Admits one group of suspects at a time. Those with the fewest crashes go first, because they are probably
    innocent.

    :param suspects: by execution id, the number of crashes in a row when the service started
    :param quarantine_after: of the retry policy
    :ivar culprit: the execution that is the most likely cause of the earlier service's end; None: several are
    """

    def __init__(self, suspects: Mapping[str, int], quarantine_after: int | None, blamed: str | None = None) -> None:
        self.culprit: str | None = blamed
        self._suspects = {**suspects}
        self._alike = Counter(self._suspects.values())
        self._quarantine_after = quarantine_after
        self._expected: set[str] = set()
        self._line: dict[str, asyncio.Future[None]] = {}
        self._running: set[str] = set()  # the group
        self._crashes = 0  # of each in the group
        self._room = 0

    @classmethod
    def after(cls, left: Iterable[OpenExecution], quarantine_after: int | None) -> Trial:
        """Return the trial for a service that starts with the executions that an earlier one left open."""
        crashes: dict[str, int] = {}
        ran: list[Interrupted] = []
        for found in left:
            running = found.request_id is not None and not found.waiting
            crashes[found.id] = found.crashes + running
            if running:
                ran.append(Interrupted(found.id, found.crashes))
        suspects = {execution_id: count for execution_id, count in crashes.items() if is_suspect(count)}
        return cls(suspects, quarantine_after, culprit(ran))

    def concerns(self, execution_id: str) -> bool:
        """Return whether the execution was a suspect when the service started."""
        return execution_id in self._suspects

    def expect(self, execution_id: str) -> None:
        """Form no group, if this is a suspect, before ``settled`` is called for it."""
        if self.concerns(execution_id):
            self._expected.add(execution_id)

    def settled(self, execution_id: str) -> None:
        self._expected.discard(execution_id)
        self._admit()

    def seconds(self, execution_id: str) -> float:
        """Return how long the next group waits for this suspect, in seconds."""
        return trial_seconds(self._suspects[execution_id])

    @asynccontextmanager
    async def turn(self, execution_id: str) -> AsyncGenerator[None]:
        """Wait until the turn of the suspect's group, and count it as running while the code inside runs."""
        admitted = self._line[execution_id] = asyncio.get_running_loop().create_future()
        self._admit()
        try:
            await admitted
            yield
        finally:
            self._line.pop(execution_id, None)
            self._running.discard(execution_id)
            self._admit()

    def _admit(self) -> None:
        """Admit the suspects that belong to the running group; if no group runs, admit the next one."""
        if self._expected or not self._line:
            return
        if not self._running:
            self._crashes = min(self._suspects[each] for each in self._line)
            self._room = group_size(self._alike[self._crashes], self._crashes, self._quarantine_after)
        alike = [each for each in self._line if self._suspects[each] == self._crashes]
        for each in group_order(alike, self._crashes)[: self._room]:
            admitted = self._line.pop(each)
            if not admitted.done():
                self._room -= 1
                self._running.add(each)
                admitted.set_result(None)
