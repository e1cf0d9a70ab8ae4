from __future__ import annotations

import asyncio

import pytest

from durable_async.service.runtime.timers import Alarm


class Bell:
    """An alarm with a clock that the test moves."""

    def __init__(self):
        self.now = 1_000
        self.rung = asyncio.Event()
        self.alarm = Alarm(lambda: self.now, self.rung.set)


@pytest.fixture
async def bell():
    bell = Bell()
    yield bell
    bell.alarm.close()


async def test_keys_come_in_the_order_of_their_times_and_once(bell):
    for key, due in {"c": 3_000, "a": 1_500, "b": 2_000}.items():
        bell.alarm.set(key, due)
    bell.now = 2_000
    assert bell.alarm.pop_due() == ["a", "b"]
    assert bell.alarm.pop_due() == []
    assert bell.alarm.next_due_ms() == 3_000


async def test_a_new_time_replaces_the_old_one(bell):
    bell.alarm.set("a", 1_500)
    bell.alarm.set("a", 2_500)
    bell.now = 2_000
    assert bell.alarm.pop_due() == []
    bell.alarm.set("a", 1_800)
    assert bell.alarm.pop_due() == ["a"]
    bell.now = 9_000
    assert bell.alarm.pop_due() == []


async def test_a_key_can_be_unset(bell):
    bell.alarm.set("a", 1_500)
    bell.alarm.set("a", None)
    bell.alarm.set("never set", None)
    assert bell.alarm.next_due_ms() is None


async def test_times_that_are_given_up_take_no_memory(bell):
    """As the timeouts of executions that have ended, of which each may be a year ahead."""
    bell.alarm.set("near", 2_000)
    for number in range(20_000):
        bell.alarm.set(f"{number}", 1_000_000 + number)
        bell.alarm.set(f"{number}", 900_000)
        if number % 10:
            bell.alarm.set(f"{number}", None)
    assert len(bell.alarm._heap) < 6_000
    bell.now = 950_000
    assert bell.alarm.pop_due() == ["near", *sorted(f"{number}" for number in range(0, 20_000, 10))]
    assert bell.alarm.next_due_ms() is None


async def test_it_rings_when_the_time_has_come(bell):
    bell.alarm.set("a", 1_010)
    bell.now = 1_010
    await asyncio.wait_for(bell.rung.wait(), 5)


async def test_it_waits_for_a_clock_that_is_behind_the_loops(bell):
    bell.alarm.set("a", 1_002)
    await asyncio.sleep(0.02)
    assert not bell.rung.is_set()
    bell.now = 1_002
    await asyncio.wait_for(bell.rung.wait(), 5)


async def test_an_earlier_time_moves_the_timer_forward(bell):
    bell.alarm.set("late", 10_000_000)
    bell.alarm.set("early", 1_001)
    bell.now = 1_001
    await asyncio.wait_for(bell.rung.wait(), 5)


async def test_a_timer_of_a_key_that_was_unset_rings_nothing(bell):
    bell.alarm.set("a", 1_005)
    bell.alarm.set("b", 1_020)
    bell.alarm.set("a", None)
    bell.now = 1_005
    await asyncio.sleep(0.01)  # the loop's timer for the first key fires meanwhile
    assert not bell.rung.is_set()
    bell.now = 1_020
    await asyncio.wait_for(bell.rung.wait(), 5)
    assert bell.alarm.pop_due() == ["b"]
