"""The durable service: it keeps what executions did, and decides when their functions run again.

    async with LambdaApi() as service:
        service.register("orders", in_process_handler(handler, service))
        started = await service.invoke("orders:$LATEST", b'{"order": 42}')
        closed = await service.wait(started.execution_arn)

``in_process_handler`` is in ``durable_async.embedded.local``. Import the names below from here; the modules are
internal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_async._lazy import names_from

if TYPE_CHECKING:
    from durable_async.service.functions.base import (
        Function,
        InProcessFunction,
        InvocationFailed,
        InvocationRequest,
        Memory,
        in_process_function,
    )
    from durable_async.service.functions.remote import RemoteFunctions
    from durable_async.service.http import asgi_app, serve
    from durable_async.service.machine import ExecutionStatus, InvocationRetryPolicy, Limits
    from durable_async.service.model.errors import ApiError, DamagedExecutionError, ExecutionDeletedError, StoreError
    from durable_async.service.model.history import EventType, HistoryEvent
    from durable_async.service.runtime.api import LambdaApi
    from durable_async.service.runtime.filters import Filters
    from durable_async.service.runtime.inputs import ForkOptions
    from durable_async.service.runtime.observing import ServiceObserver
    from durable_async.service.runtime.settings import Timing
    from durable_async.service.runtime.views import (
        Closed,
        ExecutionDescription,
        ExecutionSummary,
        FunctionDescription,
        OpenCallback,
        OpenDetails,
        Page,
        PauseDetails,
        Started,
        WaitingFor,
    )
    from durable_async.service.store import Store
    from durable_async.service.store.sqlite import CommitLimits, SqliteStore

__all__ = [
    "ApiError",
    "Closed",
    "CommitLimits",
    "DamagedExecutionError",
    "EventType",
    "ExecutionDeletedError",
    "ExecutionDescription",
    "ExecutionStatus",
    "ExecutionSummary",
    "Filters",
    "ForkOptions",
    "Function",
    "FunctionDescription",
    "HistoryEvent",
    "InProcessFunction",
    "InvocationFailed",
    "InvocationRequest",
    "InvocationRetryPolicy",
    "LambdaApi",
    "Limits",
    "Memory",
    "OpenCallback",
    "OpenDetails",
    "Page",
    "PauseDetails",
    "RemoteFunctions",
    "ServiceObserver",
    "SqliteStore",
    "Started",
    "Store",
    "StoreError",
    "Timing",
    "WaitingFor",
    "asgi_app",
    "in_process_function",
    "serve",
]

# Imported at their first use, because an invocation waits for the start of a worker process, which needs no service.
_LATER = {
    "ApiError": "model.errors",
    "Closed": "runtime.views",
    "CommitLimits": "store.sqlite",
    "DamagedExecutionError": "model.errors",
    "ExecutionDeletedError": "model.errors",
    "EventType": "model.history",
    "ExecutionDescription": "runtime.views",
    "ExecutionStatus": "machine",
    "ExecutionSummary": "runtime.views",
    "Filters": "runtime.filters",
    "ForkOptions": "runtime.inputs",
    "Function": "functions.base",
    "FunctionDescription": "runtime.views",
    "InProcessFunction": "functions.base",
    "InvocationFailed": "functions.base",
    "InvocationRequest": "functions.base",
    "InvocationRetryPolicy": "machine",
    "LambdaApi": "runtime.api",
    "Limits": "machine",
    "HistoryEvent": "model.history",
    "Memory": "functions.base",
    "ServiceObserver": "runtime.observing",
    "OpenCallback": "runtime.views",
    "OpenDetails": "runtime.views",
    "Page": "runtime.views",
    "PauseDetails": "runtime.views",
    "RemoteFunctions": "functions.remote",
    "SqliteStore": "store.sqlite",
    "Started": "runtime.views",
    "Store": "store",
    "StoreError": "model.errors",
    "Timing": "runtime.settings",
    "WaitingFor": "runtime.views",
    "asgi_app": "http",
    "in_process_function": "functions.base",
    "serve": "http",
}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
