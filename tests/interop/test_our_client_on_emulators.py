"""Our client with the services of others: typed handles of executions that somebody else's service runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from durable_async import ExecutionFailedError, ExecutionStoppedError
from durable_async.client import DurableClient
from durable_async.client.execution import ExecutionHandle
from durable_async.service import EventType, HistoryEvent

from . import our_functions
from .environments import Environment
from .services import Ministack, OfficialEmulator


@pytest.fixture(scope="module")
async def emulator(official: Environment, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[OfficialEmulator]:
    async with OfficialEmulator.running(tmp_path_factory.mktemp("emulator") / "log") as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: OfficialEmulator) -> AsyncGenerator[DurableClient]:
    async with DurableClient(emulator.url) as client:
        yield client


async def first(execution: ExecutionHandle[object], kind: EventType) -> HistoryEvent:
    async for event in execution.events():
        if event.type is kind:
            return event
    raise AssertionError(f"no {kind}")


async def test_a_result_comes_as_its_type(emulator, client):
    execution = client.execution(await emulator.start("steps", {"item": "bücher"}), our_functions.steps)
    assert await execution.result() == ["bücher", "shipped"]
    described = await execution.describe()
    assert (described.status, json.loads(described.input)) == ("SUCCEEDED", {"item": "bücher"})
    assert described.ended > described.started


async def test_events_come_while_they_happen_and_are_those_of_the_history(emulator, client):
    execution = client.execution(await emulator.start("steps", {"item": "book"}))
    events = [event async for event in execution.events()]
    assert events[-1].type is EventType.EXECUTION_SUCCEEDED
    assert events == await execution.history()
    assert [event async for event in execution.events(after=3)] == events[3:]


async def test_a_callback_is_answered(emulator, client):
    execution = client.execution(await emulator.start("asking", {"timeout": 3600}))
    waiting = asyncio.create_task(execution.result())
    identity = (await first(execution, EventType.CALLBACK_STARTED)).details["CallbackId"]
    await client.heartbeat_callback(identity)
    await client.succeed_callback(identity, {"by": "ann"})
    assert await waiting == {"answer": {"by": "ann"}}


async def test_a_failure_and_a_stop_are_typed_errors(emulator, client):
    failing = client.execution(await emulator.start("failing", {}))
    with pytest.raises(ExecutionFailedError, match="no such card") as failed:
        await failing.result()
    assert failed.value.error_type == "durable_async.errors.NonRetryableError"
    asking = client.execution(await emulator.start("asking", {"timeout": 3600}))
    await first(asking, EventType.CALLBACK_STARTED)
    await asking.stop({"ErrorType": "Enough", "ErrorMessage": "nobody wants it"})  # which the emulator does not record
    with pytest.raises(ExecutionStoppedError):
        await asking.result()


async def test_waiting_ends_with_the_timeout(emulator, client):
    asking = client.execution(await emulator.start("asking", {"timeout": 3600}))
    with pytest.raises(TimeoutError):
        await asking.result(timeout=timedelta(seconds=1))
    assert await asking.status() == "RUNNING"


async def test_ministack_tells_our_client_how_an_execution_ended(ministack, tmp_path):
    async with Ministack.running(tmp_path / "log") as emulator, DurableClient(emulator.url) as client:
        execution = client.execution(await emulator.start("steps", {"item": "bücher"}), our_functions.steps)
        assert await execution.result() == ["bücher", "shipped"]
        listed = [each async for each in client.executions("steps", statuses=["SUCCEEDED"])]
        assert [(each.arn, each.status) for each in listed] == [(execution.arn, "SUCCEEDED")]
