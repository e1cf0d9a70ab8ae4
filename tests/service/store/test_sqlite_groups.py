"""One commit for many writes, and what becomes of them when it fails."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter

import pytest

from durable_async.service.machine import Changes
from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite import CommitLimits
from tests.service.machine.machine_driver import step
from tests.service.store.store_support import Gate, World, opened, view

KIB_64 = "x" * 65_536


@pytest.fixture
async def store(tmp_path, request):
    """:param request: the store's options, by name"""
    async with opened(tmp_path / "service.db", **getattr(request, "param", {})) as store:
        yield store


def limited(**limits):
    """Give the test a store with these limits of a transaction."""
    return pytest.mark.parametrize("store", [{"commit_limits": CommitLimits(**limits)}], indirect=True, ids=[""])


@pytest.fixture
def world(store):
    return World(store)


def commits(store):
    """What is appended to it: one line for each transaction that changes something."""
    seen = []
    store._writer._connection.set_trace_callback(lambda statement: statement == "COMMIT" and seen.append(statement))
    return seen


def record(execution):
    return {operation.id: str(operation.status) for operation in execution.operations[1:]}


async def fill(store):
    """Leave no room for another page, as a full disk does; what is returned makes some again."""
    connection = store._writer._connection

    def limit(pages):
        return connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0]

    await store._writer.put(lambda _: limit(1))  # it cannot be less than there are
    return lambda: store._writer.put(lambda _: limit(1_000_000))


# --- groups ---


async def test_a_report_that_raises_does_not_keep_other_writes_from_their_callers(world, store, caplog):
    def raising(stored):
        raise LookupError(stored)

    executions = [world.new(name) for name in "abc"]
    reports = [raising, None, raising]
    adding = [store.add(each, each.take_changes(), report) for each, report in zip(executions, reports, strict=True)]
    assert await asyncio.gather(*adding) == [None, None, None]
    assert caplog.text.count("LookupError: True") == 2


async def test_writes_that_wait_share_a_commit(store, world):
    executions = [await world.start(f"{n}") for n in range(50)]
    seen = commits(store)
    await asyncio.gather(*(world.write(each, step("SUCCEED", Payload="1")) for each in executions))
    assert len(seen) <= 2


@limited(writes=10)
async def test_a_group_has_a_bounded_number_of_writes(store, world):
    execution = await world.start("a")
    gate, seen = Gate(store), commits(store)
    writes = [world.write(execution, step("SUCCEED", f"s{n}", Payload="1")) for n in range(25)]
    await gate.open()
    await asyncio.gather(*writes)
    assert len(seen) == 1 + 3


@limited(bytes=150_000)
async def test_a_group_has_a_bounded_number_of_bytes(store, world):
    execution = await world.start("a")
    gate, seen = Gate(store), commits(store)
    writes = [world.write(execution, step("SUCCEED", f"s{n}", Payload=KIB_64)) for n in range(6)]
    await gate.open()
    await asyncio.gather(*writes)
    assert len(seen) == 1 + 3


@limited(bytes=10)
async def test_a_write_that_is_larger_than_a_group_is_a_group_by_itself(store, world):
    execution = await world.start("a")
    await world.write(execution, step("SUCCEED", "large", Payload=KIB_64))
    assert record(await store.load(execution.id)) == {"large": "SUCCEEDED"}


async def test_a_few_writes_of_a_group_are_settled_in_each_turn_of_the_loop(tmp_path):
    now, told = 0, []
    async with opened(tmp_path / "service.db") as store:
        gate = Gate(store)
        for number in range(100):
            store._writer.put(lambda _: None, settled=lambda _, number=number: told.append((now, number)))
        await gate.open()
        while not told:
            await asyncio.sleep(0)
        store._writer.put(lambda _: None, settled=lambda _: told.append((now, "last")))
        closing = asyncio.ensure_future(store.aclose())
        while not closing.done():
            now += 1
            await asyncio.sleep(0)
    assert [number for _, number in told] == [*range(100), "last"]
    assert max(Counter(turn for turn, _ in told).values()) == 16


async def test_waiters_are_told_in_the_order_of_their_writes(store, world):
    execution = await world.start("a")
    told = []
    writes = [world.write(execution, step("SUCCEED", f"s{n}", Payload="1")) for n in range(20)]
    for number, write in enumerate(writes):
        write.add_done_callback(lambda _, number=number: told.append(number))
    await asyncio.gather(*writes)
    assert told == [*range(20)]


# --- the medium fails ---


async def test_a_full_disk_fails_the_group_and_nothing_else(store, world):
    a, b = await world.start("a"), await world.start("b")
    bystander = await world.start("bystander")
    kept = view(a)
    make_room = await fill(store)
    gate = Gate(store)
    writes = [world.write(each, step("SUCCEED", "s", Payload=KIB_64)) for each in (a, b)]
    await gate.open()
    refused = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(each) for each in refused] == [StoreError, StoreError]
    assert "The disk that holds" in str(refused[0])
    assert "xxx" not in str(refused[0])
    again = await store.load(a.id)
    assert again is not a
    assert view(again) == kept
    assert await store.load(bystander.id) is bystander
    with pytest.raises(StoreError, match="An earlier write"):
        await store.save(a, Changes())

    await make_room()
    with pytest.raises(StoreError, match="An earlier write"):
        await store.save(a, Changes())
    await world.write(again, step("SUCCEED", "s", Payload=KIB_64))
    await world.write(await store.load(b.id), step("SUCCEED", "s", Payload=KIB_64))
    assert record(await store.load(a.id)) == {"s": "SUCCEEDED"}


@limited(writes=1)
async def test_a_write_that_waits_fails_with_the_one_before_it(store, world):
    """It presupposes what was lost, even if the disk has room again when its turn comes."""
    execution = await world.start("a")
    make_room = await fill(store)
    gate = Gate(store)
    first = world.write(execution, step("SUCCEED", "s1", Payload=KIB_64))
    roomy = make_room()
    second = world.write(execution, step("SUCCEED", "s2", Payload="1"))
    await gate.open()
    with pytest.raises(StoreError, match="full"):
        await first
    await roomy
    with pytest.raises(StoreError, match="An earlier write"):
        await second
    assert record(await store.load(execution.id)) == {}


@limited(writes=1)
async def test_a_write_keeps_what_was_when_it_was_called(store, world):
    execution = await world.start("a")
    gate = Gate(store)
    first = world.write(execution, step("START"))
    kept = view(execution)
    filling = asyncio.ensure_future(fill(store))
    await asyncio.sleep(0)
    second = world.write(execution, step("SUCCEED", Payload=KIB_64))
    await gate.open()
    await first
    await filling
    with pytest.raises(StoreError):
        await second
    assert view(await store.load(execution.id)) == kept


async def test_a_start_that_failed_left_nothing_and_can_be_repeated(store, world):
    make_room = await fill(store)
    with pytest.raises(StoreError, match="full"):
        await world.start("a", payload=KIB_64)
    assert await store.load("orders-a") is None
    await make_room()
    await world.start("a", payload=KIB_64)


async def test_a_barrier_returns_when_what_was_written_has_failed(store, world):
    execution = await world.start("a")
    await fill(store)
    write = world.write(execution, step("SUCCEED", Payload=KIB_64))
    await store.barrier()
    with pytest.raises(StoreError):
        await write


async def test_a_failed_deletion_deletes_nothing(store, world):
    execution = await world.start("a")
    await world.close(execution)
    gate = Gate(store)
    deletion = asyncio.ensure_future(store.delete(execution.id))
    damaging = asyncio.ensure_future(store._writer.put(fails_on_the_medium))
    await asyncio.sleep(0)
    await gate.open()
    for each in (deletion, damaging):
        with pytest.raises(StoreError):
            await each
    assert await store.load(execution.id) is execution


def fails_on_the_medium(connection):
    connection.execute("SELECT * FROM no_such_table")


async def test_a_file_that_another_process_locks_is_waited_for_and_then_refused(store, world, tmp_path):
    execution = await world.start("a")
    store._writer._connection.execute("PRAGMA busy_timeout = 1")
    shell = sqlite3.connect(tmp_path / "service.db", isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await world.write(execution, step("SUCCEED", Payload="1"))
    shell.close()
    await world.write(await store.load(execution.id), step("SUCCEED", Payload="1"))


# --- one write cannot be kept ---


async def test_a_write_that_cannot_be_kept_takes_no_other_with_it(store, world):
    good, bad = await world.start("good"), await world.start("bad")
    gate = Gate(store)
    writes = [world.write(good, step("SUCCEED", "s1", Payload="1"))]
    bad.failures = 2**63  # more than SQLite's integers hold
    writes.append(world.write(bad, step("SUCCEED", "s1", Payload="secret")))
    bad.failures = 0
    writes.append(world.write(bad, step("SUCCEED", "s2", Payload="secret")))
    writes.append(world.write(good, step("SUCCEED", "s2", Payload="1")))
    await gate.open()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(each) for each in outcomes] == [type(None), StoreError, StoreError, type(None)]
    assert "OverflowError" in str(outcomes[1])
    assert "secret" not in str(outcomes[1])
    assert await store.load(good.id) is good
    assert record(await store.load(bad.id)) == {}


async def test_an_event_is_not_kept_twice(store, world):
    execution = await world.start("a")
    events = await store.events(execution.id, 1, 10, newest_first=False)
    with pytest.raises(StoreError, match="IntegrityError"):
        await store.save(execution, Changes(events=[*events]))


async def test_an_error_of_the_store_itself_reaches_whoever_waits(store, world):
    execution = await world.start("a")

    def broken(_):
        raise ZeroDivisionError

    gate = Gate(store)
    write, other = store._writer.put(broken), world.write(execution, step("SUCCEED", Payload="1"))
    await gate.open()
    for each in (write, other):
        with pytest.raises(ZeroDivisionError):
            await each
    assert record(await store.load(execution.id)) == {}
    await world.write(await store.load(execution.id), step("SUCCEED", Payload="1"))
