"""Versions of a function: executions stay on the one that began them, or move with the newest."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import boto3
import pytest

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.replay import replay_open
from durable_async.service import ApiError
from durable_async.service.http import serve
from durable_async.service.model import arns


def shop(name: str) -> Any:
    """The code of a version. Its steps have its name, so that no other version can continue what it began."""

    @durable_execution
    async def fulfil(event: Any, ctx: DurableContext) -> str:
        await ctx.step(lambda: None, name=f"charge by {name}")
        answer = await ctx.create_callback(name="approval")
        await answer.result()
        return name

    return fulfil


ONE, TWO = shop("one"), shop("two")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "orders.db"


async def answered(service, execution):
    """Answer the callback of the execution, and return its result."""
    await service.api.idle()
    (callback,) = await execution.callbacks()
    await service.succeed_callback(callback.id, b"yes")
    return await execution.result()


async def begun(path, *versions, name="order", **options):
    """Start an order on the newest version, and end the service."""
    async with DurableService(path) as service:
        for version, handler in versions:
            service.register(handler, name="fulfil", version=version, **options)
        execution = await service.start("fulfil", {}, name=name)
        await service.api.idle()
        return execution.arn


async def version_of(started):
    return (await (await started).describe()).version


async def test_executions_stay_on_the_version_that_began_them(path):
    arn = await begun(path, (1, ONE))
    async with DurableService(path) as service:
        service.register(ONE, name="fulfil", version=1)
        service.register(TWO, name="fulfil", version=2)
        new = await service.start("fulfil", {}, name="new")
        assert await answered(service, service.execution(arn)) == "one"
        assert await answered(service, new) == "two"
        assert arns.parse_execution(arn).function_arn.endswith(":fulfil:1")
        assert (await new.describe()).version == "2"


async def test_an_execution_waits_until_its_version_is_registered(path):
    arn = await begun(path, (1, ONE))
    async with DurableService(path) as service:
        service.register(TWO, name="fulfil", version=2)
        assert service.api.unregistered() == {"fulfil:1": 1}
        execution = service.execution(arn)
        (callback,) = await execution.callbacks()
        await service.succeed_callback(callback.id, b"yes")
        await service.api.idle()
        assert await execution.status() == "RUNNING"
        service.register(ONE, name="fulfil", version=1)
        assert await execution.result() == "one"
        assert service.api.unregistered() == {}


async def test_new_code_takes_over_an_old_version_by_its_number(path):
    arn = await begun(path, (1, ONE))

    @durable_execution
    async def corrected(event: Any, ctx: DurableContext) -> str:
        return await ONE.workflow(event, ctx) + " corrected"

    async with DurableService(path) as service:
        for version in (1, 2):
            service.register(corrected, name="fulfil", version=version)
        assert await answered(service, service.execution(arn)) == "one corrected"
        assert await version_of(service.start(corrected, {})) == "2"


async def test_executions_that_are_not_pinned_move_with_the_newest_version(path):
    @durable_execution
    async def compatible(event: Any, ctx: DurableContext) -> str:
        return await ONE.workflow(event, ctx) + " two"

    arn = await begun(path, (1, ONE), pinned=False)
    assert arns.parse_execution(arn).function_arn.endswith(":fulfil:$LATEST")
    async with DurableService(path) as service:
        service.register(compatible, name="fulfil", version=2)
        service.register(ONE, name="fulfil", version=1)
        assert await answered(service, service.execution(arn)) == "one two"


async def test_a_function_without_versions_goes_on_with_executions_of_all(path):
    arn = await begun(path, (1, ONE))
    async with DurableService(path) as service:
        service.register(ONE, name="fulfil")
        assert await answered(service, service.execution(arn)) == "one"


async def test_a_start_names_a_version_by_its_handler_or_its_number():
    async with DurableService() as service:
        service.register(ONE, name="fulfil", version=1)
        service.register(TWO, name="fulfil", version=2)
        assert await version_of(service.start(ONE, {})) == "1"
        assert await version_of(service.start(TWO, {})) == "2"
        assert await version_of(service.start("fulfil:1", {})) == "1"
        assert (await service.api.invoke("fulfil:prod", b"{}")).executed_version == "2"
        with pytest.raises(ApiError, match=r"Function not found: .*:fulfil:3\. Versions that are registered: 1, 2"):
            await service.api.invoke("fulfil:3", b"{}")
        with pytest.raises(ApiError, match=r"Function not found: .*:fulfill\. Functions that are registered: fulfil"):
            await service.start("fulfill", {})
        await service.start(TWO, {}, name="two")
        assert await service.find(ONE, "two") is not None  # names are unique over all versions


async def test_an_invoke_names_a_version_and_the_child_stays_on_it(path):
    @durable_execution
    async def parent(event: Any, ctx: DurableContext) -> list[str]:
        return [await ctx.invoke(f"fulfil:{version}", {}) for version in event]

    def register(service):
        service.register(ONE, name="fulfil", version=1)
        service.register(TWO, name="fulfil", version=2)
        service.register(parent)

    async with DurableService(path) as service:
        register(service)
        execution = await service.start(parent, [1, "$LATEST"])
        await service.api.idle()
    async with DurableService(path) as service:
        register(service)
        for expected in ("1", "2"):
            await service.api.idle()
            (child,) = [each async for each in service.executions("fulfil", statuses=["RUNNING"])]
            assert (await service.execution(child.arn).describe()).version == expected
            await answered(service, service.execution(child.arn))
        assert await service.execution(execution.arn).result() == ["one", "two"]


async def test_lists_and_checks_before_a_deploy_name_a_version(path):
    await begun(path, (1, ONE), name="one")
    await begun(path, (1, ONE), (2, TWO), name="two")
    async with DurableService(path) as service:
        for version, names in ((1, ["one"]), (2, ["two"])):
            assert [each.name async for each in service.executions(f"fulfil:{version}")] == names
        assert [each.name async for each in service.executions("fulfil")] == ["two", "one"]
        assert await service.api.count_executions("fulfil:1") == {"fulfil": {"RUNNING": 1}}
        assert (await replay_open(service, {"fulfil:1": ONE, "fulfil:2": TWO})).passed
        assert not (await replay_open(service, {"fulfil": TWO})).passed


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"version": 1}, {"version": 1}, "a function 'fulfil:1' is already registered"),
        ({"version": 1}, {}, "with a version and without one"),
        ({}, {"version": 1}, "with a version and without one"),
        ({}, {"version": 0}, "a number from 1"),
    ],
)
async def test_versions_that_contradict_each_other_are_refused(first, second, message):
    async with DurableService() as service:
        service.register(ONE, name="fulfil", **first)
        with pytest.raises(ValueError, match=message):
            service.register(TWO, name="fulfil", **second)


async def test_boto3_reads_the_executions_of_a_version():
    async with DurableService() as service:
        service.register(ONE, name="fulfil", version=7)
        async with serve(service.api) as url:
            await asyncio.to_thread(check_with_boto3, url)


def check_with_boto3(url):
    client = boto3.client(
        "lambda", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="a"
    )
    started = client.invoke(
        FunctionName="fulfil", Qualifier="7", InvocationType="Event", Payload=json.dumps({}).encode()
    )
    execution = client.get_durable_execution(DurableExecutionArn=started["DurableExecutionArn"])
    assert execution["Version"] == "7"
    assert execution["FunctionArn"].endswith(":function:fulfil:7")
    client.close()


async def test_each_version_has_its_own_configuration():
    async with DurableService() as service:
        service.register(ONE, name="fulfil", version=1)
        service.register(TWO, name="fulfil", version=2, execution_timeout=timedelta(hours=1))
        assert (await (await service.start(ONE, {})).describe()).execution_timeout == 366 * 86_400
        assert (await (await service.start(TWO, {})).describe()).execution_timeout == 3600
