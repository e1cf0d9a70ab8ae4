"""Handlers of this process on a durable service that they reach over HTTP, with the client that they have on Lambda.

The service and its HTTP application run in the test's loop, on a real socket and on virtual time. What crosses between
service and handler crosses as JSON: the envelope, each call, the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self

from aiobotocore.session import get_session

from durable_async import DurableHandler
from durable_async.service.functions.base import InProcessFunction, InvocationRequest, LambdaContext
from durable_async.service.http import serve
from durable_async.service.runtime.views import Closed
from durable_async.transport.aws import AwsClient
from tests.world import Client, World


class RemoteWorld(World):
    """
    :param edit: makes of an envelope the one that the handler gets
    :ivar url: of the service
    :ivar client: what handlers call the service with
    :ivar outputs: what the handlers answered
    """

    def __init__(self, *, edit: Callable[[Any], Any] = lambda envelope: envelope, **options: Any) -> None:
        super().__init__(**options)
        self.url = ""
        self.client = AwsClient()
        self.outputs: list[Any] = []
        self._edit = edit
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.url = await self._open.enter_async_context(serve(self.service))
        await self.reach(self.url)
        return self

    async def reach(self, url: str, **options: Any) -> None:
        """Have handlers find the service at ``url``, through a client made with ``options``."""
        self.client = await self._open.enter_async_context(AwsClient(endpoint_url=url, **options))

    async def finish(self, arn: str) -> Closed:
        async with asyncio.timeout(60):  # virtual time does not bound a handler that asks again and again
            return await super().finish(arn)

    async def __aexit__(self, *_: object) -> None:
        await self.service.aclose()  # first: an invocation that still runs needs its client until it is cancelled
        await self._open.aclose()

    def register(self, handler: DurableHandler[Any, Any], name: str = "workflow") -> None:
        handler._clock = self.clock

        async def invoke(envelope: Any, request: InvocationRequest) -> Any:
            self.invocations += 1
            event = self._edit(json.loads(json.dumps(envelope)))
            context = LambdaContext.of(request)
            output = await handler.run(event, client=Client(self.client, self), lambda_context=context)
            self.outputs.append(output)
            return json.loads(json.dumps(output))

        self.service.register(name, InProcessFunction(invoke, durable=True))


def outside(url: str) -> AbstractAsyncContextManager[Any]:
    """Lambda's stock client, as callers of functions have it."""
    return get_session().create_client("lambda", endpoint_url=url, region_name="us-east-1")
