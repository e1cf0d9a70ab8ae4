"""Where workflows stay in memory while nothing can progress: the next invocation need not replay them.

- an execution is here only if the last answer of its handler was PENDING, and all that it was told is in its record
- one copy of a workflow at a time: a new invocation waits until an evicted one has cleaned up
- evicted is suspended: the next invocation replays what is on record
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

import attrs

from durable_async._engine.branches import entered
from durable_async._engine.invocation import Invocation
from durable_async._wire.envelope import Envelope
from durable_async._wire.operations import OperationType


@attrs.frozen
class _Place:
    invocation: Invocation
    until: float  # the loop's time


class ExecutionCache:
    """For all handlers that one service invokes on one event loop.

    :param max_executions: the least recently parked is evicted for one more; 0: none is parked
    :param idle: seconds after which a parked execution is evicted
    """

    def __init__(self, max_executions: int, idle: float) -> None:
        self._max = max_executions
        self._idle = idle
        self._draining = False
        self._running: set[Invocation] = set()
        self._parked: OrderedDict[str, _Place] = OrderedDict()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self.evictions: int = 0  # so far

    def keeps(self, execution_arn: str) -> bool:
        """Whether the execution is here, so that what changed since is all that its next invocation has to be told.

        The answer holds until the event loop's next turn.
        """
        place = self._parked.get(execution_arn)
        return place is not None and place.invocation.is_intact()

    def forget(self, execution_arn: str) -> None:
        """Evict an execution that nobody will go on with."""
        place = self._parked.pop(execution_arn, None)
        if place is not None:
            self._evict(place.invocation)

    def size(self) -> int:
        """Return how many executions are parked."""
        return len(self._parked)

    def is_open(self) -> bool:
        """Whether one that runs may be parked."""
        return self._max > 0 and not self._draining

    def drain(self) -> None:
        """For a shutdown: evict all, and let what runs suspend as soon as the running bodies of steps have ended.

        No further operation starts, and what is invoked later suspends as well. Who waits for the invocations that run
        need not wait for those that are evicted; :meth:`aclose` does.
        """
        self._draining = True
        while self._parked:
            self._evict_oldest()
        for invocation in self._running:
            invocation.drain()

    async def aclose(self) -> None:
        """Drain, and return when nothing evicted is left in memory. It may take some seconds to clean up."""
        self.drain()
        if self._alarm is not None:
            self._alarm.cancel()
        while self._leaving:
            await asyncio.wait(self._leaving.values())

    # --- for the handler ---

    async def take(self, envelope: Envelope) -> Invocation | None:
        """What is parked of the execution; None if nothing is: then it has to be replayed.

        :raises RuntimeError: it would have to be replayed, and the envelope does not hold the record
        """
        place = self._parked.pop(envelope.execution_arn, None)
        if place is not None and envelope.next_marker is None and place.invocation.is_intact():
            return place.invocation
        if place is not None:
            self._evict(place.invocation)  # it was cancelled from outside, or what changed fills more than a page
        if not any(operation["Type"] == OperationType.EXECUTION for operation in envelope.operations):
            raise RuntimeError(f"{envelope.execution_arn} was to go on from memory, and is not there")
        if (leaving := self._leaving.get(envelope.execution_arn)) is not None:
            await asyncio.wait([leaving])
        return None

    @contextmanager
    def running(self, invocation: Invocation) -> Generator[None]:
        """Entered while an invocation runs. If it is parked at the end, it stays here."""
        self._running.add(invocation)
        if self._draining:
            invocation.drain()
        answered = False
        try:
            yield
            answered = True
        finally:
            self._running.discard(invocation)
            if invocation.is_parked and answered and self.is_open():
                self._keep(invocation)
            elif invocation.is_parked:
                self._evict(invocation)

    # --- coming and going ---

    def _keep(self, invocation: Invocation) -> None:
        until = asyncio.get_running_loop().time() + self._idle
        self._parked[invocation.execution_arn] = _Place(invocation, until)
        if len(self._parked) > self._max:
            self._evict_oldest()
        self._arm()

    def _evict_oldest(self) -> None:
        _, place = self._parked.popitem(last=False)
        self._evict(place.invocation)

    def _evict(self, invocation: Invocation) -> None:
        self.evictions += 1
        arn = invocation.execution_arn
        with entered(None):  # whoever evicts it, this task belongs to no workflow
            leaving = asyncio.get_running_loop().create_task(invocation.leave())
        self._leaving[arn] = leaving
        leaving.add_done_callback(lambda _: self._leaving.pop(arn))

    def _arm(self) -> None:
        if self._alarm is None and self._parked:
            oldest = next(iter(self._parked.values()))
            self._alarm = asyncio.get_running_loop().call_at(oldest.until, self._ring, oldest.until)

    def _ring(self, now: float) -> None:
        """:param now: for which the alarm was set; the loop may be early by the resolution of its clock"""
        self._alarm = None
        while self._parked and next(iter(self._parked.values())).until <= now:
            self._evict_oldest()
        self._arm()
