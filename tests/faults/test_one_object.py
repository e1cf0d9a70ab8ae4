"""Each execution is one object in its service, whoever makes, admits or overwrites its record."""

import asyncio
import sqlite3
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
    with sqlite3.connect(file) as connection:
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
