"""How many invocations may run at once, and whose turn it is."""

import asyncio
from collections import Counter

import pytest

from durable_async.service.runtime.slots import Slots


class Work:
    """Invocations that end when the test says so."""

    def __init__(self, slots):
        self.slots = slots
        self.started = []
        self.ends = {}
        self.tasks = {}

    async def begin(self, name, function="f", turn=None):
        async def run():
            async with self.slots.taken(function, turn or name):
                self.started.append(name)
                await self.ends[name].wait()

        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(run())
        await asyncio.sleep(0)

    async def end(self, name):
        self.ends[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def end_all(self):
        while any(not task.done() for task in self.tasks.values()):
            for name in [*self.started]:
                self.ends[name].set()
            await asyncio.sleep(0)


def make(most=None, **functions):
    slots = Slots(most)
    for name, limit in functions.items():
        slots.limit(name, limit)
    return Work(slots)


async def test_without_limits_everything_runs():
    work = make(f=None)
    for n in range(100):
        await work.begin(n)
    assert work.started == [*range(100)]
    await work.end_all()


async def test_the_limit_in_all_holds_over_functions():
    work = make(2, f=None, g=None)
    await work.begin("a", "f")
    await work.begin("b", "g")
    await work.begin("c", "f")
    assert work.started == ["a", "b"]
    await work.end("b")
    assert work.started == ["a", "b", "c"]
    await work.end_all()


async def test_a_function_at_its_limit_does_not_hold_up_another():
    work = make(3, f=1, g=None)
    await work.begin("f1", "f")
    await work.begin("f2", "f")
    await work.begin("g1", "g")
    assert work.started == ["f1", "g1"]
    await work.end("g1")
    assert work.started == ["f1", "g1"]
    await work.end("f1")
    assert work.started == ["f1", "g1", "f2"]
    await work.end_all()


async def test_ten_thousand_of_one_turn_do_not_keep_another_waiting():
    work = make(1, f=None)
    await work.begin("first")
    for n in range(50):
        await work.begin(f"many-{n}", turn="many")
    await work.begin("one", turn="one")
    await work.end("first")
    await work.end("many-0")
    assert work.started == ["first", "many-0", "one"]
    await work.end_all()


async def test_functions_are_served_in_turns():
    work = make(1, f=None, g=None)
    await work.begin("first")
    for n in range(3):
        await work.begin(f"f{n}", "f")
    await work.begin("g0", "g")
    for name in ("first", "f0"):
        await work.end(name)
    assert work.started == ["first", "f0", "g0"]
    await work.end_all()
    assert work.started == ["first", "f0", "g0", "f1", "f2"]


@pytest.mark.parametrize("most", [None, 1000])
async def test_of_a_burst_a_few_begin_in_each_turn_of_the_loop(most):
    slots, end = Slots(most), asyncio.Event()
    slots.limit("f", None)
    slots.limit("g", None)
    begun = []

    async def run(function, number):
        async with slots.taken(function, str(number)):
            begun.append((now, function))
            if len(begun) == 200:
                end.set()
            await end.wait()

    tasks = [asyncio.create_task(run(function, number)) for function in "fg" for number in range(100)]
    for now in range(50):
        await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    assert max(Counter(turn for turn, _ in begun).values()) == 16
    assert {function for turn, function in begun[:64]} == {"f", "g"}  # the functions take turns


@pytest.mark.parametrize("served", [False, True], ids=["while it waits", "in the moment it is served"])
async def test_who_is_cancelled_gives_the_place_to_the_next(served):
    work = make(1, f=None)
    for name in ("a", "b", "c"):
        await work.begin(name)
    if served:
        work.ends["a"].set()
        await asyncio.sleep(0)  # a has ended in this turn of the loop, b goes on in the next
    work.tasks["b"].cancel()
    if not served:
        work.ends["a"].set()
    await asyncio.wait([work.tasks["a"], work.tasks["b"]])
    await asyncio.sleep(0)
    assert work.started == ["a", "c"]
    await work.end("c")
    await work.begin("d")
    assert work.started[-1] == "d"
    await work.end("d")


async def test_who_is_cancelled_while_it_waits_frees_no_place():
    work = make(1, f=None)
    for name in ("a", "b", "c"):
        await work.begin(name)
    work.tasks["b"].cancel()
    await asyncio.wait([work.tasks["b"]])
    await asyncio.sleep(0)
    assert work.started == ["a"]
    await work.end("a")
    assert work.started == ["a", "c"]
    await work.end("c")


async def test_a_place_that_was_given_back_early_is_free_at_once_and_once():
    slots = Slots()
    slots.limit("f", 1)
    started = []

    async def other(name):
        async with slots.taken("f", name):
            started.append(name)
            await end.wait()

    end = asyncio.Event()
    async with slots.taken("f", "first") as place:
        others = [asyncio.create_task(other(name)) for name in "ab"]
        await asyncio.sleep(0)
        assert started == []
        place.give_back()
        await asyncio.sleep(0)
        place.give_back()
    await asyncio.sleep(0)
    assert started == ["a"]
    end.set()
    await asyncio.gather(*others)
    assert started == ["a", "b"]
