"""The trace header of a caller reaches the functions: from the request, through chained invokes, into each invocation."""

import asyncio
import json
import os
import urllib.request
from datetime import timedelta

import pytest

from durable_async import durable_execution
from durable_async.embedded.local import in_process_handler
from durable_async.service.functions.base import InvocationRequest, in_process_function
from durable_async.service.functions.worker_process import Target
from durable_async.service.functions.worker_process import invoke as invoke_in_worker
from durable_async.service.http import serve
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.store.sqlite import SqliteStore

HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
PARENT = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"


def plain(event, context):
    return context.trace_header


@durable_execution
async def durable(event, ctx):
    headers = [ctx.lambda_context.trace_header]
    if event == "invokes":
        headers += [await ctx.invoke("plain"), *await ctx.invoke("durable:$LATEST", "end")]
    if event == "waits":
        await ctx.wait(timedelta(seconds=1))
        headers.append(ctx.lambda_context.trace_header)
    return headers


def post(url, event, headers):
    request = urllib.request.Request(url, json.dumps(event).encode(), headers, method="POST")
    with urllib.request.urlopen(request) as response:
        return json.load(response)


async def answer(function, event, headers, store=None):
    async with LambdaApi(store=store) as api:
        api.register("plain", in_process_function(plain))
        api.register("durable", in_process_handler(durable, api))
        async with serve(api) as url:
            target = f"{url}/2015-03-31/functions/{function}/invocations"
            return await asyncio.to_thread(post, target, event, headers)


@pytest.mark.parametrize(
    ("headers", "passed_on"),
    [
        ({"X-Amzn-Trace-Id": HEADER}, HEADER),
        ({"traceparent": PARENT}, HEADER),
        ({"traceparent": PARENT.replace("-01", "-00")}, HEADER.replace("Sampled=1", "Sampled=0")),
        ({"traceparent": f"{PARENT.replace('00-', '01-', 1)}-what a later version adds"}, HEADER),
        ({"X-Amzn-Trace-Id": "Root=other", "traceparent": PARENT}, "Root=other"),
        ({"traceparent": PARENT.replace("00-", "ff-", 1)}, None),
        ({"traceparent": PARENT[:-4]}, None),
        ({"X-Amzn-Trace-Id": "x" * 2000}, None),
        ({}, None),
    ],
)
async def test_a_function_gets_the_trace_of_the_request(headers, passed_on):
    assert await answer("plain", None, headers) == passed_on


async def test_every_invocation_of_an_execution_gets_it_and_so_do_the_functions_that_it_invokes(tmp_path):
    headers = {"X-Amzn-Trace-Id": HEADER}
    assert await answer("durable:$LATEST", "waits", headers) == [HEADER] * 2
    assert await answer("durable:$LATEST", "invokes", headers) == [HEADER] * 3


async def test_the_next_service_on_the_store_knows_it(tmp_path):
    path, seen = tmp_path / "file", []

    @durable_execution
    async def waiting(event, ctx):
        seen.append(ctx.lambda_context.trace_header)
        await ctx.wait(timedelta(days=1))

    for clock in (lambda: 1_700_000_000.0, lambda: 1_700_100_000.0):
        async with LambdaApi(store=SqliteStore(path), clock=clock) as api:
            api.register("waiting", in_process_handler(waiting, api))
            if not seen:
                await api.invoke("waiting", b"{}", qualifier="$LATEST", trace_header=HEADER)
            await api.fire_due()
            await api.idle()
    assert seen == [HEADER] * 2


def from_environment(event, context):
    return os.environ.get("_X_AMZN_TRACE_ID")


def test_a_worker_has_it_where_lambdas_runtime_puts_it(monkeypatch):
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "of the invocation before")
    target = Target(__name__, "from_environment")
    for header in (HEADER, None):
        request = InvocationRequest("r", "f", "arn", trace_header=header)
        assert invoke_in_worker(target, None, request) == {"result": header}
