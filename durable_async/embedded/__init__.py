"""The durable service inside your program: it runs your handlers, and takes and returns Python values.

    async with DurableService("orders.db") as service:
        service.register(fulfil)
        execution = await service.start(fulfil, order, name="order-1017")
        receipt = await execution.result()

``service.api`` is the :class:`~durable_async.service.LambdaApi` on which it is built.
"""

from durable_async.client.execution import ExecutionHandle
from durable_async.embedded.service import DurableService
from durable_async.service.machine import ExecutionStatus
from durable_async.service.model.history import EventType, HistoryEvent
from durable_async.service.runtime.views import ExecutionDescription, ExecutionSummary, OpenCallback, PauseDetails

__all__ = [
    "DurableService",
    "EventType",
    "ExecutionDescription",
    "ExecutionHandle",
    "ExecutionStatus",
    "ExecutionSummary",
    "HistoryEvent",
    "OpenCallback",
    "PauseDetails",
]
