"""What every store does."""

from __future__ import annotations

import asyncio
from collections import Counter

import attrs
import pytest

from durable_async.service import machine
from durable_async.service.machine import Changes
from durable_async.service.model.errors import ExecutionDeletedError, StoreError
from durable_async.service.store import Count, ExecutionQuery, OpenExecution
from tests.service.machine.machine_driver import START_MS, step, wait
from tests.service.store.store_support import World, opened_by_name

DAY_MS = 86_400_000


@pytest.fixture(params=["memory", "sqlite"])
async def world(request, tmp_path):
    async with opened_by_name(request.param, tmp_path / "service.db") as store:
        yield World(store)


async def names(world, **query):
    found = await world.store.executions(ExecutionQuery("orders", **query))
    return [summary.name for summary in found]


async def ids(world, execution_id, first, count, *, newest_first=False):
    return [event.id for event in await world.store.events(execution_id, first, count, newest_first=newest_first)]


# --- one execution ---


async def test_an_execution_is_one_object(world):
    execution = await world.start("a")
    assert await world.store.load("orders-a") is execution
    found = await asyncio.gather(*(world.store.load("orders-a") for _ in range(3)))
    assert all(each is execution for each in found)


async def test_who_is_not_there_is_not_found(world):
    assert await world.store.load("nobody") is None
    assert await ids(world, "nobody", 1, 10) == []
    await world.store.delete("nobody")


async def test_a_taken_name_gives_the_one_that_has_it(world):
    first = await world.start("a", payload="1")
    second = world.new("a", payload="2")
    second.id = "orders-second"
    assert await world.store.add(second, second.take_changes()) is first
    assert await world.store.load("orders-second") is None
    assert await names(world) == ["a"]


async def test_a_taken_id_gives_the_one_that_has_it(world):
    """Also under another name: two objects for one identity would write over each other."""
    first = await world.start("a", payload="1")
    await world.write(first, step("SUCCEED", Payload="1"))
    events = first.event_count
    for name in "ab":
        second = world.new(name, payload="2")
        second.id = first.id
        assert await world.store.add(second, second.take_changes()) is first
        with pytest.raises(StoreError, match="Repeat the call"):
            await world.store.save(second, Changes())
        assert await world.store.load(first.id) is first
    await world.write(first, step("SUCCEED", "t", Payload="1"))
    assert await ids(world, first.id, 1, 100) == [*range(1, first.event_count + 1)]
    assert first.event_count > events


async def test_of_two_that_are_added_under_one_id_at_once_one_is_kept(world):
    first, second = world.new("a"), world.new("b")
    second.id = first.id
    adding = [asyncio.ensure_future(world.store.add(each, each.take_changes())) for each in (first, second)]
    loading = asyncio.ensure_future(world.store.load(first.id))
    assert await asyncio.gather(*adding) == [None, first]
    assert await loading is first


async def test_functions_may_have_executions_of_the_same_name(world):
    await world.start("a")
    await world.start("a", function="refunds")
    assert sorted(await world.store.function_names()) == ["orders", "refunds"]


async def test_of_two_that_start_under_one_name_at_once_one_does(world):
    first, second = world.new("a"), world.new("a")
    second.id = "orders-second"
    added = await asyncio.gather(*(world.store.add(each, each.take_changes()) for each in (first, second)))
    assert added == [None, first]


async def test_what_is_kept_is_what_was_when_the_write_was_called(world):
    execution = await world.start("a")
    writes = [world.write(execution, step("SUCCEED", f"s{n}", Payload=str(n))) for n in range(3)]
    events = execution.event_count
    await asyncio.gather(*writes)
    assert await ids(world, execution.id, 1, 100) == [*range(1, events + 1)]
    await world.store.save(execution, Changes())
    assert await ids(world, execution.id, 1, 100) == [*range(1, events + 1)]


async def test_a_write_whose_waiter_leaves_takes_effect(world):
    execution = await world.start("a")
    waiter = world.write(execution, step("SUCCEED", Payload="1"))
    waiter.cancel()
    await world.store.barrier()
    assert len(await ids(world, execution.id, 1, 100)) == execution.event_count > 1


async def test_each_write_is_reported_before_its_caller_continues(world):
    execution, reports = world.new("a"), []
    assert await world.store.add(execution, execution.take_changes(), reports.append) is None
    assert reports == [True]
    await world.store.save(execution, Changes(), reports.append)
    assert reports == [True, True]
    second = world.new("a")
    second.id = "orders-second"
    assert await world.store.add(second, second.take_changes(), reports.append) is execution
    assert reports == [True, True, False]


async def test_a_write_is_reported_although_its_caller_is_cancelled(world):
    execution, reports = await world.start("a"), []
    asyncio.ensure_future(world.store.save(execution, Changes(), reports.append)).cancel()
    await world.store.barrier()
    assert reports == [True]


async def test_a_barrier_waits_for_all_that_was_written(world):
    await world.store.barrier()
    execution = await world.start("a")
    for n in range(5):
        world.write(execution, step("SUCCEED", f"s{n}", Payload="1"))
    await world.store.barrier()
    assert len(await ids(world, execution.id, 1, 100)) == execution.event_count


# --- histories ---


@pytest.mark.parametrize(
    ("first", "count", "newest_first", "expected"),
    [
        pytest.param(1, 3, False, [1, 2, 3], id="upwards"),
        pytest.param(5, 10, False, [5, 6, 7], id="to the end"),
        pytest.param(8, 10, False, [], id="beyond it"),
        pytest.param(7, 3, True, [7, 6, 5], id="downwards"),
        pytest.param(2, 10, True, [2, 1], id="to the beginning"),
        pytest.param(9, 3, True, [7, 6, 5], id="from beyond the end"),
    ],
)
async def test_a_history_is_read_in_pages(world, first, count, newest_first, expected):
    execution = await world.start("a")
    for n in range(6):
        await world.write(execution, wait(operation_id=f"w{n}"))
    assert execution.event_count == 7
    assert await ids(world, execution.id, first, count, newest_first=newest_first) == expected


# --- lists ---


async def five(world):
    """a to e, ten seconds apart; b and d are closed."""
    for name in "abcde":
        execution = await world.start(name)
        if name in "bd":
            await world.close(execution)
        world.now_ms += 10_000
    await world.start("other", function="refunds")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({}, "edcba", id="newest first"),
        pytest.param({"oldest_first": True}, "abcde", id="oldest first"),
        pytest.param({"count": 2}, "ed", id="a page"),
        pytest.param({"after": 3}, "ba", id="the next page"),
        pytest.param({"after": 3, "oldest_first": True, "count": 1}, "d", id="the next page upwards"),
        pytest.param({"after": 1}, "", id="after the last"),
        pytest.param({"statuses": frozenset({"SUCCEEDED"})}, "db", id="of a status"),
        pytest.param({"statuses": frozenset({"SUCCEEDED", "RUNNING"}), "count": 3}, "edc", id="of two statuses"),
        pytest.param({"statuses": frozenset({"SUCCEEDED", "RUNNING"}), "oldest_first": True}, "abcde", id="upwards"),
        pytest.param({"statuses": frozenset({"FAILED"})}, "", id="of a status that none has"),
        pytest.param({"name": "c"}, "c", id="of a name"),
        pytest.param({"name": "c", "statuses": frozenset({"SUCCEEDED"})}, "", id="of a name and a status"),
        pytest.param({"started_after_ms": START_MS + 20_000}, "edc", id="from an instant on"),
        pytest.param({"started_after_ms": START_MS + 20_001}, "ed", id="from just after it on"),
        pytest.param({"started_before_ms": START_MS + 20_000}, "cba", id="until an instant"),
        pytest.param({"started_before_ms": START_MS + 19_999}, "ba", id="until just before it"),
        pytest.param(
            {"started_after_ms": START_MS + 5000, "started_before_ms": START_MS + 35_000, "oldest_first": True},
            "bcd",
            id="between two",
        ),
        pytest.param({"started_after_ms": START_MS + 5000, "after": 4, "count": 1}, "c", id="the next page of those"),
        pytest.param({"started_after_ms": START_MS + 10_000_000}, "", id="from the future"),
        pytest.param({"started_before_ms": 0}, "", id="until the epoch"),
    ],
)
async def test_a_list(world, query, expected):
    await five(world)
    assert "".join(await names(world, **query)) == expected


async def test_a_summary_says_what_a_list_shows(world):
    execution = await world.start("a")
    world.now_ms += 500
    await world.close(execution)
    (summary,) = await world.store.executions(ExecutionQuery("orders"))
    assert (summary.arn, summary.name, summary.function_arn) == (execution.arn, "a", execution.function_arn)
    assert (summary.status, summary.started_ms, summary.ended_ms) == ("SUCCEEDED", START_MS, START_MS + 500)


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_clock_that_was_put_back_confuses_no_list(world, oldest_first):
    starts = [5, 7, 7, 2, 3, 9, 1, 8]
    for number, start in enumerate(starts):
        world.now_ms = START_MS + start
        await world.start(f"{number}")
    positions = sorted(range(len(starts)), reverse=not oldest_first)
    for low in range(11):
        for high in range(11):
            found = await names(
                world,
                started_after_ms=START_MS + low,
                started_before_ms=START_MS + high,
                oldest_first=oldest_first,
            )
            assert found == [str(number) for number in positions if low <= starts[number] <= high]


FOUND = [
    ({}, "abcdef"),
    ({"function_name": "orders"}, "abcd"),
    ({"name": "a"}, "a"),
    ({"name_prefix": "order-"}, "abde"),
    ({"name_prefix": "order-", "function_name": "orders"}, "abd"),
    ({"name_prefix": "order-", "statuses": frozenset({"SUCCEEDED"})}, "be"),
    ({"statuses": frozenset({"SUCCEEDED"})}, "be"),
    ({"statuses": frozenset({"SUCCEEDED", "RUNNING"})}, "abcdef"),
    ({"tags": {"team": "blue"}}, "abe"),
    ({"tags": {"team": "blue", "region": "eu"}}, "be"),
    ({"tags": {"team": "blue"}, "function_name": "orders"}, "ab"),
    ({"tags": {"team": "blue"}, "statuses": frozenset({"RUNNING"})}, "a"),
    ({"tags": {"team": "blue"}, "name_prefix": "order-b"}, "b"),
    ({"tags": {"team": "red"}}, ""),
    ({"tags": {"region": "blue"}}, ""),
    ({"started_after_ms": START_MS + 2, "started_before_ms": START_MS + 4}, "cde"),
    ({"started_after_ms": START_MS + 2, "tags": {"team": "blue"}}, "e"),
    ({"function_name": "nothing"}, ""),
]


async def some_executions(world):
    """The letter of each is at the end of its name, and the time of its start is the place of the letter."""
    blue = {"team": "blue"}
    started = (
        ("orders", "order-a", blue),
        ("orders", "order-b", {**blue, "region": "eu"}),
        ("orders", "c", {"team": "green"}),
        ("orders", "order-d", None),
        ("refunds", "order-e", {**blue, "region": "eu"}),
        ("refunds", "f", {"region": "eu"}),
    )
    for function, name, tags in started:
        execution = await world.start(name, function=function, tags=tags)
        if name in ("order-b", "order-e"):
            await world.close(execution)
        world.now_ms += 1


@pytest.mark.parametrize(("query", "letters"), FOUND)
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_a_list_and_its_counts_have_what_the_filters_say(world, query, letters, oldest_first):
    await some_executions(world)
    given = {"function_name": None} | query
    if "name" in given:
        given["name"] = "order-a"
    query = ExecutionQuery(**given, oldest_first=oldest_first)
    found = await world.store.executions(query)
    expected = letters if oldest_first else letters[::-1]
    assert "".join(each.name[-1] for each in found) == expected
    paged, after = [], None
    while page := await world.store.executions(attrs.evolve(query, after=after, count=2)):
        paged += page
        after = page[-1].position
    assert paged == [*found]
    counted = await world.store.counts(attrs.evolve(query, after=after, count=1))
    functions = Counter((each.function_arn.split(":")[-2], each.status) for each in found)
    assert [Count(*place, number) for place, number in sorted(functions.items())] == counted


async def test_an_execution_has_the_tags_that_it_was_started_with(world):
    tags = {"team": "blau, ä", "empty": ""}
    await world.start("a", tags=tags)
    (summary,) = await world.store.executions(ExecutionQuery("orders", tags={"empty": ""}))
    assert summary.tags == tags
    assert (await world.store.load("orders-a")).tags == tags


async def test_a_list_of_nothing(world):
    assert await names(world) == []
    assert await names(world, started_after_ms=0) == []
    assert await world.store.function_names() == []
    assert await world.store.open_executions("orders") == []


# --- what a service that starts asks for ---


async def test_open_executions_say_when_they_have_something_to_do(world):
    await world.close(await world.start("closed"))
    running = await world.start("running")
    running.crashes, running.invocation.waiting = 3, True
    await world.save(running)
    waiting = await world.start("waiting")
    await world.write(waiting, wait(2))
    machine.invocation_answered(waiting, waiting.invocation.request_id, {"Status": "PENDING"}, world.at)
    await world.save(waiting)
    paused = await world.start("paused")
    machine.pause(paused, None, world.at, timeout_paused=True)
    await world.save(paused)
    await world.start("other", function="refunds")
    found = {each.id: each for each in await world.store.open_executions("orders")}
    assert found == {
        each.id: OpenExecution(each.id, each.next_due_ms(), each is not waiting, request_id, waits, crashes, "$LATEST")
        for each, request_id, waits, crashes in (
            (running, running.invocation.request_id, True, 3),
            (waiting, None, False, 0),
            (paused, paused.invocation.request_id, False, 0),
        )
    }
    assert found[waiting.id].due_ms == START_MS + 2000


# --- deletions ---


async def test_what_is_deleted_is_gone_and_its_name_is_free(world):
    execution = await world.start("a", payload="1")
    await world.close(execution)
    await world.store.delete(execution.id)
    assert await world.store.load(execution.id) is None
    assert await ids(world, execution.id, 1, 10) == []
    assert await names(world) == []
    again = await world.start("a", payload="2")
    assert await world.store.load(again.id) is again


async def test_saving_what_was_deleted_is_refused_and_stores_nothing(world):
    execution = await world.start("a")
    await world.close(execution)
    await world.store.delete(execution.id)
    with pytest.raises(ExecutionDeletedError, match="not found"):
        await world.store.save(execution, Changes())
    assert await world.store.load(execution.id) is None


async def test_closed_executions_are_deleted_after_a_time_in_portions(world):
    for number in range(5):
        await world.close(await world.start(f"{number}"))
        world.now_ms += DAY_MS
    await world.start("open")
    before = START_MS + 3 * DAY_MS
    assert await world.store.delete_closed(before, 2) == 2
    assert await names(world, oldest_first=True) == ["2", "3", "4", "open"]
    assert await world.store.delete_closed(before, 2) == 1
    assert await world.store.delete_closed(before, 2) == 0
    assert await names(world, oldest_first=True) == ["3", "4", "open"]
