"""Time that is not waited for."""

import asyncio

import pytest

from durable_async.cli.run import VirtualClock, while_jumping
from durable_async.service.functions.base import InProcessFunction
from durable_async.service.model.errors import InvalidParameterValueError, StoreError
from durable_async.service.runtime.api import LambdaApi


def test_the_clock_goes_on_and_never_back():
    clock = VirtualClock()
    first = clock()
    clock.jump_to(first + 86_400)
    assert clock() >= first + 86_400
    clock.jump_to(first)
    assert clock() >= first + 86_400


async def test_what_stops_the_jumping_stops_the_work():
    clock = VirtualClock()
    async with LambdaApi(clock=clock) as api:
        with pytest.raises(InvalidParameterValueError):
            await while_jumping(asyncio.Event().wait(), api, clock, "no ARN")


async def test_what_stops_the_work_stops_the_jumping():
    async def work():
        raise StoreError("the disk is full")

    async def hang(_event, _request):
        await asyncio.Event().wait()

    clock, before = VirtualClock(), asyncio.all_tasks()
    async with LambdaApi(clock=clock) as api:
        api.register("hang", InProcessFunction(hang, durable=True))
        arn = (await api.invoke("hang:$LATEST", b"")).execution_arn
        with pytest.raises(StoreError, match="the disk is full"):
            await while_jumping(work(), api, clock, arn)
    assert asyncio.all_tasks() == before
