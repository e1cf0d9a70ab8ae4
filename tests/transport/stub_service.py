"""A durable service on a real socket: it keeps each request as it came, and answers what the test has scripted."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
from aiohttp import web

NEXT_TOKEN = "bmV4dA=="
STARTED_AT = 1767225600.25


@attrs.frozen
class Recorded:
    method: str
    target: str  # path and query, as sent
    headers: dict[str, str]  # names in lower case
    body: bytes
    connection: int  # which of the client's connections, by its port

    @property
    def json(self):
        return json.loads(self.body)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StubService:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Recorded] = []
        self.arrived = asyncio.Event()
        self._script: deque[Answer] = deque()

    def then(self, *answers: Answer) -> None:
        """The answers to the next requests. After them, and without any, each checkpoint succeeds."""
        self._script.extend(answers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        port = request.transport.get_extra_info("peername")[1]
        self.requests.append(Recorded(request.method, request.raw_path, headers, body, port))
        self.arrived.set()
        return await (self._script.popleft() if self._script else succeed)(request)

    @classmethod
    @asynccontextmanager
    async def running(cls, tls: ssl.SSLContext | None = None):
        service = cls()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{everything:.*}", service.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        service.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield service
        finally:
            await runner.cleanup()


def operation(update):
    """What the service makes of an update, with every kind of member that an answer can have."""
    return {
        "Id": update["Id"],
        "Type": update["Type"],
        "Status": "STARTED",
        "Name": "ümlaut ✓",
        "StartTimestamp": STARTED_AT,
        "StepDetails": {"Attempt": 1, "NextAttemptTimestamp": 1767225600, "Error": {"StackTrace": ["a", "b"]}},
        "ContextDetails": {"ReplayChildren": True, "Result": '{"n": 1}'},
    }


async def succeed(request):
    body = await request.read()
    updates = json.loads(body).get("Updates", []) if body else []
    operations = [operation(update) for update in updates]
    if request.method == "GET":
        return web.json_response({"Operations": [operation({"Id": "a", "Type": "STEP"})], "NextMarker": "more"})
    return web.json_response({"CheckpointToken": NEXT_TOKEN, "NewExecutionState": {"Operations": operations}})


async def drop_connection(request):
    """The request arrived, and perhaps had its effect; its answer is lost."""
    request.transport.abort()
    return web.Response()


async def never(request):
    await asyncio.Event().wait()
    raise AssertionError


def answer(status: int, body: object, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)

    async def respond(request):
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)

    return respond


def error(status: int, code: str, message: str, member: str = "message") -> Answer:
    """An error as AWS sends it: the code in a header, the message under a member whose case varies."""
    return answer(status, {"Type": "User", member: message}, **{"x-amzn-ErrorType": code})
