"""The API as an ASGI application: where it is mounted, what servers tell it, and clients on a real one."""

import importlib
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from aiobotocore.session import get_session
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from durable_async.service.functions.base import InProcessFunction, in_process_function
from durable_async.service.http import asgi_app
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.inputs import EVENT_BYTES
from tests.service.http.http_support import INVOKE, execution_path, served_by_uvicorn

ARN = "arn:aws:lambda:us-east-1:000000000000:function:durable:$LATEST/durable-execution/name/id"
ENCODED = execution_path(ARN, "history")


async def echo(event, context):
    return event


async def echo_durably(envelope, request):
    (execution,) = envelope["InitialExecutionState"]["Operations"]
    return {"Status": "SUCCEEDED", "Result": execution["ExecutionDetails"]["InputPayload"]}


@asynccontextmanager
async def service():
    async with LambdaApi() as api:
        api.register("plain", in_process_function(echo))
        api.register("durable", InProcessFunction(echo_durably, durable=True))
        yield api


@pytest.fixture
async def api():
    async with service() as api:
        yield api


class Exchange:
    """One request, as a server puts it to an application. Then the caller stays on the line."""

    def __init__(self, *messages, **scope):
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 50000),
            **scope,
        }
        self.sent = []
        self._messages = [*messages] or [{"type": "http.request"}]

    async def receive(self):
        if self._messages:
            return self._messages.pop(0)
        return await anyio.sleep_forever()

    async def send(self, message):
        self.sent.append(message)

    async def of(self, app):
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def answer(self):
        return json.loads(b"".join(message["body"] for message in self.sent[1:]))


# --- paths ---


@pytest.mark.parametrize(
    ("root_path", "path", "raw_path"),
    [
        pytest.param("", "/2025-12-01/…", ENCODED, id="not mounted"),
        pytest.param("/durable", "/durable/2025-12-01/…", f"/durable{ENCODED}", id="the path has it all"),
        pytest.param(
            "/durable", "/2025-12-01/…", f"/durable{ENCODED}", id="older frameworks, which shortened the path"
        ),
        pytest.param("/durable", "/2025-12-01/…", ENCODED, id="older servers, which shortened both"),
        pytest.param("/api/durable", "/durable/2025-12-01/…", f"/durable{ENCODED}", id="a proxy took off the rest"),
        pytest.param("/a/b/c", "/a/b/c/2025-12-01/…", f"/a/b/c{ENCODED}", id="mounted below mounts"),
        pytest.param("/dür able/", "/dür able/2025-12-01/…", f"/d%C3%BCr%20able{ENCODED}", id="an encoded mount"),
        pytest.param("/durable", "/durable/2025-12-01/…", f"/durable{ENCODED}?a=b", id="with the query on it"),
        pytest.param("", f"/2025-12-01/durable-executions/{ARN}/history", None, id="decoded only"),
        pytest.param("/durable", f"/durable/2025-12-01/durable-executions/{ARN}/history", None, id="decoded, mounted"),
    ],
)
async def test_the_path_below_the_mount_is_the_operations(api, root_path, path, raw_path):
    raw = {} if raw_path is None else {"raw_path": raw_path.encode()}
    exchange = await Exchange(method="GET", root_path=root_path, path=path, **raw).of(asgi_app(api))
    assert exchange.answer == {"Type": "User", "Message": f"Durable execution not found: {ARN}"}


@pytest.mark.parametrize("path", ["", "/", "/durable", "/durable/", f"/other{ENCODED}", f"/durable/durable{ENCODED}"])
async def test_other_paths_are_no_operations(api, path):
    exchange = await Exchange(method="GET", root_path="/durable", path=path, raw_path=path.encode()).of(asgi_app(api))
    assert (exchange.status, exchange.answer["Type"]) == (404, "User")


# --- messages ---


async def test_a_body_comes_in_pieces(api):
    pieces = [{"type": "http.request", "body": piece, "more_body": True} for piece in (b"[1", b", ", b"", b"2]")]
    exchange = Exchange(*pieces, {"type": "http.request"}, path=INVOKE.replace("durable:$LATEST", "plain"))
    await exchange.of(asgi_app(api))
    assert (exchange.status, exchange.answer) == (200, [1, 2])
    assert (b"content-length", b"5") in exchange.sent[0]["headers"]


async def test_a_body_over_the_limit_is_read_no_further(api):
    piece = {"type": "http.request", "body": b" " * (EVENT_BYTES // 2), "more_body": True}
    exchange = Exchange(piece, piece, piece, piece, path=INVOKE)
    await exchange.of(asgi_app(api))
    assert exchange.status == 413
    assert len(exchange._messages) == 1


async def test_a_caller_that_leaves_in_the_middle_of_its_body_has_asked_nothing(api):
    exchange = Exchange(
        {"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}, path=INVOKE
    )
    await exchange.of(asgi_app(api))
    assert (await api.list_executions("durable")).items == []


async def test_a_caller_that_leaves_when_the_answer_comes_is_no_fault(api):
    exchange = Exchange(path=INVOKE)

    async def send(message):
        raise OSError("the connection is closed")

    exchange.send = send
    await exchange.of(asgi_app(api))


async def test_an_application_may_be_asked_on_any_path_of_the_protocol(api):
    lifespan = Exchange({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}, type="lifespan")
    await lifespan.of(asgi_app(api))
    assert [message["type"] for message in lifespan.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    websocket = await Exchange({"type": "websocket.connect"}, type="websocket").of(asgi_app(api))
    assert websocket.sent == [{"type": "websocket.close"}]
    with pytest.raises(ValueError, match="tea"):
        await Exchange(type="tea").of(asgi_app(api))


async def test_an_answer_without_a_body_says_nothing_of_one(api):
    dry = [(b"host", b"localhost"), (b"x-amz-invocation-type", b"DryRun")]
    exchange = await Exchange(path=INVOKE, headers=dry).of(asgi_app(api))
    assert exchange.sent[0] == {"type": "http.response.start", "status": 204, "headers": []}


async def test_without_a_token_a_public_name_is_refused(api):
    exchange = await Exchange(path=INVOKE, headers=[(b"host", b"orders.example")]).of(asgi_app(api))
    assert exchange.status == 403
    bearer = [(b"Host", b"orders.example"), (b"Authorization", b"Bearer s3cret")]
    exchange = await Exchange(path=INVOKE, headers=bearer).of(asgi_app(api, token="s3cret"))
    assert exchange.status == 200


def test_it_needs_no_server_of_ours():
    code = "import sys; import durable_async.service.http; print('aiohttp' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "False\n"


# --- servers and clients ---

ANY = {"aws_access_key_id": "s3cret", "aws_secret_access_key": "any", "region_name": "us-east-1"}


def fastapi(mounted):
    app = FastAPI()

    @app.get("/health")
    async def health():
        return "well"

    app.mount("/api/durable", mounted)
    return app


def starlette_in_starlette(mounted):
    return Starlette(routes=[Mount("/api", Starlette(routes=[Mount("/durable", mounted)]))])


def path_parameter(mounted):
    return Starlette(routes=[Mount("/{tenant}", Starlette(routes=[Mount("/durable", mounted)]))])


@pytest.mark.parametrize(
    ("build", "options", "prefix"),
    [
        pytest.param(lambda app: app, {}, "", id="bare"),
        pytest.param(lambda app: app, {"root_path": "/behind"}, "", id="bare, behind a proxy"),
        pytest.param(fastapi, {}, "/api/durable", id="fastapi"),
        pytest.param(fastapi, {"root_path": "/behind"}, "/api/durable", id="fastapi, behind a proxy"),
        pytest.param(starlette_in_starlette, {}, "/api/durable", id="starlette"),
        pytest.param(path_parameter, {}, "/any/durable", id="below a parameter"),
    ],
)
async def test_aiobotocore_finds_it_wherever_it_is_mounted(api, build, options, prefix):
    async with (
        served_by_uvicorn(build(asgi_app(api, token="s3cret")), **options) as url,
        get_session().create_client("lambda", endpoint_url=url + prefix, **ANY) as client,
    ):
        response = await client.invoke(FunctionName="durable", Qualifier="$LATEST", Payload=b'{"a": "b/c"}')
        assert json.loads(await response["Payload"].read()) == {"a": "b/c"}
        arn = response["DurableExecutionArn"]
        assert (await client.get_durable_execution(DurableExecutionArn=arn))["Status"] == "SUCCEEDED"
        history = await client.get_durable_execution_history(DurableExecutionArn=arn, MaxItems=1)
        assert history["NextMarker"]
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            await client.stop_durable_execution(DurableExecutionArn=arn[:-1])


async def test_the_example_is_an_application_with_lambdas_api_in_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "docs" / "examples"))
    monkeypatch.setenv("ORDERS_DB", str(tmp_path / "orders.db"))
    fastapi_app = importlib.import_module("fastapi_app")
    async with (
        served_by_uvicorn(fastapi_app.app, lifespan="on") as url,
        get_session().create_client("lambda", endpoint_url=f"{url}/durable", **ANY) as client,
    ):
        placed = await fastapi_app.place(17, {"cents": 4250})
        listed = await client.list_durable_executions_by_function(FunctionName="fulfil")
        (execution,) = listed["DurableExecutions"]
        assert execution["DurableExecutionName"] == "order-17"
        assert execution["DurableExecutionArn"] == placed["execution"]
