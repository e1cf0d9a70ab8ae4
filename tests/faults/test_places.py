"""An execution that is stopped or timed out gives its place back at once, though its step hangs on."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import LambdaApi
from durable_async.service.functions.worker_process import Target
from durable_async.service.functions.workers import WorkerPool, worker_environment
from durable_async.testing import VirtualTime


class Hanging:
    """Steps that hang until the test lets them go."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.free = asyncio.Event()
        self.thread_free = threading.Event()
        self.loop = asyncio.get_running_loop()

    async def wait(self, _):
        self.begun.set()
        await self.free.wait()

    async def swallow(self, _):
        self.begun.set()
        while not self.free.is_set():
            try:
                await self.free.wait()
            except asyncio.CancelledError:
                asyncio.current_task().uncancel()

    def block(self, _):
        self.loop.call_soon_threadsafe(self.begun.set)
        self.thread_free.wait(30)

    def let_go(self):
        self.free.set()
        self.thread_free.set()


async def recorded(execution, event_type):
    async with asyncio.timeout(10):
        while event_type not in [event.type for event in await execution.history()]:
            await asyncio.sleep(0.005)


async def stop(api, arn, _clock):
    await api.stop(arn)


async def time_out(api, _arn, clock):
    clock.move_by(60)
    await api.fire_due()


@pytest.mark.parametrize("end", [stop, time_out])
@pytest.mark.parametrize("how", ["wait", "swallow", "block"])
@pytest.mark.parametrize("limit", ["service", "function"])
async def test_the_place_of_a_closed_execution_is_free_though_its_step_hangs(end, how, limit):
    hanging = Hanging()

    @durable_execution
    async def workflow(event: str | None, ctx: DurableContext) -> str | None:
        if event is None:
            await ctx.step(getattr(hanging, how), None)
        return event

    clock = VirtualTime(datetime.now(UTC), flows=True)
    async with DurableService(clock=clock, max_concurrency=1 if limit == "service" else None) as service:
        timeout = timedelta(seconds=60)
        service.register(workflow, max_concurrency=1 if limit == "function" else None, execution_timeout=timeout)
        stuck = await service.start(workflow, None)
        await hanging.begun.wait()
        await recorded(stuck, "StepStarted")  # nothing more is sent, so that no answer tells the workflow of its end
        await end(service.api, stuck.arn, clock)
        other = await service.start(workflow, "served")
        async with asyncio.timeout(10):
            assert await other.result() == "served"
        assert await stuck.status() == ("STOPPED" if end is stop else "TIMED_OUT")
        types = [event.type for event in await stuck.history()]
        assert types[-1] == "InvocationCompleted"
        hanging.let_go()


async def test_a_stopped_execution_that_waits_for_its_place_never_runs():
    hanging = Hanging()
    ran = []

    @durable_execution
    async def workflow(event: str, ctx: DurableContext) -> None:
        ran.append(event)
        await ctx.step(hanging.wait, None)

    async with DurableService(max_concurrency=1) as service:
        service.register(workflow)
        first = await service.start(workflow, "first")
        await hanging.begun.wait()
        second = await service.start(workflow, "second")
        await second.stop()
        hanging.let_go()
        await first.result()
        await service.api.idle()
    assert ran == ["first"]


STUBBORN = """
import json, os, signal, time
def handler(envelope, context):
    event = json.loads(envelope["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]["InputPayload"])
    if event == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open("begun.tmp", "w") as file:
            file.write(str(os.getpid()))
        os.rename("begun.tmp", "begun")
        time.sleep(600)
    return {"Status": "SUCCEEDED", "Result": json.dumps(os.getpid())}
handler.durable = True
"""


@pytest.mark.parametrize("end", [stop, time_out])
async def test_the_worker_of_a_closed_execution_is_killed_and_another_serves(end, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    clock = VirtualTime(datetime.now(UTC), flows=True)
    environment = worker_environment("http://127.0.0.1:9", os.environ)
    async with (
        WorkerPool(environment, max_workers=1, sink=lambda *_: None) as pool,
        LambdaApi(clock=clock, max_concurrency=1) as api,
    ):
        api.register("f", await pool.function(Target("stubborn", "handler")), execution_timeout=60)
        stuck = (await api.invoke("f:$LATEST", b'"hang"')).execution_arn
        while not (tmp_path / "begun").exists():
            await asyncio.sleep(0.01)
        await end(api, stuck, clock)
        other = (await api.invoke("f:$LATEST", b'"go"')).execution_arn
        async with asyncio.timeout(30):
            served_by = int((await api.wait(other)).result)
        stuck_in = int((tmp_path / "begun").read_text())
        assert served_by != stuck_in
        with pytest.raises(ProcessLookupError):
            os.kill(stuck_in, 0)
