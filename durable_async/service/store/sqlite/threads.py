"""The two threads that talk to SQLite: one writes, one reads. Each has its connection, and does one thing at a time.

- writes take effect in the order in which they were called
- one commit serves all that were called while the one before was under way
- what one transaction could not keep, none of its writes has kept; unless one of them cannot be kept at all: then that
  one is refused, and the others are kept
- after a write of an execution has failed, later writes of it fail, too: its object is ahead of what is kept
- reads see what is committed
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

import attrs

from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite.damage import REFUSED, fault, is_damage, refusal
from durable_async.service.store.sqlite.files import Place
from durable_async.service.store.sqlite.residents import WriteState

T = TypeVar("T")

_MAX_WRITES = 256  # in one transaction
_MAX_BYTES = 16 * 1024 * 1024


@attrs.define(eq=False)
class _Write(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]
    state: WriteState | None
    size: int
    settled: Callable[[T | Exception], None] | None


class Writer:
    """Writes on a thread of its own. Its methods belong to one event loop.

    The thread takes what waits whenever it is free, and tells the loop of a whole group at once: an execution that
    goes step by step pays for one way there and one way back.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, place: Place) -> None:
        self._connection = connection
        self._path = str(path)
        self._place = place
        self._displaced = False
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Write[Any] | None] = SimpleQueue()  # None: close
        self._unsettled = 0
        self._closing = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        # A program that forgets to close it must be able to end.
        self._thread = Thread(target=self._work, name="durable-async-writer", daemon=True)
        self._thread.start()

    def put(
        self,
        work: Callable[[sqlite3.Connection], T],
        state: WriteState | None = None,
        size: int = 0,
        settled: Callable[[T | Exception], None] | None = None,
    ) -> asyncio.Future[T]:
        """Do ``work``, in a transaction with others. Cancelling what is returned does not take it back.

        :param state: of the object that is written, if it is one
        :param size: about how many bytes it writes
        :param settled: called with the outcome on the event loop, also if nobody waits any more
        :return: resolved when it is durable; with a StoreError when it failed
        """
        if self._closing:
            raise StoreError(f"{self._path} is being closed.")
        done: asyncio.Future[T] = self._loop.create_future()
        self._unsettled += 1
        self._waiting.put(_Write(work, done, state, size, settled))
        return done

    async def barrier(self) -> None:
        """Return when what was put before is durable, or has failed."""
        if self._unsettled:
            with suppress(StoreError):
                await self.put(lambda _: None)

    async def aclose(self) -> None:
        """Return when everything that was put is durable, and the file is closed."""
        self._closing = True
        self._waiting.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()  # to say so was the last thing that it did

    def _settle(self, group: Sequence[_Write[Any]], outcomes: Sequence[Any]) -> None:
        self._unsettled -= len(group)
        for write, outcome in zip(group, outcomes, strict=True):
            if write.settled is not None:
                write.settled(outcome)
            if write.done.done():
                continue  # whoever waited has left
            if isinstance(outcome, Exception):
                write.done.set_exception(outcome)
            else:
                write.done.set_result(outcome)

    # --- on the thread ---

    def _work(self) -> None:
        for group in self._groups():
            self._tell(partial(self._settle, group, self._write(group)))
            del group  # or what was written would stay in memory until the next write
        try:
            self._connection.close()
        finally:
            self._tell(partial(self._closed.set_result, None))

    def _tell(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop was closed before the store, and nobody waits any more
            self._loop.call_soon_threadsafe(call)

    def _groups(self) -> Iterator[list[_Write[Any]]]:
        """What waits, in bounded portions, until it is time to close."""
        write = self._waiting.get()
        while write is not None:
            group, size = [write], write.size
            write = self._waiting.get() if (more := not self._waiting.empty()) else None
            while write is not None and len(group) < _MAX_WRITES and size + write.size <= _MAX_BYTES:
                group.append(write)
                size += write.size
                write = self._waiting.get() if (more := not self._waiting.empty()) else None
            yield group
            del group
            if not more:
                write = self._waiting.get()

    def _write(self, group: Sequence[_Write[Any]]) -> list[Any]:
        """What each write returned, or its error."""
        try:
            return self._commit(group)
        except REFUSED:
            return [self._write_alone(write) for write in group]
        except Exception as error:  # noqa: BLE001 - not SQLite's: an error in here, and all that wait shall know it
            return self._lose(group, error)

    def _write_alone(self, write: _Write[Any]) -> Any:
        try:
            return self._commit([write])[0]
        except REFUSED as error:
            return self._lose([write], refusal(error, self._path))[0]

    def _commit(self, group: Sequence[_Write[Any]]) -> list[Any]:
        if self._displaced and (displaced := self._place.fault()) is not None:
            return self._lose(group, displaced)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [self._perform(write) for write in group]
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself ends it after some errors
                    self._connection.execute("ROLLBACK")
                raise
        except REFUSED:
            raise
        except sqlite3.Error as error:
            if is_damage(error) and len(group) > 1:  # at one place in the file
                return [self._write_alone(write) for write in group]
            return self._lose(group, fault(error, self._path))
        # After the commit, since nothing is acknowledged before this: what is there now was there when it was written.
        self._displaced = not self._place.stays()
        return self._displace(group) if self._displaced else outcomes

    def _displace(self, group: Sequence[_Write[Any]]) -> list[Any]:
        """The files are not where they were: refuse, and save what only the journal holds."""
        if self._place.lacks_journal_only:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint")
        fault = self._place.fault() or StoreError(f"{self._path} was away for a moment. Repeat the call.")
        return self._lose(group, fault)

    def _perform(self, write: _Write[Any]) -> Any:
        if write.state is not None and write.state.failed:
            return StoreError(f"An earlier write to {self._path} failed, and with it all that followed.")
        return write.work(self._connection)

    def _lose(self, group: Sequence[_Write[Any]], error: Exception) -> list[Any]:
        """The objects of ``group`` are ahead of what is kept."""
        for write in group:
            if write.state is not None:
                write.state.failed = True
        return [error] * len(group)


class Reader:
    """Reads on a thread of its own."""

    def __init__(self, connection: sqlite3.Connection, path: Path, place: Place) -> None:
        self._connection = connection
        self._path = str(path)
        self._place = place
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
            self._connection.execute("BEGIN")
            try:
                answer = question(self._connection)
            finally:
                self._connection.execute("ROLLBACK")  # COMMIT fails after a page that cannot be read
        except sqlite3.Error as error:
            raise fault(error, self._path) from error
        if (displaced := self._place.fault()) is not None:
            raise displaced
        return answer
