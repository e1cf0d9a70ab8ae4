"""The operations, each as one call of the API. ``Invoke`` has a module of its own."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from durable_async.service.api import DurableApi
from durable_async.service.http import shapes
from durable_async.service.http.answer import Answer, json_answer
from durable_async.service.parsing import read


@attrs.frozen
class Call:
    """A request that names an operation.

    :ivar parameter: of the path, decoded
    :ivar headers: names in lower case
    :ivar query: names and values, decoded; of a name that is given twice and means one thing, the last counts
    """

    parameter: str
    headers: Mapping[str, str]
    query: list[tuple[str, str]]
    body: bytes


async def checkpoint(api: DurableApi, call: Call) -> Answer:
    batch = await read(shapes.checkpoint, call.body)
    return json_answer(await api.checkpoint(call.parameter, batch.token, batch.updates, batch.client_token))


async def get_state(api: DurableApi, call: Call) -> Answer:
    query = dict(call.query)
    token, count = query.get("CheckpointToken", ""), shapes.number(query, "MaxItems")
    return json_answer(await api.get_state(call.parameter, token, query.get("Marker"), count))


async def get(api: DurableApi, call: Call) -> Answer:
    include = shapes.truth(dict(call.query), "IncludeExecutionData", default=True)
    return json_answer(await api.get_execution(call.parameter, include_data=include))


async def get_history(api: DurableApi, call: Call) -> Answer:
    query = dict(call.query)
    return json_answer(
        await api.get_history(
            call.parameter,
            include_data=shapes.truth(query, "IncludeExecutionData", default=True),
            marker=query.get("Marker"),
            max_items=shapes.number(query, "MaxItems"),
            reverse=shapes.truth(query, "ReverseOrder", default=False),
        )
    )


async def list_functions(api: DurableApi, _call: Call) -> Answer:
    return json_answer(await api.list_functions())


async def list_executions(api: DurableApi, call: Call) -> Answer:
    query = dict(call.query)
    return json_answer(
        await api.list_executions(
            call.parameter,
            qualifier=query.get("Qualifier"),
            execution_name=query.get("DurableExecutionName"),
            statuses=[value for name, value in call.query if name == "Statuses"],
            started_after=shapes.timestamp(query, "StartedAfter"),
            started_before=shapes.timestamp(query, "StartedBefore"),
            reverse=shapes.truth(query, "ReverseOrder", default=False),
            marker=query.get("Marker"),
            max_items=shapes.number(query, "MaxItems"),
        )
    )


async def stop(api: DurableApi, call: Call) -> Answer:
    return json_answer(await api.stop(call.parameter, await read(shapes.error_object, call.body)))


async def pause(api: DurableApi, call: Call) -> Answer:
    asked = await read(shapes.members, call.body)
    reason, timeout_too = shapes.text(asked, "Reason"), shapes.truth(asked, "ExecutionTimeoutPaused", default=True)
    return json_answer(await api.pause(call.parameter, reason=reason, timeout_paused=timeout_too), status=202)


async def resume(api: DurableApi, call: Call) -> Answer:
    reason = shapes.text(await read(shapes.members, call.body), "Reason")
    return json_answer(await api.resume(call.parameter, reason=reason), status=202)


async def delete(api: DurableApi, call: Call) -> Answer:
    return json_answer(await api.delete(call.parameter), status=202)


async def callback_succeeded(api: DurableApi, call: Call) -> Answer:
    await api.callback_succeeded(call.parameter, call.body)
    return json_answer({})


async def callback_failed(api: DurableApi, call: Call) -> Answer:
    await api.callback_failed(call.parameter, await read(shapes.error_object, call.body))
    return json_answer({})


async def callback_heartbeat(api: DurableApi, call: Call) -> Answer:
    await api.callback_heartbeat(call.parameter)
    return json_answer({})
