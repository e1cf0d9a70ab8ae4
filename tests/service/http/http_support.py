"""A service on a real port, in a thread of its own, for callers as they come: boto3 and raw HTTP."""

import asyncio
import http.client
import json
import time
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from io import BytesIO
from urllib.parse import quote, urlsplit

import attrs
import boto3
import uvicorn
from anyio import Event
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from botocore.config import Config
from starlette.applications import Starlette
from starlette.routing import Mount

from durable_async.service.functions.base import InProcessFunction, in_process_function
from durable_async.service.http import asgi_app, bind, serve, url_of
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.store.memory import MemoryStore
from durable_async.service.store.sqlite import SqliteStore
from durable_async.testing import VirtualTime


class CountingApi(LambdaApi):
    """Knows how many wait for the end of an execution."""

    waiting = 0

    async def wait(self, execution_arn):
        self.waiting += 1
        try:
            return await super().wait(execution_arn)
        finally:
            self.waiting -= 1


class Functions:
    """Functions of the server's process, written on the bare wire."""

    def __init__(self):
        self.service = None
        self.held = {}  # envelopes of invocations that don't end, by ARN
        self.ran = []
        self.cancelled = []
        self.gate = Event()

    async def durable(self, envelope, request):
        operations = envelope["InitialExecutionState"]["Operations"]
        event = json.loads(operations[0]["ExecutionDetails"]["InputPayload"])
        arn = envelope["DurableExecutionArn"]
        match event:
            case {"do": "fail"}:
                return {"Status": "FAILED", "Error": {"ErrorType": "OrderError", "ErrorMessage": "no such order"}}
            case {"do": "nothing"}:
                return {"Status": "SUCCEEDED"}
            case {"do": "hold"}:
                self.held[arn] = envelope
                await Event().wait()
            case {"do": "call back", **options}:
                if len(operations) > 1:
                    details = operations[1]["CallbackDetails"]
                    return {"Status": "SUCCEEDED", "Result": json.dumps(details.get("Result") or details.get("Error"))}
                update = {"Id": "1", "Type": "CALLBACK", "Action": "START", "Name": "approve"}
                await self._write(envelope, {**update, "CallbackOptions": options.get("options", {})})
                return {"Status": "PENDING"}
        update = {"Id": "1", "Type": "STEP", "Action": "SUCCEED", "Name": "charge", "Payload": json.dumps(event)}
        await self._write(envelope, update)
        return {"Status": "SUCCEEDED", "Result": json.dumps(event)}

    async def _write(self, envelope, *updates):
        await self.service.checkpoint(envelope["DurableExecutionArn"], envelope["CheckpointToken"], updates)

    async def plain(self, event, context):
        self.ran.append(event)
        return {"event": event, "tenant": context.tenant_id}

    async def gated(self, event, context):
        """Ends when the gate is open."""
        self.ran.append(["begun", event])
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(event)
            raise
        self.ran.append(["ended", event])

    async def unserializable(self, event, request):
        return object()

    def fail(self, event, context):
        raise LookupError("no such order")


@attrs.frozen
class Server:
    url: str
    service: CountingApi
    functions: Functions
    clock: VirtualTime
    portal: object
    token: str | None = None

    def client(self, key="any"):
        return boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=5, read_timeout=20),
        )

    def send(self, method, path, body=b"", headers=None):
        """Raw HTTP. Returns the status, the headers and the body."""
        url = urlsplit(self.url)
        connection = http.client.HTTPConnection(url.netloc, timeout=20)
        try:
            connection.request(method, url.path + path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def advance(self, seconds):
        self.clock.move_by(seconds)
        self.portal.call(self.service.fire_due)

    def until(self, condition):
        """What ``condition`` returns, as soon as it returns something; the server works on meanwhile."""
        deadline = time.monotonic() + 20
        while not (found := condition()):
            assert time.monotonic() < deadline, "it never came"
            self.portal.call(checkpoint)
        return found

    def idle(self):
        self.portal.call(self.service.idle)


INVOKE = "/2015-03-31/functions/durable:$LATEST/invocations"
LIST = "/2025-12-01/functions/durable/durable-executions"


def execution_path(arn, verb=""):
    return f"/2025-12-01/durable-executions/{quote(arn, safe='')}" + (verb and f"/{verb}")


@asynccontextmanager
async def served_by_uvicorn(app, **options):
    """Yields the URL. Ends as with a signal."""
    listener = bind()
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await checkpoint()
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def _asgi(service, *, token):
    async with served_by_uvicorn(asgi_app(service, token=token), lifespan="on") as url:
        yield url


@asynccontextmanager
async def _mounted(service, *, token):
    app = Starlette(routes=[Mount("/durable", asgi_app(service, token=token))])
    async with served_by_uvicorn(app) as url:
        yield f"{url}/durable"


SHELLS = {"aiohttp": serve, "asgi": _asgi, "mounted": _mounted}

STORES = {
    "memory": lambda _: MemoryStore,
    "sqlite": lambda paths: partial(SqliteStore, paths.mktemp("store") / "service.db", durability="normal"),
}
"""By name: of pytest's ``tmp_path_factory``, what makes the store."""

SERVERS = [("mounted", "memory"), ("aiohttp", "sqlite")]


@contextmanager
def running_server(token=None, *, shell="aiohttp", store=MemoryStore):
    """
    :param shell: how the API is served, one of ``SHELLS``
    :param store: makes one
    """
    clock = VirtualTime()

    def make_service():
        functions = Functions()
        service = CountingApi(store=store(), clock=clock)
        service.register("durable", InProcessFunction(functions.durable, durable=True))
        for name in ("listed", "unused"):
            service.register(name, InProcessFunction(functions.durable, durable=True))
        service.register("plain", in_process_function(functions.plain))
        service.register("gated", in_process_function(functions.gated))
        service.register("fail", in_process_function(functions.fail))
        service.register("unserializable", InProcessFunction(functions.unserializable, durable=False))
        functions.service = service
        return service, functions

    with start_blocking_portal("asyncio") as portal:
        service, functions = portal.call(make_service)
        with (
            portal.wrap_async_context_manager(service),
            portal.wrap_async_context_manager(SHELLS[shell](service, token=token)) as url,
        ):
            yield Server(url, service, functions, clock, portal, token)


def invoke(client, event, function="durable", **options):
    options.setdefault("Qualifier", "$LATEST")
    response = client.invoke(FunctionName=function, Payload=json.dumps(event).encode(), **options)
    return response | {"Payload": BytesIO(response["Payload"].read())}  # a stream that is not read keeps its socket


def result_of(server, client, arn):
    def closed():
        execution = client.get_durable_execution(DurableExecutionArn=arn)
        return execution["Status"] != "RUNNING" and execution

    return json.loads(server.until(closed)["Result"])
