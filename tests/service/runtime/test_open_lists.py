"""Lists that say what open executions wait for, and lists that are answered when they change."""

import asyncio
from datetime import timedelta

import pytest

from durable_async import RetryStrategy, StepConfig, durable_execution
from durable_async.embedded import DurableService
from durable_async.service.http.rendering import list_json
from durable_async.service.model.errors import ServiceClosedError
from durable_async.testing import VirtualTime
from tests.world import World

HOUR = timedelta(hours=1)
IN_A_MINUTE = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=3))


async def send(callback_id):
    pass


async def fail():
    raise ValueError("not yet")


async def one_more(ctx, number):
    return await ctx.step(lambda: number, name=f"step {number}")


async def listed(world, **options):
    """The list's only execution, as JSON."""
    await world.settle()
    (shown,) = list_json(await world.service.watch_executions(include_waiting_for=True, **options))["DurableExecutions"]
    return shown


async def test_a_callback_is_named_however_much_happened_after_it():
    @durable_execution
    async def workflow(event, ctx):
        waiting = asyncio.create_task(ctx.wait_for_callback(send, name="approval"))
        for number in range(150):
            await one_more(ctx, number)
        await asyncio.gather(waiting, ctx.wait(HOUR, name="cooling off"))

    async with World() as world:
        await world.start(workflow)
        waiting = (await listed(world))["WaitingFor"]
        assert (waiting["Type"], waiting["Name"], waiting["Others"]) == ("CALLBACK", "approval", 1)
        assert "DueTimestamp" not in waiting


async def test_a_retry_has_its_attempt_and_when_the_next_is_due():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.step(fail, name="charge", config=IN_A_MINUTE)

    async with World() as world:
        await world.start(workflow)
        shown = await listed(world)
        waiting = shown["WaitingFor"]
        assert (waiting["Type"], waiting["Name"], waiting["Status"], waiting["Attempts"]) == (
            *("STEP", "charge", "PENDING"),
            1,
        )
        assert 59 < waiting["DueTimestamp"] - shown["StartTimestamp"] < 62


async def test_what_a_race_left_behind_is_not_waited_for():
    @durable_execution
    async def workflow(event, ctx):
        async with ctx.timeout(HOUR):
            await ctx.step(lambda: 1, name="quick")
        await ctx.wait(2 * HOUR, name="pause")

    async with World() as world:
        await world.start(workflow)
        waiting = (await listed(world))["WaitingFor"]
        assert (waiting["Type"], waiting["Name"], waiting["Others"]) == ("WAIT", "pause", 0)


async def test_a_pause_and_a_cancellation_are_shown_with_their_reason():
    @durable_execution
    async def workflow(event, ctx):
        await ctx.wait_for_callback(send, name="approval")

    async with World() as world:
        arn = await world.start(workflow)
        await world.settle()
        await world.service.pause(arn, reason="stocktaking")
        shown = await listed(world)
        assert shown["PauseDetails"]["Reason"] == "stocktaking"
        assert "CancellationRequested" not in shown
        await world.service.cancel(arn)
        assert (await listed(world))["CancellationRequested"] is True


async def test_closed_executions_and_lists_that_were_not_asked_say_nothing():
    @durable_execution
    async def workflow(event, ctx):
        return 1

    async with World() as world:
        await world.start(workflow)
        assert "WaitingFor" not in await listed(world)
        shown = list_json(await world.service.list_executions())
        assert "WaitingFor" not in shown["DurableExecutions"][0] and "PageDigest" not in shown


@durable_execution
async def waits(event, ctx):
    await ctx.wait_for_callback(send, name="approval")


@durable_execution
async def ends(event, ctx):
    return event


async def digest(service, **filters):
    return (await service.api.watch_executions(wait_seconds=1, **filters)).digest


def held(service, known, **filters):
    """A call that is answered when the page changes, or after an hour."""
    return asyncio.create_task(service.api.watch_executions(wait_seconds=3600, known_digest=known, **filters))


async def test_a_list_is_answered_when_it_changes_and_not_before():
    with VirtualTime() as clock:
        async with DurableService(clock=clock) as service:
            service.register(waits)
            service.register(ends)
            known = await digest(service, statuses=["STOPPED"])
            call = held(service, known, statuses=["STOPPED"])
            await (await service.start(ends, 1)).result()
            stopped = await service.start(waits, {}, name="stopped")
            await asyncio.sleep(600)
            assert not call.done()  # neither is on this list
            await stopped.stop()
            page = await call
            assert [each.name for each in page.items] == ["stopped"] and page.digest != known
            call = held(service, await digest(service))
            await asyncio.sleep(600)
            execution = await service.start(waits, {}, name="new")
            assert (await call).items[0].name == "new"
            await asyncio.sleep(600)
            call = held(service, await digest(service, include_waiting_for=True), include_waiting_for=True)
            await asyncio.sleep(600)
            assert not call.done()
            await execution.pause()
            assert (await call).items[0].details.pause is not None


async def test_a_list_without_a_change_is_answered_after_the_time():
    with VirtualTime() as clock:
        async with DurableService(clock=clock) as service:
            service.register(ends)
            known, began = await digest(service), clock()
            page = await service.api.watch_executions(wait_seconds=20, known_digest=known)
            assert page.digest == known
            assert clock() - began == pytest.approx(20, abs=1)


async def test_a_list_that_waits_ends_with_the_service():
    async with DurableService() as service:
        call = held(service, await digest(service))
        await asyncio.sleep(0)
        await service.api.aclose()
        with pytest.raises(ServiceClosedError):
            await call
