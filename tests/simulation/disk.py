"""The SQLite store on a simulated disk.

The statements, the transactions and what an error does to them are the store's own. Its two threads are replaced by
tasks, whose work takes virtual time and fails when chance says so. A service that dies leaves the file as the last
commit left it: what waited is lost, and of a commit that nobody was told about only the file knows.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite import SqliteStore
from durable_async.service.store.sqlite.schema import migrate
from durable_async.service.store.sqlite.threads import Reader, Writer

from .chaos import Chaos

T = TypeVar("T")

_PATH = Path("simulated.db")
_FAULTS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


@cache
def _empty_file() -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    migrate(connection, str(_PATH))
    return connection.serialize()


class SimulatedFile:
    """What stays when a service dies."""

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.deserialize(_empty_file())
        self._connection.execute("PRAGMA foreign_keys = ON")

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql in ("BEGIN", "BEGIN IMMEDIATE", "COMMIT") and self.chaos.strikes(f"the disk fails at {sql}"):
            error = sqlite3.OperationalError("the disk fails")
            error.sqlite_errorcode = self.chaos.rng.choice(_FAULTS)
            error.sqlite_errorname = "SQLITE_IOERR"
            raise error
        return self._connection.execute(sql, *parameters)

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

    def take(self, most: int) -> list[Any]:
        """Return the first writes; none if it is time to close."""
        group: list[Any] = []
        while self._items and self._items[0] is not None and len(group) < most:
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
        self._closing = False
        self._closed = self._loop.create_future()
        self._thread: Any = _Joined()
        self._task = self._loop.create_task(self._work_on_loop(file.chaos))

    async def _work_on_loop(self, chaos: Chaos) -> None:
        while True:
            await self._waiting.filled()
            await chaos.disk()
            group = self._waiting.take(chaos.rng.randint(1, 8))
            if not group:
                self._closed.set_result(None)
                return
            outcomes = self._write(group)
            chaos.note(f"disk: {len(group)} writes, {sum(isinstance(each, Exception) for each in outcomes)} failed")
            await chaos.disk()
            self._settle(group, outcomes)

    def die(self) -> None:
        """Nothing that waits is written, and nobody is told of what was."""
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
        super().__init__(_PATH, resident=resident)
        self._file = file

    async def open(self) -> None:
        await self._file.chaos.disk()
        if self._file.chaos.strikes("the file cannot be opened"):
            raise StoreError("the disk fails")
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
