"""The time limit of an invocation: shortly before it, a warning says where the workflow is."""

import asyncio
import logging
from datetime import timedelta
from functools import partial

from durable_async import EngineLimits, durable_execution
from durable_async._engine.time_limit import remaining_time
from durable_async.embedded.local import InProcessClient
from durable_async.service.functions.base import InProcessFunction, InvocationRequest, LambdaContext
from tests.world import World


class Context:
    """Of an invocation with a time limit, in seconds of virtual time."""

    def __init__(self, seconds):
        self.ends = asyncio.get_running_loop().time() + seconds

    def get_remaining_time_in_millis(self):
        return int((self.ends - asyncio.get_running_loop().time()) * 1000)


async def _warnings(workflow, caplog, *, seconds):
    """Run ``workflow`` in invocations with a time limit."""
    async with World() as world:
        with world.clock:

            async def call(event, request):
                client = InProcessClient(world.service)
                return await workflow.run(event, client=client, lambda_context=Context(seconds))

            world.service.register("workflow", InProcessFunction(call, durable=True))
            with caplog.at_level(logging.WARNING, "durable_async"):
                started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
                await world.service.wait(started.execution_arn)
    return [record.getMessage() for record in caplog.records], started.execution_arn


async def test_a_step_that_takes_too_long_is_shown_before_the_limit(caplog):
    async def charge():
        await asyncio.sleep(59.8)

    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(charge)

    [warning], arn = await _warnings(workflow, caplog, seconds=60)
    assert warning.startswith(f"{arn}: the time limit of this invocation is over in 0.5 s.")
    assert f"{arn}\n  the workflow: Step 'charge', attempt 1\n" in warning
    assert "in charge\n      await asyncio.sleep(59.8)\n" in warning


async def test_an_invocation_that_ends_in_time_is_not_shown(caplog):
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(partial(asyncio.sleep, 59), name="nap")
        await asyncio.sleep(0.4)

    assert (await _warnings(workflow, caplog, seconds=60))[0] == []


async def test_the_margin_can_be_set(caplog):
    @durable_execution(limits=EngineLimits(answer_margin=5))
    async def workflow(event, ctx):
        await ctx.step(partial(asyncio.sleep, 56), name="nap")

    [warning], _ = await _warnings(workflow, caplog, seconds=60)
    assert "is over in 5.0 s." in warning


def test_a_function_of_a_service_in_this_process_has_no_limit():
    request = InvocationRequest("request", "name", "arn")
    assert remaining_time(LambdaContext.of(request)) is None


def test_the_limit_is_read_from_any_context():
    class Lambdas:
        def get_remaining_time_in_millis(self):
            return 1500

    assert remaining_time(Lambdas()) == timedelta(seconds=1.5)
    assert remaining_time(None) is None
    assert remaining_time(object()) is None
