"""A process that is killed takes nothing with it that it was told is durable."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from durable_async.service.store.sqlite.files import open_for_writing
from tests.service.store.store_support import opened
from tests.service.store.test_sqlite_files import DUMP, rows_of

ROOT = Path(__file__).parents[3]
WRITER = """
import asyncio, sys
from tests.service.store.store_support import World, opened
from tests.service.machine.machine_driver import step

async def write(world, name):
    execution = await world.start(name)
    number = 0
    while True:
        number += 1
        await world.write(execution, step("SUCCEED", f"s{number}", Payload=f"{number}" * 400))
        print(execution.id, number, flush=True)

async def main():
    async with opened(sys.argv[1], durability=sys.argv[2]) as store:
        world = World(store)
        await asyncio.gather(*(write(world, f"{name}-{sys.argv[3]}") for name in range(5)))

asyncio.run(main())
"""


def acknowledged(path, durability, round_):
    """The last acknowledged operation of each execution, of a process that is killed while it writes."""
    command = [sys.executable, "-c", WRITER, path, durability, round_]
    places = ":".join([*sys.path, str(ROOT)])
    last = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": places}) as process:
        for line in process.stdout:
            execution_id, number = line.split()
            last[execution_id] = int(number)
            if number == "30":
                process.kill()  # what is in the pipe was acknowledged, too
    return last


@pytest.mark.parametrize("durability", ["full", "normal"])
async def test_what_was_acknowledged_is_there(tmp_path, durability):
    path = tmp_path / "service.db"
    for round_ in "123":
        last = acknowledged(path, durability, round_)
        assert len(last) == 5
        async with opened(path, read_only=True) as reader:  # while the journal is as it was left
            for execution_id, number in last.items():
                execution = await reader.load(execution_id)
                steps = execution.operations[1:]
                assert number <= len(steps) <= number + 1  # the last one may not have been told any more
                assert [each.id for each in steps] == [f"s{n}" for n in range(1, len(steps) + 1)]
                assert [each.result for each in steps] == [f"{n}" * 400 for n in range(1, len(steps) + 1)]
                events = await reader.events(execution_id, 1, 1000, newest_first=False)
                assert [event.id for event in events] == [*range(1, execution.event_count + 1)]
        async with opened(path):
            pass
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


CONVERTER = """
import os, signal, sqlite3, sys
from itertools import count
from pathlib import Path
from durable_async.service.store.sqlite.files import open_for_writing

moments, fatal = count(1), int(sys.argv[2])

def pass_a_moment():
    if next(moments) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)

class Connection(sqlite3.Connection):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.set_progress_handler(pass_a_moment, 1000)  # instructions of SQLite's machine

connect = sqlite3.connect
sqlite3.connect = lambda *args, **options: connect(*args, factory=Connection, **options)
open_for_writing(Path(sys.argv[1]), "full").close()
print(next(moments))
"""


def fill_with_version_1(path, executions):
    """Make the file that the release with version 1 wrote, with many copies of its execution."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
        connection.execute("BEGIN")
        for table in ("executions", "operations", "events", "payloads"):
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            for copy in range(2, executions + 1):
                for row in rows:
                    values = [*row]
                    values[0] = copy
                    if table == "executions":
                        values[1:5] = [f"id-{copy}", f"{row[2]}-{copy}", row[3], f"name-{copy}"]
                    places = ", ".join("?" * len(values))
                    connection.execute(f"INSERT INTO {table} VALUES ({places})", values)
        connection.execute("COMMIT")


def convert(path, fatal):
    """Convert a file in a process that is killed at a moment; 0: it is not. Return how many moments there were."""
    command = [sys.executable, "-c", CONVERTER, path, str(fatal)]
    places = ":".join([*sys.path, str(ROOT)])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": places}, check=False)
    assert done.returncode == (-signal.SIGKILL if fatal else 0)
    return 0 if fatal else int(done.stdout)


def test_a_conversion_that_is_killed_is_done_at_the_next_start(tmp_path):
    original, converted, path = tmp_path / "original.db", tmp_path / "converted.db", tmp_path / "killed.db"
    fill_with_version_1(original, 100)
    shutil.copy(original, converted)
    moments = convert(converted, 0)
    assert moments > 20
    expected = rows_of(converted)
    for part in range(5):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        shutil.copy(original, path)
        convert(path, 1 + moments * part // 5)
        open_for_writing(path, "full").close()
        assert rows_of(path) == expected
