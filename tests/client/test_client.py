"""A service elsewhere, through a client: what differs from calling it in its own program."""

import asyncio
import os
import socket
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiobotocore.config import AioConfig
from aiohttp import ClientSession
from yarl import URL

from durable_async import (
    DurableContext,
    ExecutionFailedError,
    ExecutionStoppedError,
    ServiceCallError,
    durable_execution,
)
from durable_async.client import DurableClient, Polling
from durable_async.client.calls import HttpCalls
from durable_async.client.remote import RemoteApi
from durable_async.embedded import DurableService
from durable_async.replay import replay_open
from durable_async.service import ApiError
from durable_async.service.http import serve
from durable_async.service.model.errors import ResourceNotFoundError
from durable_async.transport.base import MISCONFIGURED
from tests.over_http.relay import Loss, Relay

HOUR = timedelta(hours=1)
ONE_ATTEMPT = AioConfig(retries={"total_max_attempts": 1})

broken = True


def charge(order: str) -> str:
    if broken:
        raise ValueError(f"no card for {order}")
    return f"charged {order}"


@durable_execution
async def fulfil(order: str, ctx: DurableContext) -> str:
    await ctx.step(str.upper, order, name="log")
    return await ctx.step(charge, order, name="charge")


@durable_execution
async def asks(event: str, ctx: DurableContext) -> Any:
    callback = await ctx.create_callback(name=event, returns=Any)
    return await callback.result()


@durable_execution
async def sleeps(event: int, ctx: DurableContext) -> int:
    await ctx.wait(timedelta(seconds=event))
    return event


@pytest.fixture
async def served():
    async with DurableService() as service:
        for handler in (fulfil, asks, sleeps):
            service.register(handler)
        async with serve(service.api) as url:
            yield service, url


@pytest.fixture
def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def until(execution, kind):
    async for event in execution.events():
        if event.type == kind:
            return event
    raise AssertionError(f"no {kind}")


async def test_the_client_reads_what_the_service_says_in_its_own_program(served):
    service, url = served
    async with DurableClient(url) as client:
        failed, waiting, paused = [
            await client.start(handler, "x", name=name, tags={"customer": "ann & bob=17", "größe": "ß"})
            for handler, name in ((fulfil, "failed"), (asks, "waiting"), (asks, "paused"))
        ]
        with pytest.raises(ExecutionFailedError, match="no card for x"):
            await failed.result()
        for execution in (waiting, paused):
            await until(execution, "InvocationCompleted")
        await paused.pause("maintenance")
        for execution in (failed, waiting, paused):
            here = service.execution(execution.arn)
            assert await execution.describe() == await here.describe()
            assert await execution.history() == await here.history()
        [callback] = await waiting.callbacks()
        assert [callback] == await service.execution(waiting.arn).callbacks()
        assert callback.name == "x"
        for chosen in ({"function": fulfil}, {"function": asks}, {}, {"tags": {"größe": "ß"}}, {"name_prefix": "pa"}):
            here = [summary async for summary in service.executions(**chosen)]
            assert [summary async for summary in client.executions(**chosen)] == here != []
        assert [summary async for summary in client.executions(tags={"größe": "s"})] == []


async def test_an_execution_is_cancelled_and_redriven_from_elsewhere(served, monkeypatch):
    _, url = served
    async with DurableClient(url) as client:
        waiting = await client.start(asks, "approval")
        await until(waiting, "CallbackStarted")
        await waiting.cancel("the customer called")
        with pytest.raises(ExecutionStoppedError, match="the customer called"):
            await waiting.result()
        failed = await client.start(fulfil, "7")
        with pytest.raises(ExecutionFailedError):
            await failed.result()
        monkeypatch.setattr(f"{__name__}.broken", False)
        await failed.redrive()
        assert await failed.result() == "charged 7"
        events = [event.type async for event in failed.events()]
        assert events[-1] == "ExecutionSucceeded"
        assert events.count("ExecutionFailed") == events.count("ExecutionRedriven") == 1


async def test_an_execution_and_its_history_are_forked_from_elsewhere(served):
    _, url = served
    async with DurableClient(url) as client:
        failed = await client.start(fulfil, "7")
        with pytest.raises(ExecutionFailedError):
            await failed.result()
        forked = await failed.fork("charge", name="again", replace={"charge": "paid"}, tags={"of": "7"})
        assert await forked.result() == "paid"
        assert (forked.name, (await forked.describe()).tags) == ("again", {"of": "7"})
        from_history = await client.fork_history(
            fulfil, await failed.history(), event="8", replace={"charge": "paid in another way"}
        )
        assert await from_history.result() == "paid in another way"
        with pytest.raises(ApiError, match="list of JSON objects"):
            await client.fork_history(fulfil, 17)


async def test_a_stack_trace_in_an_error_arrives(served):
    _, url = served
    async with DurableClient(url) as client:
        execution = await client.start(asks, "approval")
        await execution.stop({"ErrorMessage": "enough", "StackTrace": ["line 1", "line 2"]})
        with pytest.raises(ExecutionStoppedError) as stopped:
            await execution.result()
        assert stopped.value.stack_trace == ("line 1", "line 2")


async def test_a_handler_is_called_by_the_name_under_which_it_is_deployed(served):
    service, url = served
    service.register(asks, name="asks-prod")
    async with DurableClient(url, functions={asks: "asks-prod:$LATEST"}) as client:
        execution = await client.start(asks, "approval", name="one")
        assert ":function:asks-prod:$LATEST/" in execution.arn
        assert (await client.find(asks, "one")) is not None
        assert await service.find("asks-prod", "one") is not None
        assert await service.find("asks", "one") is None


async def test_a_function_that_is_not_durable_cannot_be_started(served):
    service, url = served
    service.register(lambda event, context: event, name="plain")
    async with DurableClient(url) as client:
        with pytest.raises(ApiError, match="not durable"):
            await client.start("plain", 1)
        with pytest.raises(TypeError, match="Put @durable_execution above it"):
            await client.start(print, 1)
        with pytest.raises(ResourceNotFoundError, match="nowhere"):
            await client.start("nowhere", 1)


async def test_open_executions_are_replayed_through_a_client(served):
    _, url = served
    async with DurableClient(url) as client:
        execution = await client.start(asks, "approval")
        await until(execution, "InvocationCompleted")
        assert (await replay_open(client, {"asks": asks})).replayed == {"asks": 1}
        [other] = (await replay_open(client, {"asks": sleeps})).broken
        assert other.execution_arn == execution.arn


async def test_aws_is_not_asked_for_paused_executions_which_it_does_not_know(served):
    _, url = served
    async with DurableClient(url) as client:
        running, paused = [await client.start(asks, "approval") for _ in range(2)]
        await paused.pause()
        await until(paused, "ExecutionPaused")
        on_aws = RemoteApi(HttpCalls(client._clients, url, on_aws=True))
        listed = await on_aws.list_executions("asks", statuses=["RUNNING", "PAUSED"])
        assert [each.arn for each in listed.items] == [running.arn]
        assert (await on_aws.list_executions("asks", statuses=["PAUSED"])).items == []
        for refused in ({"tags": {"a": "b"}}, {"name_prefix": "order-"}):
            with pytest.raises(ApiError, match="AWS Lambda does not offer this: "):
                await on_aws.list_executions("asks", **refused)
        with pytest.raises(ApiError, match="does not offer this: executions of all functions"):
            await on_aws.list_executions()
        with pytest.raises(ApiError, match="does not offer this: tags"):
            await on_aws.invoke("asks:$LATEST", b'"x"', tags={"a": "b"})


async def test_two_event_loops_have_connections_of_their_own(served):
    _, url = served
    client = DurableClient(url)
    execution = await client.start(sleeps, 1)

    def elsewhere():
        return asyncio.run(client.execution(execution.arn, sleeps).result())

    assert await asyncio.to_thread(elsewhere) == 1
    await client.aclose()


async def test_a_start_whose_answer_is_lost_starts_one_execution(served):
    service, url = served
    async with Relay.before(url, {0: Loss.REPLY}) as relay, DurableClient(relay.url) as client:
        execution = await client.start(asks, "approval")
        assert len(relay.passed) == 2
        assert [summary.arn async for summary in service.executions(asks)] == [execution.arn]


async def test_what_cannot_be_reached_is_no_refusal_of_a_service(served, unused_port):
    _, url = served
    async with DurableClient(f"http://127.0.0.1:{unused_port}", config=ONE_ATTEMPT) as client:
        with pytest.raises(ServiceCallError) as unreachable:
            await client.start(asks, "approval")
        assert (unreachable.value.code, unreachable.value.status) == (None, None)
    async with DurableClient(f"{url}/durable", config=ONE_ATTEMPT) as client:  # as if it were mounted there
        with pytest.raises(ApiError, match="is not an operation of this service"):
            await client.start(asks, "approval")


async def test_without_credentials_for_aws_the_error_says_what_to_do(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with DurableClient() as client:
        with pytest.raises(ServiceCallError, match="no AWS region") as misconfigured:
            await client.start(asks, "approval")
        assert misconfigured.value.code == MISCONFIGURED
    async with DurableClient(region="eu-west-1") as client:
        with pytest.raises(ServiceCallError, match="no AWS credentials"):
            await client.start(asks, "approval")


# --- waiting ---


async def test_a_result_is_one_request_that_the_service_holds_back(served):
    _, url = served
    async with Relay.before(url, {}) as relay, DurableClient(relay.url) as client:
        execution = await client.start(sleeps, 1)
        relay.passed.clear()
        assert await execution.result() == 1
        queries = [passed.path.rpartition("?")[2] for passed in relay.passed]
        assert queries == ["IncludeExecutionData=false&WaitSeconds=20", "IncludeExecutionData=true"]


async def test_events_are_held_back_until_they_happen(served):
    _, url = served
    async with Relay.before(url, {}) as relay, DurableClient(relay.url) as client:
        execution = await client.start(sleeps, 1)
        relay.passed.clear()
        ids = [event.id async for event in execution.events()]
        assert ids == [*range(1, ids[-1] + 1)]
        assert len(relay.passed) <= 1 + len(ids)
        assert [event.id async for event in execution.events(after=2)] == ids[2:]


async def test_a_service_that_does_not_wait_is_polled(served):
    service, url = served
    async with Relay.before(url, {}, without=r"&?WaitSeconds=\d+") as relay, DurableClient(relay.url) as client:
        execution = await client.start(asks, "approval")

        async def watch():
            return [event async for event in execution.events()]

        waiting, watching = asyncio.create_task(execution.result()), asyncio.create_task(watch())
        while len(relay.passed) < 8:
            await asyncio.sleep(0.01)
        event = await until(service.execution(execution.arn), "CallbackStarted")
        await service.succeed_callback(event.details["CallbackId"], "yes")
        assert await waiting == "yes"
        assert await watching == await execution.history()


async def test_a_wait_that_is_over_is_asked_for_again(served):
    service, url = served
    execution = await service.start(asks, "approval")
    identity = (await until(execution, "CallbackStarted")).details["CallbackId"]
    async with Relay.before(url, {}) as relay, DurableClient(relay.url, polling=Polling(wait=1)) as client:
        waiting = asyncio.create_task(client.execution(execution.arn).result())
        while len(relay.passed) < 2:
            await asyncio.sleep(0.01)
        assert relay.passed[0].path == relay.passed[1].path
        await service.succeed_callback(identity, "yes")
        assert await waiting == "yes"


@pytest.mark.parametrize("what", ["", "/history"])
async def test_a_wait_of_no_sensible_length_is_refused(served, what):
    service, url = served
    execution = await service.start(asks, "approval")
    path = f"{url}/2025-12-01/durable-executions/{quote(execution.arn, safe='')}{what}"
    async with ClientSession() as session, session.get(URL(f"{path}?WaitSeconds=21", encoded=True)) as answer:
        assert answer.status == 400
        assert "between 0 and 20" in await answer.text()


def test_an_address_without_a_scheme_is_told_to_be_a_url():
    with pytest.raises(ValueError, match=r"write http://localhost:8700, not localhost:8700"):
        DurableClient("localhost:8700")
