"""Each execution is one object in its service, whoever makes, admits or overwrites its record."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService

from .crash_image import crash_image

FAMILIES = 20


class Gate:
    """Holds the children's steps in the first life."""

    open: asyncio.Event
    reached: int


@pytest.fixture
def gate():
    Gate.open, Gate.reached = asyncio.Event(), 0
    return Gate


async def work(value: int) -> int:
    Gate.reached += 1
    await Gate.open.wait()
    return value


@durable_execution
async def child(event: int, ctx: DurableContext) -> int:
    worked = await ctx.step(work, event)
    await ctx.wait(timedelta(seconds=1))
    return worked + 1


@durable_execution
async def parent(event: int, ctx: DurableContext) -> int:
    return await ctx.invoke("child:$LATEST", event, returns=int)


async def reached(count: int) -> None:
    while Gate.reached < count:
        await asyncio.sleep(0.01)


def disagreeing(file):
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(
            "SELECT id, event_count, (SELECT count(*) FROM events WHERE execution = position) AS counted "
            "FROM executions WHERE event_count <> counted"
        ).fetchall()


@pytest.mark.parametrize("order", [(parent, child), (child, parent)], ids=["parent first", "child first"])
async def test_a_kill_while_chained_children_exist_leaves_parents_and_children_whole(tmp_path, gate, order):
    file = tmp_path / "w.db"
    async with DurableService(file, grace=timedelta(0)) as service:
        for function in order:
            service.register(function)
        for number in range(FAMILIES):
            await service.start(parent, number, name=f"p-{number}")
        await reached(FAMILIES)
        left = crash_image(file, "left")
    gate.open.set()
    async with DurableService(left) as service:
        for function in order:
            service.register(function)
        found = [await service.find(parent, f"p-{number}") for number in range(FAMILIES)]
        async with asyncio.timeout(30):
            assert [await each.result() for each in found] == [number + 1 for number in range(FAMILIES)]
        children = [each.status async for each in service.executions(child)]
    assert children == ["SUCCEEDED"] * FAMILIES
    assert disagreeing(left) == []


class Plain:
    """A function that hangs in the first life."""

    hangs = True
    calls = 0

    async def __call__(self, event, context):
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        return event


async def test_a_call_that_comes_before_the_function_is_registered_leaves_nothing_unasked(tmp_path):
    file = tmp_path / "w.db"
    ids = []

    async def keep(callback_id):
        ids.append(callback_id)

    @durable_execution
    async def both(event: int, ctx: DurableContext) -> list[object]:
        asked = ctx.wait_for_callback(keep, returns=str)
        return [*await asyncio.gather(asked, ctx.invoke("plain", event, returns=int))]

    async def register(service, plain):
        async def call(event, context):
            return await plain(event, context)

        service.register(both)
        service.register(call, name="plain")

    plain = Plain()
    async with DurableService(file, grace=timedelta(0)) as service:
        await register(service, plain)
        execution = await service.start(both, 5, name="x")
        while not (ids and plain.calls and "CallbackStarted" in str(await execution.history())):
            await asyncio.sleep(0.01)
        while (await execution.history())[-1].type != "InvocationCompleted":
            await asyncio.sleep(0.01)
        left = crash_image(file, "left")
    again = Plain()
    again.hangs = False
    async with DurableService(left) as service:
        await service.succeed_callback(ids[0], "yes")
        await register(service, again)
        async with asyncio.timeout(20):
            assert await (await service.find(both, "x")).result() == ["yes", 5]
    assert again.calls == 1
