"""A chained invoke: the service runs another function. No process of this one has to run meanwhile."""

from __future__ import annotations

from typing import Any

from durable_async._engine.call import Call
from durable_async._operations.values import recorded, serializer_context, written
from durable_async._wire.operations import (
    TERMINAL,
    Action,
    ChainedInvokeDetails,
    ChainedInvokeOptions,
    Operation,
    OperationStatus,
)
from durable_async.errors import InvokeError, InvokeFailedError, InvokeStoppedError, InvokeTimeoutError
from durable_async.operation_config import InvokeConfig
from durable_async.serializers import SerializerContext
from durable_async.serializers._json.serializer import FOREIGN_JSON


async def run_invoke(
    call: Call, function_name: str, payload: object, config: InvokeConfig, described: SerializerContext
) -> Any:
    """Start the function, unless it is on record, and return its result.

    :raises InvokeError: it failed, timed out, was stopped, or could not be invoked
    """
    record = await call.read() or await _start(call, function_name, payload, config)
    while record["Status"] not in TERMINAL:  # a target that cannot be invoked has failed already
        await call.wait(record)
        record = await call.read() or record
    details: ChainedInvokeDetails = record.get("ChainedInvokeDetails") or {}
    if record["Status"] == OperationStatus.SUCCEEDED:
        return await recorded(call, config.result_serializer or FOREIGN_JSON, details.get("Result"), described)
    kind, message = _failure(record["Status"])
    raise call.failure(kind, {"ErrorMessage": f"{function_name} {message}", **(details.get("Error") or {})})


async def _start(call: Call, function_name: str, payload: object, config: InvokeConfig) -> Operation:
    """Start the function.

    :raises SerializationError: the payload cannot be written
    :raises PayloadTooLargeError: the payload is too large
    """
    text = call.sized(await written(call, config.payload_serializer, payload, serializer_context(call)))
    options = ChainedInvokeOptions(FunctionName=function_name)
    if config.tenant_id is not None:
        options["TenantId"] = config.tenant_id
    if config.cancel_with_parent and "CancelWithParent" in call.journal.extensions:
        options["CancelWithParent"] = True
    observer = call.journal.observer
    if observer is not None and (trace_header := observer.trace_header(call, function_name)) is not None:
        options["XAmznTraceId"] = trace_header
    return await call.commit(Action.START, Payload=text, ChainedInvokeOptions=options)


def _failure(status: str) -> tuple[type[InvokeError], str]:
    """Return the class of the error for a status, and the end of its message if the record has none."""
    match status:
        case OperationStatus.TIMED_OUT:
            return InvokeTimeoutError, "timed out"
        case OperationStatus.STOPPED:
            return InvokeStoppedError, "was stopped"
        case _:
            return InvokeFailedError, "failed"
