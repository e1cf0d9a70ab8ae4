"""Identity: the same ids on every run of the same program, whatever the loop runs first."""

import asyncio
import contextvars
import random
import sys
from datetime import timedelta

import anyio
import pytest

from durable_async import durable_execution
from durable_async._engine.branches import Branch, Workflow
from durable_async._engine.calling import calling_branch, entered
from durable_async._engine.task_factory import start_task, task_branches
from durable_async._wire.ids import (
    keyed_branch,
    keyed_operation_id,
    late_task_branch,
    operation_id,
    patch_operation_id,
    task_branch,
)
from durable_async.errors import ContextMisuseError
from tests.world import World


def test_ids_are_those_of_the_official_python_sdk():
    first = "1ced8f5be2db23a6513eba4d819c73806424748a7bc6fa0d792cc1c7d1775a97"
    assert operation_id("", 1) == first
    assert operation_id("", 2) == "c5faca15ac2f93578b39ef4b6bbb871bdedce4ddd584fd31f0bb66fade3947e6"
    assert operation_id(first, 1) == "974bfc6321e227b0ff101342eaf19b336f002dc6cc99c18f0941a7755cc20fc4"
    assert operation_id(operation_id(first, 1), 1) == "d0bd0541a3db98c1beecb6c41cd964f92910f1d367864202697b001344bd70b3"


def test_a_key_may_be_any_text():
    """Also one that is not UTF-8, as ``os.listdir`` returns it for some files."""
    assert keyed_operation_id("", "\udcff.csv") != keyed_operation_id("", "\udcfe.csv")


def test_kinds_of_position_do_not_meet():
    ids = [
        operation_id("", 1),
        task_branch("", 1),
        keyed_operation_id("", "1"),
        keyed_operation_id("", "task-1"),
        patch_operation_id("", "1"),
        late_task_branch("", 1),
        keyed_operation_id("", "late-task-1"),
    ]
    assert len(set(ids)) == 7


class Program:
    """Calls claim ids under labels, so that two runs can be compared."""

    def __init__(self):
        self.workflow = Workflow("arn")
        self.ids = {}

    def call(self, label, key=None):
        assert label not in self.ids
        self.ids[label] = calling_branch(self.workflow).claim(key)

    async def run(self, main):
        loop = asyncio.get_running_loop()
        with task_branches(loop):
            await start_task(loop, Branch(self.workflow), main(self))
        return self.ids


async def _nap(rng):
    for _ in range(rng.randrange(4)):
        await asyncio.sleep(0)


def _many_ways_to_start_tasks(rng):
    async def strand(program, label, depth):
        await _nap(rng)
        for n in range(3):
            program.call(f"{label}.{n}")
            await _nap(rng)
        if depth:
            await asyncio.gather(*(strand(program, f"{label}/{n}", depth - 1) for n in range(2)))
        program.call(f"{label}.end")

    async def main(program):
        program.call("first")
        await asyncio.gather(*(strand(program, f"gather{n}", 1) for n in range(3)))
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(strand(program, f"group{n}", 1))
        async with anyio.create_task_group() as tasks:
            for n in range(3):
                tasks.start_soon(strand, program, f"anyio{n}", 0)
        for next_done in asyncio.as_completed([strand(program, f"as_completed{n}", 0) for n in range(9)]):
            await next_done
        task = asyncio.create_task(strand(program, "own context", 1), context=contextvars.copy_context())
        await asyncio.wait([task, asyncio.ensure_future(strand(program, "wait", 0))])
        program.call("last")

    return main


async def test_ids_do_not_depend_on_what_runs_first():
    expected = await Program().run(_many_ways_to_start_tasks(random.Random(0)))
    assert len(set(expected.values())) == len(expected) > 80
    for seed in range(1, 100):
        assert await Program().run(_many_ways_to_start_tasks(random.Random(seed))) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_eager_tasks_have_the_same_ids():
    expected = await Program().run(_many_ways_to_start_tasks(random.Random(0)))
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    try:
        assert await Program().run(_many_ways_to_start_tasks(random.Random(1))) == expected
        assert loop.get_task_factory() is asyncio.eager_task_factory
    finally:
        loop.set_task_factory(None)


def test_uvloop_has_the_same_ids():
    uvloop = pytest.importorskip("uvloop")
    expected = asyncio.run(Program().run(_many_ways_to_start_tasks(random.Random(0))))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(Program().run(_many_ways_to_start_tasks(random.Random(1)))) == expected


async def test_two_workflows_on_one_loop_do_not_disturb_each_other():
    one, other = await asyncio.gather(
        Program().run(_many_ways_to_start_tasks(random.Random(1))),
        Program().run(_many_ways_to_start_tasks(random.Random(2))),
    )
    assert one == other


async def test_the_previous_task_factory_is_used_and_given_back():
    loop = asyncio.get_running_loop()
    made = []

    def factory(loop, coro, **options):
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(factory)
    try:
        await Program().run(_many_ways_to_start_tasks(random.Random(0)))
        assert len(made) > 10
        assert loop.get_task_factory() is factory
    finally:
        loop.set_task_factory(None)


async def test_tasks_outside_a_workflow_pass_through():
    with task_branches(asyncio.get_running_loop()):
        assert await asyncio.create_task(asyncio.sleep(0, "result"), name="mine") == "result"


async def test_an_operation_with_a_key_keeps_its_id_when_code_is_reordered():
    async def before(program):
        program.call("a", key="a")
        program.call("positional")
        program.call("b", key="b")

    async def after(program):
        program.call("b", key="b")
        program.call("a", key="a")
        program.call("positional")

    assert await Program().run(before) == await Program().run(after)


async def test_a_key_is_used_once():
    async def main(program):
        program.call("a", key="order-1")
        with pytest.raises(ContextMisuseError, match="'order-1'"):
            program.call("b", key="order-1")

    await Program().run(main)


@pytest.mark.parametrize("collection", [set, iter], ids=["a set", "an iterator"])
async def test_as_completed_takes_operations_in_any_order(collection):
    order = []

    async def body(n):
        await asyncio.sleep(0.01 * n)
        return n

    @durable_execution
    async def workflow(event, ctx):
        seen = []
        for next_done in asyncio.as_completed(collection([ctx.step(body, n, name=str(n)) for n in (3, 1, 2)])):
            seen.append(await next_done)
            await asyncio.create_task(ctx.step(str, seen[-1], name=f"after {seen[-1]}"))
        await ctx.wait(timedelta(seconds=1))
        order.append(seen)
        return await asyncio.create_task(ctx.step(len, seen))

    async with World() as world:
        closed = await world.run(workflow)
    assert (closed.result, order) == ("3", [[1, 2, 3]])


@pytest.mark.parametrize("collection", [set, iter], ids=["a set", "an iterator"])
async def test_as_completed_needs_coroutines_in_an_order(collection):
    async def strand(program, n):
        program.call(n)

    async def main(program):
        strands = [strand(program, n) for n in range(3)]
        try:
            with pytest.raises(ContextMisuseError, match="given a list"):
                for next_done in asyncio.as_completed(collection(strands)):
                    await next_done
        finally:
            for each in strands:
                each.close()

    await Program().run(main)


def _from_a_callback(loop, coro):
    done = loop.create_future()
    loop.call_soon(lambda: done.set_result(asyncio.ensure_future(coro)))
    return done


async def test_tasks_made_by_callbacks_are_numbered_by_their_first_calls():
    async def call(program, label, turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        program.call(label)
        await asyncio.create_task(nested(program, f"below {label}"))

    async def nested(program, label):
        program.call(label)

    async def main(program):
        loop = asyncio.get_running_loop()
        tasks = [await _from_a_callback(loop, call(program, f"{turns}", turns)) for turns in (20, 10, 0)]
        await asyncio.gather(*tasks)
        await asyncio.create_task(nested(program, "own"))
        program.call("next")

    third, second, first = (late_task_branch("", n) for n in (1, 2, 3))
    assert await Program().run(main) == {
        "20": operation_id(first, 1),
        "below 20": operation_id(task_branch(first, 1), 1),
        "10": operation_id(second, 1),
        "below 10": operation_id(task_branch(second, 1), 1),
        "0": operation_id(third, 1),
        "below 0": operation_id(task_branch(third, 1), 1),
        "own": operation_id(task_branch("", 1), 1),
        "next": operation_id("", 1),
    }


async def test_a_task_that_a_callback_made_and_that_calls_nothing_takes_no_number():
    async def main(program):
        loop = asyncio.get_running_loop()
        idle = await _from_a_callback(loop, asyncio.sleep(0))
        await (await _from_a_callback(loop, _call(program, "x")))
        await idle

    assert await Program().run(main) == {"x": operation_id(late_task_branch("", 1), 1)}


async def test_a_task_that_a_callback_made_and_that_calls_by_key_takes_no_number():
    async def keyed(program):
        program.ids["keyed"] = calling_branch(program.workflow).at("k").claim(None)

    async def main(program):
        loop = asyncio.get_running_loop()
        await (await _from_a_callback(loop, keyed(program)))
        await (await _from_a_callback(loop, _call(program, "x")))

    assert await Program().run(main) == {
        "keyed": operation_id(keyed_branch("", "k"), 1),
        "x": operation_id(late_task_branch("", 1), 1),
    }


class _Awaitable:
    def __init__(self, coro):
        self._coro = coro

    def __await__(self):
        return self._coro.__await__()


async def test_as_completed_numbers_a_list_again_that_is_filled_again():
    async def main(program):
        batch = []
        for n in range(9):
            batch.append(_call(program, n))
            if len(batch) == 3:
                for next_done in asyncio.as_completed(batch):
                    await next_done
                batch.clear()

    ids = await Program().run(main)
    assert [ids[n] for n in range(9)] == [operation_id(task_branch("", n + 1), 1) for n in range(9)]


async def test_as_completed_numbers_the_coroutines_beside_tasks_and_awaitable_objects_by_their_places():
    async def main(program):
        task = asyncio.create_task(_call(program, 0))
        twice = _call(program, 3)
        given = [task, _Awaitable(_call(program, 2)), twice, twice, _call(program, 5)]
        for next_done in asyncio.as_completed(given):
            await next_done
        await asyncio.create_task(_call(program, 6))

    assert await Program().run(main) == {
        0: operation_id(task_branch("", 1), 1),
        2: operation_id(task_branch("", 3), 1),
        3: operation_id(task_branch("", 5), 1),
        5: operation_id(task_branch("", 6), 1),
        6: operation_id(task_branch("", 7), 1),
    }


@pytest.mark.parametrize("calls_before", [True, False], ids=["numbered", "not numbered yet"])
async def test_as_completed_in_a_task_that_a_callback_made_numbers_a_list_by_its_places(calls_before):
    async def late(program):
        if calls_before:
            program.call("before")
        for next_done in asyncio.as_completed([_call(program, n) for n in range(9)]):
            await next_done

    async def main(program):
        await (await _from_a_callback(asyncio.get_running_loop(), late(program)))

    ids = await Program().run(main)
    prefix = late_task_branch("", 1)
    assert [ids[n] for n in range(9)] == [operation_id(task_branch(prefix, n + 1), 1) for n in range(9)]


async def _call(program, label):
    program.call(label)


async def test_tasks_made_without_the_loops_factory_are_numbered_by_their_first_calls():
    async def both(program):
        program.call("x")
        await asyncio.Task(_call(program, "y"))

    async def main(program):
        await asyncio.Task(both(program))
        program.call("next")

    assert await Program().run(main) == {
        "x": operation_id(late_task_branch("", 1), 1),
        "y": operation_id(late_task_branch("", 2), 1),
        "next": operation_id("", 1),
    }


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
async def test_a_task_made_by_another_factory_than_the_loops_is_numbered():
    async def main(program):
        await asyncio.eager_task_factory(asyncio.get_running_loop(), _call(program, "x"))

    assert await Program().run(main) == {"x": operation_id(late_task_branch("", 1), 1)}


async def test_a_loop_of_its_own_in_a_thread_is_no_part_of_the_workflow():
    async def main(program):
        with pytest.raises(ContextMisuseError, match="not part of its workflow"):
            await asyncio.to_thread(asyncio.run, _call(program, "x"))

    await Program().run(main)


async def test_a_thread_is_no_part_of_the_workflow():
    async def main(program):
        with pytest.raises(ContextMisuseError, match="not part of its workflow"):
            await asyncio.to_thread(program.call, "x")

    await Program().run(main)


async def test_another_workflows_context_is_refused():
    other = Workflow("arn:other")

    async def main(program):
        with pytest.raises(ContextMisuseError, match="arn:other was used in execution arn"):
            calling_branch(other)

    await Program().run(main)


async def test_outside_any_workflow_there_is_no_branch():
    with entered(None), pytest.raises(ContextMisuseError, match="not part of its workflow"):
        calling_branch(Workflow("arn"))
