"""A service on uvloop, with its file and its HTTP server."""

import asyncio

import pytest
from aiobotocore.config import AioConfig

from durable_async import DurableContext, durable_execution
from durable_async.client import DurableClient
from durable_async.embedded import DurableService
from durable_async.service.http import serve
from tests.loops import needs_uvloop

TURNS = (7, 3, 0, 5, 1)


async def turns(number: int) -> int:
    for _ in range(number):
        await asyncio.sleep(0)
    return number


def run(main):
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@needs_uvloop
@pytest.mark.parametrize("sync", [False, True], ids=["on the loop", "in threads"])
def test_a_service_on_a_new_loop_goes_on_in_the_order_in_which_another_left(tmp_path, sync):
    orders = []

    @durable_execution
    async def workflow(event: None, ctx: DurableContext) -> list[int]:
        order: list[int] = []
        orders.append(order)
        body = (lambda number: number) if sync else turns
        pending = {asyncio.ensure_future(ctx.step(body, number, name=f"{number}")) for number in TURNS}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                order.append(task.result())
                await ctx.step(turns, 2, name=f"{task.result()} is number {len(order)}")
        callback = await ctx.create_callback(name="between", returns=str)
        await callback.result()
        return order

    async def begins():
        async with DurableService(tmp_path / "w.db") as service:
            service.register(workflow)
            execution = await service.start(workflow, None, name="one")
            async for event in execution.events():
                if event.type == "CallbackStarted":
                    return event.details["CallbackId"]
        raise AssertionError("no callback")

    async def ends(callback_id):
        async with DurableService(tmp_path / "w.db") as service:
            service.register(workflow)
            once = AioConfig(retries={"total_max_attempts": 1})
            async with serve(service.api) as url, DurableClient(url, config=once) as client:
                await client.succeed_callback(callback_id, "go on")
                return await (await client.find(workflow, "one")).result()

    result = run(ends(run(begins())))
    assert sorted(result) == sorted(TURNS)
    assert len(orders) == 2 and orders[0] == orders[1] == result
