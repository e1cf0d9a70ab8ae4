"""Where the cost of an execution of three steps, one after another, lies: ``python -m benchmarks.embedded.layers HOW
DURABILITY FOLDER``. Prints figures of one execution as JSON.

``cpu``: CPU seconds by thread; ``counts``: what does not depend on the machine. In memory with an empty durability.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.adapters.stopwatch import own_calls
from benchmarks.embedded.throughput_floor import COMMITS, WriterThread
from benchmarks.embedded.throughput_ours import workflow
from durable_async.embedded import DurableService

COUNT = 300
COUNTED = 60  # few enough that the journal does not begin from its start again


class Loop(asyncio.SelectorEventLoop):
    turns = 0

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]


class Statements(sqlite3.Connection):
    """Counts what the connections of this process execute, in all threads."""

    executed = 0

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        Statements.executed += 1
        return super().execute(*arguments)


def by_thread() -> dict[str, float]:
    """CPU seconds of the threads until now."""
    return {
        thread.name: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.ident is not None
    }


async def ours(file: str | None, durability: str, count: int, measure: Any) -> Any:
    async with DurableService(file, durability=durability or "full") as service:  # type: ignore[arg-type]
        service.register(workflow)
        for number in range(20):
            assert await (await service.start(workflow, number)).result() == number + 3
        before = measure()
        for number in range(count):
            assert await (await service.start(workflow, number)).result() == number + 3
        return before, measure()


async def floor(file: str, durability: str, count: int, measure: Any) -> Any:
    writer = WriterThread(file, durability)
    try:
        for _ in range(20 * COMMITS):
            await writer.commit()
        before = measure()
        for _ in range(count * COMMITS):
            await writer.commit()
        return before, measure()
    finally:
        writer.close()


def cpu(contender: Any, file: str | None, durability: str) -> dict[str, float]:
    before, after = asyncio.run(contender(file, durability, COUNT, by_thread))
    loop = threading.main_thread().name
    used = {name: (after[name] - before.get(name, 0.0)) / COUNT for name in after}
    return {"loop": used.pop(loop), "threads": sum(used.values())}


def calls_of(file: str | None, durability: str, count: int) -> int:
    return own_calls("durable_async", lambda: asyncio.run(ours(file, durability, count, dict)))


def counts(contender: Any, file: str | None, durability: str) -> dict[str, float]:
    journal = Path(f"{file}-wal")
    loop = Loop()

    def measure() -> dict[str, int]:
        pages = journal.stat().st_size // 4120 if file else 0
        return {"statements": Statements.executed, "pages": pages, "turns": loop.turns}

    before, after = loop.run_until_complete(contender(file, durability, COUNTED, measure))
    loop.close()
    counted = {name: (after[name] - before[name]) / COUNTED for name in after}
    if contender is ours:
        few, many = (calls_of(file and f"{file}.{count}", durability, count) for count in (1, 1 + COUNTED))
        counted["calls"] = (many - few) / COUNTED
    return counted


if __name__ == "__main__":
    how, chosen, durability, folder = sys.argv[1:]
    connect = sqlite3.connect
    if how == "counts":
        sqlite3.connect = lambda *a, **k: connect(*a, **k, factory=Statements)  # type: ignore[assignment]
    file = str(Path(folder) / f"{how}-{chosen}-{durability}.db") if durability else None
    contender: Any = {"ours": ours, "floor": floor}[chosen]
    print(json.dumps({"cpu": cpu, "counts": counts}[how](contender, file, durability)))
