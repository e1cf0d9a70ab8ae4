"""Our handlers of this process behind Lambda's Invoke, for a service that is another process."""

from __future__ import annotations

import json
import traceback
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

from durable_async import DurableHandler
from durable_async.service import InvocationRequest
from durable_async.service.functions.base import LambdaContext
from durable_async.transport.aws import AwsClient


@attrs.frozen
class Endpoint:
    """
    :ivar client: what the handlers call their service with
    :ivar outputs: what was answered to each invocation, by the execution's ARN
    """

    functions: Mapping[str, Any]
    client: AwsClient
    outputs: dict[str, list[Any]] = attrs.field(factory=dict)

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncGenerator[str]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/2015-03-31/functions/{name}/invocations", self._invoke)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()

    async def _invoke(self, request: web.Request) -> web.Response:
        name = request.match_info["name"].partition(":")[0]
        event = json.loads(await request.read())
        try:
            answer = await self._run(name, event)
        except Exception as error:
            traceback.print_exc()
            failure = {"errorType": type(error).__name__, "errorMessage": str(error)}
            return web.json_response(failure, headers={"X-Amz-Function-Error": "Unhandled"})
        return web.json_response(answer)

    async def _run(self, name: str, event: Any) -> Any:
        function = self.functions[name]
        context = LambdaContext.of(InvocationRequest("request", name, f"arn:aws:lambda:us-east-1:0:function:{name}"))
        if not isinstance(function, DurableHandler):
            return function(event, context)
        output = await function.run(event, client=self.client, lambda_context=context)
        self.outputs.setdefault(event["DurableExecutionArn"], []).append(output)
        return output
