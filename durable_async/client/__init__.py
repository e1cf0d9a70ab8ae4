"""Executions of a service elsewhere: the embedded service's methods and handles, over Lambda's API.

async with DurableClient("http://127.0.0.1:8700") as client:
execution = await client.start(fulfil, order, name="order-1017")
receipt = await execution.result()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_async._lazy import names_from

if TYPE_CHECKING:
    from durable_async.client.calls import Polling
    from durable_async.client.client import DurableClient
    from durable_async.client.execution import ExecutionHandle
    from durable_async.client.executions import Executions

__all__ = ["DurableClient", "ExecutionHandle", "Executions", "Polling"]

_LATER = {"DurableClient": "client", "ExecutionHandle": "execution", "Executions": "executions", "Polling": "calls"}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
