"""The wall's clock is put back, or jumps ahead, while the service runs."""

import asyncio
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService
from durable_async.service.clock import SteadyClock
from durable_async.service.runtime.timers import Alarm

DAY = 86_400.0


class Clocks:
    """A wall's clock that can be set, and one that only goes on."""

    def __init__(self):
        self.set_by = 0.0
        self.passed = 0.0

    def wall(self):
        return 1_700_000_000.0 + self.passed + self.set_by

    def monotonic(self):
        return 5.0 + self.passed


def test_a_clock_that_is_put_back_costs_a_wait_nothing():
    clocks = Clocks()
    steady = SteadyClock(clocks.wall, clocks.monotonic)
    before = steady()
    clocks.set_by = -2 * DAY
    clocks.passed = 3.0
    assert steady() == before + 3.0


def test_a_clock_that_jumps_ahead_is_followed_at_once():
    clocks = Clocks()
    steady = SteadyClock(clocks.wall, clocks.monotonic)
    clocks.set_by = 2 * DAY
    assert steady() == clocks.wall()


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e6, 1e6))))
def test_it_never_goes_back_never_loses_time_and_is_never_behind_the_wall(moves):
    clocks = Clocks()
    steady = SteadyClock(clocks.wall, clocks.monotonic)
    for passes, jump in moves:
        before = steady()
        clocks.passed += passes
        clocks.set_by += jump
        now = steady()
        assert now >= before + passes - 1e-5
        assert now >= clocks.wall()


@durable_execution
async def waiter(event: None, ctx: DurableContext) -> None:
    await ctx.wait(timedelta(seconds=1))


async def test_a_wait_ends_though_the_wall_s_clock_is_put_back_by_two_days():
    clocks = Clocks()
    loop = asyncio.get_running_loop()
    clock = SteadyClock(lambda: clocks.wall() + loop.time(), loop.time)
    async with DurableService(clock=clock) as service:
        service.register(waiter)
        execution = await service.start(waiter, None)
        await service.api.idle()
        clocks.set_by = -2 * DAY
        async with asyncio.timeout(20):
            await execution.result()


async def test_what_is_due_after_a_jump_ahead_is_noticed_at_the_next_look():
    now = 1_000
    rung = asyncio.Event()
    alarm = Alarm(lambda: now, rung.set, check_seconds=0.01)
    alarm.set("a", 1_000_000_000)
    now = 2_000_000_000
    async with asyncio.timeout(20):
        await rung.wait()
    alarm.close()
