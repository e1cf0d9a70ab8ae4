"""The durable service: it keeps what executions did, and decides when their functions run again.

    async with DurableApi() as service:
        service.register("orders", local_function(handler, service))
        started = await service.invoke("orders:$LATEST", b'{"order": 42}')
        closed = await service.wait(started.execution_arn)

``local_function`` is in ``durable_async.transport.local``. The modules below are the service's own; these names are
what others use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_async.lazy import names_from

if TYPE_CHECKING:
    from durable_async.service.answers import Closed, Started
    from durable_async.service.api import DurableApi
    from durable_async.service.errors import ApiError, DamagedExecutionError, StoreError
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
    "DamagedExecutionError",
    "DurableApi",
    "Function",
    "InvocationFailed",
    "InvocationRequest",
    "InvocationRetryPolicy",
    "Limits",
    "LocalFunction",
    "Started",
    "StoreError",
    "plain_function",
]

# Imported when they are asked for: a worker process, whose start an invocation waits for, needs none of the service.
_LATER = {
    "ApiError": "errors",
    "Closed": "answers",
    "DurableApi": "api",
    "Function": "functions",
    "InvocationFailed": "functions",
    "InvocationRequest": "functions",
    "InvocationRetryPolicy": "machine",
    "Limits": "machine",
    "LocalFunction": "functions",
    "Started": "answers",
    "DamagedExecutionError": "errors",
    "StoreError": "errors",
    "plain_function": "functions",
}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__ = names_from(__name__, _LATER)
