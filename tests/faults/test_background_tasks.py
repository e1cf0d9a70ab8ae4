"""Tasks that workflow code starts: those that a client makes for the whole program, and those that are the workflow's."""

import asyncio
import json
from datetime import timedelta

import anyio
import attrs
import pytest

from durable_async import durable_execution
from durable_async.embedded.cache import ExecutionCache
from tests.world import World

HOUR = timedelta(hours=1)


class Client:
    """A client as they are: its reader begins at the first use and serves all requests."""

    def __init__(self):
        self.requests = asyncio.Queue()
        self.reader = None

    async def ask(self, question):
        if self.reader is None:
            self.reader = asyncio.create_task(self.read(), name="reader")
        answer = asyncio.get_running_loop().create_future()
        self.requests.put_nowait((question, answer))
        return await answer

    async def read(self):
        while True:
            question, answer = await self.requests.get()
            answer.set_result(question.upper())

    async def aclose(self):
        self.reader.cancel()
        await asyncio.wait([self.reader])

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.aclose()


class OfManyTasks(Client):
    """Keeps its tasks in a set, hears of their end, and has one that starts others."""

    def __init__(self):
        super().__init__()
        self.tasks = set()

    async def ask(self, question):
        if self.reader is None:
            self.reader = True
            task = asyncio.create_task(self.supervise())
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            task.add_done_callback(self.ended)
        return await super().ask(question)

    async def supervise(self):
        await asyncio.create_task(self.read())

    def ended(self, _):
        pass

    async def aclose(self):
        for task in [*self.tasks]:
            task.cancel()
            await asyncio.wait([task])


@attrs.define(eq=False)
class Slotted:
    requests: asyncio.Queue = attrs.Factory(asyncio.Queue)
    reader: asyncio.Task | None = None

    ask, read, aclose = Client.ask, Client.read, Client.aclose


@pytest.fixture(params=[1000, 0], ids=["hot", "replayed"])
async def world(request):
    async with World(cache=ExecutionCache(request.param, 1e9)) as world:
        yield world


async def one(value):
    return value


@pytest.mark.parametrize("end", ["suspends", "returns"])
async def test_a_task_that_a_callback_of_a_client_starts_goes_on_and_takes_no_number(world, end):
    client = Client()

    def connected():
        client.reader = asyncio.create_task(client.read())

    @durable_execution
    async def workflow(event, ctx):
        if client.reader is None:
            client.reader = asyncio.get_running_loop().call_soon(connected)
        answer = await client.ask("a")
        await asyncio.create_task(ctx.step(one, answer))
        if end == "suspends":
            await ctx.wait(HOUR)
        return await ctx.step(one, answer)

    closed = await world.run(workflow)
    assert closed.result == '"A"'
    async with asyncio.timeout(5):
        assert await client.ask("b") == "B"
    await client.aclose()


@pytest.mark.parametrize("kind", [Client, OfManyTasks, Slotted])
@pytest.mark.parametrize("end", ["suspends", "returns"])
async def test_a_client_that_begins_in_workflow_code_is_refused_and_goes_on_working(world, kind, end):
    client = kind()

    @durable_execution
    async def workflow(event, ctx):
        answer = await client.ask("a")
        if end == "suspends":
            await ctx.wait(HOUR)
        return answer

    closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"] == "durable_async.errors.ContextMisuseError"
    message = closed.error["ErrorMessage"]
    assert __file__ in message
    assert kind.__name__ in message
    assert "inside a step" in message
    async with asyncio.timeout(5):
        assert await client.ask("b") == "B"
    await client.aclose()


_background = set()


async def forever():
    await asyncio.get_running_loop().create_future()


async def test_a_task_that_a_module_keeps_is_refused_too(world):
    @durable_execution
    async def workflow(event, ctx):
        task = asyncio.create_task(forever())
        _background.add(task)
        task.add_done_callback(_background.discard)
        del task
        await ctx.wait(HOUR)

    closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert "forever" in closed.error["ErrorMessage"]
    (task,) = _background
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_the_client_of_an_execution_that_fails_or_is_stopped_goes_on_working(world):
    client = Client()

    @durable_execution
    async def workflow(event, ctx):
        await client.ask("a")
        raise ValueError("something else")

    closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "ValueError"
    async with asyncio.timeout(5):
        assert await client.ask("b") == "B"
    await client.aclose()


async def test_a_client_that_begins_in_a_step_or_before_the_workflow_works(world):
    client, before = Client(), Client()
    await before.ask("begin")

    @durable_execution
    async def workflow(event, ctx):
        answers = [await ctx.step(client.ask, "a"), await before.ask("b")]
        await ctx.wait(HOUR)
        return [*answers, await ctx.step(client.ask, "c"), await before.ask("d")]

    closed = await world.run(workflow)
    assert json.loads(closed.result) == ["A", "B", "C", "D"]
    await client.aclose()
    await before.aclose()


ALLOWED = {}


def allowed(workflow):
    ALLOWED[workflow.__name__] = workflow
    return workflow


async def worker(ctx, queue, results):
    while True:
        results.append(await ctx.step(one, await queue.get()))
        queue.task_done()


@allowed
async def a_worker_that_has_had_no_work_yet(ctx):
    queue, results = asyncio.Queue(), []
    task = asyncio.create_task(worker(ctx, queue, results))
    await ctx.wait(HOUR)
    queue.put_nowait(1)
    await queue.join()
    task.cancel()
    assert results == [1]


@allowed
async def a_worker_that_nobody_keeps_and_nobody_cancels(ctx):
    queue, results = asyncio.Queue(), []
    asyncio.create_task(worker(ctx, queue, results))
    await ctx.wait(HOUR)
    queue.put_nowait(1)
    await queue.join()


@allowed
async def a_ticker(ctx):
    async def tick():
        while True:
            await asyncio.sleep(3600)

    ticker = asyncio.create_task(tick())
    await ctx.wait(HOUR)
    ticker.cancel()


@allowed
async def a_sleep_that_is_left_over(ctx):
    sleep = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.wait([sleep, asyncio.create_task(ctx.wait(HOUR))], return_when=asyncio.FIRST_COMPLETED)


@allowed
async def a_client_that_the_workflow_opened_and_closes(ctx):
    async with Client() as client:
        await client.ask("a")
        await ctx.wait(HOUR)
        await client.ask("b")


@allowed
async def a_client_whose_connection_has_the_task(ctx):
    class Outer:
        def __init__(self):
            self.connection = Client()

    outer = Outer()
    await outer.connection.ask("a")
    await ctx.wait(HOUR)
    await outer.connection.aclose()


@allowed
async def an_object_whose_method_the_workflow_is_in(ctx):
    class Flow:
        async def run(self):
            self.helper = asyncio.create_task(self.help())
            await ctx.wait(HOUR)
            self.helper.cancel()

        async def help(self):
            await asyncio.sleep(3600)

    await Flow().run()


@allowed
async def an_object_whose_task_is_awaited(ctx):
    await awaited_flow.run(ctx)


class AwaitedFlow:
    async def run(self, ctx):
        self.helper = asyncio.create_task(self.help(ctx))
        await AwaitedFlow.wait_for(self.helper)

    @staticmethod
    async def wait_for(task):
        return await task

    async def help(self, ctx):
        await asyncio.gather(ctx.wait(HOUR), asyncio.shield(asyncio.create_task(ctx.wait(HOUR))))


awaited_flow = AwaitedFlow()


@allowed
async def an_agent_of_the_programs_whose_tasks_make_durable_calls(ctx):
    await agent.run(ctx)


class Agent:
    async def run(self, ctx):
        self.loop_task = asyncio.create_task(self.loop(ctx))
        done = self.done = asyncio.Event()
        del self
        await done.wait()

    async def loop(self, ctx):
        await asyncio.create_task(self.turn(ctx))
        self.done.set()

    async def turn(self, ctx):
        await ctx.wait(HOUR)


agent = Agent()


@allowed
async def a_task_in_a_cancel_scope_that_its_helper_holds(ctx):
    async for _ in helped(anyio.CancelScope()):
        await ctx.wait(HOUR)


@allowed
async def a_task_in_a_timeout_of_its_own(ctx):
    async for _ in helped(asyncio.timeout(None)):
        await ctx.wait(HOUR)


async def helped(scope):
    async def helps():
        if isinstance(scope, anyio.CancelScope):
            with scope:
                await asyncio.sleep(3600)
        async with scope:
            await asyncio.sleep(3600)

    helper = asyncio.create_task(helps())
    yield
    helper.cancel()


@allowed
async def groups_and_gatherings(ctx):
    async def waits():
        await ctx.wait(HOUR)

    async with anyio.create_task_group() as group, asyncio.TaskGroup() as other:
        group.start_soon(anyio.sleep, 0)
        group.start_soon(waits)
        other.create_task(asyncio.wait_for(waits(), 3600))
        await asyncio.gather(asyncio.shield(waits()), waits())


@pytest.mark.parametrize("workflow", ALLOWED.values(), ids=ALLOWED)
async def test_a_workflows_own_tasks_are_its_own_affair(world, workflow):
    @durable_execution
    async def handler(event, ctx):
        await workflow(ctx)
        await ctx.wait(HOUR)
        return "done"

    closed = await world.run(handler)
    assert (closed.status, closed.error) == ("SUCCEEDED", None)
