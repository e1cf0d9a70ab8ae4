"""The two threads that talk to SQLite: one writes, one reads. Each has its connection, and does one thing at a time.

- writes take effect in the order in which they were called
- one commit serves all that were called while the one before was under way
- what one transaction could not keep, none of its writes has kept; unless one of them cannot be kept at all: then that
  one is refused, and the others are kept
- an execution of which a write failed is lost: its object is ahead of what is kept, so later writes of it fail, too
- reads see what is committed
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs

from durable_async.service.errors import StoreError
from durable_async.service.store.sqlite.faults import REFUSED, fault, refusal
from durable_async.service.store.sqlite.residents import Standing

T = TypeVar("T")

_MOST_WRITES = 256  # in one transaction
_MOST_BYTES = 16 * 1024 * 1024


@attrs.frozen(eq=False)
class _Write(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]
    standing: Standing
    size: int


class Writer:
    """Writes on a thread of its own. Its methods belong to one event loop."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = str(path)
        self._thread = ThreadPoolExecutor(1, "durable-async-writer")
        self._waiting: deque[_Write[Any]] = deque()  # from the one that is written now on
        self._writing: asyncio.Future[list[Any]] | None = None

    def put(
        self, work: Callable[[sqlite3.Connection], T], standing: Standing | None = None, size: int = 0
    ) -> asyncio.Future[T]:
        """Do ``work``, in a transaction with others. Cancelling what is returned does not take it back.

        :param standing: of the object that is written, if it is one
        :param size: about how many bytes it writes
        :return: resolved when it is durable; with a StoreError when it failed
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, done, standing or Standing(), size))
        if self._writing is None:
            self._begin()
        return done

    async def barrier(self) -> None:
        """Return when what was put before is durable, or has failed."""
        if self._waiting:
            with suppress(StoreError):
                await self.put(lambda _: None)

    async def aclose(self) -> None:
        """Return when everything that was put is durable, and the file is closed."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    def _begin(self) -> None:
        group = self._next_group()
        self._writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, group)
        self._writing.add_done_callback(lambda writing: self._written(group, writing))

    def _next_group(self) -> list[_Write[Any]]:
        size, group = 0, list[_Write[Any]]()
        for write in islice(self._waiting, _MOST_WRITES):
            size += write.size
            if group and size > _MOST_BYTES:
                break
            group.append(write)
        return group

    def _written(self, group: Sequence[_Write[Any]], writing: asyncio.Future[list[Any]]) -> None:
        failed = writing.exception()  # not SQLite's: an error in here, and all that wait shall know it
        outcomes = writing.result() if failed is None else [failed] * len(group)
        for write in group:
            self._waiting.popleft()
            write.standing.lost |= failed is not None
        self._writing = None
        if self._waiting:
            self._begin()  # first, so that the thread does not idle
        for write, outcome in zip(group, outcomes, strict=True):
            if write.done.done():
                continue  # whoever waited has left
            if isinstance(outcome, Exception):
                write.done.set_exception(outcome)
            else:
                write.done.set_result(outcome)

    # --- on the thread ---

    def _write(self, group: Sequence[_Write[Any]]) -> list[Any]:
        """What each write returned, or its StoreError."""
        try:
            return self._commit(group)
        except REFUSED:
            return [self._write_alone(write) for write in group]

    def _write_alone(self, write: _Write[Any]) -> Any:
        try:
            return self._commit([write])[0]
        except REFUSED as error:
            write.standing.lost = True
            return refusal(error, self._path)

    def _commit(self, group: Sequence[_Write[Any]]) -> list[Any]:
        try:
            with _transaction(self._connection, "IMMEDIATE"):
                return [self._perform(write) for write in group]
        except REFUSED:
            raise
        except sqlite3.Error as error:
            for write in group:
                write.standing.lost = True
            return [fault(error, self._path) for _ in group]

    def _perform(self, write: _Write[Any]) -> Any:
        if write.standing.lost:
            return StoreError(f"An earlier write to {self._path} failed, and with it all that followed.")
        return write.work(self._connection)


class Reader:
    """Reads on a thread of its own."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = str(path)
        self._thread = ThreadPoolExecutor(1, "durable-async-reader")

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask ``question``, in a transaction of its own.

        :raises StoreError: the medium fails
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with _transaction(self._connection, "DEFERRED"):
                return question(self._connection)
        except sqlite3.Error as error:
            raise fault(error, self._path) from error


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Generator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself ends it after some errors
            connection.execute("ROLLBACK")
        raise
