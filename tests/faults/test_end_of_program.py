"""However a program ends, its threads, its lock and its tasks are gone, and who ended it is charged with it."""

import asyncio
import json
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from durable_async import EngineLimits, durable_execution
from durable_async._engine import invocation
from durable_async.embedded import DurableService
from durable_async.service import ApiError, InvocationRetryPolicy, LambdaApi, Timing
from durable_async.service.functions.base import InProcessFunction, InvocationFailed
from durable_async.service.functions.worker_process import Target
from durable_async.service.functions.workers import WorkerPool, worker_environment
from durable_async.service.http import bind, serve_on, url_of

from .ending import CRASHES

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)


def run(file, how):
    command = [sys.executable, "-m", "tests.faults.ending", str(file), how]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    state, *executions = ended.stdout.splitlines()
    assert state == "threads left: [] seconds: True", ended.stderr  # and a second service could open the file
    return ended.returncode, {name: (status, int(crashes)) for name, status, crashes in map(str.split, executions)}


@pytest.mark.parametrize(
    "way", ["in_an_async_step", "in_a_sync_step", "in_a_map", "in_a_child", "in_the_workflow", "in_a_task"]
)
def test_an_execution_that_ends_the_program_by_system_exit_is_put_in_quarantine_and_no_other(way, tmp_path):
    for crashes in range(1, CRASHES + 1):
        code, executions = run(tmp_path / "x.db", f"{way} SystemExit")
        assert code == 3
        assert executions["guilty"] == ("PAUSED" if crashes == CRASHES else "RUNNING", crashes)
        assert executions["innocent"] == ("RUNNING", 0)
    code, executions = run(tmp_path / "x.db", f"{way} SystemExit")
    assert (code, executions) == (0, {"guilty": ("PAUSED", CRASHES), "innocent": ("SUCCEEDED", 0)})


@pytest.mark.parametrize("way", ["in_an_async_step", "in_a_task", "in_a_plain_function"])
def test_a_keyboard_interrupt_is_nobodys_deed_wherever_it_strikes(way, tmp_path):
    for _ in range(CRASHES + 1):
        code, executions = run(tmp_path / "x.db", f"{way} KeyboardInterrupt")
        assert code in (-2, 130)
        assert executions == {"guilty": ("RUNNING", 0), "innocent": ("RUNNING", 0)}


def test_a_plain_function_that_ends_the_program_has_failed_and_is_not_repeated(tmp_path):
    code, executions = run(tmp_path / "x.db", "in_a_plain_function SystemExit")
    assert (code, executions["guilty"][0]) == (3, "RUNNING")
    code, executions = run(tmp_path / "x.db", "in_a_plain_function SystemExit")
    assert (code, executions["guilty"][0], executions["innocent"]) == (0, "FAILED", ("SUCCEEDED", 0))


# --- in a worker process ---


@asynccontextmanager
async def serving(*names, **of_workers):
    """A service whose functions, those of ``ending``, run in worker processes. One crash is enough for quarantine."""
    listener = bind()
    async with (
        WorkerPool(
            worker_environment(url_of(listener), os.environ), max_workers=2, sink=lambda *_: None, **of_workers
        ) as pool,
        LambdaApi(retries=InvocationRetryPolicy(quarantine_after=1)) as api,
        serve_on(api, listener),
    ):
        for name in names:
            api.register(name, await pool.function(Target("tests.faults.ending", name)))
        yield api


async def end_of_only_invocation(api, how):
    started = await api.invoke("ends", json.dumps(how).encode(), qualifier="$LATEST")
    async for event in api.events(started.execution_arn):
        if event.type == "InvocationCompleted":
            return event.details["Error"]["ErrorMessage"].partition("Error: ")[2]
    raise AssertionError(how)


async def test_a_workflow_that_ends_its_worker_does_so_at_once_wherever_it_does_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    ways = ("in_a_sync_step", "in_a_map", "in_the_workflow", "in_a_task")
    expected = {f"{way} SystemExit": "Runtime exited with error: exit status 3" for way in ways}
    expected |= {f"{way} KeyboardInterrupt": "Runtime exited with error: signal: interrupt" for way in ways[2:]}
    async with asyncio.timeout(60), serving("ends") as api:
        ends = await asyncio.gather(*(end_of_only_invocation(api, how) for how in expected))
    assert dict(zip(expected, ends, strict=True)) == expected


async def test_a_worker_that_goes_on_after_its_function_ended_it_is_killed(monkeypatch):
    monkeypatch.chdir(ROOT)
    async with asyncio.timeout(20), serving("leaves_a_thread", exit_seconds=0.1) as api:
        with pytest.raises(InvocationFailed) as failed:
            await api.invoke_plain("leaves_a_thread", b"null", qualifier="$LATEST")
    assert "its process still ran after 0.1 s and was killed" in failed.value.error["ErrorMessage"]


# --- leaving ---


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("durable-async")]


@durable_execution
async def waits(event, ctx):
    await ctx.wait(HOUR)


@durable_execution
async def works(event, ctx):
    await ctx.step(asyncio.sleep, event)


HANDLERS = (waits, works)


async def start_some(service, seconds=3600.0):
    for handler in HANDLERS:
        service.register(handler)
    waiting = await service.start(waits, None)
    await service.start(works, seconds)
    while not any(event.type == "InvocationCompleted" for event in await waiting.history()):
        await asyncio.sleep(0.01)


async def assert_nothing_is_left(file, tasks):
    assert threads() == []
    assert asyncio.all_tasks() - tasks == set()
    async with DurableService(file) as service:
        states = [summary.status for handler in HANDLERS async for summary in service.executions(handler.__name__)]
        assert states == ["RUNNING", "RUNNING"]
    assert threads() == []


async def test_leaving_in_a_cancelled_anyio_scope_leaves_nothing_behind(tmp_path):
    file, tasks = tmp_path / "x.db", asyncio.all_tasks()
    with anyio.CancelScope() as scope:
        async with DurableService(file, grace=timedelta(0)) as service:
            await start_some(service)
            scope.cancel()
            await anyio.sleep(3600)
    assert scope.cancelled_caught
    await assert_nothing_is_left(file, tasks)


async def test_entering_in_a_cancelled_anyio_scope_leaves_nothing_behind(tmp_path):
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with DurableService(tmp_path / "x.db"):
            await anyio.sleep(3600)
    assert threads() == []


async def test_one_that_is_cancelled_while_it_enters_leaves_nothing_behind(tmp_path):
    async def enter():
        async with DurableService(tmp_path / "x.db"):
            await asyncio.sleep(3600)

    for turns in range(8):
        task = asyncio.create_task(enter())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert threads() == []


async def test_a_cancellation_while_it_leaves_ends_the_grace(tmp_path):
    file, tasks = tmp_path / "x.db", asyncio.all_tasks()
    leaving = asyncio.Event()

    async def program():
        async with DurableService(file, grace=HOUR) as service:
            await start_some(service)
            leaving.set()

    task = asyncio.create_task(program())
    await leaving.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    async with asyncio.timeout(20):
        await asyncio.wait([task])
    assert task.cancelled()
    await assert_nothing_is_left(file, tasks)


async def test_what_runs_is_given_the_grace_to_end(tmp_path):
    async with DurableService(tmp_path / "x.db", grace=timedelta(seconds=20)) as service:
        await start_some(service, 0.1)
    async with DurableService(tmp_path / "x.db") as service:
        states = [summary.status async for summary in service.executions("works")]
    assert states == ["SUCCEEDED"]


SHORT = Timing(clean_up=0.1, abandon=0.05)


SHORT_CLEAN_UP = EngineLimits(clean_up=0.05)


def stubborn_until(released):
    async def stubborn(*_):
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    return stubborn


async def test_a_step_that_swallows_its_cancellation_is_abandoned(tmp_path, caplog):
    released = asyncio.Event()
    stubborn = stubborn_until(released)

    @durable_execution(limits=SHORT_CLEAN_UP)
    async def workflow(event, ctx):
        started.set()
        await ctx.step(stubborn)

    started = asyncio.Event()
    async with asyncio.timeout(20):
        async with DurableService(tmp_path / "x.db", grace=timedelta(0), timing=SHORT) as service:
            service.register(workflow)
            await service.start(workflow, None)
            await started.wait()
            await asyncio.sleep(0.01)
    assert threads() == []
    assert "abandoned a task" in caplog.text
    invocation._abandoned.clear()
    released.set()
    await asyncio.sleep(0.01)


async def test_a_plain_function_that_swallows_its_cancellation_is_abandoned(tmp_path, caplog):
    released = asyncio.Event()
    stubborn = stubborn_until(released)
    async with asyncio.timeout(20):
        async with DurableService(tmp_path / "x.db", grace=timedelta(0), timing=SHORT) as service:
            service.api.register("plain", InProcessFunction(stubborn, durable=False))
            await service.api.invoke_event("plain", b"{}")
            await asyncio.sleep(0.01)
    assert threads() == []
    assert "Abandoned a function" in caplog.text
    with caplog.at_level(logging.CRITICAL):
        released.set()
        await asyncio.sleep(0.01)


# --- a forked process ---


@pytest.mark.filterwarnings("ignore:.* is multi-threaded:DeprecationWarning")  # from Python 3.12 on
async def test_a_forked_process_is_refused_its_parents_service(tmp_path):
    async with DurableService(tmp_path / "x.db") as service:
        service.register(works)
        execution = await service.start(works, 0.0)
        ours, theirs = multiprocessing.Pipe()
        if (child := os.fork()) == 0:
            try:
                for call in (service.start(works, 0.0), execution.result(), service.__aexit__(None, None, None)):
                    try:
                        theirs.send(asyncio.run(call))
                    except ApiError as refused:
                        theirs.send((refused.status, refused.message))
            finally:
                os._exit(0)
        theirs.close()
        await asyncio.to_thread(os.waitpid, child, 0)
        for _ in range(2):
            status, message = ours.recv()
            assert status == 503
            assert str(os.getpid()) in message
            assert "spawn" in message
        assert ours.recv() is None  # it left the service alone
        assert await execution.result() is None
