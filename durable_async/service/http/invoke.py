"""Invoke: starts a durable execution, or runs an ordinary function once; and waits for the end, or does not."""

from __future__ import annotations

from durable_async.service.answers import Started
from durable_async.service.api import DurableApi, read_event
from durable_async.service.errors import InvalidParameterValueError
from durable_async.service.functions import InvocationFailed
from durable_async.service.http.answer import Answer, execution_error, function_error, json_answer, text_answer
from durable_async.service.http.calls import Call


async def invoke(api: DurableApi, call: Call) -> Answer:
    durable = api.is_durable(call.parameter, _qualifier(call))
    match _header(call, "x-amz-invocation-type"):
        case "DryRun":
            await read_event(call.body)
            return Answer(204)
        case None | "RequestResponse":
            return await (_run_execution(api, call) if durable else _run_function(api, call))
        case "Event":
            return await (_start_execution(api, call) if durable else _start_function(api, call))
        case kind:
            raise InvalidParameterValueError(f"'{kind[:256]}' is no invocation type.")


async def _start_execution(api: DurableApi, call: Call) -> Answer:
    return Answer(202, _names(await _started(api, call)))


async def _run_execution(api: DurableApi, call: Call) -> Answer:
    started = await _started(api, call)
    closed = await api.wait(started.execution_arn)
    if closed.status == "SUCCEEDED":
        answer = text_answer("null" if closed.result is None else closed.result)
    else:
        answer = execution_error(closed.error)
    return answer.with_headers(_names(started))


async def _started(api: DurableApi, call: Call) -> Started:
    return await api.invoke(
        call.parameter,
        call.body,
        qualifier=_qualifier(call),
        execution_name=_header(call, "x-amz-durable-execution-name"),
        tenant_id=_header(call, "x-amz-tenant-id"),
    )


def _names(started: Started) -> dict[str, str]:
    return {
        "X-Amz-Durable-Execution-Arn": started.execution_arn,
        "X-Amz-Executed-Version": started.executed_version,
    }


async def _run_function(api: DurableApi, call: Call) -> Answer:
    tenant = _header(call, "x-amz-tenant-id")
    try:
        answer = json_answer(
            await api.invoke_plain(call.parameter, call.body, qualifier=_qualifier(call), tenant_id=tenant)
        )
    except InvocationFailed as failed:
        answer = function_error(failed.error)
    return answer.with_headers({"X-Amz-Executed-Version": "$LATEST"})


async def _start_function(api: DurableApi, call: Call) -> Answer:
    tenant = _header(call, "x-amz-tenant-id")
    await api.invoke_event(call.parameter, call.body, qualifier=_qualifier(call), tenant_id=tenant)
    return Answer(202)


def _qualifier(call: Call) -> str | None:
    return dict(call.query).get("Qualifier")


def _header(call: Call, name: str) -> str | None:
    value = call.headers.get(name)
    if value is not None and not value.isprintable():  # bytes that are no UTF-8 are surrogates here
        raise InvalidParameterValueError(f"{name} has characters that cannot be printed.")
    return value
