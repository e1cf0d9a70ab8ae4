"""Functions behind Lambda's Invoke endpoint. Every server is a real one."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import attrs
import pytest
from aiohttp import web

from durable_async.service import InvocationFailed, InvocationRequest, InvocationRetryPolicy, LambdaApi
from durable_async.service.functions.remote import RemoteFunctions

PATH = "/2015-03-31/functions/function/invocations"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"


def request_of(**members):
    return InvocationRequest("request-1", "f", ARN, **members)


def soon(seconds):
    return int((time.time() + seconds) * 1000)


@attrs.define
class Emulator:
    """As the runtime interface emulator: it runs one invocation at a time, and a second one ends it."""

    answer: object = b"null"
    status: int = 200
    headers: dict = attrs.Factory(dict)
    handler: object = None
    seen: list = attrs.Factory(list)
    peers: list = attrs.Factory(list)
    running: int = 0
    ended: bool = False

    async def handle(self, request):
        self.running += 1
        self.ended |= self.running > 1
        try:
            self.peers.append(request.transport.get_extra_info("peername"))
            body = await request.read()
            self.seen.append((request.headers, json.loads(body)))
            answer = self.answer if self.handler is None else await self.handler(json.loads(body))
            return web.Response(body=answer, status=self.status, headers=self.headers)
        finally:
            self.running -= 1


@asynccontextmanager
async def listening(emulator, port=0):
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post(PATH, emulator.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def talking(reply):
    """A server that knows no HTTP."""
    connections = set()

    async def connected(reader, writer):
        connections.add(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        await reply(writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await asyncio.gather(*connections, return_exceptions=True)


@pytest.fixture
async def remote():
    async with RemoteFunctions() as remote:
        yield remote


@pytest.fixture
async def emulator():
    return Emulator()


@pytest.fixture
async def url(emulator):
    async with listening(emulator) as url:
        yield url


async def error_of(function, event=None, **members):
    with pytest.raises(InvocationFailed) as failed:
        await function.invoke(event or {}, request_of(**members))
    return failed.value.error


EVENT = {"id": 17, "name": "Zoë", "half": "\ud800", "nested": [None, 1.5, {"a": []}]}


async def test_the_event_goes_there_and_the_answer_comes_back(remote, emulator, url):
    emulator.answer = json.dumps({"Status": "PENDING", "ü": [1]}).encode()
    function = remote.function(url + "/")
    assert await function.invoke(EVENT, request_of()) == {"Status": "PENDING", "ü": [1]}
    ((_, event),) = emulator.seen
    assert event == EVENT
    assert (function.durable, function.memory) == (True, None)
    assert not remote.function(url, durable=False).durable


async def test_headers_say_which_invocation_it_is(remote, emulator, url):
    deadline = soon(60)
    await remote.function(url).invoke({}, request_of(tenant_id="a/b c@d", deadline_ms=deadline))
    await remote.function(url).invoke({}, request_of(tenant_id="a\r\nX-Evil: é"))
    (first, _), (second, _) = emulator.seen
    assert first["Content-Type"] == "application/json"
    assert first["X-Amzn-RequestId"] == "request-1"
    assert first["X-Amz-Tenant-Id"] == "a/b c@d"
    assert first["Lambda-Runtime-Deadline-Ms"] == str(deadline)
    assert first["Lambda-Runtime-Invoked-Function-Arn"] == ARN
    assert "X-Amz-Client-Context" not in first
    assert "X-Evil" not in second


async def test_a_server_may_know_it_by_another_name(remote):
    assert remote.function("http://h/p/", name="a b").url == "http://h/p/2015-03-31/functions/a%20b/invocations"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:9000",
        "ftp://h",
        "http://",
        "http:///p",
        "http://user:secret@h",
        "http://h?x=1",
        "http://h#x",
        "http://h:x",
    ],
)
async def test_what_is_no_url_of_a_server_is_refused(remote, url):
    with pytest.raises(ValueError, match="is not the URL of a server"):
        remote.function(url)


PYTHON = {"errorMessage": "no", "errorType": "LookupError", "requestId": "1", "stackTrace": ["  File"]}
NODE = {"errorType": "Error", "errorMessage": "no", "trace": ["Error: no", "    at f"]}
GO = {"errorMessage": "no", "errorType": "errorString", "stackTrace": [{"path": "f.go", "line": 1, "label": "f"}]}
JAVA = {"errorMessage": "no", "errorType": "java.lang.Error", "stackTrace": ["f"], "cause": {"errorType": "E"}}
DIED = {
    "errorType": "Runtime.ExitError",
    "errorMessage": "RequestId: 1 Error: Runtime exited with error: exit status 3",
}


@pytest.mark.parametrize(
    ("answer", "status", "headers", "error"),
    [
        pytest.param(PYTHON, 200, {}, ("LookupError", "no", ["  File"]), id="Python"),
        pytest.param(NODE, 200, {}, ("Error", "no", ["Error: no", "    at f"]), id="Node.js"),
        pytest.param(GO, 200, {}, ("errorString", "no", ['{"path": "f.go", "line": 1, "label": "f"}']), id="Go"),
        pytest.param(JAVA, 200, {}, ("java.lang.Error", "no", ["f"]), id="Java"),
        pytest.param({"errorType": "E"}, 200, {}, ("E", "", None), id="a type alone"),
        pytest.param(DIED, 502, {}, ("Runtime.ExitError", DIED["errorMessage"], None), id="the process died"),
        pytest.param(
            {"errorType": "E", "errorMessage": "m", "more": 1},
            200,
            {"X-Amz-Function-Error": "Unhandled"},
            ("E", "m", None),
            id="a header says so",
        ),
    ],
)
async def test_how_runtimes_tell_that_a_function_failed(remote, emulator, url, answer, status, headers, error):
    emulator.answer, emulator.status, emulator.headers = json.dumps(answer).encode(), status, headers
    found = await error_of(remote.function(url))
    assert (found["ErrorType"], found["ErrorMessage"], found.get("StackTrace")) == error


async def test_a_result_that_has_more_members_is_no_error(remote, emulator, url):
    emulator.answer = b'{"errorType": "E", "errorMessage": "m", "order": 1}'
    assert (await remote.function(url).invoke({}, request_of()))["order"] == 1


@pytest.mark.parametrize(
    ("answer", "status", "headers", "error_type", "message"),
    [
        (b"Task timed out after 4.00 seconds", 200, {}, "Sandbox.Timedout", "Task timed out after 4.00 seconds"),
        (b"404 page not found\n", 404, {}, "Remote.UnexpectedAnswer", "status 404 and '404 page not found\\n'"),
        (b'{"Message": "no"}', 500, {}, "Remote.UnexpectedAnswer", "status 500"),
        (b"{}", 302, {"Location": "http://127.0.0.1:1/"}, "Remote.UnexpectedAnswer", "status 302"),
        (b'"x"', 200, {"X-Amz-Function-Error": "Unhandled"}, "Remote.UnexpectedAnswer", "'\"x\"'"),
        (b"", 200, {}, "Remote.UnexpectedAnswer", "status 200 and ''"),
        (b"NaN", 200, {}, "Remote.UnexpectedAnswer", "'NaN'"),
        (b'"\xff"', 200, {}, "Remote.UnexpectedAnswer", "status 200"),
        (b"[" * 100_000, 200, {}, "Remote.UnexpectedAnswer", "'[[["),
        (b"x" * 1_000_000, 200, {}, "Remote.UnexpectedAnswer", "'xxx"),
    ],
    ids=[
        *("the emulator's timeout", "wrong path", "server error", "a redirect", "failed, but no error", "empty"),
        *("NaN", "no UTF-8", "nested too deep", "long"),
    ],
)
async def test_answers_that_are_none(remote, emulator, url, answer, status, headers, error_type, message):
    emulator.answer, emulator.status, emulator.headers = answer, status, headers
    error = await error_of(remote.function(url))
    assert error["ErrorType"] == error_type
    assert message in error["ErrorMessage"]
    assert len(error["ErrorMessage"]) < 400
    assert len(emulator.seen) == 1


async def test_six_mebibytes_pass_both_ways_and_more_is_refused(remote, emulator, url):
    event = "x" * (6 * 1024 * 1024 - 2)
    emulator.answer = json.dumps(event).encode()
    function = remote.function(url)
    assert await function.invoke(event, request_of()) == event
    emulator.answer = b'"' + b"x" * (7 * 1024 * 1024) + b'"'
    assert (await error_of(function))["ErrorType"] == "Function.ResponseSizeTooLarge"
    emulator.answer = b"1"
    assert await function.invoke({}, request_of()) == 1


async def test_a_server_that_cannot_be_reached_is_no_crash(remote):
    async with listening(Emulator()) as url:
        pass
    error = await error_of(remote.function(url))
    assert error["ErrorType"] == "Remote.Unreachable"
    assert url.removeprefix("http://") in error["ErrorMessage"]


async def _nothing(writer):
    pass


async def _reset(writer):
    writer.transport.abort()


async def _half(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
    await writer.drain()


async def _no_http(writer):
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("reply", "error_type"),
    [
        (_nothing, "Runtime.ExitError"),
        (_reset, "Runtime.ExitError"),
        (_half, "Runtime.ExitError"),
        (_no_http, "Remote.UnexpectedAnswer"),
    ],
)
async def test_a_connection_that_breaks_is_a_crash(remote, reply, error_type):
    async with talking(reply) as url:
        assert (await error_of(remote.function(url)))["ErrorType"] == error_type


async def test_each_invocation_has_a_connection_of_its_own(remote, emulator, url):
    for _ in range(3):
        await remote.function(url).invoke({}, request_of())
    assert len({*emulator.peers}) == 3


async def never(_event):
    await asyncio.Event().wait()


async def test_the_deadline_ends_it(remote, emulator, url):
    emulator.handler = never
    error = await error_of(remote.function(url), deadline_ms=soon(0.2))
    assert error["ErrorType"] == "Sandbox.Timedout"
    assert error["ErrorMessage"].startswith("RequestId: request-1 Error: Task timed out after 0.")
    while emulator.running:  # the connection is closed
        await asyncio.sleep(0.01)


async def test_the_deadline_holds_for_waiting_too(remote, emulator, url):
    emulator.handler = never
    running = asyncio.ensure_future(remote.function(url).invoke({}, request_of()))
    while not emulator.running:
        await asyncio.sleep(0.01)
    assert (await error_of(remote.function(url), deadline_ms=soon(0.1)))["ErrorType"] == "Sandbox.Timedout"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(emulator.seen) == 1


async def _a_moment(_event):
    await asyncio.sleep(0.01)
    return b"1"


async def test_one_at_a_time_for_each_server_whatever_the_function_is_called(remote, emulator, url):
    emulator.handler = _a_moment
    functions = [remote.function(url), remote.function(url + "/", durable=False)]
    async with listening(Emulator(handler=_a_moment)) as other:
        functions.append(remote.function(other))
        await asyncio.gather(*(function.invoke({}, request_of()) for function in functions * 5))
    assert len(emulator.seen) == 10
    assert not emulator.ended


async def test_another_limit(emulator, url):
    both = asyncio.Barrier(2)

    async def together(_event):
        await both.wait()
        return b"1"

    emulator.handler = together
    async with RemoteFunctions(max_concurrency=2) as remote:
        function = remote.function(url)
        assert await asyncio.gather(*(function.invoke({}, request_of()) for _ in range(2))) == [1, 1]


# --- with the service ---


async def shout(envelope):
    operations = envelope["InitialExecutionState"]["Operations"]
    event = json.loads(operations[0]["ExecutionDetails"]["InputPayload"])
    return json.dumps({"Status": "SUCCEEDED", "Result": json.dumps(event.upper())}).encode()


async def crash(_envelope):
    return json.dumps(DIED).encode()


async def test_a_durable_function_of_another_language(remote, emulator, url):
    emulator.handler = shout
    async with LambdaApi() as api:
        api.register("shout", remote.function(url))
        started = [await api.invoke("shout:$LATEST", b'"zo\xc3\xab"') for _ in range(5)]
        for each in started:
            assert json.loads((await api.wait(each.execution_arn)).result) == "ZOË"
    assert not emulator.ended


async def test_an_ordinary_function(remote, emulator, url):
    emulator.answer = b'{"sum": 3}'
    async with LambdaApi() as api:
        api.register("add", remote.function(url, durable=False))
        assert await api.invoke_plain("add", b"[1, 2]") == {"sum": 3}
    ((_, event),) = emulator.seen
    assert event == [1, 2]


async def test_an_execution_outlives_a_container_that_restarts(remote):
    """It crashes, is gone for longer than crashes would be put up with, and comes back."""
    retries = InvocationRetryPolicy(immediate=1, first_delay_ms=5, longest_delay_ms=10, quarantine_after=3)
    async with LambdaApi(retries=retries) as api:
        async with listening(first := Emulator(handler=crash, status=502)) as url:
            api.register("shout", remote.function(url))
            started = await api.invoke("shout:$LATEST", b'"a"')
            while not first.seen:
                await asyncio.sleep(0.001)
        port = int(url.rpartition(":")[2])
        while len(await _errors(api, started.execution_arn, "Remote.Unreachable")) < 5:
            await asyncio.sleep(0.01)
        async with listening(Emulator(handler=shout), port):
            closed = await api.wait(started.execution_arn)
    assert (closed.status, closed.result) == ("SUCCEEDED", '"A"')


async def _errors(api, arn, error_type):
    history = await api.get_history(arn, max_items=1000)
    errors = [event.details.get("Error") for event in history.items if event.type == "InvocationCompleted"]
    return [error for error in errors if error and error["ErrorType"] == error_type]
