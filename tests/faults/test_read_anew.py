"""Whoever waits and then decides reads the record anew: what the service said meanwhile is not lost."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from durable_async import (
    ContextMisuseError,
    DurableTimeoutError,
    RetryStrategy,
    StepConfig,
    durable_execution,
)
from durable_async._engine.record import Record
from durable_async._wire.ids import operation_id
from durable_async.embedded.local import in_process_handler
from tests.world import World

SECOND = timedelta(seconds=1)


class Through:
    """A handler's client, with something in front of it."""

    def __init__(self, handler, client):
        self.handler = handler
        self.client = client

    async def run(self, envelope, *, client, **options):
        return await self.handler.run(envelope, client=self.client(client), **options)


class Ahead:
    """Has the answer to the second call before that is made, so that it comes without a turn of the loop between.

    In between the service's clock passes the deadline. So the workflow hears in one turn that its timer was set, and
    the record has in the same turn that it has ended.
    """

    def __init__(self, client, world, outbox, release):
        self.client = client
        self.world = world
        self.outbox = outbox
        self.release = release
        self.next_answer = None

    async def checkpoint(self, arn, token, updates, client_token):
        if self.next_answer is not None:
            answer, self.next_answer = self.next_answer, None
            return answer
        result = await self.client.checkpoint(arn, token, updates, client_token)
        if not self.release.is_set():
            assert [update["Action"] for update in updates] == ["START"] * 3
            self.release.set()
            while not self.outbox():
                await asyncio.sleep(0)
            self.world.clock.move_by(5)
            await self.world.service.fire_due()
            ahead = [entry.update for entry in self.outbox()]
            self.next_answer = await self.client.checkpoint(arn, result["CheckpointToken"], ahead, "ahead")
        return result

    async def get_state(self, arn, token, marker):
        return await self.client.get_state(arn, token, marker)


async def test_a_deadline_that_passes_in_the_turn_in_which_it_was_set_ends_its_block(monkeypatch):
    release = asyncio.Event()
    contexts = []

    async def block(ctx):
        try:
            async with ctx.timeout(SECOND, name="deadline"):
                await asyncio.sleep(0.01)  # the second call leaves without the wait
                await ctx.wait(timedelta(days=200))
        except DurableTimeoutError:
            return "too late"
        return "in time"

    @durable_execution
    async def workflow(event, ctx):
        contexts.append(ctx)
        step = asyncio.ensure_future(ctx.step(release.wait, name="meanwhile"))
        result = await block(ctx)
        await step
        return result

    async with World() as world:
        client = partial(Ahead, world=world, outbox=lambda: contexts[-1]._journal.flusher._outbox, release=release)
        monkeypatch.setattr(
            world, "_function", lambda handler: in_process_handler(Through(handler, client), world.service)
        )
        began = world.clock()
        arn = await world.start(workflow)
        closed = await asyncio.wait_for(world.finish(arn), 10)
    assert closed.result == '"too late"'
    assert world.clock() - began < 3600


@pytest.mark.parametrize("news", [0, 1, 2])
async def test_a_wait_ends_at_once_if_the_record_has_gone_on_since_the_look(news):
    record = Record(asyncio.get_running_loop())
    states = [{"Id": "1", "Type": "WAIT", "Status": status} for status in ("STARTED", "PENDING", "SUCCEEDED")]
    record.load(states[:1])
    seen = record.get("1")
    record.apply([dict(states[0])])  # told once more: nothing new
    for state in states[1 : 1 + news]:
        record.apply([state])
    change = record.change("1", seen)
    assert change.done() == bool(news) and record.is_awaited("1") != bool(news)
    record.apply([{**states[2], "Name": "later"}])
    assert change.done()


@pytest.mark.parametrize(("took", "attempts"), [(10, 2), (7200, 1)])
async def test_the_total_time_of_a_step_counts_its_first_attempt(took, attempts):
    ran = []

    async def slow():
        ran.append(1)
        await asyncio.sleep(0.1)  # its START is on record by then
        world.clock.move_by(took)
        raise ConnectionError

    @durable_execution
    async def workflow(event, ctx):
        strategy = RetryStrategy.fixed(delay=SECOND, max_attempts=2, total_timeout=timedelta(hours=1))
        await ctx.step(slow, config=StepConfig(retry_strategy=strategy))

    async with World() as world:
        assert (await world.run(workflow)).status == "FAILED"
    assert len(ran) == attempts


class Pages:
    """A service whose record comes in two pages, and that takes in no checkpoint."""

    def __init__(self, last_page):
        self.last_page = last_page
        self.updates = []

    async def get_state(self, arn, token, marker):
        await asyncio.sleep(0.01)
        return {"Operations": self.last_page, "NextMarker": ""}

    async def checkpoint(self, arn, token, updates, client_token):
        self.updates += updates
        return {"CheckpointToken": "t", "NewExecutionState": {"Operations": []}}


async def test_a_strand_that_waits_for_the_record_does_not_start_when_another_finds_it_to_be_another_ones():
    ran = []

    async def body():
        ran.append(1)

    @durable_execution
    async def changed(event, ctx):
        await asyncio.gather(ctx.step(body, name="new name"), ctx.step(body, name="other"))

    arn = "arn:aws:lambda:us-east-1:000000000000:function:workflow:$LATEST/durable-execution/e/1"
    old = {"Id": operation_id("", 1), "Type": "STEP", "Status": "SUCCEEDED", "SubType": "Step", "Name": "old name"}
    execution = {"Id": "e", "Type": "EXECUTION", "Status": "STARTED"}
    first_page = {"Operations": [execution], "NextMarker": "m"}
    client = Pages([old])
    envelope = {"DurableExecutionArn": arn, "CheckpointToken": "t", "InitialExecutionState": first_page}
    output = await changed.run(envelope, client=client)
    assert output["Status"] == "FAILED" and output["Error"]["ErrorType"].endswith("NonDeterminismError")
    assert ran == [] and client.updates == []


class Nulls:
    """A service that writes null for details that it has nothing to say in."""

    def __init__(self, client):
        self.client = client

    async def checkpoint(self, arn, token, updates, client_token):
        result = await self.client.checkpoint(arn, token, updates, client_token)
        told = [blank(operation) for operation in result["NewExecutionState"]["Operations"]]
        return {**result, "NewExecutionState": {"Operations": told}}

    async def get_state(self, arn, token, marker):
        return await self.client.get_state(arn, token, marker)


def blank(operation):
    has_news = operation["Status"] == "PENDING" or operation["Type"] == "EXECUTION"
    nothing = {f"{kind}Details": None for kind in ("Context", "Step", "Callback", "ChainedInvoke", "Execution")}
    details = operation if has_news or operation["Status"] == "SUCCEEDED" else operation | nothing
    return {**nothing, **details, "WaitDetails": None}


async def test_null_where_details_may_be_absent_says_nothing(monkeypatch):
    async def child(ctx):
        await ctx.step(lambda: 1, name="one")
        await ctx.wait(SECOND)
        return 2

    @durable_execution
    async def workflow(event, ctx):
        await ctx.wait(SECOND)
        async with ctx.timeout(60 * SECOND):
            await ctx.wait(SECOND)
        return await ctx.run_in_child_context(child)

    class Blanks(Through):
        async def run(self, envelope, *, client, **options):
            state = envelope["InitialExecutionState"]
            operations = [blank(operation) for operation in state["Operations"]]
            envelope = {**envelope, "InitialExecutionState": {**state, "Operations": operations}}
            return await super().run(envelope, client=client, **options)

    async with World() as world:
        monkeypatch.setattr(
            world, "_function", lambda handler: in_process_handler(Blanks(handler, Nulls), world.service)
        )
        closed = await world.run(workflow)
    assert closed.result == "2"


# --- what serves one block ---


async def test_a_deadline_serves_one_block():
    @durable_execution
    async def workflow(event, ctx):
        deadline = ctx.timeout(60 * SECOND, name="minute")
        assert not deadline.expired()
        async with deadline:
            await ctx.wait(SECOND)
        with pytest.raises(ContextMisuseError, match=r"'?minute'? was entered twice.*ctx.timeout\(\) for each"):
            async with deadline:
                await ctx.wait(SECOND)
        return "refused"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"refused"'


async def test_a_scope_of_compensations_serves_one_block():
    undone = []

    @durable_execution
    async def workflow(event, ctx):
        undo = ctx.compensations()
        async with undo:
            undo.add(undone.append, 1)
        with pytest.raises(ContextMisuseError, match=r"entered twice.*ctx.compensations\(\) for each"):
            async with undo:
                raise ValueError
        return "refused"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"refused"' and not undone


@pytest.mark.parametrize("method", ["add", "add_cleanup"])
async def test_a_compensation_that_would_never_run_is_refused(method):
    @durable_execution
    async def workflow(event, ctx):
        undo = ctx.compensations()
        with pytest.raises(ContextMisuseError, match=rf"{method}\(\) .* was called before its block"):
            getattr(undo, method)(print)
        async with undo:
            pass
        with pytest.raises(ContextMisuseError, match=rf"{method}\(\) .* was called after its block"):
            getattr(undo, method)(print)
        return "refused"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"refused"'
