"""Invoke: starts a durable execution, or runs an ordinary function once; and waits for the end, or does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from aiohttp import web

from durable_async.service.engine import DurableService
from durable_async.service.errors import ApiError, InvalidParameterValueError
from durable_async.service.functions import InvocationFailed
from durable_async.service.http import shapes
from durable_async.service.http.calls import Call
from durable_async.service.http.responses import execution_error, function_error, json_response

logger: logging.Logger = logging.getLogger("durable_async.service")


class Invoker:
    """Keeps the invocations that nobody waits for."""

    def __init__(self, service: DurableService) -> None:
        self._service = service
        self._tasks: set[asyncio.Task[None]] = set()

    async def unattended(self, _app: web.Application) -> AsyncGenerator[None]:
        """Ends them with the application."""
        yield
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def invoke(self, _service: DurableService, call: Call) -> web.Response:
        durable = self._service.is_durable(call.parameter)
        shapes.check_event(call.body)
        match _header(call, "X-Amz-Invocation-Type"):
            case "DryRun":
                return web.Response(status=204)
            case None | "RequestResponse":
                return await (self._run_execution(call) if durable else self._run_function(call))
            case "Event":
                return await self._start_execution(call) if durable else self._start_function(call)
            case kind:
                raise InvalidParameterValueError(f"'{kind[:256]}' is no invocation type.")

    async def _start_execution(self, call: Call) -> web.Response:
        started = await self._service.invoke(
            call.parameter,
            call.body,
            qualifier=call.request.query.get("Qualifier"),
            execution_name=_header(call, "X-Amz-Durable-Execution-Name"),
            tenant_id=_header(call, "X-Amz-Tenant-Id"),
        )
        response = web.Response(status=202)
        response.headers["X-Amz-Durable-Execution-Arn"] = started.execution_arn
        response.headers["X-Amz-Executed-Version"] = started.executed_version
        return response

    async def _run_execution(self, call: Call) -> web.Response:
        started = await self._start_execution(call)
        closed = await self._service.wait(started.headers["X-Amz-Durable-Execution-Arn"])
        if closed.status == "SUCCEEDED":
            result = "null" if closed.result is None else closed.result
            response = web.Response(body=result.encode(errors="replace"), content_type="application/json")
        else:
            response = execution_error(closed.error)
        for name in ("X-Amz-Durable-Execution-Arn", "X-Amz-Executed-Version"):
            response.headers[name] = started.headers[name]
        return response

    async def _run_function(self, call: Call) -> web.Response:
        try:
            response = json_response(await self._result(call))
        except InvocationFailed as failed:
            response = function_error(failed.error)
        response.headers["X-Amz-Executed-Version"] = "$LATEST"
        return response

    def _start_function(self, call: Call) -> web.Response:
        task = asyncio.create_task(self._run_unattended(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.Response(status=202)

    async def _run_unattended(self, call: Call) -> None:
        try:
            await self._result(call)
        except (InvocationFailed, ApiError) as failed:
            logger.warning("the asynchronous invocation of %s failed: %s", call.parameter, failed)

    async def _result(self, call: Call) -> Any:
        return await self._service.invoke_plain(
            call.parameter,
            call.body,
            qualifier=call.request.query.get("Qualifier"),
            tenant_id=_header(call, "X-Amz-Tenant-Id"),
        )


def _header(call: Call, name: str) -> str | None:
    value = call.request.headers.get(name)
    if value is not None and not value.isprintable():  # bytes that are no UTF-8 are surrogates here
        raise InvalidParameterValueError(f"{name} has characters that cannot be printed.")
    return value
