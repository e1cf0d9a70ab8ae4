"""Chained invokes: what is sent, what comes back, what is raised."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_async import (
    DurableTimeoutError,
    InvokeConfig,
    InvokeError,
    InvokeFailedError,
    InvokeStoppedError,
    InvokeTimeoutError,
    PayloadTooLargeError,
    SerializationError,
    durable_execution,
)
from durable_async._wire.limits import PAYLOAD_BYTES
from durable_async.embedded.local import in_process_handler
from durable_async.service.functions.base import in_process_function
from tests.property_runs import examples
from tests.world import World

HOUR = timedelta(hours=1)
TARGET = "target:$LATEST"


@dataclass
class Order:
    item: str
    amount: int


@durable_execution
async def echo(event, ctx):
    await ctx.wait(timedelta(minutes=1))
    return event


def world_with(target=echo, **options):
    world = World()
    if callable(getattr(target, "run", None)):
        target._clock = world.clock
        target = in_process_handler(target, world.service)
    world.service.register("target", target, **options)
    return world


async def seen_twice(world, call):
    """What an invoke gives at the first run and at a replay, which must be equal, and its events."""
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            seen.append(await call(ctx))
        except InvokeError as error:
            seen.append(error)
        await ctx.wait(HOUR)

    arn = await world.start(workflow)
    closed = await world.finish(arn)
    assert closed.status == "SUCCEEDED", closed.error
    first, replayed = seen
    if isinstance(first, InvokeError):
        assert first is not replayed and first.args == replayed.args and type(first) is type(replayed)
    else:
        assert first == replayed
    return first, await world.events(arn)


def types_of(events):
    return [event["EventType"] for event in events]


async def test_another_workflow_runs_while_this_one_is_suspended():
    async with world_with() as world:
        result, events = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, {"n": 1}, name="other"))
    assert result == {"n": 1}
    assert types_of(events)[1:4] == ["ChainedInvokeStarted", "InvocationCompleted", "ChainedInvokeSucceeded"]
    started = events[1]
    assert (started["Name"], started["SubType"]) == ("other", "ChainedInvoke")
    assert started["ChainedInvokeStartedDetails"]["FunctionName"] == TARGET
    assert started["ChainedInvokeStartedDetails"]["Input"]["Payload"] == '{"n": 1}'
    assert world.calls[0] == ["START other"]


async def test_a_plain_function_is_invoked_just_as_well():
    async with world_with(in_process_function(lambda event, context: event * 2)) as world:
        result, _ = await seen_twice(world, lambda ctx: ctx.invoke("target", 21))
    assert result == 42


@pytest.mark.parametrize(
    ("payload", "options", "result"),
    [
        pytest.param(None, {}, None, id="nothing"),
        pytest.param((1, 2), {}, [1, 2], id="without a type plain JSON"),
        pytest.param((1, 2), {"returns": tuple[int, int]}, (1, 2), id="with a type that type"),
        pytest.param(Order("pen", 3), {"returns": Order}, Order("pen", 3), id="a class"),
        pytest.param(timedelta(seconds=3), {"returns": timedelta}, timedelta(seconds=3), id="what JSON lacks"),
    ],
)
async def test_payload_and_result_are_written_and_read_as_values_of_their_types(payload, options, result):
    async with world_with() as world:
        seen, _ = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, payload, **options))
    assert seen == result
    assert type(seen) is type(result)


@settings(max_examples=examples(25), deadline=None)
@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
        max_leaves=10,
    )
)
async def test_any_json_goes_there_and_comes_back(payload):
    async with world_with() as world:
        seen, _ = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, payload))
    assert seen == payload


async def test_serializers_write_the_payload_and_read_the_result():
    class Wrapped:
        def serialize(self, value, context):
            return json.dumps({"wrapped": value})

        def deserialize(self, text, context):
            return json.loads(text)["wrapped"]

    async with world_with() as world:
        config = InvokeConfig(payload_serializer=Wrapped())
        seen, _ = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, 1, config=config))
    assert seen == {"wrapped": 1}
    async with world_with() as world:
        config = InvokeConfig(payload_serializer=Wrapped(), result_serializer=Wrapped())
        seen, _ = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, 1, config=config))
    assert seen == 1


async def test_the_tenant_is_named():
    async with world_with() as world:
        config = InvokeConfig(tenant_id="blue")
        _, events = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, config=config))
    assert events[1]["ChainedInvokeStartedDetails"]["TenantId"] == "blue"


# --- failures ---


async def test_a_workflow_that_fails_gives_its_own_error():
    @durable_execution
    async def broken(event, ctx):
        raise LookupError("gone")

    async with world_with(broken) as world:
        error, _ = await seen_twice(world, lambda ctx: ctx.invoke(TARGET, name="other"))
    assert type(error) is InvokeFailedError
    assert (error.error_type, error.message, error.operation_name) == ("LookupError", "gone", "other")
    assert error.stack_trace


async def test_a_plain_function_that_raises_gives_its_own_error():
    def broken(event, context):
        raise KeyError("gone")

    async with world_with(in_process_function(broken)) as world:
        error, _ = await seen_twice(world, lambda ctx: ctx.invoke("target"))
    assert type(error) is InvokeFailedError
    assert (error.error_type, error.message) == ("KeyError", "'gone'")


@pytest.mark.parametrize(
    ("target", "error_type"),
    [("nobody", "ResourceNotFoundException"), ("target", "InvalidParameterValueException")],
    ids=["there is none", "a durable function without a qualifier"],
)
async def test_what_cannot_be_invoked_fails_at_once(target, error_type):
    async with world_with() as world:
        error, events = await seen_twice(world, lambda ctx: ctx.invoke(target))
    assert (type(error), error.error_type) == (InvokeFailedError, error_type)
    assert types_of(events)[1:4] == ["ChainedInvokeStarted", "ChainedInvokeFailed", "WaitStarted"]  # no suspension


async def test_a_workflow_that_times_out():
    @durable_execution
    async def slow(event, ctx):
        await ctx.wait(24 * HOUR)

    async with world_with(slow, execution_timeout=60) as world:
        error, _ = await seen_twice(world, lambda ctx: ctx.invoke(TARGET))
    assert (type(error), error.error_type) == (InvokeTimeoutError, "ChainedInvoke.Timeout")
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ErrorType": "Operator", "ErrorMessage": "enough"}, ("Operator", "enough")),
        (None, (None, "Execution stopped by user request")),
    ],
    ids=["with an error", "without"],
)
async def test_a_workflow_that_is_stopped(given, expected):
    errors = []

    @durable_execution
    async def slow(event, ctx):
        await ctx.wait(24 * HOUR)

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.invoke(TARGET)
        except InvokeStoppedError as error:
            errors.append(error)
        await ctx.wait(HOUR)

    async with world_with(slow) as world:
        arn = await world.start(workflow)
        await world.settle()
        [child] = (await world.service.list_executions("target")).items
        await world.service.stop(child.arn, given)
        await world.finish(arn)
    first, replayed = errors
    assert first.args == replayed.args
    assert (first.error_type, first.message) == expected


async def test_a_result_that_cannot_be_read_says_so_on_every_run():
    seen = []

    @durable_execution
    async def workflow(event, ctx):
        try:
            await ctx.invoke(TARGET, {"item": "pen"}, name="other", returns=Order)
        except SerializationError as error:
            seen.append(str(error))
        await ctx.wait(HOUR)

    async with world_with() as world:
        await world.run(workflow)
    first, replayed = seen
    assert first == replayed and first.startswith("other: cannot be read as")


@pytest.mark.parametrize(
    ("payload", "error"),
    [("x" * PAYLOAD_BYTES, PayloadTooLargeError), (object(), SerializationError)],
    ids=["too large", "of no known type"],
)
async def test_a_payload_that_cannot_be_sent_is_refused_before_anything_is(payload, error):
    @durable_execution
    async def workflow(event, ctx):
        for _ in range(2):
            with pytest.raises(error):
                await ctx.invoke(TARGET, payload)
        return await ctx.invoke(TARGET, "small")

    async with world_with() as world:
        closed = await world.run(workflow)
    assert closed.result == '"small"'
    assert world.calls == [["START CHAINED_INVOKE"]]


# --- among other operations ---


async def test_several_at_once():
    @durable_execution
    async def workflow(event, ctx):
        return await asyncio.gather(*(ctx.invoke(TARGET, n, key=f"number {n}") for n in range(3)))

    async with world_with() as world:
        closed = await world.run(workflow)
    assert json.loads(closed.result) == [0, 1, 2]
    assert world.calls[0] == ["START CHAINED_INVOKE"] * 3


async def test_a_crash_after_the_start_invokes_nothing_again():
    invoked = []

    @durable_execution
    async def workflow(event, ctx):
        return await ctx.invoke("target", 1)

    async with world_with(in_process_function(lambda event, context: invoked.append(event))) as world:
        world.crash_after = 0
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    assert invoked == [1]
    assert world.invocations >= 2


async def test_a_deadline_ends_the_wait_and_what_was_invoked_goes_on():
    finished = []

    @durable_execution
    async def slow(event, ctx):
        await ctx.wait(HOUR)
        finished.append(True)

    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(DurableTimeoutError):
            async with ctx.timeout(timedelta(minutes=1)):
                await ctx.invoke(TARGET)
        await ctx.wait(2 * HOUR)

    async with world_with(slow) as world:
        closed = await world.run(workflow)
    assert closed.status == "SUCCEEDED"
    assert finished == [True]


async def test_another_operation_in_its_place_fails_the_execution():
    runs = []

    @durable_execution
    async def workflow(event, ctx):
        runs.append(1)
        await ctx.invoke(TARGET, name=f"invoke {len(runs)}")

    async with world_with() as world:
        closed = await world.run(workflow)
    assert closed.error["ErrorType"] == "durable_async.errors.NonDeterminismError"
    assert "ChainedInvoke 'invoke 1'" in closed.error["ErrorMessage"]


# --- arguments ---


@pytest.mark.parametrize(("target", "error"), [("", ValueError), (echo, TypeError)])
async def test_what_names_no_function_is_refused_at_the_call(target, error):
    @durable_execution
    async def workflow(event, ctx):
        with pytest.raises(error, match="function_name"):
            ctx.invoke(target)
        return await ctx.step(lambda: 1, name="next")

    async with World() as world:
        closed = await world.run(workflow)
    assert closed.result == "1"


@pytest.mark.parametrize("tenant_id", ["", "x" * 257, "bläu", "a\nb", "a\n"])
def test_a_tenant_that_the_service_would_refuse(tenant_id):
    with pytest.raises(ValueError, match="tenant_id"):
        InvokeConfig(tenant_id=tenant_id)


@pytest.mark.parametrize("member", ["payload_serializer", "result_serializer"])
def test_what_is_no_serializer_is_refused(member):
    with pytest.raises(TypeError, match="serializer"):
        InvokeConfig(**{member: json})
