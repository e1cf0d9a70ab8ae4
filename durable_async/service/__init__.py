"""The durable service: it keeps what executions did, and decides when their functions run again.

    async with DurableService() as service:
        service.register("orders", local_function(handler, service))
        started = await service.invoke("orders:$LATEST", b'{"order": 42}')
        closed = await service.wait(started.execution_arn)

``local_function`` is in ``durable_async.transport.local``. The modules below are the service's own; these names are
what others use.
"""

from __future__ import annotations

from durable_async.service.answers import Closed, Started
from durable_async.service.engine import DurableService
from durable_async.service.errors import ApiError
from durable_async.service.functions import (
    Function,
    InvocationFailed,
    InvocationRequest,
    LocalFunction,
    plain_function,
)
from durable_async.service.machine import InvocationRetryPolicy, Limits

__all__ = [
    "ApiError",
    "Closed",
    "DurableService",
    "Function",
    "InvocationFailed",
    "InvocationRequest",
    "InvocationRetryPolicy",
    "Limits",
    "LocalFunction",
    "Started",
    "plain_function",
]
