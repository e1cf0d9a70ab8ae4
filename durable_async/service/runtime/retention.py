"""Deletes closed executions when their retention is over."""

from __future__ import annotations

import logging

from durable_async.service.machine import Execution
from durable_async.service.model.errors import StoreError
from durable_async.service.own_tasks import OwnTasks
from durable_async.service.runtime.settings import Settings
from durable_async.service.runtime.timers import Alarm
from durable_async.service.store import Store

logger: logging.Logger = logging.getLogger("durable_async.service")

_DAY_MS = 24 * 60 * 60 * 1000
_SWEEP_COUNT = 100  # deleted at once


class Retention:
    """Deletes closed executions, now and then while the service runs."""

    def __init__(self, store: Store, settings: Settings, tasks: OwnTasks) -> None:
        self._store = store
        self._days = settings.retention_days
        self._now_ms = settings.now_ms
        self._sweep_ms = round(settings.timing.sweep * 1000)
        self._closed = False
        self.alarm: Alarm = Alarm(self._now_ms, lambda: tasks.start(self.sweep_if_due()), settings.timing.check_clock)

    def begin(self) -> None:
        """Set the alarm for the next sweep."""
        if not self._closed:
            self.alarm.set("", self._now_ms() + self._sweep_ms)

    def close(self) -> None:
        """Sweep no more."""
        self._closed = True
        self.alarm.close()

    def is_over(self, execution: Execution) -> bool:
        """Return whether the execution has been closed for longer than it is kept."""
        return execution.ended_ms is not None and execution.ended_ms < self._kept_from_ms()

    async def sweep_if_due(self) -> None:
        """Delete the executions whose retention is over, if it is time to."""
        if not self.alarm.pop_due():  # or the alarm would ring again in each turn of the loop, until the sweep ends
            return
        await self._sweep()
        self.begin()

    async def _sweep(self) -> None:
        """Delete the executions whose retention is over, in small portions."""
        try:
            deleted = _SWEEP_COUNT
            while deleted == _SWEEP_COUNT:
                deleted = await self._store.delete_closed(self._kept_from_ms(), _SWEEP_COUNT)
        except StoreError as error:
            logger.warning("Executions whose retention is over could not be deleted: %s", error.message)

    def _kept_from_ms(self) -> int:
        """Return the time before which an execution must have ended for its retention to be over."""
        return self._now_ms() - self._days * _DAY_MS + 1
