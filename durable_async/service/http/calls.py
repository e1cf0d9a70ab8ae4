"""The operations of the API: each reads its request, calls ``LambdaApi`` and writes the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from durable_async.service.functions.base import InvocationFailed
from durable_async.service.http import shapes
from durable_async.service.http.answer import Answer, execution_error, function_error, json_answer, text_answer
from durable_async.service.http.rendering import (
    callbacks_json,
    counts_json,
    execution_json,
    functions_json,
    history_json,
    list_json,
)
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.parsing import read
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.filters import Filters
from durable_async.service.runtime.histories import HISTORY_PAGE_BYTES
from durable_async.service.runtime.inputs import read_event
from durable_async.service.runtime.views import Started

_TRACE_HEADER_LENGTH = 1024
_LONGEST_WAIT = 20  # seconds; proxies give up a silent connection after 30 or 60
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<time>[0-9a-f]{8})(?P<rest>[0-9a-f]{24})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-|$)"
)


async def invoke(api: LambdaApi, call: Call) -> Answer:
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
            raise InvalidParameterValueError(f"'{kind[:256]}' is not an invocation type.")


async def _start_execution(api: LambdaApi, call: Call) -> Answer:
    return Answer(202, _names(await _started(api, call)))


async def _run_execution(api: LambdaApi, call: Call) -> Answer:
    started = await _started(api, call)
    closed = await api.wait(started.execution_arn)
    if closed.status == "SUCCEEDED":
        answer = text_answer("null" if closed.result is None else closed.result)
    else:
        answer = execution_error(closed.error)
    return answer.with_headers(_names(started))


async def _started(api: LambdaApi, call: Call) -> Started:
    return await api.invoke(
        call.parameter,
        call.body,
        qualifier=_qualifier(call),
        execution_name=_header(call, "x-amz-durable-execution-name"),
        tenant_id=_header(call, "x-amz-tenant-id"),
        trace_header=_trace_header(call),
        tags=shapes.tags(_header(call, "x-durable-execution-tags")),
    )


def _names(started: Started) -> dict[str, str]:
    return {
        "X-Amz-Durable-Execution-Arn": started.execution_arn,
        "X-Amz-Executed-Version": started.executed_version,
    }


async def _run_function(api: LambdaApi, call: Call) -> Answer:
    try:
        answer = json_answer(await api.invoke_plain(call.parameter, call.body, **_options(call)))
    except InvocationFailed as failed:
        answer = function_error(failed.error)
    return answer.with_headers({"X-Amz-Executed-Version": "$LATEST"})


async def _start_function(api: LambdaApi, call: Call) -> Answer:
    await api.invoke_event(call.parameter, call.body, **_options(call))
    return Answer(202)


def _options(call: Call) -> dict[str, str | None]:
    return {
        "qualifier": _qualifier(call),
        "tenant_id": _header(call, "x-amz-tenant-id"),
        "trace_header": _trace_header(call),
    }


def _qualifier(call: Call) -> str | None:
    return dict(call.query).get("Qualifier")


def _trace_header(call: Call) -> str | None:
    """Return the caller's X-Ray trace header, or its W3C ``traceparent`` written as one; None without either.

    An invalid ``traceparent`` is ignored, as W3C's specification demands.
    """
    if (header := _header(call, "x-amzn-trace-id")) is not None:
        return header if len(header) <= _TRACE_HEADER_LENGTH else None
    if (parent := _TRACEPARENT.match(call.headers.get("traceparent", ""))) is None:
        return None
    sampled = int(parent["flags"], 16) & 1
    return f"Root=1-{parent['time']}-{parent['rest']};Parent={parent['span']};Sampled={sampled}"


def _header(call: Call, name: str) -> str | None:
    value = call.headers.get(name)
    if value is not None and not value.isprintable():  # bytes that are not UTF-8 are surrogates here
        raise InvalidParameterValueError(f"{name} has characters that cannot be printed.")
    return value


@attrs.frozen
class Call:
    """A request that names an operation.

    :ivar parameter: the parameter in the path, decoded
    :ivar headers: names in lower case
    :ivar query: names and values, decoded. If a name with a single meaning is given twice, the last value counts
    """

    parameter: str
    headers: Mapping[str, str]
    query: list[tuple[str, str]]
    body: bytes


async def checkpoint(api: LambdaApi, call: Call) -> Answer:
    batch = await read(shapes.checkpoint, call.body)
    return json_answer(await api.checkpoint(call.parameter, batch.token, batch.updates, batch.client_token))


async def get_state(api: LambdaApi, call: Call) -> Answer:
    query = dict(call.query)
    token, count = query.get("CheckpointToken", ""), shapes.number(query, "MaxItems")
    return json_answer(await api.get_state(call.parameter, token, query.get("Marker"), count))


async def get(api: LambdaApi, call: Call) -> Answer:
    query = dict(call.query)
    include = shapes.truth(query, "IncludeExecutionData", default=True)
    execution = await api.get_execution(call.parameter, wait_seconds=_wait_seconds(query))
    return json_answer(execution_json(execution, include_data=include))


async def get_history(api: LambdaApi, call: Call) -> Answer:
    query = dict(call.query)
    include = shapes.truth(query, "IncludeExecutionData", default=True)
    page = await api.get_history(
        call.parameter,
        marker=query.get("Marker"),
        max_items=shapes.number(query, "MaxItems"),
        reverse=shapes.truth(query, "ReverseOrder", default=False),
        page_bytes=HISTORY_PAGE_BYTES if include else None,
        wait_seconds=_wait_seconds(query),
    )
    return json_answer(history_json(page, include_data=include))


def _wait_seconds(query: Mapping[str, str]) -> int:
    """Return for how long the caller waits for news. AWS has no such parameter."""
    seconds = shapes.number(query, "WaitSeconds")
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise InvalidParameterValueError(f"WaitSeconds must be between 0 and {_LONGEST_WAIT}.")
    return seconds


async def list_functions(api: LambdaApi, _call: Call) -> Answer:
    return json_answer(functions_json(await api.list_functions()))


async def list_executions(api: LambdaApi, call: Call) -> Answer:
    return await _list(api, call, call.parameter)


async def list_all_executions(api: LambdaApi, call: Call) -> Answer:
    return await _list(api, call, None)


async def _list(api: LambdaApi, call: Call, function_name: str | None) -> Answer:
    query = dict(call.query)
    page = await api.watch_executions(
        function_name,
        qualifier=query.get("Qualifier"),
        reverse=shapes.truth(query, "ReverseOrder", default=False),
        marker=query.get("Marker"),
        max_items=shapes.number(query, "MaxItems"),
        include_waiting_for=shapes.truth(query, "IncludeWaitingFor", default=False),
        wait_seconds=_wait_seconds(query),
        known_digest=query.get("KnownDigest"),
        **_filters(call),
    )
    return json_answer(list_json(page))


async def count_executions(api: LambdaApi, call: Call) -> Answer:
    query = dict(call.query)
    counts = await api.count_executions(query.get("FunctionName"), qualifier=query.get("Qualifier"), **_filters(call))
    return json_answer(counts_json(counts))


def _filters(call: Call) -> Filters:
    query = dict(call.query)
    return {
        "execution_name": query.get("DurableExecutionName"),
        "name_prefix": query.get("NamePrefix", ""),
        "statuses": [value for name, value in call.query if name == "Statuses"],
        "tags": dict(shapes.tag(value) for name, value in call.query if name == "Tags"),
        "started_after": shapes.timestamp(query, "StartedAfter"),
        "started_before": shapes.timestamp(query, "StartedBefore"),
    }


async def stop(api: LambdaApi, call: Call) -> Answer:
    stopped = await api.stop(call.parameter, await read(shapes.error_object, call.body))
    return json_answer({"StopTimestamp": stopped.timestamp()})


async def pause(api: LambdaApi, call: Call) -> Answer:
    asked = await read(shapes.members, call.body)
    reason, timeout_too = shapes.text(asked, "Reason"), shapes.truth(asked, "ExecutionTimeoutPaused", default=True)
    await api.pause(call.parameter, reason=reason, timeout_paused=timeout_too)
    return json_answer({}, status=202)


async def resume(api: LambdaApi, call: Call) -> Answer:
    reason = shapes.text(await read(shapes.members, call.body), "Reason")
    await api.resume(call.parameter, reason=reason)
    return json_answer({}, status=202)


async def cancel(api: LambdaApi, call: Call) -> Answer:
    reason = shapes.text(await read(shapes.members, call.body), "Reason")
    await api.cancel(call.parameter, reason=reason)
    return json_answer({}, status=202)


async def redrive(api: LambdaApi, call: Call) -> Answer:
    start = shapes.text(await read(shapes.members, call.body), "From")
    redriven = await api.redrive(call.parameter, start=start)
    return json_answer({"RedriveTimestamp": redriven.timestamp()}, status=202)


async def fork(api: LambdaApi, call: Call) -> Answer:
    asked = await read(shapes.fork, call.body)
    return _forked(await api.fork(call.parameter, **asked))


async def fork_history(api: LambdaApi, call: Call) -> Answer:
    asked, history = await read(shapes.fork_history, call.body)
    return _forked(await api.fork_history(call.parameter, history, **asked))


def _forked(started: Started) -> Answer:
    return json_answer({"DurableExecutionArn": started.execution_arn}, status=201)


async def delete(api: LambdaApi, call: Call) -> Answer:
    deleted = await api.delete(call.parameter)
    return json_answer({"DeletionRequestTimestamp": deleted.timestamp()}, status=202)


async def list_callbacks(api: LambdaApi, call: Call) -> Answer:
    return json_answer(callbacks_json(await api.list_callbacks(call.parameter)))


async def callback_succeeded(api: LambdaApi, call: Call) -> Answer:
    await api.callback_succeeded(call.parameter, call.body)
    return json_answer({})


async def callback_failed(api: LambdaApi, call: Call) -> Answer:
    await api.callback_failed(call.parameter, await read(shapes.error_object, call.body))
    return json_answer({})


async def callback_heartbeat(api: LambdaApi, call: Call) -> Answer:
    await api.callback_heartbeat(call.parameter)
    return json_answer({})
