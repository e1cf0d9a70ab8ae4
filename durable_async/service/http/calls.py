"""The operations, each as one call of the service. ``Invoke`` has a module of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
from aiohttp import web

from durable_async.service.engine import DurableService
from durable_async.service.http import shapes
from durable_async.service.http.responses import json_response
from durable_async.service.http.routes import Operation


@attrs.frozen
class Call:
    """A request that names an operation. ``parameter`` is its path's, decoded."""

    parameter: str
    request: web.Request
    body: bytes


async def _checkpoint(service: DurableService, call: Call) -> web.Response:
    batch = shapes.checkpoint(call.body)
    return json_response(await service.checkpoint(call.parameter, batch.token, batch.updates, batch.client_token))


async def _get_state(service: DurableService, call: Call) -> web.Response:
    token, marker = call.request.query.get("CheckpointToken", ""), call.request.query.get("Marker")
    count = shapes.number(call.request.query, "MaxItems")
    return json_response(await service.get_state(call.parameter, token, marker, count))


async def _get(service: DurableService, call: Call) -> web.Response:
    include = shapes.truth(call.request.query, "IncludeExecutionData", default=True)
    return json_response(await service.get_execution(call.parameter, include_data=include))


async def _get_history(service: DurableService, call: Call) -> web.Response:
    return json_response(
        await service.get_history(
            call.parameter,
            include_data=shapes.truth(call.request.query, "IncludeExecutionData", default=True),
            marker=call.request.query.get("Marker"),
            max_items=shapes.number(call.request.query, "MaxItems"),
            reverse=shapes.truth(call.request.query, "ReverseOrder", default=False),
        )
    )


async def _list(service: DurableService, call: Call) -> web.Response:
    return json_response(
        await service.list_executions(
            call.parameter,
            qualifier=call.request.query.get("Qualifier"),
            execution_name=call.request.query.get("DurableExecutionName"),
            statuses=call.request.query.getall("Statuses", []),
            started_after=shapes.timestamp(call.request.query, "StartedAfter"),
            started_before=shapes.timestamp(call.request.query, "StartedBefore"),
            reverse=shapes.truth(call.request.query, "ReverseOrder", default=False),
            marker=call.request.query.get("Marker"),
            max_items=shapes.number(call.request.query, "MaxItems"),
        )
    )


async def _stop(service: DurableService, call: Call) -> web.Response:
    return json_response(await service.stop(call.parameter, shapes.error_object(call.body)))


async def _pause(service: DurableService, call: Call) -> web.Response:
    asked = shapes.members(call.body)
    reason, timeout_too = shapes.text(asked, "Reason"), shapes.truth(asked, "ExecutionTimeoutPaused", default=True)
    return json_response(await service.pause(call.parameter, reason=reason, timeout_paused=timeout_too), status=202)


async def _resume(service: DurableService, call: Call) -> web.Response:
    reason = shapes.text(shapes.members(call.body), "Reason")
    return json_response(await service.resume(call.parameter, reason=reason), status=202)


async def _delete(service: DurableService, call: Call) -> web.Response:
    return json_response(await service.delete(call.parameter), status=202)


async def _callback_succeeded(service: DurableService, call: Call) -> web.Response:
    await service.callback_succeeded(call.parameter, call.body)
    return json_response({})


async def _callback_failed(service: DurableService, call: Call) -> web.Response:
    await service.callback_failed(call.parameter, shapes.error_object(call.body))
    return json_response({})


async def _callback_heartbeat(service: DurableService, call: Call) -> web.Response:
    await service.callback_heartbeat(call.parameter)
    return json_response({})


CALLS: Mapping[Operation, Callable[[DurableService, Call], Awaitable[web.Response]]] = {
    Operation.CHECKPOINT: _checkpoint,
    Operation.GET_STATE: _get_state,
    Operation.GET: _get,
    Operation.GET_HISTORY: _get_history,
    Operation.LIST: _list,
    Operation.STOP: _stop,
    Operation.PAUSE: _pause,
    Operation.RESUME: _resume,
    Operation.DELETE: _delete,
    Operation.CALLBACK_SUCCESS: _callback_succeeded,
    Operation.CALLBACK_FAILURE: _callback_failed,
    Operation.CALLBACK_HEARTBEAT: _callback_heartbeat,
}
