"""A process that is killed takes nothing with it that it was told is durable."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.service.store.store_support import opened

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
