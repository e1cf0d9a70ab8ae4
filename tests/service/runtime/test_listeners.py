from __future__ import annotations

import asyncio

import pytest

from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.listeners import Listeners
from durable_async.service.runtime.views import Closed
from tests.service.machine.machine_driver import Driver


async def waiting(listeners, count):
    waits = [asyncio.create_task(listeners.closed(Driver().execution.id)) for _ in range(count)]
    await asyncio.sleep(0)
    return waits


async def test_each_call_gets_the_end_although_another_was_cancelled():
    listeners, execution = Listeners(), Driver().execution
    first, second, third = await waiting(listeners, 3)
    first.cancel()
    await asyncio.wait([first])
    second.cancel()  # it does not run again before the end is announced
    listeners.announce(execution)
    await asyncio.wait([second, third])
    assert (first.cancelled(), second.cancelled(), third.result()) == (True, True, Closed.of(execution))


async def test_a_call_that_was_cancelled_leaves_nothing_behind():
    listeners = Listeners()
    for wait in await waiting(listeners, 2):
        wait.cancel()
        await asyncio.wait([wait])
    assert not listeners._closing


async def test_the_shutdown_ends_all_calls():
    listeners = Listeners()
    waits = await waiting(listeners, 2)
    listeners.close()
    for wait in waits:
        with pytest.raises(ServiceClosedError):
            await wait
