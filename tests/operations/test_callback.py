"""Callbacks, alone and with the step that hands out their ids: what is recorded, what comes back, what is raised."""

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_async import (
    CallbackConfig,
    CallbackError,
    CallbackFailedError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ContextMisuseError,
    DurableTimeoutError,
    RetryStrategy,
    SerializationError,
    WaitForCallbackConfig,
    current_step,
    durable_execution,
)
from durable_async._wire.limits import ERROR_BYTES, PAYLOAD_BYTES
from durable_async.service.model.errors import InvalidParameterValueError
from tests.property_runs import examples
from tests.world import NO_START_BEFORE_ITS_END, World

HOUR = timedelta(hours=1)
WAYS = ["create_callback", "wait_for_callback"]
SOON = RetryStrategy.fixed(delay=timedelta(seconds=10), max_attempts=3)


@dataclass
class Order:
    item: str
    amount: int


class Shouted:
    """Not JSON, and async."""

    async def serialize(self, value, context):
        return value.lower()

    async def deserialize(self, text, context):
        return text.upper()


class Desk:
    """The two ways to ask the outside world, and what it was handed: the ids in the order of their arrival."""

    def __init__(self, way):
        self.way = way
        self.ids = []

    async def ask(self, ctx, returns=None, **options):
        told = {} if returns is None else {"returns": returns}
        if self.way == "wait_for_callback":
            return await ctx.wait_for_callback(
                self.ids.append, name="ask", config=WaitForCallbackConfig(**options), **told
            )
        callback = await ctx.create_callback(name="ask", config=CallbackConfig(**options), **told)
        await ctx.step(self.ids.append, callback.callback_id, name="tell")
        return await callback.result()


@pytest.fixture(params=WAYS)
def desk(request):
    return Desk(request.param)


async def answered(world, workflow, *answers):
    """Run to the end, and answer each time when nothing runs any more."""
    arn = await world.start(workflow)
    for answer in answers:
        await world.settle()
        await answer()
    return await world.finish(arn)


# --- either way ---


@pytest.mark.parametrize(
    ("answer", "options", "result"),
    [
        pytest.param(b"yes", {}, "yes", id="text as it is"),
        pytest.param(b'{"item": 1}', {}, '{"item": 1}', id="JSON as text"),
        pytest.param(b"", {}, None, id="nothing"),
        pytest.param(b'{"item": "pen", "amount": 3}', {"returns": Order}, Order("pen", 3), id="a type"),
        pytest.param(b"[1, 2]", {"returns": tuple[int, int]}, (1, 2), id="a type that JSON lacks"),
        pytest.param(b"null", {"returns": type(None)}, None, id="None as a type"),
        pytest.param(b"", {"returns": Order}, None, id="nothing, of a type"),
        pytest.param("schön".encode(), {"serializer": Shouted()}, "SCHÖN", id="a serializer"),
        pytest.param(b"", {"serializer": Shouted()}, None, id="nothing, for a serializer"),
    ],
)
async def test_the_answer_is_read_as_asked_for_and_alike_on_a_replay(desk, answer, options, result):
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        seen.append(await desk.ask(ctx, **options))
        await ctx.wait(HOUR)

    async with World() as world:
        world.extended = answer != b""
        await answered(world, workflow, lambda: world.service.callback_succeeded(desk.ids[0], answer))
    assert seen == [result] * 2
    assert len(desk.ids) == 1


@settings(max_examples=examples(25), deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), way=st.sampled_from(WAYS))
async def test_any_text_comes_back_as_it_was_sent(text, way):
    desk, seen = Desk(way), []

    @durable_execution
    async def workflow(event, ctx):
        seen.append(await desk.ask(ctx))
        await ctx.wait(HOUR)

    async with World() as world:
        await answered(world, workflow, lambda: world.service.callback_succeeded(desk.ids[0], text.encode()))
    assert seen == [text] * 2


async def test_the_largest_answer_that_the_service_takes_arrives(desk):
    @durable_execution
    async def workflow(event, ctx):
        size = len(await desk.ask(ctx))
        await ctx.wait(HOUR)
        return [size, len(desk.ids)]

    async with World() as world:
        closed = await answered(
            world, workflow, lambda: world.service.callback_succeeded(desk.ids[0], b"x" * PAYLOAD_BYTES)
        )
    assert json.loads(closed.result) == [PAYLOAD_BYTES, 1]


@pytest.mark.parametrize("answer", [b"no JSON", b'{"item": "pen"}'])
async def test_an_answer_that_cannot_be_read_says_so_on_every_run(desk, answer):
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            await desk.ask(ctx, returns=Order)
        except SerializationError as error:
            seen.append(str(error))
        await ctx.wait(HOUR)

    async with World() as world:
        world.extended = False
        await answered(world, workflow, lambda: world.service.callback_succeeded(desk.ids[0], answer))
    first, replayed = seen
    assert first == replayed and first.startswith("the answer to ") and "'ask': " in first


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"no JSON", "It must be JSON, with a text in quotes"),
        (b'"text"', "$ must be object, and is string"),
        (b'{"item": "pen"}', "$.amount is missing"),
        (b'{"item": "pen", "amount": "3"}', "$.amount must be integer, and is string"),
        (b"", "$ must be object, and is null"),
    ],
)
async def test_our_service_refuses_an_answer_that_the_workflow_cannot_read_and_waits_for_another(desk, answer, reason):
    @durable_execution
    async def workflow(event, ctx):
        order = await desk.ask(ctx, returns=Order)
        return [order.item, order.amount]

    async def answer_twice():
        with pytest.raises(InvalidParameterValueError, match=re.escape(reason)):
            await world.service.callback_succeeded(desk.ids[0], answer)
        await world.service.callback_succeeded(desk.ids[0], b'{"item": "pen", "amount": 3}')

    async with World() as world:
        closed = await answered(world, workflow, answer_twice)
    assert json.loads(closed.result) == ["pen", 3]


@pytest.mark.parametrize("options", [{}, {"returns": Order, "serializer": Shouted()}])
async def test_where_no_schema_says_what_fits_any_answer_is_accepted(desk, options):
    @durable_execution
    async def workflow(event, ctx):
        with contextlib.suppress(SerializationError):
            await desk.ask(ctx, **options)
        return "ended"

    async with World() as world:
        closed = await answered(world, workflow, lambda: world.service.callback_succeeded(desk.ids[0], b"[1"))
    assert json.loads(closed.result) == "ended"


async def test_open_callbacks_are_listed_by_name_with_what_fits_them(desk):
    @durable_execution
    async def workflow(event, ctx):
        await asyncio.gather(desk.ask(ctx, returns=Order), ctx.wait(HOUR))

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        (callback,) = await world.service.list_callbacks(arn)
        assert (callback.id, callback.name, callback.times_out) == (desk.ids[0], "ask", None)
        assert json.loads(callback.answer_schema)["required"] == ["item", "amount"]
        await world.service.callback_succeeded(callback.id, b'{"item": "pen", "amount": 3}')
        assert await world.service.list_callbacks(arn) == []


def fields(error):
    return type(error), error.error_type, error.message, error.data, error.stack_trace


async def failures(desk, answer, **options):
    """What is raised at the first run and at a replay, and the time until then in seconds."""
    seen, times = [], []

    @durable_execution
    async def workflow(event, ctx):
        began = ctx.now()
        try:
            await desk.ask(ctx, **options)
        except CallbackError as error:
            seen.append(error)
        times.append((ctx.now() - began).total_seconds())
        await ctx.wait(HOUR)

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        await answer(world)
        await world.finish(arn)
    first, replayed = seen
    assert first is not replayed and first.args == replayed.args
    assert len(set(times)) == 1
    return fields(first), times[0]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(
            {"ErrorType": "Rejected", "ErrorMessage": "too much", "ErrorData": "[3]", "StackTrace": ["a", "b"]},
            (CallbackFailedError, "Rejected", "too much", "[3]", ("a", "b")),
            id="all members",
        ),
        pytest.param({"ErrorMessage": "no"}, (CallbackFailedError, None, "no", None, ()), id="no type"),
        pytest.param(None, (CallbackFailedError, None, "the callback failed", None, ()), id="nothing"),
        pytest.param(
            {"ErrorType": "a: b: c"}, (CallbackFailedError, "a: b: c", "the callback failed", None, ()), id="colons"
        ),
        pytest.param(
            {"ErrorType": "Callback.Timeout", "ErrorMessage": "theirs"},
            (CallbackFailedError, "Callback.Timeout", "theirs", None, ()),
            id="a type that looks like the service's",
        ),
        pytest.param(
            {"ErrorType": "durable_async.errors.CallbackSubmitterError"},
            (
                CallbackFailedError,
                "durable_async.errors.CallbackSubmitterError",
                "the callback failed",
                None,
                (),
            ),
            id="a type that looks like ours",
        ),
    ],
)
async def test_a_failure_is_raised_as_it_was_sent(desk, sent, expected):
    raised, _ = await failures(desk, lambda world: world.service.callback_failed(desk.ids[0], sent))
    assert raised == expected


async def test_a_failure_as_large_as_the_service_takes_can_be_recorded(desk):
    data = "x" * (ERROR_BYTES - 100)
    raised, _ = await failures(
        desk, lambda world: world.service.callback_failed(desk.ids[0], {"ErrorType": "Large", "ErrorData": data})
    )
    assert raised[:2] == (CallbackFailedError, "Large")


async def test_nobody_answers_in_time(desk):
    async def nothing(world):
        pass

    raised, time = await failures(desk, nothing, timeout=timedelta(seconds=59, milliseconds=1))
    assert raised == (CallbackTimeoutError, "Callback.Timeout", "Callback timed out", None, ())
    assert round(time, 3) == 60


async def test_a_heartbeat_does_not_come(desk):
    async def one_beat(world):
        world.clock.move_by(15)
        await world.service.callback_heartbeat(desk.ids[0])

    raised, time = await failures(desk, one_beat, heartbeat_timeout=timedelta(seconds=20), timeout=HOUR)
    assert raised[:2] == (CallbackTimeoutError, "Callback.Heartbeat")
    assert round(time, 3) == 35


async def test_a_timeout_is_a_timeout_error_that_tells_which():
    assert issubclass(CallbackTimeoutError, TimeoutError)
    assert CallbackTimeoutError("", "Callback.Heartbeat").heartbeat
    assert not CallbackTimeoutError("", "Callback.Timeout").heartbeat


async def test_the_limits_reach_the_service_and_those_that_are_not_set_do_not(desk):
    @durable_execution
    async def workflow(event, ctx):
        for options in ({"timeout": timedelta(milliseconds=1)}, {"heartbeat_timeout": HOUR}):
            with pytest.raises(CallbackTimeoutError):
                await desk.ask(ctx, **options)

    async with World() as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        events = await world.events(arn)
    started = [event["CallbackStartedDetails"] for event in events if event["EventType"] == "CallbackStarted"]
    assert [sorted(details) for details in started] == [["CallbackId", "Timeout"], ["CallbackId", "HeartbeatTimeout"]]
    assert (started[0]["Timeout"], started[1]["HeartbeatTimeout"]) == (1, 3600)


async def test_a_crash_after_any_checkpoint_changes_nothing(desk):
    @durable_execution
    async def workflow(event, ctx):
        answer = await desk.ask(ctx)
        await ctx.wait(HOUR)
        return answer

    crashes = 0
    for point in range(10):
        desk.ids.clear()
        async with World() as world:
            world.crash_after = point
            arn = await world.start(workflow)
            while not desk.ids:  # the id was lost in the crash, and the invocation is repeated
                await world.settle()
                world.clock.move_by(60)
                await world.service.fire_due()
            await world.settle()
            await world.service.callback_succeeded(desk.ids[-1], b"yes")
            closed = await world.finish(arn)
            types = await world.event_types(arn)
        crashes += world.crash_after is None
        assert closed.result == '"yes"', point
        assert types.count("CallbackStarted") == 1
        assert len(set(desk.ids)) == 1
    assert 3 <= crashes < 10


# --- create_callback ---


async def test_making_one_costs_one_call_and_never_fails_for_how_it_ended():
    steps, ids = [], []

    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback(name="ask")
        ids.append(callback.callback_id)
        await ctx.step(steps.append, "between")
        try:
            await callback.result()
        except CallbackFailedError:
            return await ctx.step(lambda: "after", name="after")

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        closed = await answered(world, workflow, lambda: world.service.callback_failed(ids[0]))
    assert closed.result == '"after"'
    assert world.calls == [["START ask"], ["START append", "SUCCEED append"], ["START after", "SUCCEED after"]]
    assert steps == ["between"]
    assert len(ids) == 2 and ids[0] == ids[1]


async def test_what_happens_before_the_answer_is_asked_for_does_not_know_of_it():
    ids, times, replaying = [], [], []

    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback()
        ids.append(callback.callback_id)
        times.append(ctx.now())
        replaying.append(ctx.is_replaying)
        await callback.result()
        replaying.append(ctx.is_replaying)

    async with World() as world:

        async def late():
            world.clock.move_by(100)
            await world.service.callback_succeeded(ids[0], b"")

        await answered(world, workflow, late)
    assert times[0] == times[1]
    assert replaying == [False, True, False]


async def test_a_result_may_be_awaited_again_and_by_several_tasks():
    ids = []

    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback(returns=list[int])
        ids.append(callback.callback_id)
        hasty = asyncio.create_task(callback.result())
        both = asyncio.gather(callback.result(), callback.result())
        await asyncio.sleep(0)
        hasty.cancel()
        together = await both
        return [*together, await callback.result()]

    async with World() as world:
        closed = await answered(world, workflow, lambda: world.service.callback_succeeded(ids[0], b"[1]"))
    assert json.loads(closed.result) == [[1]] * 3


@pytest.mark.parametrize("waiters", [1, 3])
async def test_an_answer_that_comes_while_something_runs_resumes_its_waiters_in_place(waiters):
    """They learn of it with the next checkpoint. One of several gives up before, and must not take the others along."""

    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback()
        parked = asyncio.gather(*(callback.result() for _ in range(waiters)))
        hasty = asyncio.create_task(callback.result())
        await asyncio.sleep(0)

        async def answer():
            hasty.cancel()
            await world.service.callback_succeeded(callback.callback_id, b"yes")

        await ctx.step(answer)
        return await parked

    async with World() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == ["yes"] * waiters
    assert world.invocations == 1


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
async def test_several_at_once_are_answered_in_any_order(order):
    ids = {}

    @durable_execution
    async def workflow(event, ctx):
        async def ask(n):
            callback = await ctx.create_callback(name=f"ask {n}")
            ids[n] = callback.callback_id
            answer = await callback.result()
            return await ctx.step(lambda: answer * 2, name=f"double {n}")

        return await asyncio.gather(*(ask(n) for n in range(3)))

    async with World() as world:
        answers = [lambda n=n: world.service.callback_succeeded(ids[n], str(n).encode()) for n in order]
        closed = await answered(world, workflow, *answers)
    assert json.loads(closed.result) == ["00", "11", "22"]
    assert world.invocations == 4


async def test_a_heartbeat_alone_wakes_nobody():
    ids = []

    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback(config=CallbackConfig(heartbeat_timeout=HOUR))
        ids.append(callback.callback_id)
        await asyncio.gather(callback.result(), ctx.step(lambda: None, name="step"))

    async with World() as world:
        await answered(
            world,
            workflow,
            lambda: world.service.callback_heartbeat(ids[0]),
            lambda: world.service.callback_succeeded(ids[0], b""),
        )
    assert world.invocations == 2


async def test_a_deadline_ends_the_wait_for_an_answer():
    raised, between = [], []

    @durable_execution
    async def workflow(event, ctx):
        try:
            async with ctx.timeout(timedelta(seconds=30)):
                callback = await ctx.create_callback()
                between.append(callback.callback_id)
                await callback.result()
        except DurableTimeoutError as error:
            raised.append(str(error))
        await ctx.wait(HOUR)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    assert len(raised) == 2 and len(set(raised)) == 1
    assert len(between) == 3 and len(set(between)) == 1  # made on each replay, as on the first run


async def test_an_answer_cannot_be_waited_for_in_the_body_of_a_step():
    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback()
        await ctx.step(callback.result, name="wrong")

    async with World() as world:
        closed = await world.run(workflow)
    assert "inside the body of step 'wrong'" in closed.error["ErrorMessage"]


async def test_an_answer_cannot_be_waited_for_after_the_context_of_the_callback():
    @durable_execution
    async def workflow(event, ctx):
        async def child(ctx):
            made.append(await ctx.create_callback(name="inner"))

        made = []
        await ctx.run_in_child_context(child)
        with pytest.raises(ContextMisuseError, match=r"Callback 'inner'.* had ended"):
            await made[0].result()
        return "refused"

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"refused"'


async def test_an_inner_context_may_wait_for_an_outer_callback():
    ids = []

    @durable_execution
    async def workflow(event, ctx):
        callback = await ctx.create_callback(returns=int)
        ids.append(callback.callback_id)

        async def child(ctx):
            return await callback.result() + 1

        return await ctx.run_in_child_context(child)

    async with World() as world:
        closed = await answered(world, workflow, lambda: world.service.callback_succeeded(ids[0], b"41"))
    assert closed.result == "42"


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_another_operation_in_its_place_fails_the_execution(way, caught):
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        try:
            if len(runs) == 1:
                await ctx.step(lambda: 1, name="ask")
                await ctx.wait(HOUR)
            await Desk(way).ask(ctx)
        except Exception:
            if not caught:
                raise

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "Step 'ask'" in closed.error["ErrorMessage"]


# --- wait_for_callback ---


@pytest.mark.parametrize(
    ("name", "submitter", "names"),
    [
        pytest.param("ask", lambda _: None, ["ask", "ask create callback id", "ask submitter"], id="named"),
        pytest.param(None, print, ["print", "print create callback id", "print submitter"], id="the submitter's name"),
        pytest.param(None, lambda _: None, [None, "create callback id", "submitter"], id="unnamed"),
        pytest.param(
            "x" * 256,
            lambda _: None,
            ["x" * 256, "x" * 237 + " create callback id", "x" * 246 + " submitter"],
            id="the longest name",
        ),
    ],
)
async def test_it_is_a_context_with_a_callback_and_a_step(name, submitter, names):
    @durable_execution
    async def workflow(event, ctx):
        await ctx.wait_for_callback(submitter, name=name, timeout=HOUR)

    async with World(engine=NO_START_BEFORE_ITS_END) as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        events = await world.events(arn)
    context, callback, started, succeeded = events[1:5]
    assert [each["EventType"] for each in events] == [
        "ExecutionStarted",
        *["ContextStarted", "CallbackStarted", "StepStarted", "StepSucceeded", "InvocationCompleted"],
        *["CallbackTimedOut", "ContextFailed", "InvocationCompleted", "ExecutionFailed"],
    ]
    assert [context.get("Name"), callback["Name"], started["Name"]] == names
    assert [context["SubType"], callback["SubType"], started["SubType"]] == ["WaitForCallback", "Callback", "Step"]
    assert {each["ParentId"] for each in (callback, started, succeeded)} == {context["Id"]}
    assert [len(call) for call in world.calls] == [2, 2, 1]


async def test_once_it_has_ended_a_replay_does_not_look_inside():
    ids = []

    @durable_execution
    async def workflow(event, ctx):
        answer = await ctx.wait_for_callback(ids.append)
        before = ctx.now()
        await ctx.wait(HOUR)
        return [answer, round((ctx.now() - before).total_seconds(), 3)]

    async with World() as world:
        closed = await answered(world, workflow, lambda: world.service.callback_succeeded(ids[0], b"yes"))
    assert json.loads(closed.result) == ["yes", 3600]
    assert len(ids) == 1


async def test_an_answer_during_the_submitter_costs_no_suspension():
    @durable_execution
    async def workflow(event, ctx):
        async def submit(callback_id):
            await world.service.callback_succeeded(callback_id, b"at once")

        return await ctx.wait_for_callback(submit)

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == '"at once"'
    assert world.invocations == 1


@pytest.mark.parametrize("in_thread", [False, True], ids=["on the loop", "in a thread"])
async def test_a_submitter_is_the_body_of_a_step_and_may_return_anything(in_thread):
    told = []

    def submit(callback_id):
        told.append((callback_id, current_step().name, current_step().attempt))
        return object()

    async def submit_async(callback_id):
        return submit(callback_id)

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.wait_for_callback(submit if in_thread else submit_async, name="ask")

    async with World() as world:
        closed = await answered(world, workflow, lambda: world.service.callback_succeeded(told[0][0], b"yes"))
    assert closed.result == '"yes"'
    assert [each[1:] for each in told] == [("ask submitter", 1)]


async def test_a_submitter_is_attempted_as_its_strategy_says():
    told = []

    @durable_execution
    async def workflow(event, ctx):
        def submit(callback_id):
            told.append(callback_id)
            if len(told) < 3:
                raise ConnectionError("nobody there")

        return await ctx.wait_for_callback(submit, config=WaitForCallbackConfig(retry_strategy=SOON))

    async with World() as world:

        async def time_passes():
            world.clock.move_by(10)
            await world.service.fire_due()

        closed = await answered(
            world, workflow, time_passes, time_passes, lambda: world.service.callback_succeeded(told[0], b"yes")
        )
    assert closed.result == '"yes"'
    assert len(told) == 3 and len(set(told)) == 1


async def test_a_submitter_that_fails_for_good_is_the_same_error_on_a_replay():
    seen = []

    def submit(callback_id):
        raise ConnectionError("nobody there")

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.wait_for_callback(submit)
        except CallbackSubmitterError as error:
            seen.append(error)
        await ctx.wait(HOUR)

    async with World() as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        events = await world.events(arn)
    first, replayed = seen
    assert first.args == replayed.args
    assert (first.error_type, first.message, first.operation_name) == ("ConnectionError", "nobody there", "submit")
    assert first.stack_trace
    [failed] = [event["ContextFailedDetails"] for event in events if event["EventType"] == "ContextFailed"]
    assert failed["Error"]["Payload"]["ErrorType"] == "durable_async.errors.CallbackSubmitterError: ConnectionError"


async def test_an_error_that_nobody_catches_is_recorded_under_the_type_that_it_came_with():
    @durable_execution
    async def workflow(event, ctx):
        async def child(ctx):
            await ctx.wait_for_callback(print, timeout=HOUR)

        await ctx.run_in_child_context(child)

    async with World() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        failed = [event for event in await world.events(arn) if event["EventType"] == "ContextFailed"]
    assert [each["ContextFailedDetails"]["Error"]["Payload"]["ErrorType"] for each in failed] == [
        "durable_async.errors.CallbackTimeoutError: Callback.Timeout",
        "Callback.Timeout",
    ]
    assert closed.error["ErrorMessage"] == "Callback timed out"


async def test_the_timeout_of_the_call_takes_the_place_of_the_configured_one():
    @durable_execution
    async def workflow(event, ctx):
        config = WaitForCallbackConfig(timeout=HOUR, heartbeat_timeout=2 * HOUR)
        await ctx.wait_for_callback(print, timeout=timedelta(minutes=1), config=config)

    async with World() as world:
        arn = await world.start(workflow)
        await world.finish(arn)
        [started] = [event for event in await world.events(arn) if event["EventType"] == "CallbackStarted"]
    details = started["CallbackStartedDetails"]
    assert (details["Timeout"], details["HeartbeatTimeout"]) == (60, 7200)


async def test_a_timeout_out_of_bounds_is_refused_at_the_call_and_claims_nothing():
    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(ValueError, match="timeout"):
            ctx.wait_for_callback(print, timeout=timedelta(0))
        return await ctx.step(lambda: 1, name="next")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "1"


# --- configurations ---


@pytest.mark.parametrize("config", [CallbackConfig, WaitForCallbackConfig])
@pytest.mark.parametrize("member", ["timeout", "heartbeat_timeout"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (timedelta(0), ValueError),
        (timedelta(seconds=-1), ValueError),
        (timedelta(seconds=99_999_999, microseconds=1), ValueError),
        (60, TypeError),
    ],
)
def test_limits_are_checked_where_they_are_made(config, member, value, error):
    with pytest.raises(error, match=member):
        config(**{member: value})


@pytest.mark.parametrize("value", [timedelta(microseconds=1), timedelta(seconds=99_999_999)])
def test_limits_that_the_service_takes(value):
    assert CallbackConfig(timeout=value, heartbeat_timeout=value).timeout == value


def test_what_is_no_serializer_and_no_strategy_is_refused():
    with pytest.raises(TypeError, match="serializer"):
        CallbackConfig(serializer=Shouted)
    with pytest.raises(TypeError, match="retry_strategy"):
        WaitForCallbackConfig(retry_strategy=3)
