"""What keeping costs: ``python -m benchmarks.store [--runs N]``.

First a checkpoint of one step, in memory and in a file at both durabilities, alone and from many executions at once.
Beside it stands the floor: the same four rows in one transaction of the bare ``sqlite3`` module, without a thread.
Then what lists, starts and look-ups cost with 100 and with 100,000 executions in the file, which should be the same.
The contenders take turns, so that a busy machine disturbs all alike. Compare within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, cycle
from pathlib import Path
from uuid import uuid4

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service import machine
from durable_async.service.machine import Checkpoint, Execution, Moment, NewExecution, Target
from durable_async.service.store import ExecutionQuery, Store
from durable_async.service.store.memory import MemoryStore
from durable_async.service.store.sqlite import SqliteStore

START_MS = 1_700_000_000_000
AT_ONCE = 100  # executions
SAVES = 20  # of each, in a row, before the next contender's turn
FEW, MANY = 100, 100_000
OPEN = 50  # executions among them
FUNCTION_ARN = "arn:aws:lambda:us-east-1:000000000000:function:orders:$LATEST"
RESULT = '"' + "x" * 100 + '"'


class NoTargets:
    def find(self, reference: str) -> Target | ErrorObject:
        raise LookupError(reference)


def moment() -> Moment:
    return Moment(START_MS * 1000, lambda: uuid4().hex)


def new_execution(name: str) -> Execution:
    execution_id = str(uuid4())
    arn = f"{FUNCTION_ARN}/durable-execution/{name}/{execution_id}"
    return machine.start(
        NewExecution(execution_id, arn, name, "orders", FUNCTION_ARN, "$LATEST", '{"order": 1}', 86_400), moment()
    )


async def start(store: Store, name: str) -> Execution:
    execution = new_execution(name)
    await store.add(execution, execution.take_changes())
    return execution


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


# --- saves ---


def checkpoint(execution: Execution, number: int) -> None:
    """One step, begun and ended: what most checkpoints hold."""
    if execution.invocation is None or execution.invocation.token is None:
        raise ValueError("nothing may be written")
    update = {"Id": f"{number:064d}", "Type": "STEP", "Action": "SUCCEED", "Name": "charge", "Payload": RESULT}
    machine.checkpoint(execution, Checkpoint(execution.invocation.token, [update]), NoTargets(), moment())  # type: ignore[list-item]


async def save_some(store: Store, executions: list[Execution], numbers: list[int]) -> float:
    """Seconds of a save, when each execution saves one after another. The machine's own time is not counted."""

    async def saves(execution: Execution) -> float:
        decided = 0.0
        for number in numbers:
            before = time.perf_counter()
            checkpoint(execution, number)
            decided += time.perf_counter() - before
            await store.save(execution, execution.take_changes())
        return decided

    began = time.perf_counter()
    decided = sum(await asyncio.gather(*(saves(execution) for execution in executions)))
    return (time.perf_counter() - began - decided) / len(executions) / len(numbers)


class Floor:
    """The rows of a save, written by the bare module."""

    def __init__(self, path: Path, durability: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {durability}")
        for table in "abcd":
            self._connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
        self._ids = count()

    def save_some(self) -> float:
        began = time.perf_counter()
        for _ in range(SAVES):
            self._connection.execute("BEGIN IMMEDIATE")
            for table in "abcd":
                self._connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (next(self._ids), RESULT * 3))
            self._connection.execute("COMMIT")
        return (time.perf_counter() - began) / SAVES

    def close(self) -> None:
        self._connection.close()


async def measure_saves(directory: Path, runs: int) -> dict[str, tuple[float, ...]]:
    """Of each contender, the medians: alone, with ``AT_ONCE`` executions, of the floor."""
    taken: dict[str, list[tuple[float, ...]]] = {"memory": [], "normal": [], "full": []}
    for run in range(runs):
        for name, figures in taken.items():
            path = directory / f"{name}-{run}.db"
            store: Store = MemoryStore() if name == "memory" else SqliteStore(path, durability=name)  # type: ignore[arg-type]
            async with opened(store):
                executions = [await start(store, f"order-{number}") for number in range(AT_ONCE)]
                numbers = list(range(SAVES))
                alone = await save_some(store, executions[:1], numbers)
                together = await save_some(store, executions[1:], numbers)
            least = 0.0 if name == "memory" else floor(directory / f"floor-{path.name}", name)
            figures.append((alone, together, least))
    return {
        name: tuple(statistics.median(column) for column in zip(*figures, strict=True))
        for name, figures in taken.items()
    }


def floor(path: Path, durability: str) -> float:
    bare = Floor(path, durability)
    try:
        return bare.save_some()
    finally:
        bare.close()


# --- questions ---


async def fill(path: Path, executions: int) -> None:
    """``OPEN`` open ones, and the rest closed, one every second, every hundredth FAILED."""
    async with opened(SqliteStore(path, durability="normal")) as store:
        for number in range(OPEN):
            await start(store, f"open-{number}")
        closed = await start(store, "closed")
        if closed.invocation is None:
            raise ValueError("it does not run")
        machine.invocation_answered(closed, closed.invocation.request_id, {"Status": "SUCCEEDED"}, moment())
        await store.save(closed, closed.take_changes())
    connection = sqlite3.connect(path, isolation_level=None)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(executions)") if row[1] != "position"]
    given = {
        "id": "'copy-' || n",
        "name": "'order-' || n",
        "started_ms": "started_ms + n * 1000",
        "ended_ms": "ended_ms + n * 1000",
        "unseen": "'[]'",
        "status": "iif(n % 100, 'SUCCEEDED', 'FAILED')",
    }
    connection.execute(f"""
        WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {executions - OPEN - 1})
        INSERT INTO executions ({", ".join(columns)})
        SELECT {", ".join(given.get(column, column) for column in columns)}
        FROM numbers CROSS JOIN (SELECT * FROM executions WHERE name = 'closed')
    """)
    connection.close()


@attrs.frozen
class Question:
    title: str
    ask: Callable[[Store, int], Awaitable[object]]
    """Takes the number of executions, and may take effect."""


def listing(**query: object) -> Callable[[Store, int], Awaitable[object]]:
    return lambda store, _: store.executions(ExecutionQuery("orders", **query))  # type: ignore[arg-type]


def in_the_middle(store: Store, executions: int) -> Awaitable[object]:
    return store.executions(ExecutionQuery("orders", after=executions // 2, count=40))


def long_ago(store: Store, _: int) -> Awaitable[object]:
    early, late = START_MS + 20_000, START_MS + 49_000
    return store.executions(ExecutionQuery("orders", started_after_ms=early, started_before_ms=late))


async def load_one(store: Store, _: int) -> object:
    return await store.load(f"copy-{next(_copies)}")


async def start_one(store: Store, _: int) -> None:
    await start(store, str(uuid4()))


_copies = cycle(range(1, FEW - OPEN))
QUESTIONS = (
    Question("list: the newest 100", listing()),
    Question("list: the oldest 100", listing(oldest_first=True)),
    Question("list: a page in the middle", in_the_middle),
    Question("list: one FAILED", listing(statuses=frozenset({"FAILED"}), count=1)),
    Question("list: half a minute long ago", long_ago),
    Question("list: by name", listing(name="order-7")),
    Question("open executions, when a service starts", lambda store, _: store.open_executions("orders")),
    Question("names of functions", lambda store, _: store.function_names()),
    Question("load one, for what is due", load_one),
    Question("start one", start_one),
    Question("delete one that is closed", lambda store, _: store.delete_closed(2 * START_MS, 1)),
)


async def measure_questions(directory: Path, runs: int) -> dict[Question, tuple[float, float]]:
    paths = {executions: directory / f"{executions}.db" for executions in (FEW, MANY)}
    for executions, path in paths.items():
        await fill(path, executions)
    taken: dict[tuple[Question, int], list[float]] = {}
    few, many = (SqliteStore(path, durability="normal") for path in paths.values())
    async with opened(few), opened(many):
        for question in QUESTIONS:
            for _ in range(runs * 5):
                for executions, store in ((FEW, few), (MANY, many)):
                    began = time.perf_counter()
                    await question.ask(store, executions)
                    taken.setdefault((question, executions), []).append(time.perf_counter() - began)
    return {
        question: (statistics.median(taken[question, FEW]), statistics.median(taken[question, MANY]))
        for question in QUESTIONS
    }


# --- the tables ---


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="turns of each contender (%(default)s)")
    runs = parser.parse_args().runs
    print(f"SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before\n")
    with tempfile.TemporaryDirectory() as name:
        saves = asyncio.run(measure_saves(Path(name), runs))
        print(f"a checkpoint, us{'':<17}{'alone':>10}{f'{AT_ONCE} at once':>14}{'floor':>10}")
        for contender, (alone, together, bare) in saves.items():
            least = f"{bare * 1e6:>10.0f}" if bare else f"{'':>10}"
            print(f"  {contender:<30}{alone * 1e6:>10.0f}{together * 1e6:>14.0f}{least}")
        questions = asyncio.run(measure_questions(Path(name), runs))
        print(f"\nof so many executions, us{'':<18}{FEW:>10,}{MANY:>10,}{'ratio':>8}")
        for question, (few, many) in questions.items():
            print(f"  {question.title:<41}{few * 1e6:>10.0f}{many * 1e6:>10.0f}{many / few:>8.1f}")


if __name__ == "__main__":
    main()
