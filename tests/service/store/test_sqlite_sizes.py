"""What a store costs: bytes on disk, and work that does not grow with what is kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import attrs
import pytest

from durable_async.service import machine
from durable_async.service.machine import ChainedOutcome
from durable_async.service.store import ExecutionQuery
from durable_async.service.store.sqlite import listing, reading, rows, writing
from tests.service.machine.machine_driver import START_MS, invoke, step
from tests.service.store.store_support import World, opened

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "service.db"


async def test_a_result_is_kept_once(path):
    """It is a step's, an event's, the execution's; and again an event's."""
    before = await grown(path, "small")
    assert 0.9 * MIB < await grown(path, "x" * MIB) - before < 1.1 * MIB


async def grown(path, payload):
    """The file's size after an execution with this payload in every place."""
    async with opened(path) as store:
        world = World(store)
        execution = await world.start(f"size-{len(payload)}", payload=payload)
        await world.write(execution, step("SUCCEED", Payload=payload))
        await world.write(execution, invoke("echo", "i", Payload=payload))
        machine.chained_invoke_ended(execution, "i", ChainedOutcome("SUCCEEDED", payload), world.at)
        await world.save(execution)
        await world.close(execution, payload)
    return path.stat().st_size


async def test_an_error_is_kept_once(path):
    before = await grown(path, "small")
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("failing")
        for number in range(10, 42):
            error = {"ErrorType": "OrderError", "ErrorMessage": f"{number}" * 16_000}
            await world.write(execution, step("FAIL", f"s{number}", Error=error))
    assert 0.9 * MIB < path.stat().st_size - before < 1.2 * MIB


async def test_deletions_give_their_space_back(path):
    async with opened(path) as store:
        world = World(store)
        for number in range(6):
            execution = await world.start(f"{number}")
            await world.write(execution, step("SUCCEED", Payload=f"{number}" * MIB))
            await world.close(execution)
        pages = page_count(store)
        assert await store.delete_closed(START_MS + 1, 6) == 6
        first = page_count(store)
        assert pages - first == writing._VACUUMED_PAGES  # and no more at once
        for _ in range(6):
            assert await store.delete_closed(START_MS + 1, 6) == 0
        assert page_count(store) < 50
    assert path.stat().st_size < 50 * 4096


def page_count(store):
    return store._writer._connection.execute("PRAGMA page_count").fetchone()[0]


async def test_a_deletion_leaves_no_row_of_the_execution(path):
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a", tags={"team": "blue"})
        await world.write(execution, step("SUCCEED", Payload="x" * 1000))
        await world.close(execution)
        await store.delete(execution.id)
    with closing(sqlite3.connect(path)) as connection:
        for table in ("executions", "operations", "events", "payloads", "tags"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


# --- plans ---

QUERY = ExecutionQuery("orders")
NAMED = ExecutionQuery("orders", name="a")
UPWARDS = ExecutionQuery("orders", oldest_first=True)
OF_FUNCTION = "USING INDEX executions_of_function (function_name=? AND rowid>? AND rowid<?)"
OF_STATUS = "USING INDEX executions_by_status (function_name=? AND status=? AND rowid>? AND rowid<?)"
OF_NAME = "USING INDEX sqlite_autoindex_executions_2 (function_name=? AND name=?)"
TAGGED = ExecutionQuery(None, tags={"team": "blue", "region": "eu"})
OF_TAG = "SEARCH tag USING PRIMARY KEY (key=? AND value=? AND execution>? AND execution<?)"


def listed(query, **filters):
    return listing.statement(attrs.evolve(query, **filters), (1, 2), 10)[0]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        pytest.param(listed(QUERY), OF_FUNCTION, id="list, newest first"),
        pytest.param(listed(UPWARDS), OF_FUNCTION, id="list, oldest first"),
        pytest.param(listed(QUERY, statuses=frozenset({"FAILED"})), OF_STATUS, id="list of a status"),
        pytest.param(listed(UPWARDS, statuses=frozenset({"FAILED"})), OF_STATUS, id="list of a status, oldest first"),
        pytest.param(listed(NAMED), OF_NAME, id="list of a name"),
        pytest.param(listed(NAMED, statuses=frozenset({"FAILED"})), OF_NAME, id="list of a name and a status"),
        pytest.param(
            listed(ExecutionQuery(None)), "executions USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)", id="list of all"
        ),
        pytest.param(listed(TAGGED), OF_TAG, id="list of tags"),
        pytest.param(
            listed(TAGGED, function_name="orders", statuses=frozenset({"FAILED"})), OF_TAG, id="tags and more"
        ),
        pytest.param(listing._SPAN, "USING COVERING INDEX executions_by_start (era=? AND started_ms", id="time range"),
        pytest.param(reading._OPEN, "USING INDEX executions_by_status (function_name=? AND status=?)", id="open ones"),
        pytest.param(reading._FUNCTION_NAMES, "executions_of_function", id="names of functions"),
        pytest.param(reading._EXECUTION, "(id=?)", id="load"),
        pytest.param(reading._OPERATIONS, "SEARCH operations USING PRIMARY KEY (execution=?)", id="operations"),
        pytest.param(reading._UPWARDS, "SEARCH events USING PRIMARY KEY (execution=? AND id>?)", id="history"),
        pytest.param(reading._DOWNWARDS, "SEARCH events USING PRIMARY KEY (execution=? AND id<?)", id="history back"),
        pytest.param(writing._NAMED, "(function_name=? AND name=?)", id="start"),
        pytest.param(writing.update((0, 1, 2)), "USING INTEGER PRIMARY KEY (rowid=?)", id="save"),
        pytest.param(writing._CLOSED, "executions_by_end (ended_ms<?)", id="closed ones"),
    ],
)
async def test_an_index_serves(path, statement, index):
    async with opened(path) as store:
        plan = explain(store._writer._connection, statement)
    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "SCAN executions\n" not in plan


def explain(connection, statement):
    values = {"era": 0, "after": 0, "before": 0} if ":era" in statement else (1,) * statement.count("?")
    return (
        "\n".join(row[3].replace("TABLE ", "") for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))
        + "\n"
    )


async def test_a_save_leaves_the_indexes_alone(path):
    """Each would be another page to write at every checkpoint."""
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a")
        before = rows.EXECUTIONS.take(execution)
        await world.write(execution, step("SUCCEED"))
        places = writing.changed_places(before, rows.EXECUTIONS.take(execution))
        columns = [column for place in places for column in rows.EXECUTIONS.columns_of[place]]
        assert columns == ["event_count", "invocation_token", "unseen"]
        statement = writing.update(places)
        values = (1,) * statement.count("?")
        plan = [row[1] for row in store._writer._connection.execute(f"EXPLAIN {statement}", values)]
    assert "Insert" in plan
    assert "IdxInsert" not in plan
    assert "IdxDelete" not in plan


async def test_a_write_leaves_out_empty_columns(path):
    """The sqlite3 module takes longer for a None than for the rest of a value's way into the file."""
    statements = []
    async with opened(path) as store:
        store._writer._connection.set_trace_callback(statements.append)
        world = World(store)
        execution = await world.start("a")
        await world.write(execution, step("SUCCEED", Payload="1"))
    inserted = [text for text in map(str.strip, statements) if text.startswith(("INSERT", "REPLACE"))]
    assert {text.split()[2] for text in inserted} == {"executions", "operations", "events"}
    assert not any("NULL" in text for text in inserted)


async def test_what_is_written_is_what_changed(path):
    """A save of an execution with many operations writes as much as one of an execution with few."""
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a")
        few = await journal_of(world, execution, "first")
        for n in range(20):
            await world.write(execution, *(step("SUCCEED", f"s{n}-{m}", Payload="1") for m in range(50)))
        assert await journal_of(world, execution, "last") <= few + 2


async def journal_of(world, execution, operation_id):
    """How many pages a checkpoint writes."""
    connection = world.store._writer._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await world.write(execution, step("SUCCEED", operation_id, Payload=json.dumps(operation_id)))
    return connection.execute("PRAGMA wal_checkpoint").fetchone()[1]


def test_statements_that_are_kept_take_limited_memory():
    """There is one for each set of columns that have a value, and the data decides which have."""
    columns = len(rows.EXECUTIONS.columns)
    for number in range(2000):
        present = tuple(bool(number >> place & 1) for place in range(columns))
        writing._add(present)
        writing._insert("INSERT", rows.EVENTS, present[: len(rows.EVENTS.columns) + 1], 1)
        writing.update(tuple(place for place, there in enumerate(present) if there and place < 10))
    for kept in (writing._add, writing._insert, writing.update):
        assert kept.cache_info().currsize <= 512
