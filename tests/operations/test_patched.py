"""``ctx.patched``: executions from before a change keep the old code, those that have not come there get the new."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from durable_async import (
    ContextMisuseError,
    DurableContext,
    DurableTimeoutError,
    MapConfig,
    NestingType,
    durable_execution,
)
from durable_async.replay import Continues, replay
from tests.world import World

DAY = timedelta(days=1)


class Deployed:
    """A handler whose workflow is replaced by deploys."""

    def __init__(self, workflow) -> None:
        self.workflow = workflow
        self.ran: list[str] = []

        @durable_execution
        async def handler(event: Any, ctx: DurableContext) -> Any:
            return await self.workflow(self, ctx)

        self.handler = handler

    def step(self, ctx, name, **options):
        async def body():
            self.ran.append(name)
            return name

        return ctx.step(body, name=name, **options)


async def before(code, ctx):
    await code.step(ctx, "reserve")
    await ctx.wait(DAY, name="cooling off")
    await code.step(ctx, "charge")
    await ctx.wait(DAY, name="delivery")
    await code.step(ctx, "ship")


async def after(code, ctx):
    await code.step(ctx, "reserve")
    await ctx.wait(DAY, name="cooling off")
    if await ctx.patched("audit-2026"):
        await code.step(ctx, "audit")
        await ctx.wait(DAY, name="waiting for the auditor")
    await code.step(ctx, "charge")
    await ctx.wait(DAY, name="delivery")
    await code.step(ctx, "ship")


async def retired(code, ctx):
    await code.step(ctx, "reserve")
    await ctx.wait(DAY, name="cooling off")
    await code.step(ctx, "audit")
    await ctx.wait(DAY, name="waiting for the auditor")
    await code.step(ctx, "charge")
    await ctx.wait(DAY, name="delivery")
    await code.step(ctx, "ship")


async def pass_days(world, days):
    await world.settle()
    for _ in range(days):
        world.clock.move_by(DAY.total_seconds())
        await world.service.fire_due()
        await world.settle()


def names(events, kind="StepSucceeded"):
    return [event["Name"] for event in events if event["EventType"] == kind]


async def deployed_after(days, first=before, then=after, **options):
    """What ran, the events and the end of an execution whose code changed after so many days."""
    code = Deployed(first)
    async with World(**options) as world:
        arn = await world.start(code.handler)
        await pass_days(world, days)
        code.workflow = then
        closed = await world.finish(arn)
        return code.ran, await world.events(arn), closed


async def test_an_execution_that_has_not_come_to_the_place_gets_the_new_code():
    ran, events, closed = await deployed_after(0)
    assert (closed.status, ran) == ("SUCCEEDED", ["reserve", "audit", "charge", "ship"])
    assert names(events) == ["reserve", "patched:audit-2026", "audit", "charge", "ship"]


async def test_an_execution_that_has_passed_the_place_keeps_the_old_code_and_records_no_marker():
    ran, events, closed = await deployed_after(1)
    assert (closed.status, ran) == ("SUCCEEDED", ["reserve", "charge", "ship"])
    assert names(events) == ["reserve", "charge", "ship"]


async def test_a_new_execution_gets_the_new_code():
    ran, _, closed = await deployed_after(0, first=after)
    assert (closed.status, ran) == ("SUCCEEDED", ["reserve", "audit", "charge", "ship"])


async def test_the_marker_travels_with_the_next_checkpoint():
    code = Deployed(after)
    async with World() as world:
        await world.run(code.handler)
        assert [
            "START patched:audit-2026",
            "SUCCEED patched:audit-2026",
            "START audit",
            "SUCCEED audit",
        ] in world.calls


async def test_what_is_started_and_has_not_ended_counts_as_passed():
    async def waits(code, ctx):
        await asyncio.gather(ctx.wait(DAY, name="short"), ctx.wait(10 * DAY, name="long"))
        await code.step(ctx, "charge")

    async def waits_patched(code, ctx):
        if await ctx.patched("audit-2026"):
            await code.step(ctx, "audit")
        await asyncio.gather(ctx.wait(DAY, name="short"), ctx.wait(10 * DAY, name="long"))
        await code.step(ctx, "charge")

    ran, _, closed = await deployed_after(0, waits, waits_patched)
    assert (closed.status, ran) == ("SUCCEEDED", ["charge"])


async def test_an_operation_with_a_key_counts_as_passed():
    async def keyed(code, ctx):
        await code.step(ctx, "charge", key="charge")
        await ctx.wait(DAY, name="a day", key="day")

    async def keyed_patched(code, ctx):
        if await ctx.patched("audit-2026"):
            await code.step(ctx, "audit")
        await keyed(code, ctx)

    ran, _, closed = await deployed_after(0, keyed, keyed_patched)
    assert (closed.status, ran) == ("SUCCEEDED", ["charge"])


async def test_an_operation_called_before_the_place_and_awaited_after_it_counts_as_passed():
    async def early(code, ctx):
        charge = code.step(ctx, "charge")
        await charge
        await ctx.wait(DAY, name="a day")

    async def early_patched(code, ctx):
        charge = code.step(ctx, "charge")
        if await ctx.patched("audit-2026"):
            await code.step(ctx, "audit")
        await charge
        await ctx.wait(DAY, name="a day")

    ran, _, closed = await deployed_after(0, early, early_patched)
    assert (closed.status, ran) == ("SUCCEEDED", ["charge"])


async def test_operations_of_tasks_that_start_after_the_place_count_as_passed():
    async def work(code, ctx, name):
        await code.step(ctx, name)
        await ctx.wait(DAY, name=f"{name} day")

    async def both(code, ctx):
        await asyncio.gather(work(code, ctx, "left"), work(code, ctx, "right"))

    async def both_patched(code, ctx):
        if await ctx.patched("audit-2026"):
            await code.step(ctx, "audit")
        await both(code, ctx)

    ran, _, closed = await deployed_after(0, both, both_patched)
    assert (closed.status, sorted(ran)) == ("SUCCEEDED", ["left", "right"])


async def test_each_task_answers_for_itself():
    """One strand has passed the place and the other has not."""

    async def strand(code, ctx, name, days, *, patched):
        await ctx.wait(days * DAY, name=f"{name} before")
        if patched and await ctx.patched("audit-2026"):
            await code.step(ctx, f"audit {name}")
        await code.step(ctx, f"charge {name}")
        await ctx.wait(DAY, name=f"{name} after")

    def both(*, patched):
        async def workflow(code, ctx):
            await asyncio.gather(*(strand(code, ctx, f"{days}", days, patched=patched) for days in (1, 5)))

        return workflow

    ran, _, closed = await deployed_after(1, both(patched=False), both(patched=True))
    assert closed.status == "SUCCEEDED"
    assert ran == ["charge 1", "audit 5", "charge 5"]


async def test_the_answer_is_the_same_for_all_calls_in_one_context():
    async def in_a_loop(code, ctx):
        for number in range(4):
            if await ctx.patched("audit-2026"):
                await code.step(ctx, f"audit {number}")
            await code.step(ctx, f"charge {number}")
            await ctx.wait(DAY, name="a day")

    async def plain(code, ctx):
        for number in range(4):
            await code.step(ctx, f"charge {number}")
            await ctx.wait(DAY, name="a day")

    async def each_round(code, ctx):
        for number in range(4):
            if await ctx.patched(f"audit-{number}"):
                await code.step(ctx, f"audit {number}")
            await code.step(ctx, f"charge {number}")
            await ctx.wait(DAY, name="a day")

    old = [f"charge {number}" for number in range(4)]
    ran, _, closed = await deployed_after(1, plain, in_a_loop)
    assert (closed.status, ran) == ("SUCCEEDED", old)
    ran, _, closed = await deployed_after(1, plain, each_round)
    assert closed.status == "SUCCEEDED"
    assert ran == ["charge 0", "charge 1", "audit 2", "charge 2", "audit 3", "charge 3"]
    ran, events, closed = await deployed_after(0, in_a_loop, in_a_loop)
    assert closed.status == "SUCCEEDED"
    assert len(ran) == 8
    assert names(events).count("patched:audit-2026") == 1


@pytest.mark.parametrize("days", [0, 1, 2])
async def test_a_retired_patch_leaves_the_executions_that_took_it_alone(days):
    ran, _, closed = await deployed_after(days, after, retired)
    assert (closed.status, ran) == ("SUCCEEDED", ["reserve", "audit", "charge", "ship"])


async def test_the_clock_and_the_logger_of_the_workflow_ignore_the_marker(caplog):
    times: list[Any] = []

    async def timed(code, ctx):
        await code.step(ctx, "reserve")
        assert await ctx.patched("audit-2026")
        times.append(ctx.now())
        await ctx.wait(DAY, name="a day")

    async def timed_without(code, ctx):
        await code.step(ctx, "reserve")
        times.append(ctx.now())
        ctx.logger.warning("on its way")
        await ctx.wait(DAY, name="a day")
        ctx.logger.warning("at the end")

    code = Deployed(timed)
    async with World() as world:
        arn = await world.start(code.handler)
        await world.settle()
        world.clock.move_by(3)
        code.workflow = timed_without
        assert (await world.finish(arn)).status == "SUCCEEDED"
    assert len(set(times)) == 1
    assert "at the end" in caplog.text


@pytest.mark.parametrize("crash", range(12))
@pytest.mark.parametrize("days", range(3))
async def test_the_answer_survives_a_crash_after_any_checkpoint(crash, days):
    code = Deployed(before)
    async with World() as world:
        world.crash_after = crash
        arn = await world.start(code.handler)
        await pass_days(world, days)
        code.workflow, passed = after, "charge" in world.succeeded
        closed = await world.finish(arn)
        types = names(await world.events(arn))
    assert closed.status == "SUCCEEDED"
    assert types.count("patched:audit-2026") == types.count("audit") == (0 if passed else 1)
    assert types.count("charge") == 1


async def test_a_replay_of_an_old_history_says_what_the_new_code_does():
    code = Deployed(before)
    async with World() as world:
        arn = await world.start(code.handler)
        await world.settle()
        waiting = await world.events(arn)
        await pass_days(world, 1)
        charged = await world.events(arn)
    code.workflow = after
    report = await replay(code.handler, waiting, execution_arn=arn)
    assert isinstance(report.finding, Continues)
    assert (await replay(code.handler, charged, execution_arn=arn)).passed
    code.workflow = retired
    assert (await replay(code.handler, waiting, execution_arn=arn)).passed
    report = await replay(code.handler, charged, execution_arn=arn)
    assert not report.passed, "an execution that needs the old code is found before the patch is retired"


async def test_a_replay_of_a_retired_patch_skips_nothing():
    code = Deployed(after)
    async with World() as world:
        arn = await world.start(code.handler)
        await pass_days(world, 1)
        events = await world.events(arn)
    assert names(events)[-1] == "audit"
    code.workflow = retired
    assert (await replay(code.handler, events, execution_arn=arn)).passed


async def test_a_patch_that_is_not_awaited_fails_the_execution():
    async def forgotten(code, ctx):
        if ctx.patched("audit-2026"):
            await code.step(ctx, "audit")

    _, _, closed = await deployed_after(0, forgotten, forgotten)
    assert closed.status == "FAILED"
    assert closed.error["ErrorType"].endswith(ContextMisuseError.__name__)
    assert "patched:audit-2026" in closed.error["ErrorMessage"]


@pytest.mark.parametrize("patch", ["", "café", "x" * 249])
async def test_a_name_that_cannot_be_recorded_is_refused(patch):
    async def wrong(code, ctx):
        with pytest.raises(ValueError, match="name"):
            ctx.patched(patch)

    _, _, closed = await deployed_after(0, wrong, wrong)
    assert closed.status == "SUCCEEDED"


@pytest.mark.parametrize("nesting", ["child", "flat map"])
async def test_a_patch_is_asked_for_again_in_a_block_whose_deadline_has_passed(nesting):
    """The result of the context is too large for the record, so each replay runs its code again."""
    answers = []

    async def block(code, ctx, *, asks):
        async def large(ctx, _):
            await code.step(ctx, "before")
            if asks:
                answers.append(await ctx.patched("later"))
            await code.step(ctx, "after")
            return "x" * 300_000

        with suppress(DurableTimeoutError):
            async with ctx.timeout(DAY, name="block"):
                if nesting == "child":
                    await ctx.run_in_child_context(large, 0)
                else:
                    await ctx.map(large, [0], config=MapConfig(nesting=NestingType.FLAT))
                await ctx.wait(10 * DAY, name="too long")
        await ctx.wait(DAY, name="afterwards")

    async with World() as world:
        code = Deployed(partial(block, asks=False))
        arn = await world.start(code.handler)
        await pass_days(world, 1)
        code.workflow = partial(block, asks=True)
        closed = await world.finish(arn)
    assert closed.status == "SUCCEEDED", closed.error
    assert answers == [False]
    assert code.ran == ["before", "after"]
