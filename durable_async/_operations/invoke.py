"""A chained invoke: another function, which the service runs while no process of this one has to live."""

from __future__ import annotations

from typing import Any

from durable_async._engine.call import Call
from durable_async._operations.values import recorded, written
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
    call: Call, function_name: str, payload: Any, config: InvokeConfig, described: SerializerContext
) -> Any:
    record = await call.look() or await _start(call, function_name, payload, config)
    while record["Status"] not in TERMINAL:  # a target that cannot be invoked has failed already
        await call.park(record)
        record = await call.look() or record
    details: ChainedInvokeDetails = record.get("ChainedInvokeDetails") or {}
    if record["Status"] == OperationStatus.SUCCEEDED:
        return await recorded(call, config.result_serializer or FOREIGN_JSON, details.get("Result"), described)
    kind, message = _failure(record["Status"])
    raise call.failure(kind, {"ErrorMessage": f"{function_name} {message}", **(details.get("Error") or {})})


async def _start(call: Call, function_name: str, payload: Any, config: InvokeConfig) -> Operation:
    """:raises SerializationError: the payload cannot be written; :raises PayloadTooLargeError: it is too large"""
    described = SerializerContext(call.invocation.execution_arn, call.id, call.name)
    text = call.sized(await written(call, config.payload_serializer, payload, described))
    options = ChainedInvokeOptions(FunctionName=function_name)
    if config.tenant_id is not None:
        options["TenantId"] = config.tenant_id
    if config.cancel_with_parent and "CancelWithParent" in call.invocation.extensions:
        options["CancelWithParent"] = True
    plugins = call.invocation.plugins
    if plugins is not None and (trace_header := plugins.trace_header(call, function_name)) is not None:
        options["XAmznTraceId"] = trace_header
    return await call.commit(Action.START, Payload=text, ChainedInvokeOptions=options)


def _failure(status: str) -> tuple[type[InvokeError], str]:
    """The error of a status, and what to say if the record does not."""
    match status:
        case OperationStatus.TIMED_OUT:
            return InvokeTimeoutError, "timed out"
        case OperationStatus.STOPPED:
            return InvokeStoppedError, "was stopped"
        case _:
            return InvokeFailedError, "failed"
