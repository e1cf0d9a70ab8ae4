"""The service in the same process, through the client that an invocation is given."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_async import durable_execution
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import in_process_handler
from durable_async.errors import ServiceCallError
from durable_async.service.machine import InvocationRetryPolicy
from durable_async.service.runtime.api import LambdaApi


class Handler:
    """Stands where the SDK's handler does: told the envelope, the client and the context, it answers."""

    def __init__(self, body):
        self.body = body

    async def run(self, event, /, *, client, lambda_context=None):
        return await self.body(event, client, lambda_context)


async def closed(body):
    retries = InvocationRetryPolicy(first_delay_ms=1, max_failures=2)
    async with LambdaApi(retries=retries) as service:
        service.register("flow", in_process_handler(Handler(body), service))
        started = await service.invoke("flow:$LATEST", b"1")
        return await service.wait(started.execution_arn)


async def test_a_handler_checkpoints_reads_its_record_and_answers():
    async def body(event, client, context):
        arn, update = event["DurableExecutionArn"], {"Id": "s", "Type": "STEP", "Action": "SUCCEED"}
        written = await client.checkpoint(arn, event["CheckpointToken"], [update], "client-token")
        state = await client.get_state(arn, written["CheckpointToken"], "1")
        assert state == {"Operations": written["NewExecutionState"]["Operations"], "NextMarker": ""}
        return {"Status": "SUCCEEDED", "Result": context.function_name}

    assert (await closed(body)).result == "flow"


@pytest.mark.parametrize("call", ["checkpoint", "get_state"])
async def test_a_refusal_is_a_failed_call(call):
    async def body(event, client, context):
        arguments = (event["DurableExecutionArn"], "stale", *([[], "c"] if call == "checkpoint" else ["1"]))
        with pytest.raises(ServiceCallError) as refused:
            await getattr(client, call)(*arguments)
        operation = {"checkpoint": "CheckpointDurableExecution", "get_state": "GetDurableExecutionState"}[call]
        error = refused.value
        assert (error.operation, error.message) == (operation, "Invalid checkpoint token")
        assert (error.code, error.status) == ("InvalidParameterValueException", 400)
        return {"Status": "SUCCEEDED"}

    assert (await closed(body)).status == "SUCCEEDED"


async def test_an_exception_of_the_handler_is_a_failed_invocation():
    calls = []

    async def body(event, client, context):
        calls.append(event)
        if len(calls) == 1:
            raise RuntimeError("once")
        return {"Status": "SUCCEEDED"}

    assert (await closed(body)).status == "SUCCEEDED"
    assert len(calls) == 2


async def test_the_cache_keeps_a_waiting_execution_until_it_is_closed():
    @durable_execution
    async def waits(event, ctx):
        await ctx.wait(timedelta(hours=1))

    cache = ExecutionCache(1, idle=3600.0)
    async with LambdaApi() as service:
        function = in_process_handler(waits, service, cache=cache)
        service.register("flow", function)
        started = await service.invoke("flow:$LATEST", b"1")
        await service.idle()
        assert function.memory is cache
        assert cache.keeps(started.execution_arn)
        await service.stop(started.execution_arn)
        assert not cache.keeps(started.execution_arn)
    await cache.aclose()


async def test_without_a_cache_nothing_is_kept():
    async with LambdaApi() as service:
        assert in_process_handler(Handler(None), service).memory is None
