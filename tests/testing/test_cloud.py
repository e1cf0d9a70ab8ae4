"""A function that is served over Lambda's API, run from a test with a real client."""

from datetime import timedelta

import attrs
import pytest
from aiobotocore.session import get_session

from durable_async import DurableContext, ExecutionFailedError, durable_execution
from durable_async.embedded import DurableService
from durable_async.service.http import serve
from durable_async.testing import CloudRunner, StuckError

pytestmark = pytest.mark.anyio
ACCESS = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}


@attrs.frozen
class Parcel:
    number: int


@durable_execution
async def ship(count: int, ctx: DurableContext) -> Parcel:
    number = await ctx.step(lambda: count + 1, name="number")
    await ctx.wait_for_callback(lambda _: None, name="pick-up")
    return Parcel(number)


@pytest.fixture
async def runner():
    async with DurableService() as service, serve(service.api) as url:
        service.register(ship)
        async with get_session().create_client("lambda", endpoint_url=url, **ACCESS) as client:
            yield CloudRunner(client, ship, "ship:$LATEST", poll=timedelta(milliseconds=10))


async def test_it_returns_the_same_object_as_run(runner):
    done = await runner.run(4, callbacks={"pick-up": None})
    assert done.result == Parcel(5)
    assert done.step("number").result == 5
    assert done.operation("pick-up").status == "SUCCEEDED"
    assert "StepSucceeded number" in done.history


async def test_a_failure_is_the_execution_s_error(runner):
    done = await runner.run(4, callbacks={"pick-up": ValueError("gone")})
    assert isinstance(done.error, ExecutionFailedError)
    assert done.error.message == "gone"


async def test_an_execution_that_does_not_end_in_time_is_reported_with_its_operations(runner):
    with pytest.raises(StuckError, match=r"is RUNNING after 0:00:01.*'number', 'pick-up'"):
        await runner.run(4, timeout=timedelta(seconds=1))
