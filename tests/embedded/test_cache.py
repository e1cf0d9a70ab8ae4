"""Who stays in memory, for how long, and how all of them leave."""

import asyncio
from datetime import timedelta

import pytest

from durable_async import EngineLimits, durable_execution
from durable_async._engine import invocation
from durable_async.embedded.cache import ExecutionCache
from durable_async.plugins import DurablePlugin
from tests.programs.execution import in_virtual_time
from tests.world import World

HOUR = timedelta(hours=1)


async def same(value):
    return value


class Log:
    """A workflow of three waits, whose executions note when they start and leave."""

    def __init__(self, *, clean_up=None, plugins=()):
        self.told = []

        @durable_execution(plugins=plugins)
        async def workflow(name, ctx):
            self.told.append(f"{name} starts")
            try:
                for n in range(3):
                    await ctx.wait(HOUR * (n + 1), name=f"wait {n}")
                    await ctx.step(same, n, name=f"step {n}")
            finally:
                if clean_up is not None:
                    await clean_up()
                self.told.append(f"{name} leaves")

        self.handler = workflow

    def take(self):
        told, self.told = self.told, []
        return told


async def turns(count=20):
    for _ in range(count):
        await asyncio.sleep(0)


class Lot:
    """Executions by their names, in a world with a cache."""

    def __init__(self, log, cache, engine=None):
        self.log = log
        self.world = World(cache, engine=engine)
        self.cache = cache
        self.arns = {}

    async def __aenter__(self):
        await self.world.__aenter__()
        self.world.register(self.log.handler)
        return self

    async def __aexit__(self, *_):
        await self.world.__aexit__()

    async def start(self, *names):
        for name in names:
            started = await self.world.service.invoke("workflow", f'"{name}"'.encode(), qualifier="$LATEST")
            self.arns[name] = started.execution_arn
            await self.world.settle()

    def kept(self):
        return "".join(name for name, arn in self.arns.items() if self.cache.keeps(arn))


# --- how many, and for how long ---


async def test_the_least_recently_parked_makes_room():
    async with Lot(Log(), ExecutionCache(2, idle=3600.0)) as lot:
        await lot.start("a", "b")
        assert lot.kept() == "ab"
        lot.world.clock.move_by(1800)
        await lot.start("c")
        assert lot.kept() == "bc"
        lot.world.clock.move_by(1800)  # a and b are invoked: a anew, b in memory
        await lot.world.service.fire_due()
        await lot.world.settle()
        kept = lot.kept()
        assert len(kept) == 2 and "c" not in kept
        await turns()
        assert lot.log.take() == ["a starts", "b starts", "c starts", "a leaves", "a starts", "c leaves"]


@pytest.mark.parametrize("room", [0, 1, 3])
async def test_there_are_never_more_than_there_is_room_for(room):
    async with Lot(Log(), ExecutionCache(room, idle=3600.0)) as lot:
        await lot.start(*"abcde")
        assert lot.kept() == "abcde"[5 - room :]
        for arn in lot.arns.values():
            assert (await lot.world.finish(arn)).status == "SUCCEEDED"
        assert lot.kept() == ""
    for name in "abcde":
        assert lot.log.told.count(f"{name} leaves") == lot.log.told.count(f"{name} starts") > 0


def test_whoever_stays_too_long_leaves():
    async def main(clock):
        began = clock()
        async with Lot(Log(), ExecutionCache(10, idle=60.0)) as lot:
            await lot.start("a")
            await asyncio.sleep(30)
            await lot.start("b")
            await asyncio.sleep(29.9)
            assert lot.kept() == "ab"
            await asyncio.sleep(0.2)
            assert lot.kept() == "b"
            await asyncio.sleep(30)
            assert lot.kept() == "" and clock() < began + 91
            assert lot.log.take() == ["a starts", "b starts", "a leaves", "b leaves"]
            await lot.start("c")
            await asyncio.sleep(59)
            assert lot.kept() == "c"

    in_virtual_time(main)


def test_time_in_use_is_not_time_that_it_stays():
    async def main(_clock):
        async with Lot(Log(), ExecutionCache(10, idle=60.0)) as lot:
            await lot.start("a")
            await asyncio.sleep(59)
            lot.world.clock.move_by(3600)
            await lot.world.service.fire_due()
            await lot.world.settle()
            await asyncio.sleep(59)
            assert lot.kept() == "a"
            await asyncio.sleep(2)
            assert lot.kept() == ""

    in_virtual_time(main)


# --- one copy at a time ---


async def test_a_new_invocation_waits_until_the_old_copy_has_cleaned_up():
    cleaned = asyncio.Event()
    async with Lot(Log(clean_up=cleaned.wait), ExecutionCache(1, idle=3600.0)) as lot:
        await lot.start("a", "b")
        await turns()
        assert lot.log.take() == ["a starts", "b starts"]  # a has to clean up still
        lot.world.clock.move_by(3600)
        due = asyncio.create_task(lot.world.service.fire_due())
        await turns(100)
        assert "a starts" not in lot.log.told
        cleaned.set()
        await due
        await lot.world.settle()
        assert lot.log.told[:2] == ["a leaves", "a starts"]


async def test_an_evicted_workflow_that_does_not_end_is_left_behind(caplog):
    never = asyncio.Event()
    async with Lot(Log(clean_up=never.wait), ExecutionCache(1, idle=3600.0), EngineLimits(clean_up=0.01)) as lot:
        await lot.start("a")
        await lot.cache.aclose()
        assert "abandoned" in caplog.text
    [left] = invocation._abandoned
    never.set()
    with pytest.raises(asyncio.CancelledError):
        await left
    invocation._abandoned.clear()


async def test_an_eviction_that_is_cancelled_still_waits_for_the_workflow(caplog):
    cleaning = asyncio.Event()

    async def clean_up():
        cleaning.set()
        await asyncio.sleep(3600)

    async with Lot(Log(clean_up=clean_up), ExecutionCache(1, idle=3600.0)) as lot:
        await lot.start("a")
        lot.cache.forget(lot.arns["a"])
        await cleaning.wait()
        [leaving] = lot.cache._leaving.values()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
    assert "abandoned" not in caplog.text
    assert not invocation._abandoned


# --- shutting down ---


async def test_drained_nothing_stays_and_nothing_is_parked_any_more():
    async with Lot(Log(), ExecutionCache(10, idle=3600.0)) as lot:
        await lot.start("a", "b")
        lot.cache.drain()
        assert lot.kept() == ""
        await turns()
        assert lot.log.take() == ["a starts", "b starts", "a leaves", "b leaves"]


class Running:
    """An invocation that is in the middle of something when the service is drained."""

    def __init__(self, body, *, room=10, plugins=()):
        self.cache = ExecutionCache(room, idle=3600.0)
        self.world = World(self.cache)
        self.outputs = []
        self.reached = asyncio.Event()

        @durable_execution(plugins=plugins)
        async def workflow(event, ctx):
            await body(self, ctx)

        self.handler = workflow

    async def drained(self):
        """What is on record when the invocation has been answered, which happens without anybody's help."""
        async with self.world as world:
            world.register(self.handler)
            answer = self.handler.answer

            async def noting(*args, **options):
                self.outputs.append(await answer(*args, **options))
                world.service._runner.commands.draining = True  # or it would be invoked again
                return self.outputs[-1]

            self.handler.answer = noting
            started = await world.service.invoke("workflow", b"{}", qualifier="$LATEST")
            await self.reached.wait()
            self.cache.drain()
            await world.settle()
            return [event.get("Name") for event in await world.events(started.execution_arn)]


@pytest.mark.parametrize("room", [0, 10])
@pytest.mark.parametrize("plugins", [(), (DurablePlugin(),)], ids=["plain", "with plugins"])
async def test_a_running_body_ends_and_is_recorded_and_nothing_new_begins(room, plugins):
    async def body(running, ctx):
        async def slow():
            running.reached.set()
            await turns(50)
            return "whole"

        assert await ctx.step(slow, name="slow") == "whole"
        await ctx.step(same, 1, name="next")

    running = Running(body, room=room, plugins=plugins)
    names = await running.drained()
    assert names.count("slow") == 2 and "next" not in names
    assert running.outputs == [{"Status": "PENDING"}]


async def test_what_waits_beside_a_running_body_does_not_go_on():
    async def body(running, ctx):
        async def slow():
            running.reached.set()
            await turns(50)

        async def strand():
            await running.reached.wait()
            await turns(5)
            await ctx.step(same, 1, name="strand")

        await asyncio.gather(ctx.step(slow, name="slow"), ctx.wait(HOUR, name="wait"), strand())

    running = Running(body)
    names = await running.drained()
    assert "strand" not in names and names.count("slow") == 2
    assert running.outputs == [{"Status": "PENDING"}]


async def test_code_that_waits_for_something_of_its_own_does_not_hold_it_up():
    async def body(running, ctx):
        running.reached.set()
        await asyncio.sleep(3600)

    running = Running(body)
    await running.drained()
    assert running.outputs == [{"Status": "PENDING"}]


async def test_a_timer_that_is_due_soon_is_not_stayed_for():
    async def body(running, ctx):
        wait = asyncio.create_task(ctx.wait(HOUR, name="wait"))
        while not running.world.calls:
            await asyncio.sleep(0)
        running.reached.set()
        await wait

    running = Running(body)
    running.handler._max_inline_wait = 7200.0
    await running.drained()
    assert running.outputs == [{"Status": "PENDING"}]


async def test_a_workflow_that_ends_while_it_is_drained_has_ended():
    async def body(running, ctx):
        running.reached.set()
        await asyncio.sleep(0)

    running = Running(body)
    await running.drained()
    assert running.outputs == [{"Status": "SUCCEEDED", "Result": "null"}]


async def test_what_is_invoked_later_suspends_before_it_does_anything():
    async def body(running, ctx):
        running.reached.set()
        await ctx.step(same, 1, name="step")

    running = Running(body)
    running.cache.drain()
    assert "step" not in await running.drained()
    assert running.outputs == [{"Status": "PENDING"}]


async def test_what_is_drained_starts_nothing_when_it_cleans_up():
    refused = []

    async def body(running, ctx):
        running.reached.set()
        try:
            await ctx.wait(HOUR, name="wait")
        finally:
            try:
                await ctx.step(same, 1, name="clean up")
            except asyncio.CancelledError:
                refused.append(True)
                raise

    running = Running(body)
    assert "clean up" not in await running.drained()
    assert refused == [True]


async def test_whoever_drains_it_evicts_for_good():
    """Even code of a workflow that ends at once: what it started ends with it, but for this."""
    waiting = Log(clean_up=turns)

    async def body(running, ctx):
        running.world.register(waiting.handler, "waiting")
        started = await running.world.service.invoke("waiting", b'"a"', qualifier="$LATEST")
        while not running.cache.keeps(started.execution_arn):
            await asyncio.sleep(0)
        running.cache.drain()
        running.reached.set()

    await Running(body).drained()
    assert waiting.told == ["a starts", "a leaves"]


def test_closed_no_timer_is_left():
    async def main(clock):
        async with Lot(Log(), ExecutionCache(10, idle=3600.0)) as lot:
            await lot.start("a")
        assert not lot.cache._running
        assert clock.next_due() is None

    in_virtual_time(main)


async def test_closed_nothing_is_left_on_the_loop():
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks()
    async with Lot(Log(clean_up=turns), ExecutionCache(10, idle=3600.0)) as lot:
        await lot.start("a", "b")
        assert loop.get_task_factory() is not None
        await lot.cache.aclose()
        assert lot.log.take() == ["a starts", "b starts", "a leaves", "b leaves"]
        assert loop.get_task_factory() is None
    assert asyncio.all_tasks() == others


async def test_one_that_is_kept_in_memory_while_all_leave_leaves_too():
    """The invocation has suspended its workflow in memory, and is about to be answered."""
    drained_while_parked = []

    class DrainedOnce(ExecutionCache):
        def is_open(self):
            if not drained_while_parked:
                drained_while_parked.append(None)
                asyncio.get_running_loop().call_soon(self.drain_now)  # before the invocation's task goes on
            return super().is_open()

        def drain_now(self):
            drained_while_parked[:] = [invocation.is_cached() for invocation in self._running]
            self.drain()

    async with Lot(Log(), DrainedOnce(10, idle=3600.0)) as lot:
        await lot.start("a")
        assert drained_while_parked == [True]
        assert lot.kept() == ""
        await turns()
        assert lot.log.take() == ["a starts", "a leaves"]
