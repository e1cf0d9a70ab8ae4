"""An end that could not be stored has not happened, and nobody is told of it."""

import asyncio
import sqlite3

import pytest

from durable_async import DurableContext, InvokeConfig, durable_execution
from durable_async.embedded import DurableService
from durable_async.service.model.errors import ResourceConflictError, StoreError
from durable_async.service.store.sqlite import SqliteStore


@durable_execution
async def workflow(event: None, ctx: DurableContext) -> str:
    return await ctx.wait_for_callback(forget, returns=str)


async def forget(_callback_id):
    pass


async def end_of(events):
    async for event in events:
        last = event.type
    return last


async def test_a_stop_that_could_not_be_stored_is_told_to_nobody(tmp_path):
    file = tmp_path / "w.db"
    async with DurableService(file) as service:
        service.register(workflow)
        execution = await service.start(workflow, None)
        await service.api.idle()
        store = service.api._store
        assert isinstance(store, SqliteStore)
        store._writer._connection.execute("PRAGMA busy_timeout = 300")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # as a program does that holds the file for too long
        stopping = asyncio.ensure_future(execution.stop())
        await asyncio.sleep(0)
        result = asyncio.ensure_future(service.api.wait(execution.arn))
        events = asyncio.ensure_future(end_of(service.api.events(execution.arn)))
        described = asyncio.ensure_future(service.api.get_execution(execution.arn))
        with pytest.raises(StoreError):
            await stopping
        assert (await described).status == "RUNNING"
        assert not result.done()
        assert not events.done()
        other.execute("ROLLBACK")
        other.close()
        await execution.stop()
        assert (await result).status == "STOPPED"
        assert await events == "ExecutionStopped"


async def stopping_in_vain(service, execution, file):
    """Lock the file as another program does, and stop the execution in memory; the commit of the stop will fail."""
    store = service.api._store
    assert isinstance(store, SqliteStore)
    store._writer._connection.execute("PRAGMA busy_timeout = 300")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    stopping = asyncio.ensure_future(execution.stop())
    while store.is_settled():
        await asyncio.sleep(0)
    return other, stopping


async def test_an_execution_whose_stop_could_not_be_stored_is_not_deleted(tmp_path):
    file = tmp_path / "w.db"
    async with DurableService(file) as service:
        service.register(workflow)
        execution = await service.start(workflow, None)
        await service.api.idle()
        other, stopping = await stopping_in_vain(service, execution, file)
        deleting = asyncio.ensure_future(service.api.delete(execution.arn))
        with pytest.raises(StoreError):
            await stopping
        other.execute("ROLLBACK")
        other.close()
        with pytest.raises(ResourceConflictError, match="is RUNNING and cannot be deleted"):
            await deleting
        await execution.stop()
        await service.api.delete(execution.arn)


@durable_execution
async def invoking(event: None, ctx: DurableContext) -> object:
    return await ctx.invoke("workflow:$LATEST", None, config=InvokeConfig(cancel_with_parent=True))


async def test_a_child_does_not_follow_a_stop_of_its_parent_that_could_not_be_stored(tmp_path):
    file = tmp_path / "w.db"
    async with DurableService(file) as service:
        service.register(workflow)
        service.register(invoking)
        execution = await service.start(invoking, None)
        await service.api.idle()
        [child] = [each async for each in service.executions(workflow)]
        other, stopping = await stopping_in_vain(service, execution, file)
        following = asyncio.ensure_future(service.api._runner._chained.follow_parent(child.arn.rpartition("/")[2]))
        with pytest.raises(StoreError):
            await stopping
        other.execute("ROLLBACK")
        other.close()
        await following
        await service.api.idle()
        assert (await service.api.get_execution(child.arn)).status == "RUNNING"
