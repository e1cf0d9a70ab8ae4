"""Keeps suspended workflows in memory, so that the next invocation need not replay them.

- an execution is here only if the last answer of its handler was PENDING and its record holds everything that it has
  received
- there is one copy of a workflow at a time: a new invocation waits until an evicted one has cleaned up
- evicting an execution suspends it: its next invocation replays the record
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager

import attrs

from durable_async._engine.calling import entered
from durable_async._engine.invocation import Invocation
from durable_async._threads import Threads
from durable_async._wire.envelope import Envelope, Output
from durable_async._wire.operations import OperationType
from durable_async.handler import AnyHandler, envelope_of
from durable_async.transport.base import DurableServiceClient


@attrs.frozen
class _Place:
    invocation: Invocation
    until: float  # the loop's time


class ExecutionCache:
    """Serves all handlers that one service invokes on one event loop.

    :param max_executions: when there are more, the least recently used is evicted; 0: none is kept
    :param idle: seconds after which an execution is evicted
    :param threads: in which sync steps run; None: those of the event loop
    """

    def __init__(self, max_executions: int, idle: float, *, threads: Threads | None = None) -> None:
        self._max = max_executions
        self._idle = idle
        self._threads = threads
        self._draining = False
        self._running: set[Invocation] = set()
        self._kept: OrderedDict[str, _Place] = OrderedDict()
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self.evictions: int = 0  # so far

    def keeps(self, execution_arn: str) -> bool:
        """Return whether the execution is here, so that its next invocation needs only what has changed since.

        The answer is valid until the event loop's next iteration.
        """
        place = self._kept.get(execution_arn)
        return place is not None and place.invocation.is_intact()

    def forget(self, execution_arn: str) -> None:
        """Evict an execution that will not continue."""
        place = self._kept.pop(execution_arn, None)
        if place is not None:
            self._evict(place.invocation)

    def size(self) -> int:
        """Return how many executions are here."""
        return len(self._kept)

    def is_open(self) -> bool:
        """Return whether an execution that runs may be kept."""
        return self._max > 0 and not self._draining

    def drain(self) -> None:
        """Evict all executions, and suspend those that run as soon as their running steps have ended.

        No further operation starts, and executions that are invoked later suspend as well. This does not wait;
        :meth:`aclose` does.
        """
        self._draining = True
        while self._kept:
            self._evict_oldest()
        for invocation in self._running:
            invocation.drain()

    async def aclose(self) -> None:
        """Drain, and return when all evicted workflows have cleaned up, which may take some seconds."""
        self.drain()
        if self._alarm is not None:
            self._alarm.cancel()
        while self._leaving:
            await asyncio.wait(self._leaving.values())

    async def run(
        self,
        handler: AnyHandler,
        event: object,
        *,
        client: DurableServiceClient,
        lambda_context: object = None,
    ) -> Output:
        """Handle one invocation, as ``handler.run`` does, without a replay if the execution is here.

        :raises RuntimeError: the execution is not here, and the envelope does not hold its record
        """
        envelope = envelope_of(event)
        invocation = await self._take(envelope)
        if invocation is None:
            invocation = handler.invocation(
                envelope, client, lambda_context, may_cache=self.is_open, threads=self._threads
            )
        else:
            invocation.resume(envelope, client, lambda_context)
        with self._running_now(invocation):
            return await handler.answer(invocation, envelope)

    async def _take(self, envelope: Envelope) -> Invocation | None:
        """Remove the execution's invocation from the cache and return it; None if the record must be replayed.

        :raises RuntimeError: it must be replayed, and the envelope does not hold the record
        """
        place = self._kept.pop(envelope.execution_arn, None)
        if place is not None and envelope.next_marker is None and place.invocation.is_intact():
            return place.invocation
        if place is not None:
            self._evict(place.invocation)  # it was cancelled from outside, or what changed fills more than a page
        if not any(operation["Type"] == OperationType.EXECUTION for operation in envelope.operations):
            raise RuntimeError(
                f"{envelope.execution_arn} is not in the execution cache, and the envelope holds only what has changed"
            )
        if (leaving := self._leaving.get(envelope.execution_arn)) is not None:
            await asyncio.wait([leaving])
        return None

    @contextmanager
    def _running_now(self, invocation: Invocation) -> Generator[None]:
        """Enter this while an invocation runs. If its workflow is suspended in memory at the end, keep it."""
        self._running.add(invocation)
        if self._draining:
            invocation.drain()
        answered = False
        try:
            yield
            answered = True
        finally:
            self._running.discard(invocation)
            if invocation.is_cached() and answered and self.is_open():
                self._keep(invocation)
            elif invocation.is_cached():
                self._evict(invocation)

    # --- keep and evict ---

    def _keep(self, invocation: Invocation) -> None:
        until = asyncio.get_running_loop().time() + self._idle
        self._kept[invocation.execution_arn] = _Place(invocation, until)
        if len(self._kept) > self._max:
            self._evict_oldest()
        self._arm()

    def _evict_oldest(self) -> None:
        _, place = self._kept.popitem(last=False)
        self._evict(place.invocation)

    def _evict(self, invocation: Invocation) -> None:
        self.evictions += 1
        arn = invocation.execution_arn
        with entered(None):  # the task must not belong to the workflow of the code that evicts it
            leaving = asyncio.get_running_loop().create_task(invocation.evict())
        self._leaving[arn] = leaving
        leaving.add_done_callback(lambda _: self._leaving.pop(arn))

    def _arm(self) -> None:
        if self._alarm is None and self._kept:
            oldest = next(iter(self._kept.values()))
            self._alarm = asyncio.get_running_loop().call_at(oldest.until, self._ring, oldest.until)

    def _ring(self, now: float) -> None:
        """Evict what is due.

        :param now: the time for which the alarm was set; the loop may be early by the resolution of its clock
        """
        self._alarm = None
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._evict_oldest()
        self._arm()
