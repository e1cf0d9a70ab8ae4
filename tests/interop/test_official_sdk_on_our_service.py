"""The official SDK's handlers, boto3 and all, on our service over HTTP. Time is virtual: an hour's wait takes none."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiobotocore.session import get_session
from aiohttp import ClientSession, ClientTimeout

from durable_async.service import Closed
from durable_async.service.http import serve
from tests.world import World

from .environments import Environment
from .processes import aws_environment, free_port, running
from .remote import RemoteFunction

PEERS = Path(__file__).parent / "peers"
DURABLE = [
    *("step_and_wait", "retried", "exhausted", "failing", "at_most_once", "invoked_again"),
    *("child_context", "large_child", "retried_block", "mapped", "mapped_in_part", "parallel", "first_of"),
    *("callback", "waited_callback", "condition", "invoking", "large_result", "long_record"),
]
ENDED = ["InvocationCompleted", "ExecutionSucceeded"]


@attrs.frozen
class Service:
    """
    :ivar outside: a client as anybody has it
    """

    world: World
    outside: Any

    async def start(self, name: str, event: Any) -> str:
        started = await self.world.service.invoke(f"{name}:$LATEST", json.dumps(event).encode())
        return started.execution_arn

    async def run(self, name: str, event: Any) -> tuple[Closed, list[dict[str, Any]]]:
        return await self.finish(await self.start(name, event))

    async def finish(self, arn: str) -> tuple[Closed, list[dict[str, Any]]]:
        return await self.world.finish(arn), await self.world.events(arn)

    async def callback_id(self, arn: str) -> str:
        """Of the only callback that the execution started, once it waits."""
        await self.world.settle()
        [started] = [each for each in await self.world.events(arn) if each["EventType"] == "CallbackStarted"]
        return started["CallbackStartedDetails"]["CallbackId"]


@pytest.fixture(scope="module")
async def service(official: Environment, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Service]:
    port = free_port()
    log = tmp_path_factory.mktemp("official") / "log"
    async with (
        ClientSession(timeout=ClientTimeout(total=60)) as session,
        World() as world,
        serve(world.service) as url,
        running(
            *(official.python, str(PEERS / "handler_server.py"), str(port), "official_functions"),
            port=port,
            environment=aws_environment(url),
            log=log,
        ),
        get_session().create_client(
            "lambda", "us-east-1", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any"
        ) as outside,
    ):
        for name in DURABLE:
            world.service.register(name, RemoteFunction(f"http://127.0.0.1:{port}", session))
        world.service.register("plain", RemoteFunction(f"http://127.0.0.1:{port}", session, durable=False))
        yield Service(world, outside)


def types(events):
    return [event["EventType"] for event in events]


def named(events, kind):
    return [event.get("Name") for event in events if event["EventType"] == kind]


async def test_a_step_a_wait_and_a_step(service):
    closed, events = await service.run("step_and_wait", {"item": "bücher"})
    assert json.loads(closed.result) == ["bücher", "shipped"]
    assert types(events) == [
        *["ExecutionStarted", "StepStarted", "StepSucceeded", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", "StepStarted", "StepSucceeded", *ENDED],
    ]
    assert named(events, "StepSucceeded") == ["reserve", "ship"]
    assert events[3]["WaitStartedDetails"]["Duration"] == 3600


async def test_a_retry_that_succeeds(service):
    closed, events = await service.run("retried", {"key": "retried"})
    assert closed.result == "3"
    assert types(events) == [
        "ExecutionStarted",
        *["StepStarted", "StepFailed", "InvocationCompleted"] * 2,
        *["StepStarted", "StepSucceeded", *ENDED],
    ]
    assert [each["StepFailedDetails"]["RetryDetails"] for each in events if each["EventType"] == "StepFailed"] == [
        {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 10},
        {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 20},
    ]


async def test_retries_that_are_exhausted(service):
    closed, events = await service.run("exhausted", {"key": "exhausted"})
    assert json.loads(closed.result) == "gave up: no line 3"
    assert types(events) == [
        "ExecutionStarted",
        *["StepStarted", "StepFailed", "InvocationCompleted"] * 2,
        *["StepStarted", "StepFailed", "WaitStarted", "InvocationCompleted", "WaitSucceeded", *ENDED],
    ]


async def test_a_failure(service):
    closed, events = await service.run("failing", {"key": "failing"})
    assert closed.status == "FAILED"
    assert closed.error["ErrorMessage"] == "no line 1"
    assert types(events) == ["ExecutionStarted", "StepStarted", "StepFailed", "InvocationCompleted", "ExecutionFailed"]


async def test_a_step_at_most_once(service):
    closed, events = await service.run("at_most_once", {})
    assert closed.result == '"charged"'
    assert types(events) == ["ExecutionStarted", "StepStarted", "StepSucceeded", *ENDED]


async def test_an_invocation_that_is_repeated(service):
    closed, events = await service.run("invoked_again", {"key": "invoked again"})
    assert closed.result == "2"
    assert types(events) == [
        *["ExecutionStarted", "StepStarted", "StepSucceeded", "InvocationCompleted", *ENDED],
    ]
    error = events[3]["InvocationCompletedDetails"]["Error"]["Payload"]
    assert (error["ErrorType"], error["ErrorMessage"]) == ("InvocationError", "no line 1")


async def test_a_child_context(service):
    closed, events = await service.run("child_context", {"items": ["a", "b"], "wait": 30})
    assert closed.result == "2"
    context, *inner = events[1:-3]
    assert types(events) == [
        *["ExecutionStarted", "ContextStarted", *["StepStarted", "StepSucceeded"] * 2],
        *["WaitStarted", "InvocationCompleted", "WaitSucceeded", "StepStarted", "StepSucceeded", "ContextSucceeded"],
        *ENDED,
    ]
    assert {each["ParentId"] for each in inner if "ParentId" in each} == {context["Id"]}


async def test_a_large_child_result_is_made_again_from_its_steps(service):
    closed, events = await service.run("large_child", {})
    assert closed.result == "400000"
    assert types(events).count("StepStarted") == 4


async def test_a_retried_block(service):
    closed, events = await service.run("retried_block", {"key": "block"})
    assert closed.result == "2"
    assert named(events, "WaitSucceeded") == ["block-backoff-1"]


async def test_a_map(service):
    closed, events = await service.run("mapped", {"numbers": [1, 2, 3, 4]})
    assert json.loads(closed.result) == [1, 4, 9, 16]
    assert types(events).count("ContextSucceeded") == 5
    assert sorted(named(events, "StepSucceeded")) == ["square-1", "square-2", "square-3", "square-4"]


async def test_a_map_in_which_one_fails(service):
    closed, events = await service.run("mapped_in_part", {"numbers": [1, -2, 3]})
    assert json.loads(closed.result) == {"succeeded": [1, 3], "failed": ["-2 is negative"]}
    assert types(events).count("ContextFailed") == 1


async def test_branches(service):
    closed, events = await service.run("parallel", {"user": "ann"})
    assert json.loads(closed.result) == [{"user": "ann"}, ["one", "two"]]
    assert named(events, "ContextSucceeded") == ["user", "orders", "load"]


async def test_the_first_of_two(service):
    started = service.world.clock()
    closed, events = await service.run("first_of", {})
    assert json.loads(closed.result) == [60]
    assert service.world.clock() - started == 60
    assert "WaitSucceeded" in types(events)


async def test_a_callback_that_succeeds(service):
    arn = await service.start("callback", {})
    callback_id = await service.callback_id(arn)
    await service.outside.send_durable_execution_callback_heartbeat(CallbackId=callback_id)
    await service.outside.send_durable_execution_callback_success(CallbackId=callback_id, Result=b'{"by": "ann"}')
    closed, events = await service.finish(arn)
    assert json.loads(closed.result) == {"approved": '{"by": "ann"}'}
    assert types(events) == [
        *["ExecutionStarted", "CallbackStarted", "StepStarted", "StepSucceeded", "InvocationCompleted"],
        *["CallbackSucceeded", *ENDED],
    ]


async def test_a_callback_that_fails(service):
    arn = await service.start("callback", {})
    await service.outside.send_durable_execution_callback_failure(
        CallbackId=await service.callback_id(arn), Error={"ErrorType": "Refused", "ErrorMessage": "not today"}
    )
    closed, events = await service.finish(arn)
    assert json.loads(closed.result) == {"refused": "not today", "as": "CallbackExternalError"}
    assert "CallbackFailed" in types(events)


async def test_a_callback_that_times_out(service):
    closed, events = await service.run("callback", {})
    assert json.loads(closed.result)["as"] == "CallbackTimeoutError"
    assert "CallbackTimedOut" in types(events)


async def test_waiting_for_a_callback(service):
    arn = await service.start("waited_callback", {"whom": "ann"})
    await service.outside.send_durable_execution_callback_success(
        CallbackId=await service.callback_id(arn), Result=b"yes"
    )
    closed, events = await service.finish(arn)
    assert closed.result == '"yes"'
    assert types(events) == [
        *["ExecutionStarted", "ContextStarted", "CallbackStarted", "StepStarted", "StepSucceeded"],
        *["InvocationCompleted", "CallbackSucceeded", "ContextSucceeded", *ENDED],
    ]


async def test_waiting_for_a_condition(service):
    closed, events = await service.run("condition", {})
    assert json.loads(closed.result) == {"polls": 3}
    assert types(events) == [
        "ExecutionStarted",
        *["StepStarted", "StepSucceeded", "InvocationCompleted"] * 3,
        "ExecutionSucceeded",
    ]


async def test_invoking_other_functions(service):
    closed, events = await service.run("invoking", {"item": "book", "key": "invoked"})
    assert json.loads(closed.result) == {
        "order": ["book", "shipped"],
        "plain": {"plain": {"item": "book"}},
        "error": "no line 1",
    }
    assert [each for each in types(events) if each.startswith("Chained")] == [
        *["ChainedInvokeStarted", "ChainedInvokeSucceeded"] * 2,
        *["ChainedInvokeStarted", "ChainedInvokeFailed"],
    ]


async def test_a_result_too_large_for_an_answer(service):
    """Between the largest answer of an invocation and the largest result of an execution."""
    size = 6 * 1024 * 1024 - 10
    closed, events = await service.run("large_result", {"size": size})
    assert len(json.loads(closed.result)) == size
    assert types(events) == ["ExecutionStarted", "ExecutionSucceeded", "InvocationCompleted"]


async def test_a_record_too_large_for_an_envelope(service):
    closed, events = await service.run("long_record", {"parts": 40})
    assert closed.result == "8000000"
    assert types(events).count("StepStarted") == 40
