"""Context variables: the service has its own, workflows see those that were set when it was entered, and what recorded
code sets does not leak."""

import asyncio
import json
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta

import pytest

from durable_async import (
    ChildConfig,
    MapConfig,
    RetryStrategy,
    StepConfig,
    WaitDecision,
    current_step,
    durable_execution,
)
from durable_async.embedded import DurableService
from durable_async.embedded.cache import ExecutionCache
from durable_async.service import ApiError
from tests.world import World

HOUR = timedelta(hours=1)
tenant = ContextVar("tenant", default="nobody")


@pytest.fixture(params=[1000, 0], ids=["hot", "replayed"])
def max_cached_executions(request):
    return request.param


async def as_tenant(name, make):
    """What ``make()`` gives in a task where ``name`` is set, as in a request's."""

    async def task():
        tenant.set(name)
        return await make()

    return await asyncio.create_task(task())


async def callback_id_of(execution):
    async for event in execution.events():
        if event.type == "CallbackStarted":
            return event.details["CallbackId"]
    raise AssertionError("no callback")


async def read_tenant():
    return tenant.get()


@pytest.mark.parametrize("path", [None, "file"])
async def test_a_workflow_sees_the_variables_of_who_entered_the_service_whoever_starts_or_answers(
    max_cached_executions, path, tmp_path
):
    @durable_execution
    async def workflow(event, ctx):
        seen = [tenant.get(), await ctx.step(read_tenant, name="before")]
        callback = await ctx.create_callback()
        await callback.result()
        return [*seen, tenant.get(), await ctx.step(read_tenant, name="after")]

    tenant.set("the program")
    async with DurableService(path and tmp_path / "x.db", max_cached_executions=max_cached_executions) as service:
        service.register(workflow)
        execution = await as_tenant("alice", lambda: service.start(workflow, None))
        callback_id = await callback_id_of(execution)
        await as_tenant("mallory", lambda: service.succeed_callback(callback_id, b""))
        assert await execution.result() == ["the program"] * 4


async def test_a_timer_that_a_caller_set_rings_in_nobodys_context(max_cached_executions):
    @durable_execution
    async def workflow(event, ctx):
        await ctx.wait(timedelta(seconds=1))
        return tenant.get()

    async with DurableService(max_cached_executions=max_cached_executions) as service:
        service.register(workflow)
        execution = await as_tenant("alice", lambda: service.start(workflow, None))
        assert await execution.result() == "nobody"


async def test_what_a_workflow_sets_itself_it_reads_hot_and_replayed(max_cached_executions):
    @durable_execution
    async def workflow(event, ctx):
        before = tenant.get()
        tenant.set("set by the workflow")
        await ctx.wait(HOUR)
        return [before, tenant.get(), await ctx.step(read_tenant)]

    async with World(cache=ExecutionCache(max_cached_executions, 1e9)) as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["nobody", "set by the workflow", "set by the workflow"]


async def test_what_one_execution_sets_another_does_not_see():
    @durable_execution
    async def workflow(event, ctx):
        seen = tenant.get()
        tenant.set(event)
        await ctx.wait(timedelta(seconds=1))
        return seen

    async with DurableService() as service:
        service.register(workflow)
        executions = [await service.start(workflow, name) for name in "abc"]
        assert [await each.result() for each in executions] == ["nobody"] * 3


# --- every call of the service works from a workflow's body ---


@durable_execution
async def child(event, ctx):
    await ctx.wait(timedelta(seconds=1))
    return f"child {event}"


@pytest.mark.parametrize("path", [None, "file"])
async def test_a_workflows_body_calls_the_service_as_a_step_does(max_cached_executions, path, tmp_path):
    @durable_execution
    async def parent(event, ctx):
        started = await service.start(child, 1, name="child-1")
        found = await service.find(child, "child-1")
        names = [summary.name async for summary in service.executions(child)]
        asked = await service.start(asks, None, name="asks")
        with suppress(ApiError):  # on a replay it is answered already
            await service.succeed_callback(await callback_id_of(asked), b"answer")
        await ctx.wait(timedelta(seconds=1))  # what was started goes on while this is suspended
        assert ctx.execution_arn
        return [started.name, found.name, names, await started.result(), await asked.result()]

    @durable_execution
    async def asks(event, ctx):
        return await (await ctx.create_callback()).result()

    async with DurableService(path and tmp_path / "x.db", max_cached_executions=max_cached_executions) as service:
        for handler in (parent, child, asks):
            service.register(handler)
        execution = await service.start(parent, None)
        async with asyncio.timeout(20):
            assert await execution.result() == ["child-1", "child-1", ["child-1"], "child 1", "answer"]


async def test_an_execution_started_in_a_body_outlives_the_end_of_that_body(tmp_path):
    @durable_execution
    async def parent(event, ctx):
        await service.start(child, 2, name="child-2")

    async with DurableService(tmp_path / "x.db") as service:
        service.register(parent)
        service.register(child)
        await (await service.start(parent, None)).result()
        execution = await service.find(child, "child-2")
        async with asyncio.timeout(20):
            assert await execution.result() == "child 2"


async def test_loading_an_execution_from_the_file_in_a_body_makes_no_task_of_the_workflows(tmp_path):
    """Or the tasks that the workflow starts afterwards would be numbered otherwise on a replay."""

    async def one(value):
        return value

    @durable_execution
    async def parent(event, ctx):
        await service.execution(event).status()
        first = asyncio.create_task(ctx.step(one, 1))
        await ctx.wait(timedelta(seconds=1))
        return await first

    async with DurableService(tmp_path / "x.db") as service:
        service.register(child)
        arn = (await service.start(child, 3, name="child-3")).arn
        await service.execution(arn).result()
    async with DurableService(tmp_path / "x.db", max_cached_executions=0) as service:
        service.register(parent)
        assert await (await service.start(parent, arn)).result() == 1


# --- what recorded code sets does not leak ---


async def set_tenant(value="leaked"):
    tenant.set(value)
    await asyncio.sleep(0)
    tenant.set(value)
    return tenant.get()


def set_tenant_in_a_thread():
    tenant.set("leaked")
    return tenant.get()


class Loud:
    """A serializer that sets what it should not."""

    async def serialize(self, value, context):
        tenant.set("leaked")
        return json.dumps(value)

    def deserialize(self, text, context):
        tenant.set("leaked")
        return json.loads(text)


def decided(outcome):
    def strategy(*_):
        tenant.set("leaked")
        return outcome

    return strategy


async def fails_once(ctx):
    if current_step().attempt == 1:
        raise ValueError("once")
    return await set_tenant()


RETRY = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=2))


async def in_a_child(ctx):
    tenant.set("leaked")
    await ctx.step(set_tenant)
    tenant.set("leaked")
    return "leaked"


async def in_a_flat_item(ctx, _):
    return await in_a_child(ctx)


async def step_with_timeout(ctx):
    return await ctx.step(set_tenant, config=StepConfig(timeout=HOUR))


async def condition(ctx):
    async def check(state):
        return await set_tenant()

    return await ctx.wait_for_condition(check, None, decided(WaitDecision.stop()))


async def submitter(ctx):
    async def submit(callback_id):
        await set_tenant()
        await world_of[ctx.execution_arn].service.callback_succeeded(callback_id, b"leaked")

    return await ctx.wait_for_callback(submit)


world_of = {}
RECORDED = {
    "an async step": lambda ctx: ctx.step(set_tenant),
    "a sync step": lambda ctx: ctx.step(set_tenant_in_a_thread),
    "a step with a timeout": step_with_timeout,
    "a step that is retried": lambda ctx: ctx.step(fails_once, ctx, config=RETRY),
    "a child context": lambda ctx: ctx.run_in_child_context(in_a_child),
    "a block that is retried": lambda ctx: ctx.with_retry(in_a_child, strategy=RETRY.retry_strategy),
    "a map": lambda ctx: ctx.map(in_a_flat_item, [1]),
    "a parallel": lambda ctx: ctx.parallel([in_a_child]),
    "a condition": condition,
    "a submitter": submitter,
    "a serializer": lambda ctx: ctx.step(set_tenant, config=StepConfig(serializer=Loud())),
    "a summary": lambda ctx: ctx.run_in_child_context(
        lambda _: asyncio.sleep(0, "x" * 300_000), config=ChildConfig(summary=decided("short"))
    ),
    "a summary of a batch": lambda ctx: ctx.map(
        lambda _, each: asyncio.sleep(0, "x" * 300_000), [1], config=MapConfig(summary=decided("short"))
    ),
}


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
async def test_what_recorded_code_sets_in_a_variable_goes_no_further(recorded, max_cached_executions):
    @durable_execution
    async def workflow(event, ctx):
        world_of[ctx.execution_arn] = world
        tenant.set("the workflow")
        await recorded(ctx)
        first = tenant.get()
        await ctx.wait(HOUR)
        return [first, tenant.get()]

    async with World(cache=ExecutionCache(max_cached_executions, 1e9)) as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result or "null") == ["the workflow", "the workflow"], closed.error


async def test_a_body_reads_what_the_workflow_set_and_its_tasks_read_what_it_set():
    async def body():
        seen = tenant.get()
        tenant.set("the body")
        return [seen, *await asyncio.gather(read_tenant(), asyncio.to_thread(tenant.get))]

    @durable_execution
    async def workflow(event, ctx):
        tenant.set("the workflow")
        return await ctx.step(body)

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["the workflow", "the body", "the body"]


async def test_an_error_that_a_body_raises_after_it_caught_another_has_no_foreign_context():
    contexts = []

    async def body():
        task = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            task.uncancel()
        try:
            raise ValueError("of the body")
        except ValueError as error:
            contexts.append(error.__context__)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(body)

    async with World() as world:
        closed = await world.run(workflow)
    assert (closed.status, contexts) == ("SUCCEEDED", [None])
