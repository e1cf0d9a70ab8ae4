"""Sends the updates of operations to the service, in order, one request at a time.

- order: updates leave in the order in which they were enqueued
- one in flight: the next request carries the token that the last one returned
- no timer delays a caller: a batch is what was ready when the previous request was answered
- complete: no checkpoint leaves before all pages of the record are here, because a page's marker is bound to the token
- nothing is lost: a failure ends the invocation, and so everything that waits for a checkpoint
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from durable_async._engine.limits import DEFAULT_LIMITS, EngineLimits
from durable_async._engine.record import Record
from durable_async._wire.limits import CHECKPOINT_BYTES, CHECKPOINT_UPDATES
from durable_async._wire.operations import Operation, OperationType, OperationUpdate
from durable_async._wire.text import wire_size
from durable_async.errors import ServiceCallError

if TYPE_CHECKING:
    from durable_async.transport.base import DurableServiceClient

T = TypeVar("T")


class _Entry(NamedTuple):
    update: OperationUpdate | None  # None: only ask what has changed
    size: int
    recorded: asyncio.Future[None] | None
    since: float = 0.0  # the loop's time


class Flusher:
    """The one background task of an invocation that sends checkpoints.

    :param settled: returns None, or a future to wait for before a checkpoint is sent: the workflow is about to
        continue, and what it enqueues then leaves with the same checkpoint
    :param on_sent: called when a checkpoint was answered, and the code that waited for it was woken
    :param on_failed: called when ``run`` ends with an error: a ServiceCallError; a TokenWithdrawn, if the service
        returned no further token; or another error of the client
    :ivar is_reading: the record has only a part of an answer
    """

    def __init__(
        self,
        client: DurableServiceClient,
        execution_arn: str,
        token: str,
        record: Record,
        loop: asyncio.AbstractEventLoop,
        *,
        settled: Callable[[], asyncio.Future[None] | None] = lambda: None,
        on_sent: Callable[[], None] = lambda: None,
        on_failed: Callable[[Exception], None],
        limits: EngineLimits = DEFAULT_LIMITS,
    ) -> None:
        self.client: DurableServiceClient = client
        self._execution_arn = execution_arn
        self._token = token
        self._record = record
        self._loop = loop
        self._settled = settled
        self._on_sent = on_sent
        self._on_failed = on_failed
        self._limits = limits
        self._outbox: deque[_Entry] = deque()
        self._in_flight: list[_Entry] = []
        # Not the future of the last entry: the code that waits for that one cancels it when it is cancelled itself.
        self._drained: asyncio.Future[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._urgent = False
        self.is_reading: bool = False
        self._is_stopped = False
        self._is_closed = False
        self._nudge: asyncio.TimerHandle | None = None
        self._calls_id = os.urandom(16).hex()
        self._calls = 0

    def post(self, update: OperationUpdate) -> None:
        """Record ``update`` with the next checkpoint."""
        now = self._loop.time()
        self._outbox.append(_Entry(update, wire_size(update), None, now))
        if self._nudge is None:
            due = now + self._limits.show_start
            self._nudge = self._loop.call_at(due, self._show, due)

    def commit(self, update: OperationUpdate) -> asyncio.Future[None]:
        """Record ``update``, and return a future that is done when the service has accepted it and its answer is in
        the record."""
        return self._send(update, wire_size(update))

    def refresh(self) -> asyncio.Future[None]:
        """Ask the service what has changed, and return a future that is done when the answer is in the record."""
        return self._send(None, 0)

    def resume(self, client: DurableServiceClient, token: str) -> None:
        """Continue in the next invocation, for which ``run`` is called again. What was enqueued before leaves first."""
        self.client = client
        self._token = token

    def is_idle(self) -> bool:
        """Return whether no call to the service is on its way: ``run`` ends at once if it is cancelled now."""
        return self._wake is not None and not self._wake.done()

    def is_empty(self) -> bool:
        """Return whether all that was enqueued is recorded."""
        return not (self._outbox or self._in_flight)

    def is_awaited(self) -> bool:
        """Return whether somebody waits for something that was enqueued and is not recorded yet."""
        return any(
            entry.recorded is not None and not entry.recorded.done() for entry in chain(self._in_flight, self._outbox)
        )

    def drained(self) -> asyncio.Future[None] | None:
        """Return a future that is done when all that was enqueued is recorded; None if it is."""
        if self.is_empty():
            return None
        if self._outbox:
            self._hurry()
        if self._drained is None:
            self._drained = self._loop.create_future()
        return self._drained

    async def run(self, marker: str | None) -> None:
        """Load the rest of the record, then send until cancelled, or until a call fails that is not to be repeated now.

        :param marker: where the record continues after the part that came with the invocation; None: it is complete
        """
        self._is_closed = False
        try:
            await self._load(marker, self._record.load)
            if marker and self._record.may_have_changed():
                self.refresh()  # an earlier page may lack a change that came while a later one was read
                await self._send_batch()
            self._record.loaded()
            while not self._is_closed:
                if not self._urgent:
                    self._wake = self._loop.create_future()
                    await self._wake
                while (settled := self._settled()) is not None:
                    await settled
                if self._is_stopped:
                    await self._loop.create_future()
                await self._send_batch()
                await asyncio.sleep(0)  # code that was just woken enqueues what comes next, and that leaves too
                self._on_sent()
        except Exception as error:  # noqa: BLE001 - of the client too
            self._on_failed(error)

    def stop(self) -> None:
        """Send nothing more, except for the checkpoint that is on its way."""
        self._is_stopped = True

    def close(self) -> None:
        """Let ``run`` end when it is cancelled, even if the client answers a call in spite of that."""
        self._is_closed = True
        if self._nudge is not None:
            self._nudge.cancel()
            self._nudge = None

    def _send(self, update: OperationUpdate | None, size: int) -> asyncio.Future[None]:
        recorded: asyncio.Future[None] = self._loop.create_future()
        self._outbox.append(_Entry(update, size, recorded))
        self._urgent = True  # what _hurry does, without a call: each operation sends here
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        return recorded

    def _hurry(self) -> None:
        self._urgent = True
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _show(self, now: float) -> None:
        """Send what is due.

        :param now: the time for which this was set; the loop may be early by the resolution of its clock
        """
        self._nudge = None
        if not self._outbox:
            return
        due = self._outbox[0].since + self._limits.show_start
        if due <= now:
            self._hurry()
        else:  # the update that set the timer has left already
            self._nudge = self._loop.call_at(due, self._show, due)

    async def _send_batch(self) -> None:
        batch, updates = self._take()
        self._in_flight = batch
        self._calls += 1
        client_token = f"{self._calls_id}-{self._calls}"  # the same over repetitions, so that none is recorded twice
        send = partial(self.client.checkpoint, self._execution_arn, self._token, updates, client_token)
        try:
            result = await send()
        except ServiceCallError as error:
            result = await self._repeat(send, error)
        self._token = result.get("CheckpointToken") or ""
        state = result["NewExecutionState"]
        closing = bool(updates) and updates[-1]["Type"] == OperationType.EXECUTION
        self._record.apply(state["Operations"])
        if not closing:
            if not self._token:
                from durable_async._engine.failures import TokenWithdrawn  # few calls fail

                raise TokenWithdrawn
            if marker := state.get("NextMarker"):
                self.is_reading = True
                await self._load(marker, self._record.apply)
        for entry in batch:
            if entry.recorded is not None and not entry.recorded.done():
                entry.recorded.set_result(None)
        self._in_flight = []
        self.is_reading = False
        if self._drained is not None and not self._outbox:
            self._drained.set_result(None)
            self._drained = None

    def _take(self) -> tuple[list[_Entry], list[OperationUpdate]]:
        """Return what one checkpoint takes of the outbox, and its updates."""
        batch: list[_Entry] = []
        updates: list[OperationUpdate] = []
        size = 0
        while self._outbox and len(batch) < CHECKPOINT_UPDATES:
            size += self._outbox[0].size
            if batch and size > CHECKPOINT_BYTES:
                break
            entry = self._outbox.popleft()
            batch.append(entry)
            if entry.update is not None:
                updates.append(entry.update)
        self._urgent = bool(self._outbox)
        return batch, updates

    async def _load(self, marker: str | None, take: Callable[[list[Operation]], None]) -> None:
        while marker:
            read = partial(self.client.get_state, self._execution_arn, self._token, marker)
            try:
                page = await read()
            except ServiceCallError as error:
                page = await self._repeat(read, error)
            take(page["Operations"])
            marker = page.get("NextMarker")

    async def _repeat(self, call: Callable[[], Awaitable[T]], error: ServiceCallError) -> T:
        """Await ``call()`` again while the service answers that it is busy, as often as the limits allow.

        :param error: raised by the first call
        """
        from random import uniform  # few services are ever busy

        from durable_async._engine.failures import Verdict, verdict

        delay = self._limits.busy_delay
        for _ in range(self._limits.busy_attempts):
            if verdict(error) is not Verdict.WAIT:
                break
            await asyncio.sleep(uniform(delay / 2, delay))  # noqa: S311 - no secret
            delay = min(delay * 2, self._limits.busy_delay_max)
            try:
                return await call()
            except ServiceCallError as again:
                error = again
        raise error
