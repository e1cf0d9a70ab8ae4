"""The same for DBOS on SQLite: as it comes (a rollback journal, synchronous=FULL), or with WAL at our durabilities."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from dbos import DBOS
from sqlalchemy import event
from sqlalchemy.engine import Engine


@DBOS.step()
async def step(value: int) -> int:
    return value + 1


@DBOS.workflow()
async def workflow(value: int) -> int:
    for _ in range(3):
        value = await step(value)
    return value


def in_wal(synchronous: str) -> None:
    @event.listens_for(Engine, "connect")
    def _(connection, _record) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")


async def main(file: str, durability: str, count: int, at_once: int) -> None:
    if durability != "as it comes":
        in_wal(durability)
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{file}", "log_level": "CRITICAL"})
    DBOS.launch()

    async def several(numbers: range) -> None:
        for number in numbers:
            handle = await DBOS.start_workflow_async(workflow, number)
            assert await handle.get_result(polling_interval_sec=0.001) == number + 3

    await several(range(10))
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(several(range(first, count, at_once)) for first in range(at_once)))
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
