"""A workflow between two invocations: what can happen to it in memory, and how it goes on."""

import asyncio
import json
import logging
from datetime import timedelta

import pytest

from durable_async import EngineLimits, NonDeterminismError, durable_execution
from durable_async.embedded.cache import ExecutionCache
from durable_async.plugins import DurablePlugin
from tests.world import World

HOUR = timedelta(hours=1)


async def same(value):
    return value


class Workflow:
    """Counts its starts, and notes how it ends in memory."""

    def __init__(self, body):
        self.starts = 0
        self.left = 0

        @durable_execution
        async def workflow(event, ctx):
            self.starts += 1
            try:
                return await body(ctx)
            except asyncio.CancelledError:
                self.left += 1
                raise

        self.handler = workflow


def caching_world(**options):
    return World(ExecutionCache(1000, idle=3600.0), **options)


async def parked(world, handler):
    """Start an execution that waits for something."""
    arn = await world.start(handler)
    await world.settle()
    assert world.cache.keeps(arn)
    return arn


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def gate():
    """What workflow code waits for without the service knowing."""
    return asyncio.Event()


# --- code that wakes by itself ---


async def test_an_operation_that_is_called_while_parked_waits_for_the_next_invocation(gate):
    ran = []

    async def strand(ctx, n):
        await gate.wait()
        await ctx.step(same, n, name=f"step {n}")
        ran.append(n)

    async def body(ctx):
        await asyncio.gather(ctx.wait(HOUR), strand(ctx, 1), strand(ctx, 2))
        return "done"

    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        calls = len(world.calls)
        gate.set()
        await turns()
        assert ran == [] and len(world.calls) == calls
        closed = await world.finish(arn)
    assert closed.result == '"done"'
    assert sorted(ran) == [1, 2]
    assert workflow.starts == 1


async def test_one_that_is_cancelled_while_it_waits_leaves_the_others_alone(gate):
    async def body(ctx):
        async def call(n):
            await gate.wait()
            return await ctx.step(same, n, name=f"step {n}")

        first, second = asyncio.create_task(call(1)), asyncio.create_task(call(2))
        waiting = asyncio.create_task(ctx.wait(HOUR))
        await gate.wait()
        await turns(5)
        first.cancel()
        await waiting
        return [first.cancelled(), await second]

    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        gate.set()
        await turns()
        closed = await world.finish(arn)
        names = {event.get("Name") for event in await world.events(arn)}
    assert json.loads(closed.result) == [True, 2]
    assert "step 1" not in names and "step 2" in names


async def test_what_is_to_be_recorded_while_parked_is_recorded_by_the_next_invocation(gate):
    """A block ends in time, by its code's own doing: its end is on its way before anything else."""

    async def body(ctx):
        async def block():
            async with ctx.timeout(HOUR * 2, name="block"):
                await gate.wait()

        await asyncio.gather(ctx.wait(HOUR), block())
        return "done"

    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        gate.set()
        await turns()
        assert not any("SUCCEED block" in call for call in world.calls)
        closed = await world.finish(arn)
    assert closed.result == '"done"'
    assert world.calls[-1] == ["SUCCEED block"]
    assert workflow.starts == 1


async def test_a_bare_timeout_while_parked_is_no_failure(gate):
    async def body(ctx):
        async def impatient():
            try:
                async with asyncio.timeout(0):
                    await ctx.wait(HOUR * 5)
            except TimeoutError:
                return await ctx.step(same, "impatient", name="step")

        return await asyncio.gather(impatient(), ctx.wait(HOUR))

    async with caching_world() as world:
        closed = await world.run(Workflow(body).handler)
    assert json.loads(closed.result) == ["impatient", None]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_workflow_that_ends_while_parked_is_heard_by_the_next_invocation(gate, fails):
    async def body(ctx):
        waiting = asyncio.create_task(ctx.wait(HOUR))
        await gate.wait()
        assert not waiting.done()
        if fails:
            raise ValueError("while parked")
        return "while parked"

    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        gate.set()
        await turns()
        closed = await world.finish(arn)
        assert await world.event_types(arn) == [
            "ExecutionStarted",
            "WaitStarted",
            "InvocationCompleted",
            "WaitSucceeded",
            "InvocationCompleted",
            "ExecutionFailed" if fails else "ExecutionSucceeded",
        ]
    assert workflow.starts == 1
    assert (closed.error["ErrorMessage"] if fails else json.loads(closed.result)) == "while parked"


async def test_an_error_that_no_invocation_will_hear_is_logged(gate, caplog):
    async def body(ctx):
        asyncio.create_task(ctx.wait(HOUR))
        await gate.wait()
        raise ValueError("while parked")

    async with caching_world() as world:
        await parked(world, Workflow(body).handler)
        gate.set()
        await turns()
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "ignored" in record.getMessage() and "while parked" in caplog.text


# --- how it goes on ---


async def test_news_that_wake_nobody_leave_it_parked():
    """The loser of a race ends: nobody waits for it any more."""

    async def body(ctx):
        quick = asyncio.create_task(ctx.wait(HOUR, name="nobody's"))
        while not world.calls:
            await asyncio.sleep(0)
        await turns(5)
        quick.cancel()
        await ctx.wait(HOUR * 2, name="wait")
        return "done"

    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await world.start(workflow.handler)
        closed = await world.finish(arn)
        completed = (await world.event_types(arn)).count("InvocationCompleted")
    assert closed.result == '"done"'
    assert (workflow.starts, world.invocations, completed) == (1, 3, 3)


async def test_each_invocation_gives_its_own_context_object():
    ids = []

    async def body(ctx):
        ids.append(ctx.lambda_context.aws_request_id)
        await ctx.wait(HOUR)
        ids.append(ctx.lambda_context.aws_request_id)

    async with caching_world() as world:
        arn = await world.start(Workflow(body).handler)
        await world.finish(arn)
        completed = [event for event in await world.events(arn) if event["EventType"] == "InvocationCompleted"]
    assert ids == [event["InvocationCompletedDetails"]["RequestId"] for event in completed]


async def test_what_goes_on_in_memory_does_not_replay(caplog):
    replaying = []

    async def body(ctx):
        await ctx.step(same, 1)
        await ctx.wait(HOUR)
        replaying.append(ctx.is_replaying)
        ctx.logger.warning("heard")

    async with caching_world() as world:
        await world.run(Workflow(body).handler)
    assert replaying == [False]
    assert [record.getMessage() for record in caplog.records] == ["heard"]


async def test_a_step_that_runs_long_in_a_later_invocation_is_shown_as_running():
    """Though the timer that was to show an earlier one was still set when the workflow was parked."""

    async def body(ctx):
        await ctx.step(same, 1, name="quick")
        await ctx.wait(HOUR)
        await ctx.step(shown, name="slow")

    async def shown():
        while ["START slow"] not in world.calls:
            await asyncio.sleep(0.001)

    async with caching_world(engine=EngineLimits(show_start=0.05)) as world:
        async with asyncio.timeout(10):
            closed = await world.run(Workflow(body).handler)
    assert closed.status == "SUCCEEDED"


class Ahead:
    """A handler's clock that is ahead of the service's."""

    def __init__(self, world, seconds):
        self.world = world
        self.seconds = seconds

    def __call__(self):
        return self.world.clock() + self.seconds


async def test_a_timer_from_before_resumes_in_place_when_it_comes_due_later():
    order = []

    async def body(ctx):
        waited = asyncio.Event()

        async def slow():
            world.clock.move_by(3600)
            clock.seconds = 0
            await asyncio.wait_for(waited.wait(), 10)
            order.append(world.invocations)

        async def first():
            await ctx.wait(HOUR, name="first")
            await ctx.step(slow)

        async def second():
            await ctx.wait(HOUR * 2, name="second")
            order.append(world.invocations)
            waited.set()

        await asyncio.gather(first(), second())

    # No other call brings the news.
    async with caching_world(engine=EngineLimits(show_start=600.0)) as world:
        handler = Workflow(body).handler
        world.register(handler)
        clock = handler._clock = Ahead(world, 3599.98)
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        closed = await world.finish(started.execution_arn)
    assert closed.status == "SUCCEEDED"
    assert order == [2, 2]


async def test_a_timer_that_comes_due_while_parked_asks_nobody():
    async def body(ctx):
        await asyncio.gather(ctx.wait(HOUR), ctx.wait(HOUR * 2))

    async with caching_world() as world:
        workflow = Workflow(body)
        world.register(workflow.handler)
        clock = workflow.handler._clock = Ahead(world, 3599.98)
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        await world.settle()
        assert world.cache.keeps(started.execution_arn)
        clock.seconds = 3600
        await asyncio.sleep(0.05)
        clock.seconds = 0
        assert (await world.finish(started.execution_arn)).status == "SUCCEEDED"
    assert [] not in world.calls


async def test_what_was_enqueued_is_sent_before_it_is_parked():
    async def body(ctx):
        async def never():
            await asyncio.sleep(3600)

        step = asyncio.create_task(ctx.step(never, name="never"))
        await asyncio.sleep(0)
        step.cancel()
        await ctx.wait(HOUR, name="wait")

    async with caching_world() as world:
        arn = await parked(world, Workflow(body).handler)
        types = await world.event_types(arn)
    assert types == ["ExecutionStarted", "StepStarted", "WaitStarted", "InvocationCompleted"]


async def test_what_is_sent_before_it_is_parked_may_bring_what_it_waits_for():
    async def body(ctx):
        async def never():
            await asyncio.sleep(3600)

        waiting = asyncio.create_task(ctx.wait(HOUR))
        while not world.calls:
            await asyncio.sleep(0)
        step = asyncio.create_task(ctx.step(never, name="never"))
        await asyncio.sleep(0)
        step.cancel()
        world.clock.move_by(3600)
        await waiting

    workflow = Workflow(body)
    async with caching_world() as world:
        world.register(workflow.handler)
        workflow.handler._clock = lambda: 0.0  # by the handler's own clock nothing is due
        started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
        closed = await world.finish(started.execution_arn)
    assert closed.status == "SUCCEEDED"
    assert world.invocations == 1


async def test_a_callback_can_be_asked_again_after_any_number_of_invocations():
    async def body(ctx):
        callback = await ctx.create_callback()
        await ctx.step(ids.append, callback.callback_id)
        answers = []
        for _ in range(3):
            answers.append(await callback.result())
            await ctx.wait(HOUR)
        return answers

    ids = []
    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        await world.service.callback_succeeded(ids[0], b"yes")
        closed = await world.finish(arn)
    assert json.loads(closed.result) == ["yes"] * 3
    assert workflow.starts == 1


async def test_what_it_has_come_by_takes_no_memory():
    contexts = []

    async def body(ctx):
        contexts.append(ctx)
        for n in range(100):
            await ctx.step(same, n)
        await ctx.wait(HOUR)

    async with caching_world() as world:
        await parked(world, Workflow(body).handler)
        [ctx] = contexts
        assert [operation["Type"] for operation in ctx._journal.record] == ["EXECUTION", "WAIT"]


async def test_what_it_has_not_come_by_yet_is_kept(gate):
    """After a crash the end of one strand is on record, and the replay reaches it only later."""
    ran = []

    async def body(ctx):
        async def late():
            if workflow.starts > 1:
                await gate.wait()
            await ctx.step(ran.append, 1, name="late")

        strand = asyncio.create_task(late())
        if workflow.starts == 1:
            await strand
        await ctx.step(same, 2, name="other")
        await ctx.wait(HOUR)
        gate.set()
        replaying = ctx.is_replaying
        await strand
        return replaying

    workflow = Workflow(body)
    async with caching_world() as world:
        world.crash_after = 1
        closed = await world.run(workflow.handler)
    assert closed.result == "true"
    assert workflow.starts == 2 and ran == [1]


# --- what ends it in memory ---


async def waits_twice(ctx):
    await ctx.wait(HOUR, name="first")
    await ctx.step(same, 1, name="between")
    await ctx.wait(HOUR, name="second")
    return "done"


@pytest.mark.parametrize("resumed", [False, True])
async def test_after_a_call_that_failed_it_is_replayed(resumed):
    workflow = Workflow(waits_twice)
    async with caching_world() as world:
        arn = await world.start(workflow.handler)
        if resumed:
            await world.settle()
        world.crash_after = 0
        closed = await world.finish(arn)
    assert closed.result == '"done"'
    assert (workflow.starts, workflow.left) == (2, 1)


@pytest.mark.parametrize("when", range(1, 40))
@pytest.mark.parametrize("resumed", [False, True])
async def test_a_cancellation_from_outside_ends_it_whenever_it_comes(resumed, when):
    """Either the invocation is answered and its workflow stays, or it is cancelled and nothing is left."""
    others = asyncio.all_tasks()
    workflow = Workflow(waits_twice)
    workflow.handler._clock = lambda: 0.0
    cache = ExecutionCache(10, idle=3600.0)
    service = Recording()
    if resumed:
        await cache.run(workflow.handler, service.event(), client=service)
        service.end_wait()
    running = asyncio.create_task(cache.run(workflow.handler, service.event(), client=service))
    await turns(when)
    running.cancel()
    await asyncio.wait([running])
    assert cache.keeps("arn") == (not running.cancelled())
    assert workflow.left == (1 if running.cancelled() and workflow.starts else 0)
    await cache.aclose()
    assert workflow.left == workflow.starts
    assert asyncio.all_tasks() == others


class Recording:
    """As much of a service as two waits and a step need. It tells what changed to whom it told the rest."""

    def __init__(self):
        execution = {"Id": "e", "Type": "EXECUTION", "Status": "STARTED", "ExecutionDetails": {"InputPayload": "{}"}}
        self.untold = [execution]
        self.waits = []

    def event(self):
        told, self.untold = self.untold, []
        state = {"Operations": told, "NextMarker": ""}
        return {"DurableExecutionArn": "arn", "CheckpointToken": "token", "InitialExecutionState": state}

    def end_wait(self):
        self.untold.append({**self.waits[-1], "Status": "SUCCEEDED"})

    async def checkpoint(self, execution_arn, token, updates, client_token):
        await turns(3)
        recorded = {}
        for update in updates:
            status = "STARTED" if update["Action"] == "START" else "SUCCEEDED"
            kept = {key: update[key] for key in ("Id", "Type", "SubType", "Name")}
            recorded[update["Id"]] = {**kept, "Status": status, "StepDetails": {"Result": update.get("Payload")}}
        self.waits += [each for each in recorded.values() if each["Type"] == "WAIT"]
        return {"CheckpointToken": "token", "NewExecutionState": {"Operations": [*recorded.values()]}}


async def test_one_that_is_paused_while_it_runs_is_replayed():
    async def body(ctx):
        await ctx.wait(HOUR, name="first")
        await ctx.step(pause, name="pause")
        await ctx.wait(HOUR, name="second")

    async def pause():
        if not paused:
            paused.append(await world.service.pause(arn))

    paused = []
    workflow = Workflow(body)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        world.clock.move_by(3600)
        await world.service.fire_due()
        await world.settle()
        assert paused and not world.cache.keeps(arn)
        await world.service.resume(arn)
        closed = await world.finish(arn)
    assert closed.status == "SUCCEEDED"
    assert (workflow.starts, workflow.left) == (2, 1)


async def test_one_that_is_paused_while_it_is_parked_stays():
    workflow = Workflow(waits_twice)
    async with caching_world() as world:
        arn = await parked(world, workflow.handler)
        await world.service.pause(arn)
        world.clock.move_by(3600)
        await world.service.fire_due()
        await world.settle()
        assert world.cache.keeps(arn)
        await world.service.resume(arn)
        closed = await world.finish(arn)
    assert closed.result == '"done"'
    assert workflow.starts == 1


async def test_a_workflow_that_has_changed_fails_although_it_could_wait():
    async def body(ctx):
        try:
            await ctx.step(same, 1, name=f"in run {workflow.starts}")
        except NonDeterminismError:
            await asyncio.sleep(3600)

    async def both(ctx):
        await asyncio.gather(ctx.wait(HOUR, name="wait"), body(ctx))

    workflow = Workflow(both)
    async with caching_world() as world:
        world.crash_after = 0
        arn = await world.start(workflow.handler)
        closed = await world.finish(arn)
        assert "WaitSucceeded" not in await world.event_types(arn)
    assert "NonDeterminismError" in closed.error["ErrorType"]


async def test_with_plugins_it_is_suspended():
    async def body(ctx):
        await ctx.wait(HOUR)

    workflow = Workflow(body)
    workflow.handler._plugins = (DurablePlugin(),)
    async with caching_world() as world:
        arn = await world.start(workflow.handler)
        await world.settle()
        assert not world.cache.keeps(arn)
        await world.finish(arn)
    assert workflow.starts == 2


async def test_before_all_of_the_record_is_here_it_is_not_suspended_for_a_later_page_may_let_it_go_on():
    workflow = Workflow(waits_twice)
    workflow.handler._clock = lambda: 0.0
    service, cache = Recording(), ExecutionCache(1, idle=3600.0)
    assert await workflow.handler.run(service.event(), client=service) == {"Status": "PENDING"}
    again = Recording()
    again.untold += service.waits
    event = again.event()
    event["InitialExecutionState"]["NextMarker"] = "2"

    rest_is_here = asyncio.Event()

    async def get_state(execution_arn, token, marker):
        await rest_is_here.wait()
        return {"Operations": service.waits}

    service.get_state = get_state
    running = asyncio.ensure_future(cache.run(workflow.handler, event, client=service))
    await asyncio.sleep(0.01)
    assert not running.done()
    rest_is_here.set()
    assert await running == {"Status": "PENDING"}
    assert workflow.left == 1 and cache.keeps("arn")
    await cache.aclose()


async def test_what_it_has_loaded_is_not_loaded_again():
    workflow = Workflow(waits_twice)
    workflow.handler._clock = lambda: 0.0
    cache = ExecutionCache(1, idle=3600.0)
    service = Recording()
    await workflow.handler.run(service.event(), client=service)
    event, pages = Recording().event(), []
    event["InitialExecutionState"]["NextMarker"] = "2"

    async def get_state(execution_arn, token, marker):
        pages.append(marker)
        return {"Operations": service.waits}

    service.get_state = get_state
    await cache.run(workflow.handler, event, client=service)
    service.end_wait()
    await cache.run(workflow.handler, service.event(), client=service)
    assert pages == ["2"] and workflow.starts == 2
    await cache.aclose()


async def test_where_there_is_no_room_it_has_left_when_the_invocation_is_answered():
    workflow, service = Workflow(waits_twice), Recording()
    workflow.handler._clock = lambda: 0.0
    await ExecutionCache(0, idle=3600.0).run(workflow.handler, service.event(), client=service)
    assert workflow.left == 1


# --- who is told what ---


async def test_whoever_is_told_only_what_changed_must_have_the_rest_in_memory():
    service = Recording()
    service.event()
    with pytest.raises(RuntimeError, match="is not in the execution cache"):
        await ExecutionCache(1, idle=1.0).run(Workflow(waits_twice).handler, service.event(), client=service)


@pytest.mark.parametrize(("marker", "starts"), [("", 1), ("7", 2)], ids=["in one page", "in pages"])
async def test_one_that_is_told_everything_goes_on_as_it_should(marker, starts):
    workflow = Workflow(waits_twice)
    workflow.handler._clock = lambda: 0.0
    cache = ExecutionCache(1, idle=3600.0)
    service = Recording()
    await cache.run(workflow.handler, service.event(), client=service)
    whole = Recording()
    whole.waits = service.waits
    whole.end_wait()
    event = whole.event()
    event["InitialExecutionState"]["NextMarker"] = marker

    async def get_state(execution_arn, token, marker):
        return {"Operations": []}

    service.get_state = get_state
    assert await cache.run(workflow.handler, event, client=service) == {"Status": "PENDING"}
    assert workflow.starts == starts and workflow.left == starts - 1
    assert [wait["Name"] for wait in service.waits] == ["first", "second"]
    await cache.aclose()
