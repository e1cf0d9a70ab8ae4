"""Functions that end their worker, or cannot be imported any more: real ones, through HTTP. Others go on meanwhile."""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from urllib.parse import quote

import boto3
import pytest
from aiohttp import ClientSession
from botocore.config import Config

from durable_async.service import InvocationRetryPolicy, LambdaApi
from durable_async.service.functions.worker_process import Target
from durable_async.service.functions.workers import WorkerPool, worker_environment
from durable_async.service.http import bind, serve_on, url_of
from durable_async.service.store.memory import MemoryStore
from durable_async.service.store.sqlite import SqliteStore

CRASHES = 4
RETRIES = InvocationRetryPolicy(first_delay_ms=10, longest_delay_ms=20, quarantine_after=CRASHES)
GOOD = """
import json, os
def handler(envelope, context):
    event = json.loads(envelope["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"])
    if event == "poison" and not os.path.exists("antidote"):
        os._exit(9)
    return {"Status": "SUCCEEDED", "Result": json.dumps(event)}
handler.durable = True
"""


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "orders.db")


@pytest.fixture(autouse=True)
def _in_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a module is changed twice within a second
    (tmp_path / "shop.py").write_text(GOOD)


class Caller:
    """boto3, in threads."""

    def __init__(self, url):
        self.url = url
        config = Config(retries={"total_max_attempts": 1})
        access = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
        self.client = boto3.client("lambda", endpoint_url=url, config=config, **access)

    async def start(self, event):
        call = {"FunctionName": "handle", "Qualifier": "$LATEST", "Payload": json.dumps(event).encode()}
        started = await asyncio.to_thread(self.client.invoke, InvocationType="Event", **call)
        return started["DurableExecutionArn"]

    async def until(self, arn, status):
        async with asyncio.timeout(60):
            while True:
                found = await asyncio.to_thread(self.client.get_durable_execution, DurableExecutionArn=arn)
                if found["Status"] == status:
                    return found
                await asyncio.sleep(0.05)

    async def events(self, arn):
        """Over bare HTTP, for boto3 does not know of pauses."""
        async with (
            ClientSession() as session,
            session.get(f"{self._execution(arn)}/history?IncludeExecutionData=true") as found,
        ):
            return (await found.json())["Events"]

    async def resume(self, arn):
        async with ClientSession() as session, session.post(f"{self._execution(arn)}/resume", json={}) as response:
            assert response.status == 202, await response.text()

    def _execution(self, arn):
        return f"{self.url}/2025-12-01/durable-executions/{quote(arn, safe='')}"


@asynccontextmanager
async def served(store):
    listener = bind()
    environment = worker_environment(url_of(listener), os.environ)
    async with (
        WorkerPool(environment, max_workers=2, sink=lambda *_: None) as pool,
        LambdaApi(store=store, retries=RETRIES) as api,
        serve_on(api, listener) as url,
    ):
        api.register("handle", await pool.function(Target("shop", "handler")))
        caller = Caller(url)
        yield caller, pool
        caller.client.close()


async def assert_quarantined(caller, arn, error_type):
    await caller.until(arn, "PAUSED")
    events = await caller.events(arn)
    types = [event["EventType"] for event in events]
    assert types == ["ExecutionStarted", *["InvocationCompleted"] * CRASHES, "ExecutionPaused"]
    for event in events[1:-1]:
        assert event["InvocationCompletedDetails"]["Error"]["Payload"]["ErrorType"] == error_type
    return events[-1]


async def test_a_function_that_always_ends_its_worker(store, tmp_path):
    async with served(store) as (caller, _):
        poison = await caller.start("poison")
        others = [await caller.start(number) for number in range(6)]
        for number, arn in enumerate(others):
            assert json.loads((await caller.until(arn, "SUCCEEDED"))["Result"]) == number
        await assert_quarantined(caller, poison, "Runtime.ExitError")
        after = await caller.start("after it")
        await caller.until(after, "SUCCEEDED")
        (tmp_path / "antidote").touch()
        await caller.resume(poison)
        assert json.loads((await caller.until(poison, "SUCCEEDED"))["Result"]) == "poison"


async def test_a_module_that_cannot_be_imported_any_more(store, tmp_path):
    async with served(store) as (caller, pool):
        await caller.until(await caller.start("before"), "SUCCEEDED")
        (tmp_path / "shop.py").write_text("import no_such_module\n")
        while pool._idle:  # the workers that have it as it was
            await pool._idle.pop().kill()
        arn = await caller.start("broken")
        await assert_quarantined(caller, arn, "Runtime.ImportModuleError")
        (tmp_path / "shop.py").write_text(GOOD)
        await caller.resume(arn)
        assert json.loads((await caller.until(arn, "SUCCEEDED"))["Result"]) == "broken"


async def test_quarantine_outlives_the_server(tmp_path):
    async with served(SqliteStore(tmp_path / "orders.db")) as (caller, _):
        arn = await caller.start("poison")
        await assert_quarantined(caller, arn, "Runtime.ExitError")
    (tmp_path / "antidote").touch()
    async with served(SqliteStore(tmp_path / "orders.db")) as (caller, _):
        paused = await assert_quarantined(caller, arn, "Runtime.ExitError")
        assert (
            "crashed 4 times in a row, last with Runtime.ExitError"
            in paused["ExecutionPausedDetails"]["Reason"]["Payload"]
        )
        await caller.resume(arn)
        await caller.until(arn, "SUCCEEDED")
