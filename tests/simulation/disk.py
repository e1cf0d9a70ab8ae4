"""The SQLite store on a simulated disk.

The statements, the transactions and what an error does to them are the store's own. Its two threads are replaced by
tasks, whose work takes virtual time and fails when chance says so. A service that dies leaves the file as the last
commit left it: what waited is lost, and a commit that was not reported is in the file. A loss of power
takes the commits that were not flushed to the disk: how many of them, chance decides.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite import SqliteStore, files
from durable_async.service.store.sqlite.schema import migrate
from durable_async.service.store.sqlite.threads import Reader, Writer

from .chaos import Chaos

T = TypeVar("T")

_PATH = Path("simulated.db")
_MAX_UNFLUSHED = 50  # commits, after which the operating system writes the earlier ones
_FAULTS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


@cache
def _empty_file() -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        migrate(connection, str(_PATH))
        return connection.serialize()


def _opened(content: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(content)
    return connection


class SimulatedFile:
    """What stays when a service dies.

    :ivar has_lost: how many times a loss of power took commits
    """

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self.has_lost = 0
        self._connection = _opened(_empty_file())
        self._flushes_commits = False
        self._survivors = [_empty_file()]  # one of these is on the disk after a loss of power; the last one is current

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT") and self.chaos.strikes(f"the disk fails at {sql}"):
            error = sqlite3.OperationalError("the disk fails")
            error.sqlite_errorcode = self.chaos.rng.choice(_FAULTS)
            error.sqlite_errorname = "SQLITE_IOERR"
            raise error
        if sql.startswith("PRAGMA synchronous"):
            self._flushes_commits = sql.endswith("full")
        if sql == "PRAGMA journal_mode = WAL":  # which a database in memory cannot have
            return self._connection.execute("SELECT 'wal'")
        cursor = self._connection.execute(sql, *parameters)
        if sql == "COMMIT" and self.chaos.conditions.power_fails:
            self._committed()
        return cursor

    def _committed(self) -> None:
        if self._flushes_commits:
            self._survivors.clear()
        self._survivors.append(self._connection.serialize())
        del self._survivors[:-_MAX_UNFLUSHED]

    def lose_power(self) -> None:
        """Keep what was flushed, and of the commits after that as many as chance says."""
        survivor = self.chaos.rng.randrange(len(self._survivors))
        lost = len(self._survivors) - 1 - survivor
        self.chaos.note(f"disk: the power fails, {lost} commits are lost")
        if lost:
            self.has_lost += 1
            del self._survivors[survivor + 1 :]
            self._connection.close()
            self._connection = _opened(self._survivors[-1])
        del self._survivors[:-1]

    def executemany(self, sql: str, rows: Any) -> sqlite3.Cursor:
        return self._connection.executemany(sql, rows)

    def close(self) -> None:
        """The store closes its connections; the file stays."""

    def destroy(self) -> None:
        self._connection.close()


class _Place:
    """Nobody moves the file."""

    lacks_journal_only = False

    def stays(self) -> bool:
        return True

    def fault(self) -> None:
        return None


class _Joined:
    def join(self) -> None:
        """There is no thread."""


class _Queue:
    """What waits to be written; None: close."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._filled = asyncio.Event()

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._filled.set()

    async def filled(self) -> None:
        await self._filled.wait()

    def take(self, limit: int) -> list[Any]:
        """Return the first writes; none if it is time to close."""
        group: list[Any] = []
        while self._items and self._items[0] is not None and len(group) < limit:
            group.append(self._items.popleft())
        if not self._items:
            self._filled.clear()
        return group


class SimulatedWriter(Writer):
    """Writes in a task. The group, the commit and what a failure means are those of the writing thread."""

    def __init__(self, file: SimulatedFile) -> None:
        self._connection: Any = file
        self._path = str(_PATH)
        self._place: Any = _Place()
        self._displaced = False
        self._loop = asyncio.get_running_loop()
        self._waiting: Any = _Queue()
        self._unsettled = 0
        self._outcomes = deque()
        self._closing = False
        self._has_ended = False
        self._closed = self._loop.create_future()
        self._thread: Any = _Joined()
        self._task = self._loop.create_task(self._work_on_loop(file.chaos))

    async def _work_on_loop(self, chaos: Chaos) -> None:
        while True:
            await self._waiting.filled()
            await chaos.disk()
            group = self._waiting.take(chaos.rng.randint(1, 8))
            if not group:
                self._ended()
                return
            outcomes = self._write(group)
            chaos.note(f"disk: {len(group)} writes, {sum(isinstance(each, Exception) for each in outcomes)} failed")
            await chaos.disk()
            self._reported(group, outcomes)

    def die(self) -> None:
        """Write nothing more, and report nothing of what was written."""
        self._task.cancel()


class SimulatedReader(Reader):
    def __init__(self, file: SimulatedFile) -> None:
        self._connection: Any = file
        self._path = str(_PATH)
        self._place: Any = _Place()
        self._file = file
        self.is_dead = False

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        await self._file.chaos.disk()
        answer = self._answer(question)
        await self._file.chaos.disk()
        if self.is_dead:
            await asyncio.get_running_loop().create_future()
        return answer

    async def aclose(self) -> None:
        """There is no thread."""


class SimulatedStore(SqliteStore):
    """One service's store on the file."""

    def __init__(self, file: SimulatedFile, resident: int) -> None:
        super().__init__(_PATH, resident=resident, durability=file.chaos.conditions.durability)
        self._file = file

    async def open(self) -> None:
        await self._file.chaos.disk()
        if self._file.chaos.strikes("the file cannot be opened"):
            raise StoreError("the disk fails")
        connection: Any = self._file
        try:
            files.prepare(connection, _PATH, self._durability)
        except sqlite3.Error as error:
            raise StoreError("the disk fails") from error
        self._writer = SimulatedWriter(self._file)
        self._reader = SimulatedReader(self._file)

    async def aclose(self) -> None:
        if self._writer is not None:
            await self._writer.aclose()
        self._reader = self._writer = None

    def die(self) -> None:
        """The service is gone: nothing that it still does reaches the file, and it hears nothing from it."""
        if isinstance(self._writer, SimulatedWriter):
            self._writer.die()
        if isinstance(self._reader, SimulatedReader):
            self._reader.is_dead = True
        for loading in self._loading.values():
            loading.cancel()
