"""Deletes closed executions when their retention is over."""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from durable_async.service.machine import Execution
from durable_async.service.model.errors import StoreError
from durable_async.service.store import Store

logger: logging.Logger = logging.getLogger("durable_async.service")

_DAY_MS = 24 * 60 * 60 * 1000
_SWEEP_COUNT = 100  # deleted at once


@attrs.frozen
class Retention:
    """Deletes closed executions.

    :ivar days: how long a closed execution is kept
    :ivar now_ms: returns the time in epoch milliseconds
    """

    store: Store
    days: int
    now_ms: Callable[[], int]

    def is_over(self, execution: Execution) -> bool:
        return execution.ended_ms is not None and execution.ended_ms < self._kept_from_ms()

    async def sweep(self) -> None:
        """Delete the executions whose retention is over, in small portions."""
        try:
            deleted = _SWEEP_COUNT
            while deleted == _SWEEP_COUNT:
                deleted = await self.store.delete_closed(self._kept_from_ms(), _SWEEP_COUNT)
        except StoreError as error:
            logger.warning("Executions whose retention is over could not be deleted: %s", error.message)

    def _kept_from_ms(self) -> int:
        """Return the time before which an execution must have ended for its retention to be over."""
        return self.now_ms() - self.days * _DAY_MS + 1
