"""The durable service inside your program: handlers in, typed results out.

    async with DurableService("orders.db") as service:
        service.register(fulfil)
        execution = await service.start(fulfil, order, name="order-1017")
        receipt = await execution.result()

:mod:`durable_async.service` is the engine underneath, which knows names, bytes and JSON; ``service.api`` is it.
"""

from durable_async.embedded.execution import ExecutionHandle
from durable_async.embedded.service import DurableService, ExecutionSummary
from durable_async.embedded.shapes import ExecutionDescription, HistoryEvent, Status

__all__ = ["DurableService", "ExecutionDescription", "ExecutionHandle", "ExecutionSummary", "HistoryEvent", "Status"]
