"""When a workflow is at rest."""

import asyncio

from durable_async import EngineLimits
from durable_async._engine.branches import Workflow
from durable_async._engine.rest import rest_of


class Watcher:
    limits = EngineLimits()
    quiet = 0

    def __init__(self):
        self.workflow = Workflow("arn")
        self.called = asyncio.get_running_loop().create_future()

    def at_rest(self):
        self.called.set_result(None)

    def restless(self):
        raise AssertionError


class AppendsWhenRead:
    """A callback that appends to the loop's queue when its owner is asked for, as a thread may do at that moment."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.was_read = False

    @property
    def __self__(self):
        self.was_read = True
        self.loop.call_soon(int)

    def __call__(self):
        pass


async def test_a_thread_may_append_to_the_queue_of_the_loop_while_it_is_read():
    watcher, callbacks = Watcher(), [AppendsWhenRead(), AppendsWhenRead()]
    rest_of(asyncio.get_running_loop()).watch(watcher)
    for callback in callbacks:
        asyncio.get_running_loop().call_soon(callback)
    await asyncio.wait_for(watcher.called, 10)
    assert all(callback.was_read for callback in callbacks)
