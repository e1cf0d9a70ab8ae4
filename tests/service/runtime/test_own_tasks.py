"""Tasks of the service's own, and threads that open something."""

import asyncio
import threading

import pytest

from durable_async.service import own_tasks


@pytest.mark.parametrize("cancellations", [1, 2, 3])
async def test_what_a_thread_opened_is_undone_however_often_the_caller_is_cancelled(cancellations):
    go_on, undone = threading.Event(), []

    def call():
        go_on.wait(20)
        return "opened"

    opening = asyncio.create_task(own_tasks.in_thread(call, undo=undone.append))
    for _ in range(cancellations):
        await asyncio.sleep(0.001)
        opening.cancel()
    await asyncio.sleep(0.001)
    assert not opening.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert undone == ["opened"]
