"""All open executions of a service on the code that is about to be deployed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.replay import replay_open
from durable_async.service import StoreError

HOUR = timedelta(hours=1)
charged = []


def charge(order: str) -> str:
    charged.append(order)
    return order


@durable_execution
async def fulfil(order: str, ctx: DurableContext) -> None:
    await ctx.step(charge, order, name="charge")
    await ctx.wait(HOUR, name="cooling off")


@durable_execution
async def remind(order: str, ctx: DurableContext) -> None:
    await ctx.step(charge, order, name="note")
    await ctx.wait(HOUR, name="a while")


@durable_execution
async def archive(order: str, ctx: DurableContext) -> None:
    await ctx.wait(HOUR, name="a year")


@durable_execution
async def fulfil_renamed_for_some(order: str, ctx: DurableContext) -> None:
    await ctx.step(charge, order, name="charge the card" if order in {"3", "7"} else "charge")
    await ctx.wait(HOUR, name="cooling off")


@durable_execution
async def remind_with_mistakes(order: str, ctx: DurableContext) -> None:
    if order != "5":
        note = await ctx.step(charge, order, name="note")
        if order == "8":
            note.frobnicate()  # type: ignore[attr-defined]
    await ctx.wait(HOUR, name="a while")


@durable_execution
async def archive_that_exits(order: str, ctx: DurableContext) -> None:
    if order == "2":
        raise SystemExit(4)
    await archive.workflow(order, ctx)


TODAY = {"fulfil": fulfil, "remind": remind, "archive": archive}
TOMORROW = {"fulfil": fulfil_renamed_for_some, "remind": remind_with_mistakes, "archive": archive_that_exits}


async def with_open_executions(check):
    async with DurableService() as service:
        for handler in TODAY.values():
            service.register(handler)
        for number in range(10):
            for handler in TODAY.values():
                await service.start(handler, str(number), name=f"order-{number}")
        await service.api.idle()
        charged.clear()
        return await check(service)


async def test_the_code_of_today_breaks_nothing():
    report = await with_open_executions(partial(replay_open, handlers=TODAY))
    assert report.passed
    assert report.replayed == {"fulfil": 10, "remind": 10, "archive": 10}
    assert str(report) == "0 of 30 open executions would break"


async def test_exactly_the_broken_executions_are_named_with_what_the_code_does():
    report = await with_open_executions(partial(replay_open, handlers=TOMORROW, concurrency=4))
    assert not report.passed
    assert report.replayed == {"fulfil": 10, "remind": 10, "archive": 10}
    reasons = {(each.function_name, each.execution_arn.split("/")[-2]): each.reason() for each in report.broken}
    lost = "Step 'charge the card', but Step 'charge' is recorded in its place"
    assert reasons.keys() == {
        ("fulfil", "order-3"),
        ("fulfil", "order-7"),
        ("remind", "order-5"),
        ("remind", "order-8"),
        ("archive", "order-2"),
    }
    for order in ("order-3", "order-7"):
        assert reasons["fulfil", order].startswith("diverges: test_open_executions.py:")
        assert reasons["fulfil", order].endswith(lost)
    assert "but Step 'note' is recorded in its place" in reasons["remind", "order-5"]
    assert reasons["remind", "order-8"] == (
        "fails at once: AttributeError: 'str' object has no attribute 'frobnicate' (no longer called: Wait 'a while')"
    )
    assert reasons["archive", "order-2"] == "cannot be replayed: SystemExit: 4"
    assert charged == []
    assert report.as_json()["Broken"][0]["Recorded"] == {"Type": "STEP", "SubType": "Step", "Name": "charge"}


async def test_an_operation_that_is_not_called_any_more_is_named():
    @durable_execution
    async def without_the_wait(order: str, ctx: DurableContext) -> None:
        await ctx.step(charge, order, name="charge")

    report = await with_open_executions(partial(replay_open, handlers={"fulfil": without_the_wait}))
    assert len(report.broken) == 10
    assert report.broken[0].reason().endswith("(no longer called: Wait 'cooling off')")


async def test_what_ends_or_is_deleted_meanwhile_is_left_out():
    class Slow:
        """The service, in which something happens after it has listed."""

        def __init__(self, service):
            self.service = service

        async def executions(self, function, *, statuses):
            found = [each async for each in self.service.executions(function, statuses=statuses)]
            for each in found[:3]:
                await self.service.execution(each.arn).stop()
            await self.service.execution(found[0].arn).delete()
            for each in found:
                yield each

        def execution(self, arn):
            return self.service.execution(arn)

    report = await with_open_executions(lambda service: replay_open(Slow(service), {"fulfil": fulfil}))
    assert report.replayed == {"fulfil": 7 + 2}  # a stopped one is like an open one to a replay
    assert report.passed


async def test_a_service_that_cannot_be_asked_raises_its_own_error(tmp_path):
    async with DurableService(tmp_path / "orders.db") as service:
        service.register(fulfil)
    with pytest.raises(StoreError):
        await replay_open(service, {"fulfil": fulfil})


async def test_a_function_that_the_service_does_not_know_is_named():
    report = await with_open_executions(partial(replay_open, handlers={**TODAY, "new": fulfil}))
    assert report.passed
    assert report.unknown == ["new"]


def test_executions_are_read_at_the_same_time_but_not_all():
    reading, most = 0, 0

    async def check(service):
        class Counting:
            def executions(self, function, *, statuses):
                return service.executions(function, statuses=statuses)

            def execution(self, arn):
                async def history():
                    nonlocal reading, most
                    reading += 1
                    most = max(most, reading)
                    await asyncio.sleep(0)
                    reading -= 1
                    return await service.execution(arn).history()

                execution = service.execution(arn)
                return type("Execution", (), {"history": lambda _: history(), "arn": execution.arn})()

        return await replay_open(Counting(), TODAY, concurrency=3)

    assert asyncio.run(with_open_executions(check)).passed
    assert 1 < most <= 3
