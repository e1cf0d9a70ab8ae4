"""Called as the Lambda runtime calls it: ``handler(event, context)``, in a thread that has no event loop."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta

import pytest

from durable_async import NotDurableError, durable_execution, handler
from durable_async.service.functions.base import InProcessFunction, LambdaContext

from .relay import Loss, Relay
from .remote import RemoteWorld


class Runtime:
    """Lambda's, as far as it matters: one thread, in which one invocation after another is run."""

    def __init__(self, threads=1):
        self._thread = ThreadPoolExecutor(threads)

    def function(self, durable_handler):
        async def invoke(envelope, request):
            output = await self.call(durable_handler, json.loads(json.dumps(envelope)), LambdaContext.of(request))
            return json.loads(json.dumps(output))

        return InProcessFunction(invoke, durable=True)

    async def call(self, func, *args):
        return await asyncio.wrap_future(self._thread.submit(func, *args))

    async def end(self):
        """As the end of the process: its loop and its client go with it."""
        await self.call(_forget)
        self._thread.shutdown()


def _forget():
    handler._kept.loop = None  # which closes it
    handler._aws_client.cache_clear()


@asynccontextmanager
async def lambda_world(monkeypatch, losses=()):
    """A service, a relay before it, and a runtime whose environment names the relay."""
    runtime = Runtime()
    async with RemoteWorld() as world, Relay.before(world.url, dict(losses)) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", relay.url)
        await runtime.call(_forget)
        try:
            yield world, relay, runtime
        finally:
            await world.service.aclose()
            await runtime.end()


def deploy(world, runtime, workflow):
    workflow._clock = world.clock
    world.service.register("workflow", runtime.function(workflow))


async def start(world, event):
    return (await world.service.invoke("workflow", json.dumps(event).encode(), qualifier="$LATEST")).execution_arn


async def test_warm_invocations_share_one_loop_one_client_and_its_connection(monkeypatch):
    places = []

    @durable_execution
    async def workflow(event, ctx):
        places.append((asyncio.get_running_loop(), threading.current_thread()))
        doubled = await ctx.step(lambda: event * 2, name="double")
        await ctx.wait(timedelta(hours=1))
        return [doubled, ctx.lambda_context.function_name]

    async with lambda_world(monkeypatch) as (world, relay, runtime):
        deploy(world, runtime, workflow)
        for n in range(3):
            closed = await world.finish(await start(world, n))
            assert json.loads(closed.result) == [2 * n, "workflow"]
    assert len(places) == 6
    assert len(set(places)) == 1
    assert places[0][1] is not threading.current_thread()
    assert len(relay.passed) == 6
    assert len({passed.connection for passed in relay.passed}) == 1


async def test_two_handlers_of_one_process_share_them_too(monkeypatch):
    loops = []

    async def note(event, ctx):
        loops.append(asyncio.get_running_loop())
        return await ctx.step(lambda: 1)

    async with lambda_world(monkeypatch) as (world, relay, runtime):
        for name in ("first", "second"):
            world.service.register(name, runtime.function(durable_execution(note)))
            arn = (await world.service.invoke(name, b"{}", qualifier="$LATEST")).execution_arn
            assert (await world.finish(arn)).result == "1"
    assert len(loops) == 2 and len(set(loops)) == 1
    assert len({passed.connection for passed in relay.passed}) == 1


async def test_threads_that_call_handlers_at_once_each_have_a_loop_of_their_own(monkeypatch):
    loops = []
    together = threading.Barrier(4)

    @durable_execution
    async def workflow(event, ctx):
        loops.append(asyncio.get_running_loop())
        await ctx.step(together.wait, 20)
        return event

    async with lambda_world(monkeypatch) as (world, _, _runtime):
        runtime = Runtime(threads=4)
        deploy(world, runtime, workflow)
        executions = [await start(world, n) for n in range(4)]
        assert [(await world.finish(arn)).result for arn in executions] == ["0", "1", "2", "3"]
        runtime._thread.shutdown()
    assert len(set(loops)) == 4
    assert all(loop.is_closed() for loop in loops)


async def test_a_connection_that_died_while_the_process_was_frozen_is_replaced(monkeypatch):
    @durable_execution
    async def workflow(event, ctx):
        return await ctx.step(lambda: event, name="echo")

    async with lambda_world(monkeypatch, {1: Loss.REQUEST}.items()) as (world, relay, runtime):
        deploy(world, runtime, workflow)
        results = [(await world.finish(await start(world, n))).result for n in range(2)]
    assert results == ["0", "1"]
    assert len(relay.passed) == 3
    assert len({passed.connection for passed in relay.passed}) == 2


async def test_an_invocation_that_failed_leaves_the_loop_and_the_client_good(monkeypatch):
    loops = []

    @durable_execution
    async def workflow(event, ctx):
        loops.append(asyncio.get_running_loop())
        return await ctx.step(lambda: 1 / event, name="divide")

    async with lambda_world(monkeypatch) as (world, _, runtime):
        deploy(world, runtime, workflow)
        with pytest.raises(NotDurableError):
            await runtime.call(workflow, {"order": 17})
        failed, succeeded = [await world.finish(await start(world, n)) for n in (0, 4)]
    assert (failed.status, failed.error["ErrorMessage"]) == ("FAILED", "division by zero")
    assert succeeded.result == "0.25"
    assert len(loops) == 2 and len(set(loops)) == 1


async def test_tasks_and_threads_of_one_invocation_are_gone_before_the_next(monkeypatch):
    left = []

    @durable_execution
    async def workflow(event, ctx):
        left.append(len(asyncio.all_tasks()))
        background = asyncio.create_task(asyncio.sleep(3600))
        del background
        await ctx.step(lambda: 1, name="step")

    async with lambda_world(monkeypatch) as (world, _, runtime):
        deploy(world, runtime, workflow)
        for n in range(3):
            await world.finish(await start(world, n))
    assert len(set(left)) == 1


request_id = ContextVar("request_id", default=None)


async def test_the_workflow_sees_the_callers_context_variables_and_changes_only_its_own(monkeypatch):
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        seen.append(request_id.get())
        request_id.set("of the workflow")
        seen.append(await ctx.step(request_id.get, name="get"))

    def wrapped(event, context):
        request_id.set("of the runtime" if not seen else "of the runtime, later")
        try:
            return workflow(event, context)
        finally:
            seen.append(request_id.get())

    async with lambda_world(monkeypatch) as (world, _, runtime):
        world.service.register("workflow", runtime.function(wrapped))
        for _ in range(2):
            await world.finish(await start(world, {}))
    assert seen == [
        *["of the runtime", "of the workflow", "of the runtime"],
        *["of the runtime, later", "of the workflow", "of the runtime, later"],
    ]


async def test_where_an_event_loop_runs_it_says_what_to_call_instead():
    ran = []

    @durable_execution
    async def workflow(event, ctx):
        ran.append(event)

    with pytest.raises(RuntimeError, match=r"await handler\.run\(event\)"):
        workflow({"DurableExecutionArn": "arn", "CheckpointToken": "token"}, None)
    assert ran == []
