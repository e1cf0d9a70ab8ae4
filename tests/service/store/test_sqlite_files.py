"""Which files are opened, and what the others are called."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from durable_async.service.machine.derive import derive
from durable_async.service.model.errors import DamagedExecutionError, StoreError
from durable_async.service.store import ExecutionQuery
from durable_async.service.store.sqlite import schema
from durable_async.service.store.sqlite.files import open_for_reading, open_for_writing
from durable_async.service.store.sqlite.lock import holder
from tests.service.machine.machine_driver import step
from tests.service.store.store_support import World, opened

DUMP = Path(__file__).parent / "version_1.sql"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "service.db"


async def filled(path):
    """A store of some pages, closed."""
    async with opened(path) as store:
        world = World(store)
        execution = await world.start("a")
        for n in range(20):
            await world.write(execution, step("SUCCEED", f"s{n}", Payload="x" * 5000))


def pragma(path, name):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def refused(path, sentence, **options):
    """It is not opened, and stays as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=sentence):
        async with opened(path, **options):
            pass
    assert before == (path.read_bytes() if path.is_file() else None)


# --- new files ---


async def test_a_new_file_has_what_cannot_be_given_later(path):
    async with opened(path):
        pass
    assert pragma(path, "application_id") == schema.APPLICATION_ID
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)
    assert pragma(path, "auto_vacuum") == 2
    assert pragma(path, "journal_mode") == "wal"


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
async def test_durability_is_how_often_the_disk_is_asked(path, durability, level):
    async with opened(path, durability=durability) as store:
        connection = store._writer._connection
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == level


async def test_nothing_is_left_but_the_file_and_the_lock(path):
    await filled(path)
    assert sorted(each.name for each in path.parent.iterdir()) == ["service.db", "service.db-lock"]


async def test_an_empty_file_becomes_a_store(path):
    path.touch()
    await filled(path)


async def test_a_path_is_taken_as_it_is(tmp_path):
    strange = tmp_path / "a%20b?mode=ro#c.db"
    await filled(strange)
    assert strange.exists()


async def test_a_link_and_its_target_are_one_store(path, tmp_path):
    await filled(path)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with opened(path):
        await refused(link, "in use by process")


# --- files that are no stores ---


async def test_garbage_is_refused(path):
    path.write_bytes(b"these are no pages" * 1000)
    await refused(path, "not an SQLite file")
    await refused(path, "not an SQLite file", read_only=True)


@pytest.mark.parametrize("size", [2, 60, 1000, 4096, 10_000])
async def test_a_truncated_file_is_refused(path, size):
    await filled(path)
    path.write_bytes(path.read_bytes()[:size])
    await refused(path, "damaged")
    await refused(path, "damaged", read_only=True)


async def test_an_emptied_file_with_a_journal_is_refused(path):
    async with opened(path) as store:
        await World(store).start("a")
        journal = path.with_name("service.db-wal").read_bytes()
    path.write_bytes(b"")
    path.with_name("service.db-wal").write_bytes(journal)
    await refused(path, "its journal service.db-wal is not")
    assert path.with_name("service.db-wal").read_bytes() == journal


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("CREATE TABLE notes (text)", id="with tables"),
        pytest.param("PRAGMA user_version = 7", id="with a version"),
        pytest.param("PRAGMA application_id = 7", id="with an application"),
    ],
)
async def test_a_file_of_another_application_is_refused(path, script):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(script)
    await refused(path, "another application")
    await refused(path, "another application", read_only=True)


async def test_a_later_version_is_refused(path):
    await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    await refused(path, "has version 999, and this release")
    await refused(path, "has version 999, and this release", read_only=True)


async def test_a_directory_is_refused(path):
    path.mkdir()
    await refused(path, "cannot be opened")


async def test_a_missing_directory_is_named(tmp_path):
    await refused(tmp_path / "no" / "service.db", "The directory .*no does not exist. Create it")


async def test_a_missing_file_is_not_made_by_a_reader(path):
    await refused(path, "does not exist", read_only=True)
    assert not path.exists()


# --- permissions: in a process of nobody's, since root may do everything ---

PROGRAM = """
import anyio._backends._asyncio, asyncio, os, sys, urllib.parse  # what is needed later may be out of its reach
from durable_async.service.store.sqlite import SqliteStore
from durable_async.service.model.errors import StoreError

async def main():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    store = SqliteStore(sys.argv[1], read_only=sys.argv[2] == "read")
    try:
        await store.open()
    except StoreError as error:
        print(error)
    else:
        print(await store.function_names())
        await store.aclose()

asyncio.run(main())
"""


def as_nobody(path, what):
    command = [sys.executable, "-c", PROGRAM, path, what]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@pytest.fixture
def foreign():
    """A store in a directory that nobody may write to, and whose parents everyone may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory / "service.db"
        directory.chmod(0o755)


async def test_a_directory_that_must_not_be_written_is_refused(foreign):
    await filled(foreign)
    foreign.with_name("service.db-lock").unlink()
    foreign.parent.chmod(0o555)
    assert "service.db-lock cannot be opened. Check" in as_nobody(foreign, "write")


async def test_a_file_that_must_not_be_written_is_refused(foreign):
    await filled(foreign)
    foreign.chmod(0o444)
    foreign.with_name("service.db-lock").chmod(0o666)
    foreign.parent.chmod(0o777)
    assert "service.db cannot be written. Check" in as_nobody(foreign, "write")


async def test_a_file_that_must_not_be_read_is_refused(foreign):
    await filled(foreign)
    foreign.chmod(0o000)
    foreign.parent.chmod(0o777)
    assert "service.db cannot be opened. Check" in as_nobody(foreign, "read")


async def test_a_directory_that_must_not_be_written_can_be_read(foreign):
    await filled(foreign)
    foreign.chmod(0o644)
    foreign.parent.chmod(0o555)
    assert as_nobody(foreign, "read") == "['orders']"


# --- one writes ---

HOLDER = """
import asyncio, sys
from durable_async.service.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await store.aclose()

asyncio.run(main())
"""


@pytest.fixture
def other_process(path):
    """Another process that has the store."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


async def test_a_second_process_is_refused_and_told_who_has_it(path, other_process):
    await refused(path, f"in use by process {other_process.pid}, and only one")
    assert holder(path) == other_process.pid


async def test_a_reader_is_told_who_may_write(path, other_process):
    async with opened(path, read_only=True) as reader:
        with pytest.raises(StoreError, match=f"reading only. Process {other_process.pid} has it open for writing"):
            await reader.delete("x")


async def test_the_lock_ends_with_its_process(path, other_process):
    other_process.kill()
    other_process.wait()
    assert holder(path) is None
    await filled(path)


async def test_the_lock_ends_with_its_store(path, other_process):
    other_process.communicate("\n")
    await filled(path)


async def test_a_second_store_of_the_same_process_is_refused(path):
    async with opened(path):
        await refused(path, f"in use by process {os.getpid()}")
        await refused(path, f"in use by process {os.getpid()}")  # the first refusal has not freed it
    async with opened(path):
        pass


async def test_a_store_that_was_refused_leaves_no_lock(path):
    path.write_bytes(b"these are no pages" * 1000)
    await refused(path, "not an SQLite file")
    path.unlink()
    await filled(path)


@contextmanager
def descriptors_left(count):
    """Open files until this process may open only ``count`` more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(count):
            os.close(taken.pop())
        yield
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_process_that_has_too_many_files_open_is_told_so_and_keeps_none(path):
    async with opened(path):
        pass
    refusals = 0
    for count in range(1, 12):
        with descriptors_left(count):
            try:
                async with opened(path):
                    pass
            except StoreError as error:
                assert "ulimit -n" in error.message  # noqa: PT017 - or it opens
                refusals += 1
        async with opened(path):
            pass
    assert refusals > 5


async def test_others_read_while_one_writes(path, other_process):
    async with opened(path, read_only=True) as first, opened(path, read_only=True) as second:
        assert await first.function_names() == await second.function_names() == []


# --- versions ---

STEP_3 = "CREATE TABLE notes (text TEXT); ALTER TABLE executions ADD COLUMN color TEXT DEFAULT 'blue'"


async def test_a_file_of_version_1_is_brought_up_to_date(path, caplog):
    """The file is one that the release with version 1 wrote."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
    await refused_as_old(path)
    async with opened(path) as store:
        versions = f"from version 1 to {len(schema.MIGRATIONS)}"
        assert caplog.messages == [f"Converting {path} {versions}. Earlier releases cannot open it afterwards."]
        assert await store.function_names() == ["orders"]
        (listed,) = await store.executions(ExecutionQuery("orders"))
        execution = await store.load(listed.arn.rpartition("/")[2])
        assert [operation.id for operation in execution.operations[1:]] == ["s", "f", "x", "c", "i", "w"]
        assert execution.by_id["s"].result == "result " * 100
        assert execution.by_id["f"].error == {"ErrorType": "OrderError", "ErrorMessage": "no such order"}
        assert execution.status == "PAUSING"
        events = await store.events(execution.id, 1, 100, newest_first=False)
        assert len(events) == execution.event_count
        derived = derive(events)
        assert [(each.start_us, each.end_us) for each in execution.operations] == [
            (each.start_us, each.end_us) for each in derived.operations
        ]
        times = [event.at_us for event in events]
        assert times == [1_700_000_000_000_000 + n for n in range(len(times))]  # they were of one millisecond
        assert execution.latest_us == times[-1]
    assert pragma(path, "user_version") == len(schema.MIGRATIONS)


async def test_one_damaged_execution_does_not_keep_a_file_from_being_brought_up_to_date(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(DUMP.read_text())
        (identity,) = connection.execute("SELECT id FROM executions").fetchone()
        for table, columns in (
            ("executions", "position, id, name"),
            ("events", "execution"),
            ("operations", "execution"),
        ):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(name for name in names if name not in columns)
            values = {"executions": "2, 'other', 'other'"}.get(table, "2")
            connection.execute(f"INSERT INTO {table} ({columns}, {kept}) SELECT {values}, {kept} FROM {table}")
        connection.execute("UPDATE events SET at_ms = 'never' WHERE execution = 2 AND id = 3")
    async with opened(path) as store:
        assert (await store.load(identity)).latest_us > 1_700_000_000_000_000
        with pytest.raises(DamagedExecutionError):
            await store.events("other", 1, 100, newest_first=False)


async def refused_as_old(path):
    if len(schema.MIGRATIONS) > 1:
        await refused(path, "has version 1. Open it for writing once", read_only=True)


def rows_of(path):
    """All rows of a store, by table."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


async def test_each_step_is_taken_once_and_what_is_kept_stays(path):
    await filled(path)
    before = rows_of(path)
    later = (*schema.MIGRATIONS, schema.Migration(STEP_3))
    with pytest.raises(StoreError, match="Open it for writing once"):
        open_for_reading(path, later)
    assert rows_of(path) == before
    for _ in range(2):
        open_for_writing(path, "normal", later).close()
    open_for_reading(path, later).close()
    after = rows_of(path)
    assert after.pop("notes") == []
    assert [row[-1] for row in after["executions"]] == ["blue"]
    assert {**after, "executions": [row[:-1] for row in after["executions"]]} == before
    await refused(path, "this release")


async def test_a_step_that_fails_changes_nothing(path):
    await filled(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="SQLite cannot use"):
        open_for_writing(path, "normal", (*schema.MIGRATIONS, schema.Migration(f"{STEP_3}; SELECT * FROM nowhere")))
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT * FROM sqlite_master WHERE name = 'notes'").fetchall()
    async with opened(path) as store:
        assert await store.load("orders-a") is not None


async def test_a_shell_can_read_it(path):
    await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, status FROM executions").fetchall() == [("a", "RUNNING")]
        question = (
            "SELECT type, CAST(body AS TEXT) FROM operations o JOIN payloads p ON o.result_digest = p.digest LIMIT 1"
        )
        assert connection.execute(question).fetchall() == [("STEP", "x" * 5000)]
        question = "SELECT type, details FROM events WHERE id = 1"
        assert connection.execute(question).fetchall() == [
            ("ExecutionStarted", '{"Input":"{}","ExecutionTimeout":86400}')
        ]
