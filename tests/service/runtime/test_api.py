"""The service as its callers see it. Handlers are written against the wire, time is the test's."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from durable_async.service.functions.base import InProcessFunction, InvocationFailed, in_process_function
from durable_async.service.http.rendering import execution_json
from durable_async.service.machine import InvocationRetryPolicy, Limits
from durable_async.service.model.errors import (
    AlreadyStartedError,
    CallbackTimedOutError,
    InvalidParameterValueError,
    InvalidRequestContentError,
    RequestTooLargeError,
    ResourceConflictError,
    ResourceNotFoundError,
    ServiceClosedError,
)
from durable_async.service.model.history import EventType
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.views import Closed, ExecutionDescription
from durable_async.service.store.memory import MemoryStore
from durable_async.service.store.sqlite import SqliteStore
from durable_async.testing import VirtualTime
from durable_async.testing.virtual_time import START

DAY = 86_400


class World:
    """A service in virtual time, and handlers that are coroutines of ``(operations by id, checkpoint)``."""

    def __init__(self, **options):
        self.clock = VirtualTime()
        self.service = LambdaApi(clock=self.clock, **options)
        self.envelopes = []

    def durable(self, name="flow", **options):
        def register(handler):
            async def call(event, request):
                self.envelopes.append(event)
                token = event["CheckpointToken"]

                async def checkpoint(*updates):
                    nonlocal token
                    result = await self.service.checkpoint(event["DurableExecutionArn"], token, updates)
                    token = result.get("CheckpointToken")
                    return {o["Id"]: o for o in result["NewExecutionState"]["Operations"]}

                operations = {o["Id"]: o for o in event["InitialExecutionState"]["Operations"]}
                return await handler(operations, checkpoint)

            self.service.register(name, InProcessFunction(call, durable=True), **options)

        return register

    async def start(self, payload=b"1", name="flow", **options):
        return (await self.service.invoke(f"{name}:$LATEST", payload, **options)).execution_arn

    async def run(self, arn):
        """Let time jump from one due time to the next until the execution is closed."""
        while True:
            await self.service.idle()
            if not (await self.service.get_execution(arn)).status.open:
                return await self.service.wait(arn)
            self.clock.move_to(self.service.next_due())
            await self.service.fire_due()

    async def history(self, arn, **options):
        return [str(event.type) for event in (await self.service.get_history(arn, **options)).items]


@pytest.fixture
async def world():
    world = World()
    async with world.service:
        yield world


PENDING = {"Status": "PENDING"}


def succeeded(value):
    return {"Status": "SUCCEEDED", "Result": json.dumps(value)}


def wait(operation_id, seconds):
    return {"Id": operation_id, "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": seconds}}


def callback(operation_id="c", **options):
    return {"Id": operation_id, "Type": "CALLBACK", "Action": "START", "CallbackOptions": options}


def invoke(target, payload='"in"', operation_id="i"):
    options = {"FunctionName": target}
    return {
        "Id": operation_id,
        "Type": "CHAINED_INVOKE",
        "Action": "START",
        "Payload": payload,
        "ChainedInvokeOptions": options,
    }


async def ends_at_once(operations, checkpoint):
    return succeeded("done")


async def waits_a_day(operations, checkpoint):
    if "w" not in operations:
        await checkpoint(wait("w", DAY))
    return succeeded("late") if operations.get("w", {}).get("Status") == "SUCCEEDED" else PENDING


async def waits_for_a_callback(operations, checkpoint):
    if "c" not in operations:
        await checkpoint(callback())
    if operations.get("c", {}).get("Status", "STARTED") == "STARTED":
        return PENDING
    return {"Status": "SUCCEEDED", "Result": operations["c"]["CallbackDetails"].get("Result", "none")}


async def callback_id(world, arn):
    await world.service.idle()
    events = (await world.service.get_history(arn)).items
    return next(event.details["CallbackId"] for event in events if event.type is EventType.CALLBACK_STARTED)


# --- an execution's life ---


async def test_an_execution_runs_and_is_told_of(world):
    world.durable(execution_timeout=60)(ends_at_once)
    started = await world.service.invoke("flow", b'{"a": 1}', qualifier="$LATEST", execution_name="order-1")
    assert started.executed_version == "$LATEST"
    arn = started.execution_arn
    assert await world.service.wait(arn) == Closed("SUCCEEDED", '"done"')
    prefix = "arn:aws:lambda:us-east-1:000000000000:function:flow:$LATEST"
    assert arn.startswith(f"{prefix}/durable-execution/order-1/")
    begin = START
    described = await world.service.get_execution(arn)
    assert described == ExecutionDescription(
        arn=arn,
        name="order-1",
        function_arn=prefix,
        version="$LATEST",
        status="SUCCEEDED",
        started=begin,
        execution_timeout=60,
        retention_days=14,
        times_out=None,
        input='{"a": 1}',
        result='"done"',
        ended=begin,
    )
    shown = {
        "DurableExecutionArn": arn,
        "DurableExecutionName": "order-1",
        "FunctionArn": prefix,
        "StartTimestamp": START.timestamp(),
        "EndTimestamp": START.timestamp(),
        "Status": "SUCCEEDED",
        "Version": "$LATEST",
        "DurableConfig": {"ExecutionTimeout": 60, "RetentionPeriodInDays": 14},
    }
    data = {"InputPayload": '{"a": 1}', "Result": '"done"'}
    assert execution_json(described) == shown | data | {"ExecutionDataIncluded": True}
    assert execution_json(described, include_data=False) == shown | {"ExecutionDataIncluded": False}


async def test_time_moves_an_execution(world):
    world.durable(execution_timeout=DAY)(waits_a_day)
    arn = await world.start()
    await world.service.idle()
    assert world.service.next_due() == world.clock() + DAY
    assert (await world.service.get_execution(arn)).times_out.timestamp() == world.clock() + DAY
    world.clock.move_by(DAY - 1)
    await world.service.fire_due()
    assert len(world.envelopes) == 1


async def test_a_wait_of_a_day(world):
    world.durable(execution_timeout=2 * DAY)(waits_a_day)
    arn = await world.start()
    assert await world.run(arn) == Closed("SUCCEEDED", '"late"')
    assert world.clock() == START.timestamp() + DAY
    assert world.envelopes[1]["UpdatedOperationIds"] == ["w"]


async def test_the_walls_clock_needs_no_help():
    calls = []

    async def fails_once(event, request):
        calls.append(request.deadline_ms)
        if len(calls) == 1:
            raise KeyError("x")
        return succeeded("woken")

    async with LambdaApi(retries=InvocationRetryPolicy(first_delay_ms=20)) as service:
        service.register("flow", InProcessFunction(fails_once, durable=True))
        started = await service.invoke("flow:$LATEST", b"")
        assert (await service.wait(started.execution_arn)).result == '"woken"'
        assert calls[1] - calls[0] >= 20


async def test_a_handler_that_raises_is_invoked_again(world):
    attempts = []

    @world.durable()
    async def fails_once(operations, checkpoint):
        attempts.append(world.clock())
        if len(attempts) == 1:
            raise KeyError("x")
        return succeeded("mended")

    arn = await world.start()
    assert (await world.run(arn)).result == '"mended"'
    assert attempts == [START.timestamp(), START.timestamp() + 1]
    error = (await world.service.get_history(arn)).items[1].details["Error"]
    assert error["ErrorType"] == "KeyError"
    assert "fails_once" in error["StackTrace"][-1]


async def test_an_execution_that_takes_too_long(world):
    world.durable(execution_timeout=60)(waits_for_a_callback)
    closed = await world.run(await world.start())
    assert closed == Closed("TIMED_OUT", error={"ErrorMessage": "Execution timed out after 60 seconds."})


async def test_the_wait_ends_for_all_who_wait_and_a_cancelled_one_harms_nothing(world):
    world.durable()(waits_for_a_callback)
    arn = await world.start()
    waiters = [asyncio.create_task(world.service.wait(arn)) for _ in range(3)]
    identity = await callback_id(world, arn)
    await asyncio.sleep(0)  # all of them wait now
    waiters[0].cancel()
    await asyncio.sleep(0)
    await world.service.callback_succeeded(identity, b"7")
    assert await asyncio.gather(*waiters[1:]) == [Closed("SUCCEEDED", "7")] * 2
    assert waiters[0].cancelled()


async def test_a_caller_that_goes_away_while_it_starts_an_execution_does_not_stop_it():
    class SlowStore(MemoryStore):
        def add(self, *arguments):
            self.added = asyncio.ensure_future(self._add_later(*arguments))
            return asyncio.shield(self.added)

        async def _add_later(self, *arguments):
            await asyncio.sleep(0.01)
            return await super().add(*arguments)

    world = World(store=(store := SlowStore()))
    async with world.service:
        world.durable()(ends_at_once)
        caller = asyncio.create_task(world.start(execution_name="n"))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
        await store.added
        await world.service.idle()
        listed = (await world.service.list_executions("flow")).items
        assert [item.status for item in listed] == ["SUCCEEDED"]


# --- Invoke ---


async def test_a_name_is_idempotent(world):
    world.durable()(waits_for_a_callback)
    arn = await world.start(b"1", execution_name="n")
    assert await world.start(b"1", execution_name="n") == arn
    with pytest.raises(AlreadyStartedError):
        await world.start(b"2", execution_name="n")
    await world.service.stop(arn)
    assert await world.start(b"1", execution_name="n") == arn
    with pytest.raises(AlreadyStartedError):
        await world.start(b"2", execution_name="n")
    await world.service.idle()
    assert len(world.envelopes) == 1


async def test_a_name_is_free_again_when_its_execution_is_deleted_or_retention_is_over(world):
    world.durable()(ends_at_once)
    arns = {await world.start(execution_name="n")}
    await world.service.idle()
    await world.service.delete(arns.copy().pop())
    arns.add(await world.start(b"2", execution_name="n"))
    await world.service.idle()
    world.clock.move_by(14 * DAY)
    arns.add(await world.start(b"3", execution_name="n"))
    assert len(arns) == 3


async def test_retention_ends_by_itself(world):
    world.durable()(ends_at_once)
    arn = await world.start()
    await world.service.idle()
    world.clock.move_by(14 * DAY)
    with pytest.raises(ResourceNotFoundError):
        await world.service.get_execution(arn)
    await world.service.fire_due()
    assert (await world.service.list_executions("flow")).items == []
    assert world.service.next_due() is None


@pytest.mark.parametrize(
    ("function_name", "payload", "options", "refusal"),
    [
        pytest.param("flow", b"1", {}, InvalidParameterValueError, id="unqualified"),
        pytest.param("nobody", b"1", {"qualifier": "1"}, ResourceNotFoundError, id="unknown"),
        pytest.param("bad name", b"1", {}, InvalidParameterValueError, id="malformed"),
        pytest.param("999999999999:function:flow:1", b"1", {}, ResourceNotFoundError, id="another account"),
        pytest.param("flow:1", b"1", {"qualifier": "2"}, InvalidParameterValueError, id="two qualifiers"),
        pytest.param("flow:1", b"{", {}, InvalidRequestContentError, id="no JSON"),
        pytest.param("flow:1", b"\xff", {}, InvalidRequestContentError, id="no text"),
        pytest.param("flow:1", b" " * (6 * 1024 * 1024 + 1), {}, RequestTooLargeError, id="too large"),
        pytest.param("flow:1", b"1", {"execution_name": "a b"}, InvalidParameterValueError, id="bad execution name"),
        pytest.param("echo", b"1", {}, InvalidParameterValueError, id="not durable"),
    ],
)
async def test_what_cannot_be_started_is_refused(world, function_name, payload, options, refusal):
    world.durable()(ends_at_once)
    world.service.register("echo", in_process_function(lambda event, context: event))
    with pytest.raises(refusal):
        await world.service.invoke(function_name, payload, **options)


@pytest.mark.parametrize(
    "reference",
    ["flow:$LATEST", "flow:prod", "000000000000:flow:7", "arn:aws:lambda:us-east-1:000000000000:function:flow:1"],
)
async def test_every_form_of_a_reference_names_the_one_version(world, reference):
    world.durable()(ends_at_once)
    started = await world.service.invoke(reference, b"")
    assert ":function:flow:$LATEST/" in started.execution_arn
    assert world.service.is_durable(reference)


async def test_no_event_is_an_empty_object(world):
    world.durable()(ends_at_once)
    arn = await world.start(b"")
    assert (await world.service.get_execution(arn)).input == "{}"


@pytest.mark.parametrize("name", ["", "a b", "x" * 141, "a:b"])
async def test_a_bad_function_name_cannot_be_registered(world, name):
    with pytest.raises(ValueError, match="not a function name"):
        world.durable(name)(ends_at_once)


async def test_a_name_is_registered_once(world):
    world.durable()(ends_at_once)
    with pytest.raises(ValueError, match="already"):
        world.durable()(ends_at_once)


async def test_a_plain_function_is_invoked_once_and_answers(world):
    def told(event, context):
        return [event, context.function_name, context.tenant_id, context.get_remaining_time_in_millis() > 0]

    async def broken(event, context):
        raise LookupError("no")

    world.service.register("told", in_process_function(told))
    world.service.register("broken", in_process_function(broken))
    assert await world.service.invoke_plain("told", b"5", tenant_id="t") == [5, "told", "t", False]
    with pytest.raises(InvocationFailed) as failed:
        await world.service.invoke_plain("broken", b"")
    assert failed.value.error["ErrorType"] == "LookupError"
    world.service.register("odd", in_process_function(lambda event, context: {1j}))
    with pytest.raises(InvocationFailed) as failed:
        await world.service.invoke_plain("odd", b"")
    assert failed.value.error["ErrorType"] == "Runtime.MarshalError"
    assert not world.service.is_durable("told")


# --- chained invokes ---


def chains(target, payload='"in"'):
    async def handler(operations, checkpoint):
        operation = operations.get("i") or (await checkpoint(invoke(target, payload)))["i"]
        if operation["Status"] == "STARTED":
            return PENDING
        return succeeded([operation["Status"], operation["ChainedInvokeDetails"]])

    return handler


async def result_of(world, target, payload='"in"'):
    world.durable()(chains(target, payload))
    arn = await world.start()
    return arn, json.loads((await world.run(arn)).result)


async def test_a_plain_target(world):
    world.service.register("echo", in_process_function(lambda event, context: {"got": event, "ü": 1}))
    arn, result = await result_of(world, "echo")
    assert result == ["SUCCEEDED", {"Result": '{"got": "in", "ü": 1}'}]
    assert await world.history(arn) == [
        "ExecutionStarted",
        "ChainedInvokeStarted",
        "InvocationCompleted",
        "ChainedInvokeSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]


async def test_a_plain_target_that_raises(world):
    async def broken(event, context):
        raise LookupError("no")

    world.service.register("broken", in_process_function(broken))
    _, (status, details) = await result_of(world, "broken")
    assert (status, details["Error"]["ErrorType"]) == ("FAILED", "LookupError")


async def test_a_durable_target_is_an_execution_of_its_own(world):
    @world.durable("child")
    async def child(operations, checkpoint):
        return succeeded(next(iter(operations.values()))["ExecutionDetails"]["InputPayload"])

    arn, result = await result_of(world, "child:$LATEST", '"in"')
    assert result == ["SUCCEEDED", {"Result": '"\\"in\\""'}]
    started = (await world.service.get_history(arn)).items[1].details
    assert (await world.service.get_execution(started["DurableExecutionArn"])).status == "SUCCEEDED"


@pytest.mark.parametrize("target", ["nobody", "child"], ids=["unknown", "durable but unqualified"])
async def test_a_target_that_cannot_be_invoked_fails_at_once(world, target):
    world.durable("child")(ends_at_once)
    _, (status, _) = await result_of(world, target)
    assert status == "FAILED"
    assert len(world.envelopes) == 1


async def test_a_child_that_times_out(world):
    world.durable("child", execution_timeout=5)(waits_for_a_callback)
    _, result = await result_of(world, "child:1")
    message = "CHAINED_INVOKE timed out after 5 seconds."
    assert result == ["TIMED_OUT", {"Error": {"ErrorType": "ChainedInvoke.Timeout", "ErrorMessage": message}}]


async def test_a_child_that_is_stopped(world):
    world.durable("child")(waits_for_a_callback)
    world.durable()(chains("child:1"))
    arn = await world.start()
    await world.service.idle()
    child = (await world.service.list_executions("child")).items[0].arn
    await world.service.stop(child, {"ErrorType": "Enough"})
    assert json.loads((await world.run(arn)).result) == ["STOPPED", {"Error": {"ErrorType": "Enough"}}]


async def test_a_child_of_a_closed_parent_runs_on(world):
    world.durable("child")(waits_for_a_callback)
    world.durable()(chains("child:1"))
    arn = await world.start()
    await world.service.idle()
    child = (await world.service.list_executions("child")).items[0].arn
    await world.service.stop(arn)
    await world.service.callback_succeeded(await callback_id(world, child), b"1")
    assert (await world.run(child)).status == "SUCCEEDED"
    assert (await world.history(arn))[-1] == "ExecutionStopped"


@pytest.mark.parametrize(
    "reference", ["bad name", "999999999999:f", "arn:aws:lambda:eu-west-1:000000000000:function:f"]
)
async def test_a_malformed_or_foreign_target_refuses_the_batch(world, reference):
    @world.durable()
    async def handler(operations, checkpoint):
        with pytest.raises(InvalidParameterValueError):
            await checkpoint(invoke(reference))
        return succeeded(None)

    assert (await world.run(await world.start())).status == "SUCCEEDED"


# --- callbacks and operators ---


async def test_callbacks_from_outside(world):
    world.durable()(waits_for_a_callback)
    arn = await world.start()
    identity = await callback_id(world, arn)
    await world.service.callback_heartbeat(identity)
    await world.service.callback_failed(identity, {"ErrorType": "No"})
    await world.service.idle()
    assert (await world.history(arn))[-3:] == ["CallbackFailed", "InvocationCompleted", "ExecutionSucceeded"]
    with pytest.raises(InvalidParameterValueError):
        await world.service.callback_succeeded("not ours!", b"")
    with pytest.raises(ResourceNotFoundError):
        await world.service.callback_succeeded("eC4xLng=", b"")


async def test_what_was_due_is_kept_even_if_the_call_that_found_it_is_refused(world):
    @world.durable()
    async def waits_for_two(operations, checkpoint):
        if "c" not in operations:
            await checkpoint(wait("w", 60), callback(TimeoutSeconds=60))
            return PENDING
        return succeeded(None)

    arn = await world.start()
    identity = await callback_id(world, arn)
    world.clock.move_by(60)
    with pytest.raises(CallbackTimedOutError):
        await world.service.callback_succeeded(identity, b"")
    await world.service.idle()
    ended = ["InvocationCompleted", "ExecutionSucceeded"]
    assert (await world.history(arn))[4:] == ["WaitSucceeded", "CallbackTimedOut", *ended]


async def test_stop_is_answered_with_its_time_again_and_again(world):
    world.durable()(waits_for_a_callback)
    arn = await world.start()
    first = await world.service.stop(arn, {"ErrorType": "Enough"})
    world.clock.move_by(5)
    assert await world.service.stop(arn) == first == START
    assert await world.service.wait(arn) == Closed("STOPPED", error={"ErrorType": "Enough"})


async def test_pause_and_resume(world):
    world.durable()(waits_for_a_callback)
    arn = await world.start()
    identity = await callback_id(world, arn)
    await world.service.pause(arn, reason="lunch")
    paused = await world.service.get_execution(arn)
    assert paused.status == "PAUSED"
    assert execution_json(paused)["PauseDetails"] == {
        "PauseRequestTimestamp": START.timestamp(),
        "ExecutionTimeoutPaused": True,
        "Reason": "lunch",
    }
    await world.service.callback_succeeded(identity, b"1")
    with pytest.raises(ResourceConflictError):
        await world.service.delete(arn)
    await world.service.resume(arn)
    assert (await world.service.wait(arn)).result == "1"


async def test_history_pages_in_both_directions(world):
    world.durable(execution_timeout=2 * DAY)(waits_a_day)
    arn = await world.start()
    await world.run(arn)

    async def pages(**options):
        marker, found = None, []
        while True:
            page = await world.service.get_history(arn, marker=marker, max_items=4, **options)
            found.append([event.id for event in page.items])
            marker = page.next_marker
            if marker is None:
                return found

    assert await pages() == [[1, 2, 3, 4], [5, 6]]
    assert await pages(reverse=True) == [[6, 5, 4, 3], [2, 1]]
    with pytest.raises(InvalidParameterValueError):
        await world.service.get_history(arn, max_items=1001)
    with pytest.raises(InvalidParameterValueError):
        await world.service.get_history(arn, marker="x")


async def test_list_filters_orders_and_pages(world):
    world.durable()(waits_for_a_callback)
    arns = []
    for number in range(5):
        arns.append(await world.start(execution_name=f"n{number}"))
        world.clock.move_by(10)
    await world.service.stop(arns[3])
    begin = START

    async def names(**options):
        found = await world.service.list_executions("flow", **options)
        return [item.name for item in found.items]

    assert await names() == ["n4", "n3", "n2", "n1", "n0"]
    assert await names(reverse=True, qualifier="$LATEST") == ["n0", "n1", "n2", "n3", "n4"]
    assert await names(statuses=["STOPPED", "FAILED"]) == ["n3"]
    assert await names(execution_name="n2") == ["n2"]
    assert await names(started_after=begin + timedelta(seconds=10), started_before=begin + timedelta(seconds=30)) == [
        "n3",
        "n2",
        "n1",
    ]
    page = await world.service.list_executions("flow", max_items=3)
    assert len(page.items) == 3
    assert await names(marker=page.next_marker) == ["n1", "n0"]
    assert await names(marker=page.next_marker, reverse=True) == ["n3", "n4"]
    with pytest.raises(InvalidParameterValueError):
        await names(statuses=["DONE"])
    with pytest.raises(ResourceNotFoundError):
        await world.service.list_executions("nobody")


async def test_a_record_larger_than_a_page():
    world = World(limits=Limits(page_operations=3))
    async with world.service:

        @world.durable()
        async def handler(operations, checkpoint):
            if len(world.envelopes) == 1:
                await checkpoint(*(wait(f"w{n}", 1) for n in range(5)))
                return PENDING
            event = world.envelopes[-1]
            marker = event["InitialExecutionState"]["NextMarker"]
            found = list(operations)
            while marker:
                state = await world.service.get_state(
                    event["DurableExecutionArn"], event["CheckpointToken"], marker, 1000
                )
                found += [operation["Id"] for operation in state["Operations"]]
                marker = state["NextMarker"]
            return succeeded(found[1:])

        closed = await world.run(await world.start())
        assert json.loads(closed.result) == ["w0", "w1", "w2", "w3", "w4"]


@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        (lambda s, arn: s.get_execution(arn), ResourceNotFoundError),
        (lambda s, arn: s.get_history(arn), ResourceNotFoundError),
        (lambda s, arn: s.stop(arn), ResourceNotFoundError),
        (lambda s, arn: s.wait(arn), ResourceNotFoundError),
        (lambda s, arn: s.checkpoint(arn, "t", []), InvalidParameterValueError),
        (lambda s, arn: s.get_state(arn, "t"), InvalidParameterValueError),
    ],
    ids=["get", "history", "stop", "wait", "checkpoint", "state"],
)
async def test_an_execution_that_does_not_exist(world, call, refusal):
    arn = "arn:aws:lambda:us-east-1:000000000000:function:flow:$LATEST/durable-execution/n/x"
    with pytest.raises(refusal):
        await call(world.service, arn)
    with pytest.raises(InvalidParameterValueError, match="Invalid durable execution ARN"):
        await call(world.service, "x/y")


# --- the end of the service ---


async def test_closing_cancels_what_runs_and_releases_who_waits():
    world = World()
    cancelled = asyncio.Event()

    @world.durable()
    async def hangs(operations, checkpoint):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with world.service:
        arn = await world.start()
        waiter = asyncio.create_task(world.service.wait(arn))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(ServiceClosedError):
        await waiter
    assert cancelled.is_set()


async def test_a_service_takes_up_what_another_one_left():
    store = MemoryStore()
    first = World(store=store)

    async def never_ends(event, context):
        await asyncio.Event().wait()

    first.service.register("slow", in_process_function(never_ends))

    @first.durable("child")
    async def hangs(operations, checkpoint):
        await asyncio.Event().wait()

    @first.durable()
    async def chains_two(operations, checkpoint):
        await checkpoint(invoke("slow", operation_id="p"), invoke("child:1", operation_id="d"), wait("w", 60))
        return PENDING

    async with first.service:
        arn = await first.start()
        for _ in range(20):
            await asyncio.sleep(0)

    second = World(store=store)
    second.service.register("slow", in_process_function(lambda event, context: "plain"))
    second.durable("child")(ends_at_once)

    @second.durable()
    async def collects(operations, checkpoint):
        if any(operation["Status"] == "STARTED" for operation in list(operations.values())[1:]):
            return PENDING
        return succeeded([operations[o]["ChainedInvokeDetails"]["Result"] for o in ("p", "d")])

    async with second.service:
        assert json.loads((await second.run(arn)).result) == ['"plain"', '"done"']
        children = await second.service.list_executions("child")
        assert len(children.items) == 1


async def test_an_execution_waits_for_its_function_to_be_registered():
    store = MemoryStore()
    first = World(store=store)
    first.durable()(waits_for_a_callback)
    async with first.service:
        arn = await first.start()
        identity = await callback_id(first, arn)
    second = World(store=store)
    async with second.service:
        assert second.service.unregistered() == {"flow": 1}
        await second.service.callback_succeeded(identity, b"1")
        await second.service.idle()
        assert (await second.service.get_execution(arn)).status == "RUNNING"
        second.durable()(waits_for_a_callback)
        assert second.service.unregistered() == {}
        closed = await second.service.wait(arn)
    assert closed.status == "SUCCEEDED"


async def test_commands_that_come_together_are_stored_in_their_order():
    world = World()
    handler = world.durable()

    async def two_callbacks(operations, checkpoint):
        if "c" not in operations:
            await checkpoint(callback("c"), callback("d"))
        return PENDING

    handler(two_callbacks)
    async with world.service:
        arn = await world.start()
        await world.service.idle()
        history = (await world.service.get_history(arn)).items
        ids = [event.details["CallbackId"] for event in history if event.type is EventType.CALLBACK_STARTED]
        await asyncio.gather(*(world.service.callback_succeeded(each, b"1") for each in ids))
        ids = [event.id for event in (await world.service.get_history(arn)).items]
        assert ids == [*range(1, len(ids) + 1)]


# --- what is not stored yet ---


class Gated(MemoryStore):
    """While it is closed, saves are called and not done."""

    def __init__(self):
        super().__init__()
        self.closed = False
        self.waiting = []

    def save(self, execution, changes, settled=None):
        if not self.closed:
            return super().save(execution, changes, settled)
        super().save(execution, changes)
        saved = asyncio.get_running_loop().create_future()
        saved.add_done_callback(lambda _: settled(True))
        self.waiting.append(saved)
        return saved

    async def barrier(self):
        waiting = [each for each in self.waiting if not each.done()]
        if waiting:
            await asyncio.wait(waiting)


async def test_a_handler_is_told_nothing_that_is_not_stored():
    world = World(store=(store := Gated()))
    async with world.service:

        @world.durable()
        async def flow(operations, checkpoint):
            if "w" not in operations:
                await checkpoint(wait("w", 1), callback())
                return PENDING
            return succeeded(operations["c"]["Status"])

        arn = await world.start()
        await world.service.idle()
        (asked,) = [event for event in (await world.service.get_history(arn)).items if event.type == "CallbackStarted"]
        store.closed = True
        world.clock.move_by(1)
        due = asyncio.create_task(world.service.fire_due())
        answered = asyncio.create_task(world.service.callback_succeeded(asked.details["CallbackId"], b"yes"))
        while len(store.waiting) < 2:
            await asyncio.sleep(0)
        store.waiting[0].set_result(None)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(world.envelopes) == 1
        store.closed = False
        store.waiting[1].set_result(None)
        await asyncio.wait([due, answered])
        assert (await world.service.wait(arn)).result == '"SUCCEEDED"'


async def test_who_waits_for_events_gets_those_of_a_call_that_was_cancelled_while_they_were_stored(tmp_path):
    world = World(store=SqliteStore(tmp_path / "service.db"))
    async with world.service:

        @world.durable()
        async def flow(operations, checkpoint):
            await checkpoint(callback())
            return PENDING

        arn = await world.start()
        await world.service.idle()
        known = [event.id for event in (await world.service.get_history(arn)).items]
        events = world.service.events(arn, after=known[-1])
        first = asyncio.ensure_future(anext(events))
        while not world.service._runner.listeners._watching:
            await asyncio.sleep(0)
        await world.service.list_executions("flow")  # until it has read what there is
        calling = asyncio.create_task(world.service.pause(arn))
        await asyncio.sleep(0)
        calling.cancel()
        async with asyncio.timeout(10):
            assert (await first).type == "ExecutionPaused"
        await events.aclose()


async def test_a_sweep_that_takes_long_is_begun_once():
    class Slow(MemoryStore):
        sweeps = 0

        async def delete_closed(self, before_ms, count):
            Slow.sweeps += 1
            await asyncio.sleep(60)
            return 0

    with VirtualTime() as clock:
        async with LambdaApi(store=Slow(), clock=clock):
            for _ in range(210):
                await asyncio.sleep(60)
    assert Slow.sweeps == 3
