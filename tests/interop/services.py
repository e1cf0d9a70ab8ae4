"""The services of others as our handlers and their callers meet them: over HTTP, and as processes."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
from aiobotocore.session import get_session
from aiohttp import ClientSession
from botocore.config import Config

from durable_async.transport.aws import AwsClient

from . import our_functions
from .endpoint import Endpoint
from .environments import MINISTACK, OFFICIAL
from .processes import aws_environment, free_port, running

_END_SECONDS = 60


@attrs.frozen
class Closed:
    """An execution that has ended: what the service says of it, and its events."""

    execution: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def status(self) -> str:
        return self.execution["Status"]

    @property
    def result(self) -> Any:
        return json.loads(self.execution["Result"])

    @property
    def error(self) -> dict[str, Any]:
        return self.execution["Error"]

    @property
    def types(self) -> list[str]:
        return [event["EventType"] for event in self.events]

    def named(self, kind: str) -> list[str | None]:
        """The names of the operations with an event of that type, in their order."""
        return [event.get("Name") for event in self.events if event["EventType"] == kind]


@attrs.frozen
class Caller:
    """A service as its callers see it.

    :ivar api: an aiobotocore client
    """

    api: Any

    async def closed(self, arn: str) -> Closed:
        async with asyncio.timeout(_END_SECONDS):
            while (execution := await self.api.get_durable_execution(DurableExecutionArn=arn))["Status"] == "RUNNING":
                await asyncio.sleep(0.05)
        return Closed(execution, await self.events(arn))

    async def events(self, arn: str) -> list[dict[str, Any]]:
        pages = self.api.get_paginator("get_durable_execution_history").paginate(
            DurableExecutionArn=arn, IncludeExecutionData=True
        )
        return [event async for page in pages for event in page["Events"]]

    async def callback_id(self, arn: str) -> str:
        """Of the first callback that the execution starts, once it has."""
        async with asyncio.timeout(_END_SECONDS):
            while True:
                for event in await self.events(arn):
                    if event["EventType"] == "CallbackStarted":
                        return event["CallbackStartedDetails"]["CallbackId"]
                await asyncio.sleep(0.05)


@asynccontextmanager
async def caller(url: str) -> AsyncGenerator[Caller]:
    async with get_session().create_client(
        "lambda", "us-east-1", endpoint_url=url, config=Config(retries={"total_max_attempts": 1}, read_timeout=60)
    ) as api:
        yield Caller(api)


class Service(Protocol):
    """A service on which our functions of this process run.

    :ivar endpoint: where it finds them
    """

    caller: Caller
    endpoint: Endpoint

    async def start(self, name: str, event: Any) -> str:
        """Start an execution of the function. Its ARN, or what the service has for one."""
        ...


@attrs.frozen
class OfficialEmulator:
    caller: Caller
    endpoint: Endpoint
    url: str
    session: ClientSession

    async def start(self, name: str, event: Any, **more: str) -> str:
        """
        :param more: ``LambdaEndpoint``, the URL of another runtime than ours
        """
        start = {
            "AccountId": "000000000000",
            "FunctionName": name,
            "FunctionQualifier": "$LATEST",
            "ExecutionName": name,
            "ExecutionTimeoutSeconds": 40 * 86_400,
            "ExecutionRetentionPeriodDays": 1,
            "Input": json.dumps(event),
            **more,
        }
        async with self.session.post(f"{self.url}/start-durable-execution", json=start) as response:
            assert response.status == 201, await response.text()
            return (await response.json())["ExecutionArn"]

    @classmethod
    @asynccontextmanager
    async def running(cls, log: Path) -> AsyncGenerator[OfficialEmulator]:
        port, our_port = free_port(), free_port()
        url, our_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{our_port}"
        functions = {"echo": {"DurableConfig": {"ExecutionTimeout": 60, "RetentionPeriodInDays": 1}}, "plain": {}}
        async with (
            AwsClient(endpoint_url=url) as client,
            (endpoint := Endpoint(vars(our_functions), client)).serving(our_port),
            running(
                *(OFFICIAL.script("dex-local-runner"), "start-server", "--host", "127.0.0.1", "--port", str(port)),
                *("--lambda-endpoint", our_url, "--local-runner-endpoint", url, "--local-runner-region", "us-east-1"),
                *("--store-type", "memory", "--function-configs", json.dumps(functions)),
                port=port,
                environment=aws_environment(url),
                log=log,
            ),
            caller(url) as outside,
            ClientSession() as session,
        ):
            yield cls(outside, endpoint, url, session)


@attrs.frozen
class Ministack:
    caller: Caller
    endpoint: Endpoint
    url: str

    async def start(self, name: str, event: Any) -> str:
        started = await self.caller.api.invoke(FunctionName=name, Qualifier="$LATEST", Payload=json.dumps(event))
        return started["DurableExecutionArn"]

    @classmethod
    @asynccontextmanager
    async def running(cls, log: Path) -> AsyncGenerator[Ministack]:
        port, our_port = free_port(), free_port()
        url = f"http://127.0.0.1:{port}"
        settings = {"GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1", "LAMBDA_EXECUTOR": "local"}
        async with (
            AwsClient(endpoint_url=url) as client,
            (endpoint := Endpoint(vars(our_functions), client)).serving(our_port) as our_url,
            running(
                MINISTACK.script("ministack"),
                port=port,
                environment=aws_environment(url) | settings | {"IOT_MTLS_ENABLED": "0"},
                log=log,
            ),
            caller(url) as outside,
        ):
            outside.api.meta.events.register("before-call.lambda.CreateFunction", _enabled)
            for name in our_functions.DURABLE:
                await _create(outside.api, name, f"{our_url}/2015-03-31/functions/{name}/invocations")
            yield cls(outside, endpoint, url)


def _enabled(params: dict[str, Any], **_: Any) -> None:
    """ministack takes a function for durable if told so by a member that AWS does not have."""
    body = json.loads(params["body"])
    body["DurableConfig"]["Enabled"] = True
    params["body"] = json.dumps(body).encode()


async def _create(api: Any, name: str, url: str) -> None:
    """A function that ministack has invoked at ``url``, in place of the code that it wants to be given."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("nothing.py", "")
    await api.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="nothing.handler",
        Timeout=60,
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": code.getvalue()},
        DurableConfig={"ExecutionTimeout": 300},
        Environment={"Variables": {"MINISTACK_LAMBDA_PROXY_URL": url}},
    )
