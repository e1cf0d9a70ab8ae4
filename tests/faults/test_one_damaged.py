"""One execution that cannot be read keeps no other waiting, at the moment when many are due and when a service starts."""

import asyncio
import logging
import sqlite3
from datetime import timedelta

from durable_async import DurableContext, durable_execution
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import in_process_handler
from durable_async.service import LambdaApi
from durable_async.service.model.errors import DamagedExecutionError, StoreError
from durable_async.service.store.memory import MemoryStore
from durable_async.service.store.sqlite import SqliteStore
from durable_async.testing import VirtualTime

from .crash_image import crash_image

COUNT = 600
BAD = 100


@durable_execution
async def workflow(event: int, ctx: DurableContext) -> int:
    await ctx.wait(timedelta(hours=1))
    return event


class OneDamaged(MemoryStore):
    """A store that cannot read one execution any more."""

    damaged: str | None = None
    asked = 0

    async def load(self, execution_id):
        if execution_id == self.damaged:
            self.asked += 1
            raise DamagedExecutionError(f"The execution {execution_id} cannot be read.", execution_id)
        return await super().load(execution_id)


async def start_all(api):
    arns = []
    for number in range(COUNT):
        arns.append((await api.invoke("f:$LATEST", str(number).encode(), execution_name=f"n-{number}")).execution_arn)
    await api.idle()
    return arns


def register(api, clock):
    api.register("f", in_process_handler(workflow.on_clock(clock), api, cache=ExecutionCache(0, 0)))


async def results(api, arns):
    async with asyncio.timeout(60):
        return [int((await api.wait(arn)).result) for arn in arns]


async def assert_others_end(api, clock, arns):
    clock.move_by(3600)
    await api.fire_due()
    others = [arn for number, arn in enumerate(arns) if number != BAD]
    assert await results(api, others) == [number for number in range(COUNT) if number != BAD]
    new = (await api.invoke("f:$LATEST", b"7")).execution_arn
    await api.idle()
    clock.move_by(3600)
    await api.fire_due()
    assert await results(api, [new]) == [7]


async def test_when_many_are_due_the_others_end_and_the_damaged_one_is_named_once(caplog):
    clock, store = VirtualTime(), OneDamaged()
    async with LambdaApi(clock=clock, store=store) as api:
        register(api, clock)
        arns = await start_all(api)
        store.damaged = arns[BAD].rpartition("/")[2]
        with caplog.at_level(logging.WARNING):
            await assert_others_end(api, clock, arns)
            clock.move_by(10)
            await api.fire_due()
        said = [record.getMessage() for record in caplog.records]
        assert [each for each in said if store.damaged in each] == [
            f"An execution was set aside until the service is started again: The execution {store.damaged} cannot be read."
        ]
        assert store.asked == 1


async def test_a_service_that_starts_takes_up_the_others(tmp_path, caplog):
    clock = VirtualTime()
    file = tmp_path / "w.db"
    async with LambdaApi(clock=clock, store=SqliteStore(file)) as api:
        register(api, clock)
        arns = await start_all(api)
        left = crash_image(file, "left")
    with sqlite3.connect(left) as connection:
        connection.execute("UPDATE executions SET unseen = 'no JSON', active = 1 WHERE name = ?", (f"n-{BAD}",))
    connection.close()
    caplog.clear()
    async with LambdaApi(clock=clock, store=SqliteStore(left)) as api:
        register(api, clock)
        await assert_others_end(api, clock, arns)
    assert "".join(record.getMessage() for record in caplog.records)


class Refusing(MemoryStore):
    """A store that fails to read one execution, until it does not any more."""

    refused: str | None = None

    async def load(self, execution_id):
        if execution_id == self.refused:
            raise StoreError("The disk does not answer.")
        return await super().load(execution_id)


async def test_a_store_that_fails_for_one_execution_delays_no_other():
    clock, store = VirtualTime(), Refusing()
    async with LambdaApi(clock=clock, store=store) as api:
        register(api, clock)
        arns = await start_all(api)
        store.refused = arns[BAD].rpartition("/")[2]
        await assert_others_end(api, clock, arns)
        store.refused = None
        clock.move_by(2)
        await api.fire_due()
        assert await results(api, [arns[BAD]]) == [BAD]
