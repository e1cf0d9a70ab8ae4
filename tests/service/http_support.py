"""A service on a real port, in a thread of its own, for callers as they come: boto3 and raw HTTP."""

import http.client
import json
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import attrs
import boto3
from anyio import Event
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from botocore.config import Config

from durable_async.service.engine import DurableService
from durable_async.service.functions import LocalFunction, plain_function
from durable_async.service.http import serve


class Clock:
    """Epoch seconds, moved by hand."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


class Functions:
    """Functions of the server's process, written on the bare wire."""

    def __init__(self):
        self.service = None
        self.held = {}  # envelopes of invocations that don't end, by ARN
        self.ran = []

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

    async def unserializable(self, event, request):
        return object()

    def fail(self, event, context):
        raise LookupError("no such order")


@attrs.frozen
class Server:
    url: str
    service: DurableService
    functions: Functions
    clock: Clock
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
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def advance(self, seconds):
        self.clock.now += seconds
        self.portal.call(self.service.fire_due)

    def until(self, condition):
        """What ``condition`` returns, as soon as it returns something; the server works on meanwhile."""
        while not (found := condition()):
            self.portal.call(checkpoint)
        return found

    def idle(self):
        self.portal.call(self.service.idle)


def execution_path(arn, verb=""):
    return f"/2025-12-01/durable-executions/{quote(arn, safe='')}" + (verb and f"/{verb}")


@contextmanager
def running_server(token=None):
    functions, clock = Functions(), Clock()

    def make_service():
        service = DurableService(clock=clock)
        service.register("durable", LocalFunction(functions.durable, durable=True))
        service.register("plain", plain_function(functions.plain))
        service.register("fail", plain_function(functions.fail))
        service.register("unserializable", LocalFunction(functions.unserializable, durable=False))
        functions.service = service
        return service

    with start_blocking_portal("asyncio") as portal:
        service = portal.call(make_service)
        with (
            portal.wrap_async_context_manager(service),
            portal.wrap_async_context_manager(serve(service, token=token)) as url,
        ):
            yield Server(url, service, functions, clock, portal, token)
