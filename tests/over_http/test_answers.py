"""How an invocation answers: with the result, with a result that went ahead, with an error, or not at all."""

import json

import pytest

from durable_async import NotDurableError, durable_execution
from durable_async._wire.limits import RESPONSE_BYTES
from durable_async.service.functions.base import InProcessFunction

from .remote import RemoteWorld, outside

INLINE = "x" * (RESPONSE_BYTES - 6)
"""The largest text that is answered: it is JSON in JSON, which takes two quotes and two escaped ones."""

# aiohttp would rather have a large body as a file; aiobotocore gives it bytes.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.mark.parametrize(
    ("result", "inline"),
    [
        pytest.param(INLINE, True, id="just fits"),
        pytest.param(INLINE + "x", False, id="one byte more"),
        pytest.param('"' * 2_000_000, False, id="twice escaped"),
        pytest.param("é" * 1_000_000, False, id="a character outside ASCII is an escape, escaped"),
    ],
)
async def test_a_result_over_the_limit_of_an_answer_is_checkpointed(result, inline):
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(lambda: 1, name="step")
        return result

    async with RemoteWorld() as world:
        arn = await world.start(workflow)
        closed = await world.finish(arn)
        types = await world.event_types(arn)
    assert closed.status == "SUCCEEDED"
    assert json.loads(closed.result) == result
    (output,) = world.outputs
    if inline:
        assert output == {"Status": "SUCCEEDED", "Result": closed.result}
        assert len(json.dumps(output["Result"])) <= RESPONSE_BYTES
        assert world.calls == [["START step", "SUCCEED step"]]
    else:
        assert output == {"Status": "SUCCEEDED", "Result": ""}
        assert world.calls == [["START step", "SUCCEED step"], ["SUCCEED EXECUTION"]]
    assert sorted(types[3:]) == ["ExecutionSucceeded", "InvocationCompleted"]


async def test_a_result_that_the_service_does_not_take_either_fails_the_execution():
    @durable_execution
    async def workflow(event, ctx):
        return "x" * 6 * 1024 * 1024

    async with RemoteWorld() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert "payload size must be less than or equal to 6291456 bytes" in closed.error["ErrorMessage"]
    assert [output["Status"] for output in world.outputs] == ["FAILED"]


@pytest.mark.parametrize(
    ("result", "names"),
    [
        pytest.param({"when": [object()]}, ["when", "object"], id="an object of no known type"),
        pytest.param(float("nan"), ["nan"], id="no number"),
        pytest.param({("a", "b"): 1}, ["tuple"], id="a key that is no text"),
    ],
)
async def test_a_result_that_is_no_json_fails_the_execution(result, names):
    @durable_execution
    async def workflow(event, ctx):
        return result

    async with RemoteWorld() as world:
        closed = await world.run(workflow)
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"] == "durable_async.errors.SerializationError"
    assert "the execution's result" in closed.error["ErrorMessage"]
    assert all(name in closed.error["ErrorMessage"] for name in names), closed.error["ErrorMessage"]
    assert world.invocations == 1


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"order": 17}, id="a caller's event"),
        pytest.param({}, id="an empty event"),
        pytest.param(None, id="null"),
        pytest.param([1, 2], id="a list"),
        pytest.param("text", id="a text"),
        pytest.param({"DurableExecutionArn": "arn"}, id="without a token"),
        pytest.param({"DurableExecutionArn": "arn", "CheckpointToken": ""}, id="with an empty token"),
        pytest.param({"DurableExecutionArn": 1, "CheckpointToken": "token"}, id="with an ARN that is no text"),
    ],
)
async def test_an_event_that_is_no_envelope_is_told_so_and_the_workflow_does_not_run(event):
    ran = []

    @durable_execution
    async def workflow(event, ctx):
        ran.append(event)

    async with RemoteWorld() as world:
        with pytest.raises(NotDurableError, match="DurableConfig"):
            await workflow.run(event, client=world.client)
    assert ran == []


async def test_a_handler_that_was_deployed_as_an_ordinary_function_says_what_is_missing():
    """Over HTTP, as its caller sees it."""

    @durable_execution
    async def workflow(event, ctx):
        raise AssertionError

    async def call(event, request):
        return await workflow.run(event, client=world.client)

    async with RemoteWorld() as world, outside(world.url) as caller:
        world.service.register("orders", InProcessFunction(call, durable=False))
        response = await caller.invoke(FunctionName="orders", Payload=b'{"order": 17}')
        answer = json.loads(await response["Payload"].read())
    assert response["FunctionError"] == "Unhandled"
    assert answer["errorType"] == "NotDurableError"
    assert "DurableConfig" in answer["errorMessage"]


async def test_a_caller_outside_starts_an_execution_and_gets_its_result_over_http():
    @durable_execution
    async def workflow(event, ctx):
        return await ctx.step(sorted, event["letters"])

    async with RemoteWorld() as world, outside(world.url) as caller:
        world.register(workflow)
        response = await caller.invoke(FunctionName="workflow", Qualifier="$LATEST", Payload=b'{"letters": ["b", "a"]}')
        arn = response["DurableExecutionArn"]
        history = await caller.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)
        assert json.loads(await response["Payload"].read()) == ["a", "b"]
    assert [event["EventType"] for event in history["Events"]] == [
        *["ExecutionStarted", "StepStarted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"]
    ]
