"""One damaged execution is named and set aside, and what is not damaged goes on."""

from __future__ import annotations

import asyncio
import pickle
import re
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path

import pytest

from durable_async import durable_execution
from durable_async.cli.doctor import check_store
from durable_async.embedded import DurableService
from durable_async.service.model.errors import DamagedExecutionError, ResourceNotFoundError
from durable_async.service.store import ExecutionQuery
from durable_async.service.store.sqlite import SqliteStore
from durable_async.service.store.sqlite.files import open_for_reading
from durable_async.service.store.sqlite.reading import damaged_executions

NAMES = [f"n-{number}" for number in range(5)]
LONG = "long " * 1000


async def quick(text: str) -> str:
    return text


@durable_execution
async def waits(text: str, ctx) -> str:
    await ctx.step(quick, text)
    await ctx.wait(timedelta(days=1))
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.db"


@pytest.fixture
async def ids(path: Path) -> dict[str, str]:
    """By name: executions that wait for one moment."""
    async with DurableService(path, max_cached_executions=0) as service:
        service.register(waits)
        handles = {name: await service.start(waits, LONG, name=name) for name in NAMES}
        await service.api.idle()
    return {name: handle.arn.rpartition("/")[2] for name, handle in handles.items()}


def change(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)


@asynccontextmanager
async def opened(path: Path, **options):
    store = SqliteStore(path, **options)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


THIRD = "(SELECT position FROM executions WHERE name = 'n-2')"
ROW = "UPDATE executions SET {} WHERE name = 'n-2'"
OPERATION = f"UPDATE operations SET {{}} WHERE execution = {THIRD} AND sequence = 1"

DAMAGE = {
    "an unknown status": (ROW.format("status = 'LOST'"), "its row cannot be decoded"),
    "a start that is text": (ROW.format("started_ms = 'soon'"), "its row cannot be decoded"),
    "a time that is text": (ROW.format("due_ms = 'soon'"), "its row cannot be decoded"),
    "unseen that is no JSON": (ROW.format("unseen = '[1'"), "its row cannot be decoded"),
    "unseen that is not there": (ROW.format("unseen = '[77]'"), "the order of its operations cannot be decoded"),
    "a text that is no text": (
        ROW.format("invocation_token = CAST(x'ff' AS TEXT)"),
        "its row cannot be read from the file",
    ),
    "an operation of no type": (OPERATION.format("type = 'STROLL'"), "an operation cannot be decoded"),
    "a result that is no text": (OPERATION.format("result = x'ff', result_digest = NULL"), "an operation cannot be"),
    "an attempt that is text": (OPERATION.format("attempts = 'x'"), "an operation cannot be decoded"),
    "a missing operation": (
        f"DELETE FROM operations WHERE execution = {THIRD} AND sequence = 1",
        "the order of its operations cannot be decoded",
    ),
    "missing payloads": (f"DELETE FROM payloads WHERE execution = {THIRD}", "its row cannot be decoded"),
    "a missing last event": (
        f"DELETE FROM events WHERE execution = {THIRD} AND id = (SELECT max(id) FROM events WHERE execution = {THIRD})",
        r"its row counts \d events, and the last one is \d",
    ),
    "missing events": (
        f"DELETE FROM events WHERE execution = {THIRD}",
        r"its row counts \d events, and the last one is 0",
    ),
}
IN_THE_HISTORY = {
    "an event that is no JSON": f"UPDATE events SET details = '{{' WHERE execution = {THIRD} AND id = 2",
    "an event of no type": f"UPDATE events SET type = 'Stroll' WHERE execution = {THIRD} AND id = 2",
    "a gap": f"DELETE FROM events WHERE execution = {THIRD} AND id = 2",
}


@pytest.mark.parametrize(("script", "what"), DAMAGE.values(), ids=DAMAGE.keys())
async def test_a_damaged_execution_is_named_and_the_others_are_read(path, ids, script, what):
    change(path, script)
    async with opened(path) as store:
        for _ in range(2):
            with pytest.raises(DamagedExecutionError, match=what) as refused:
                await store.load(ids["n-2"])
        assert refused.value.execution_id == ids["n-2"]
        assert "Restore a backup" in refused.value.message
        for name in set(NAMES) - {"n-2"}:
            assert (await store.load(ids[name])).name == name
        taken_up = {each.id: each for each in await store.open_executions("waits")}
        assert taken_up.keys() == {*ids.values()}
        assert {type(each.due_ms) for each in taken_up.values()} <= {int, type(None)}
        listed = {each.name for each in await store.executions(ExecutionQuery("waits"))}
        assert {*NAMES} - {"n-2"} <= listed
    (found,) = [finding for finding in check_store(path) if finding.subject == "damaged"]
    assert found.health == "fail"
    assert found.found.startswith("waits/n-2: ")
    assert re.search(what, found.found)


@pytest.mark.parametrize("script", IN_THE_HISTORY.values(), ids=IN_THE_HISTORY.keys())
async def test_a_damaged_history_is_named_when_it_is_read(path, ids, script):
    change(path, script)
    async with opened(path) as store:
        assert (await store.load(ids["n-2"])).name == "n-2"
        with pytest.raises(DamagedExecutionError, match="its history cannot be decoded"):
            await store.events(ids["n-2"], 1, 100, newest_first=False)
        assert len(await store.events(ids["n-1"], 1, 100, newest_first=False)) > 2
    assert [each.found.partition(":")[0] for each in check_store(path) if each.subject == "damaged"] == ["waits/n-2"]


async def test_while_executions_are_checked_what_is_written_reaches_the_file(path, ids):
    """A reader that stays in one transaction would let the service's journal grow for as long as the check takes."""
    copied = []

    def checkpointed_before(statement):
        if statement == "BEGIN":
            writing.execute("UPDATE executions SET crashes = crashes + 1 WHERE name = 'n-0'")
            copied.append(writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())

    with closing(open_for_reading(path)) as reading, closing(sqlite3.connect(path, isolation_level=None)) as writing:
        writing.execute("PRAGMA busy_timeout = 0")
        reading.set_trace_callback(checkpointed_before)
        assert list(damaged_executions(reading)) == []
    assert copied == [(0, 0, 0)] * len(NAMES)


async def test_what_is_deleted_while_executions_are_checked_is_not_damaged(path, ids):
    deletes = ["DELETE FROM executions WHERE name IN ('n-1', 'n-3')"]

    def change_before(statement):
        if statement == "BEGIN" and deletes:
            writing.execute(deletes.pop())

    with closing(open_for_reading(path)) as reading, closing(sqlite3.connect(path, isolation_level=None)) as writing:
        reading.set_trace_callback(change_before)
        assert list(damaged_executions(reading)) == []
    assert not deletes


async def test_an_execution_that_only_an_index_has_is_damaged(path, ids):
    index = "name = 'executions_of_function'"
    change(path, f"CREATE TABLE kept AS SELECT * FROM sqlite_master WHERE {index}")
    change(path, f"PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE {index}")
    change(path, "DELETE FROM executions WHERE name = 'n-2'")
    change(path, "PRAGMA writable_schema = ON; INSERT INTO sqlite_master SELECT * FROM kept")
    change(path, "DROP TABLE kept")
    with closing(open_for_reading(path)) as reading:
        (damaged,) = damaged_executions(reading)
    assert damaged.name == "number 3"


async def test_what_is_well_has_no_such_finding(path, ids):
    assert {finding.health for finding in check_store(path)} == {"ok"}


async def test_the_start_of_a_damaged_execution_names_it_and_others_start(path, ids):
    change(path, ROW.format("unseen = 'x'"))
    async with DurableService(path) as service:
        service.register(waits)
        with pytest.raises(DamagedExecutionError, match=ids["n-2"]):
            await service.start(waits, LONG, name="n-2")
        assert (await service.start(waits, LONG, name="new")).arn


@pytest.mark.parametrize("script", [script for script, _ in DAMAGE.values()], ids=DAMAGE.keys())
async def test_after_a_damaged_execution_was_met_reads_see_what_is_written(path, ids, script):
    change(path, script)
    async with DurableService(path) as service:
        service.register(waits)
        store = service.api._store
        with pytest.raises(DamagedExecutionError) as kept:
            await store.load(ids["n-2"])
        await service.start(waits, LONG, name="new")
        assert {each.name async for each in service.executions(waits)} >= {*NAMES, "new"} - {"n-2"}
        assert sum((await service.api.count_executions())["waits"].values()) >= len(NAMES)
        assert kept.value.execution_id == ids["n-2"]  # the error exists all the time, as in a log or a debugger


@pytest.mark.parametrize("script", [script for script, _ in DAMAGE.values()], ids=DAMAGE.keys())
async def test_a_damaged_execution_can_be_deleted_and_its_name_used_again(path, ids, script):
    async with DurableService(path) as service:
        service.register(waits)
        arns = {each.name: each.arn async for each in service.executions(waits)}
    change(path, script)
    async with DurableService(path) as service:
        service.register(waits)
        await service.execution(arns["n-2"]).delete()
        with pytest.raises(ResourceNotFoundError):
            await service.execution(arns["n-2"]).status()
        again = await service.start(waits, LONG, name="n-2")
        assert again.arn != arns["n-2"]
        await service.api.idle()
    assert {finding.health for finding in check_store(path)} == {"ok"}


# --- damaged pages ---


def blot(path: Path, table: str, which: str) -> None:
    """Overwrite the page of ``table`` that holds the row ``which``, as a bad sector does."""
    change(path, "PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        pages = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(path.read_bytes())
    marks = [number for number in range(len(content) // size) if which.encode() in content[number * size :][:size]]
    leaves = [number for number in marks if content[number * size] in {0x0D, 0x0A} and number + 1 not in pages]
    assert leaves
    for number in leaves[:1]:
        content[number * size : (number + 1) * size] = b"\xa5" * size
    path.write_bytes(content)


async def test_what_does_not_lie_on_a_damaged_page_goes_on(path):
    """Executions with large rows, so that few share a page of the table."""
    function = "arn:" + "f" * 1500
    async with DurableService(path, max_cached_executions=0) as service:
        service.register(waits)
        arns = [(await service.start(waits, "x", name=f"n-{number}")).arn for number in range(30)]
        await service.api.idle()
    change(path, f"UPDATE executions SET function_arn = '{function}'; VACUUM;")
    blot(path, "executions", arns[11])
    async with opened(path) as store:
        assert len(await store.open_executions("waits")) == 30
        readable, damaged = [], []
        for arn in arns:
            try:
                readable.append((await store.load(arn.rpartition("/")[2])).arn)
            except DamagedExecutionError:
                damaged.append(arn)
        assert arns[11] in damaged
        assert len(damaged) <= 3
        listed = await store.executions(ExecutionQuery("waits"))
        assert {summary.arn for summary in listed} == {*readable}
    async with DurableService(path, grace=timedelta()) as service:
        service.register(waits)
        await service.start(waits, "x", name="new")
    named = [finding.found for finding in check_store(path) if finding.subject == "damaged"]
    assert len(named) == len(damaged)
    assert any(arns[11].rpartition("/")[2] in each for each in named)


async def test_a_write_to_a_damaged_place_takes_no_other_with_it(path, ids):
    async with opened(path, durability="normal") as store:
        executions = [await store.load(each) for each in ids.values()]

        def breaks(_):
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT"
            raise error

        saves = [store.save(each, each.take_changes()) for each in executions[:2]]
        broken = store._writer.put(breaks)
        saves += [store.save(each, each.take_changes()) for each in executions[2:]]
        outcomes = await asyncio.gather(*saves, broken, return_exceptions=True)
        assert outcomes[:-1] == [None] * 5
        assert "is damaged" in str(outcomes[-1])


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(DamagedExecutionError("The execution e is damaged.", "e")))
    assert (error.message, error.execution_id, error.status) == ("The execution e is damaged.", "e", 503)
