"""Calls that reach an execution while an earlier one is being stored: the second sees what the first has done."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from functools import partial

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.errors import ExecutionStoppedError, InvokeStoppedError
from durable_async.service.model.errors import ResourceNotFoundError
from durable_async.service.store.sqlite import writing


@durable_execution
async def waiting(event: None, ctx: DurableContext) -> str:
    return await ctx.wait_for_callback(forget, returns=str)


async def forget(_callback_id):
    pass


@durable_execution
async def invoking(event: None, ctx: DurableContext) -> str:
    try:
        return str(await ctx.invoke("waiting:$LATEST", None))
    except InvokeStoppedError as error:
        return type(error).__name__


@asynccontextmanager
async def serving(tmp_path):
    async with DurableService(tmp_path / "w.db") as service:
        service.register(waiting)
        service.register(invoking)
        yield service


async def loaded(service, execution):
    found = await service.api._store.load(execution.arn.rpartition("/")[2])
    assert found is not None
    return found


async def all_at_once(service, execution, *calls):
    """Make the calls one after another while another program has the file, and so before any of them is stored."""
    kept = await loaded(service, execution)  # so that no call has to read it first
    with closing(sqlite3.connect(service.api._store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tasks = []
        for call in calls:
            tasks.append(asyncio.ensure_future(call()))
            for _ in range(5):
                await asyncio.sleep(0)
        other.execute("ROLLBACK")
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    del kept
    return answers


async def test_a_redrive_that_meets_a_stop_takes_back_an_end_that_everyone_was_told(tmp_path):
    async with serving(tmp_path) as service:
        parent = await service.start(invoking, None)
        await service.api.idle()
        [child] = [service.execution(each.arn) async for each in service.executions(waiting)]
        result = asyncio.ensure_future(child.result())
        await asyncio.sleep(0)
        assert await all_at_once(service, child, child.stop, child.redrive) == [None, None]
        with pytest.raises(ExecutionStoppedError):
            await result
        assert await parent.result() == "InvokeStoppedError"
        assert await child.status() == "RUNNING"
        await service.api.idle()
        [callback] = await child.callbacks()
        await service.succeed_callback(callback.id, "answer")
        assert await child.result() == "answer"


async def test_a_stop_tells_the_time_of_the_end_though_a_redrive_follows_at_once(tmp_path):
    async with serving(tmp_path) as service:
        execution = await service.start(waiting, None)
        await service.api.idle()
        stopped, redriven = await all_at_once(
            service, execution, partial(service.api.stop, execution.arn), partial(service.api.redrive, execution.arn)
        )
        assert (await execution.describe()).started <= stopped <= redriven


async def test_a_redrive_that_meets_a_deletion_is_refused(tmp_path):
    async with serving(tmp_path) as service:
        execution = await service.start(waiting, None)
        await service.api.idle()
        await execution.stop()
        deleted, redriven = await all_at_once(service, execution, execution.delete, execution.redrive)
        assert deleted is None
        assert isinstance(redriven, ResourceNotFoundError)
        with pytest.raises(ResourceNotFoundError):
            await execution.status()
        assert service.api.is_idle()


async def test_what_is_deleted_while_it_is_read_is_not_found(tmp_path):
    async with serving(tmp_path) as service:
        execution = await service.start(waiting, None)
        await service.api.idle()
        await execution.stop()
        found = await loaded(service, execution)
        # It is deleted when the calls have found it already.
        await service.api._store._writer.put(partial(writing.delete, found.id))
        for read in (execution.history, execution.fork):
            with pytest.raises(ResourceNotFoundError):
                await read()


async def test_who_watches_hears_of_a_deletion_whose_caller_went_away(tmp_path):
    async with serving(tmp_path) as service:
        execution = await service.start(waiting, None, name="one")
        await execution.stop()
        await service.api.idle()
        known = (await service.api.watch_executions(wait_seconds=0.001)).digest
        watching = asyncio.ensure_future(service.api.watch_executions(wait_seconds=3600, known_digest=known))
        with closing(sqlite3.connect(service.api._store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            deleting = asyncio.ensure_future(service.api.delete(execution.arn))
            while service.api._store.is_settled():
                await asyncio.sleep(0)
            deleting.cancel()
            await asyncio.sleep(0)
            other.execute("ROLLBACK")
        await asyncio.wait([deleting])
        assert deleting.cancelled()
        await service.api.idle()
        done, _ = await asyncio.wait([watching], timeout=10)
        watching.cancel()
        assert done
        assert watching.result().items == []
