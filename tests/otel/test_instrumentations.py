"""What OpenTelemetry's instrumentations of libraries make in a step, with the real packages."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import httpx
import pytest
import sqlalchemy
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from sqlalchemy.ext.asyncio import create_async_engine

from .exported import VIEWS, Exported, traced

ACCESS = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}


class Answering(BaseHTTPRequestHandler):
    """Answers each request with the headers that it came with."""

    def do_GET(self):
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def instrumented(instrumentor, exported, **options):
    instrumentor.instrument(tracer_provider=exported.provider, **options)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def parents(exported, name):
    return sorted(exported.parent_of(span) for span in exported.spans if span.name.startswith(name))


def assert_in_one_trace(exported):
    assert len({span.context.trace_id for span in exported.spans}) == 1


@pytest.mark.parametrize("view", VIEWS)
async def test_httpx_in_a_step_and_in_a_worker_thread_lies_in_the_attempt_and_takes_the_trace_along(view, url):
    exported, seen = Exported(), []

    async def on_the_loop():
        async with httpx.AsyncClient() as client:
            seen.append((await client.get(url)).json())

    def in_a_thread():
        with httpx.Client() as client:
            seen.append(client.get(url).json())

    async def workflow(event, ctx):
        await ctx.step(on_the_loop, name="awaited")
        await ctx.step(in_a_thread, name="threaded")

    with instrumented(HTTPXClientInstrumentor(), exported):
        await traced(workflow, view, exported)
    assert parents(exported, "GET") == ["awaited attempt 1", "threaded attempt 1"]
    assert_in_one_trace(exported)
    called = [f"{span.context.trace_id:032x}-{span.context.span_id:016x}" for span in exported.named("GET")]
    assert [headers["traceparent"][3:-3] for headers in seen] == called


@pytest.mark.parametrize("view", VIEWS)
async def test_boto3_in_a_worker_thread_lies_in_the_attempt(view, url):
    exported = Exported()

    def in_a_thread():
        client = boto3.client("lambda", endpoint_url=url, **ACCESS)
        client.list_functions()
        client.close()

    async def workflow(event, ctx):
        await ctx.step(in_a_thread, name="threaded")

    with instrumented(BotocoreInstrumentor(), exported):
        await traced(workflow, view, exported)
    assert parents(exported, "Lambda.ListFunctions") == ["threaded attempt 1"]
    assert_in_one_trace(exported)


@pytest.mark.parametrize("view", VIEWS)
async def test_sqlalchemy_in_a_worker_thread_and_on_the_loop_lies_in_the_attempt(view, tmp_path):
    exported = Exported()
    plain = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    awaited = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.db'}")
    question = sqlalchemy.text("SELECT 17")

    def in_a_thread():
        with plain.connect() as connection:
            return connection.execute(question).scalar()

    async def on_the_loop():
        async with awaited.connect() as connection:
            return (await connection.execute(question)).scalar()

    async def workflow(event, ctx):
        return [await ctx.step(in_a_thread, name="threaded"), await ctx.step(on_the_loop, name="awaited")]

    with instrumented(SQLAlchemyInstrumentor(), exported, engines=[plain, awaited.sync_engine]):
        await traced(workflow, view, exported)
    plain.dispose()
    await awaited.dispose()
    assert json.loads(exported.closed.result) == [17, 17]
    assert parents(exported, "SELECT") == ["awaited attempt 1", "threaded attempt 1"]
    assert_in_one_trace(exported)
