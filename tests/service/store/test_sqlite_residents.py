"""Which executions are in memory, and that each is one object."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
import threading
import weakref
from contextlib import ExitStack, closing, nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from durable_async.service.machine import Changes
from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite import SqliteStore
from tests.property_runs import examples
from tests.service.machine.machine_driver import step
from tests.service.store.store_support import Gate, World, opened


async def in_memory(store, names):
    """Those of ``names`` whose object is still there."""
    await store.function_names()  # or the reading thread may still have its last answer in its hands
    gc.collect()
    return "".join(name for name in names if store._residents._all.get(f"orders-{name}") is not None)


async def start(path, names):
    async with opened(path) as store:
        world = World(store)
        for name in names:
            await world.start(name)


async def test_as_long_as_somebody_holds_it_it_is_one_object(tmp_path):
    path = tmp_path / "service.db"
    await start(path, "ab")
    async with opened(path, resident=0) as store:
        held = await store.load("orders-a")
        await store.load("orders-b")
        assert await in_memory(store, "ab") == "a"
        assert await store.load("orders-a") is held


async def test_two_that_load_at_once_get_one_object(tmp_path):
    path = tmp_path / "service.db"
    await start(path, "a")
    async with opened(path) as store:
        first, second = await asyncio.gather(store.load("orders-a"), store.load("orders-a"))
        assert first is second is not None


async def test_one_that_loads_and_leaves_leaves_the_other_its_answer(tmp_path):
    path = tmp_path / "service.db"
    await start(path, "a")
    async with opened(path) as store:
        first, second = (asyncio.ensure_future(store.load("orders-a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is not None


async def test_the_open_ones_asked_for_last_stay_in_memory(tmp_path):
    path = tmp_path / "service.db"
    await start(path, "abcd")
    async with opened(path, resident=2) as store:
        for name in "abcad":
            await store.load(f"orders-{name}")
        assert await in_memory(store, "abcd") == "ad"


async def test_a_closed_one_does_not_stay_in_memory(tmp_path):
    async with opened(tmp_path / "service.db") as store:
        world = World(store)
        execution = await world.start("a")
        await store.load(execution.id)
        await world.close(execution)
        await store.load(execution.id)
        del execution
        assert await in_memory(store, "a") == ""
        assert (await store.load("orders-a")).status == "SUCCEEDED"


async def test_one_that_waits_to_be_written_is_not_read(tmp_path):
    """Nobody holds it but the write, and what is on disk is old."""
    async with opened(tmp_path / "service.db", resident=0) as store:
        world = World(store)
        execution = await world.start("a")
        gate = Gate(store)
        write = world.write(execution, step("SUCCEED", Payload="1"))
        reference = weakref.ref(execution)
        del execution
        gc.collect()
        assert await store.load("orders-a") is reference()
        assert "s" in reference().by_id
        await gate.open()
        await write


async def test_a_store_is_settled_when_no_write_waits(tmp_path):
    async with opened(tmp_path / "service.db") as store:
        assert store.is_settled()
        starting = asyncio.create_task(World(store).start("a"))
        await asyncio.sleep(0)
        assert not store.is_settled()
        await starting
        assert store.is_settled()


async def test_what_was_read_before_a_deletion_is_not_given_after_it(tmp_path):
    path = tmp_path / "service.db"
    await start(path, "a")
    async with opened(path) as store:
        gate, entered = threading.Event(), threading.Event()
        read = store._reader.read

        async def slow(question):
            def held(connection):
                answer = question(connection)
                entered.set()
                gate.wait()
                return answer

            return await read(held)

        store._reader.read = slow
        loading = asyncio.ensure_future(store.load("orders-a"))
        await asyncio.to_thread(entered.wait)
        await store.delete("orders-a")
        gate.set()
        assert await loading is None
        assert await store.load("orders-a") is None


async def test_a_deletion_whose_waiter_leaves_takes_effect(tmp_path):
    async with opened(tmp_path / "service.db") as store:
        world = World(store)
        execution = await world.start("a")
        deletion = asyncio.ensure_future(store.delete(execution.id))
        await asyncio.sleep(0)
        deletion.cancel()
        await store.barrier()
        assert await store.load(execution.id) is None


async def test_a_name_that_is_freed_while_a_start_waits_is_taken(tmp_path):
    async with opened(tmp_path / "service.db") as store:
        world = World(store)
        first, second = await world.start("a", payload="1"), world.new("a", payload="2")
        second.id = "orders-second"
        gate = Gate(store)
        starting = asyncio.ensure_future(store.add(second, second.take_changes()))
        deleting = asyncio.ensure_future(store.delete(first.id))
        await asyncio.sleep(0)
        await gate.open()
        assert await starting is None
        await deleting
        assert await store.load("orders-second") is second


async def test_an_object_that_another_one_overtook_is_refused_and_read_again(tmp_path):
    """As another process, or another store, may do that writes to the file."""
    path = tmp_path / "service.db"
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE executions SET event_count = 2")
            connection.execute(
                "INSERT INTO events SELECT execution, 2, type, at_us + 1, operation_id, name, sub_type, "
                "parent_id, details, details_member, details_digest FROM events"
            )
            connection.commit()
        with pytest.raises(StoreError, match="Another writer changed the execution"):
            await world.write(execution, step("SUCCEED", Payload="1"))
        again = await store.load(execution.id)
        assert again is not execution
        assert again.event_count == 2
        await world.write(again, step("SUCCEED", Payload="1"))
        with pytest.raises(StoreError, match="An earlier write"):
            await store.save(execution, Changes())


class OneObject(RuleBasedStateMachine):
    """Starts, loads, saves and deletions of a few identities, in any order and many at once."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        path = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "service.db"
        self.loop = self.stack.enter_context(asyncio.Runner())
        self.store = SqliteStore(path, durability="normal", resident=1)
        self.loop.run(self.store.open())
        self.world = World(self.store)

    @rule(
        calls=st.lists(
            st.tuples(st.sampled_from(["add", "load", "save", "delete"]), st.sampled_from("abc")), max_size=8
        )
    )
    def several_at_once(self, calls):
        self.loop.run(self.call(calls))

    async def call(self, calls):
        held = {name: await self.store.load(f"orders-{name}") for name in "abc"}
        self.deleted = {name for what, name in calls if what == "delete"}
        answers = await asyncio.gather(*(getattr(self, what)(name, held[name]) for what, name in calls))
        for name in "abc":
            found = [
                each for each in await asyncio.gather(*(self.store.load(f"orders-{name}") for _ in range(3))) if each
            ]
            assert len({id(each) for each in found}) <= 1
            if found and name not in self.deleted:
                given = {id(each) for (_, of), each in zip(calls, answers, strict=True) if of == name and each}
                assert given <= {id(found[0])}
                events = await self.store.events(f"orders-{name}", 1, 1000, newest_first=False)
                assert [event.id for event in events] == [*range(1, found[0].event_count + 1)]

    async def add(self, name, _):
        execution = self.world.new(name)
        return await self.store.add(execution, execution.take_changes()) or execution

    async def load(self, name, _):
        return await self.store.load(f"orders-{name}")

    async def save(self, name, held):
        if held is not None:
            with suppress(StoreError) if name in self.deleted else nullcontext():  # another one may be there by now
                await self.world.write(held, step("SUCCEED", f"s{len(held.operations)}", Payload="1"))
        return held

    async def delete(self, name, _):
        await self.store.delete(f"orders-{name}")

    def teardown(self) -> None:
        self.loop.run(self.store.aclose())
        self.stack.close()


OneObject.TestCase.settings = settings(max_examples=examples(30), stateful_step_count=10, deadline=None)
TestOneObject = OneObject.TestCase


# --- for reading only ---


async def test_what_only_reads_reads_anew(tmp_path):
    path = tmp_path / "service.db"
    async with opened(path) as store, opened(path, read_only=True) as reader:
        world = World(store)
        execution = await world.start("a")
        before = await reader.load(execution.id)
        await world.write(execution, step("SUCCEED", Payload="1"))
        after = await reader.load(execution.id)
        assert "s" not in before.by_id
        assert "s" in after.by_id


@pytest.mark.parametrize("write", ["add", "save", "delete", "delete_closed"])
async def test_what_only_reads_refuses_to_write(tmp_path, write):
    path = tmp_path / "service.db"
    await start(path, "a")
    async with opened(path, read_only=True) as reader:
        execution = await reader.load("orders-a")
        arguments = {"delete": ["orders-a"], "delete_closed": [0, 1]}.get(write, [execution, Changes()])
        with pytest.raises(StoreError, match=r"open for reading only\.$"):
            await getattr(reader, write)(*arguments)
        await reader.barrier()
