"""The two threads that use SQLite: one writes, one reads. Each has its own connection.

- writes take effect in the order of the calls
- one commit contains all writes that were called during the commit before it
- if a transaction fails, all its writes fail. If one write can never succeed, only that one is refused, and the others
  are stored
- after a write of an execution has failed, its later writes fail too, because its object is newer than the row
- reads see committed data
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from traceback import clear_frames
from typing import Any, Generic, TypeVar

import attrs

from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite.damage import REFUSED, fault, is_damage, refusal
from durable_async.service.store.sqlite.files import Place
from durable_async.service.store.sqlite.residents import WriteState

T = TypeVar("T")

_logger = logging.getLogger("durable_async.service")


_SETTLED_AT_ONCE = 16
"""Writes in one turn of the event loop. Each lets code continue, and a large group would keep the loop from everything
else.
"""


@attrs.frozen
class CommitLimits:
    """The maximum size of one transaction. A single larger write is a transaction by itself.

    :ivar writes: the number of writes
    :ivar bytes: their approximate size
    """

    writes: int = 256
    bytes: int = 16 * 1024 * 1024


@attrs.define(eq=False)
class _Write(Generic[T]):
    work: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]
    state: WriteState | None
    size: int
    settled: Callable[[T | Exception], None] | None


class Writer:
    """Writes on its own thread. Call its methods on one event loop.

    When the thread is free, it takes all waiting writes as a group, and reports their outcomes to the event loop in one
    call. The loop settles a few of them in each turn.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, place: Place, limits: CommitLimits) -> None:
        self._connection = connection
        self._path = str(path)
        self._place = place
        self._limits = limits
        self._displaced = False
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Write[Any] | None] = SimpleQueue()  # None: close
        self._unsettled = 0
        self._outcomes: deque[tuple[_Write[Any], object]] = deque()  # reported, and not settled
        self._closing = False
        self._has_ended = False  # the thread
        self._closed: asyncio.Future[None] = self._loop.create_future()
        # A daemon thread, so that a program that does not close the store can end.
        self._thread = Thread(target=self._work, name="durable-async-writer", daemon=True)
        self._thread.start()

    def put(
        self,
        work: Callable[[sqlite3.Connection], T],
        state: WriteState | None = None,
        size: int = 0,
        settled: Callable[[T | Exception], None] | None = None,
    ) -> asyncio.Future[T]:
        """Do ``work``, in a transaction with others. Cancelling the returned future does not undo it.

        :param state: the state of the object that is written; None: no object is written
        :param size: the approximate number of bytes that it writes
        :param settled: is called with the outcome on the event loop, even if the future was cancelled
        :return: done when the write is durable, or with a StoreError when it failed
        """
        if self._closing:
            raise StoreError(f"{self._path} is being closed.")
        done: asyncio.Future[T] = self._loop.create_future()
        self._unsettled += 1
        self._waiting.put(_Write(work, done, state, size, settled))
        return done

    async def barrier(self) -> None:
        """Wait until all earlier writes are durable or have failed."""
        if self._unsettled:
            with suppress(StoreError):
                await self.put(lambda _: None)

    def is_settled(self) -> bool:
        """Return whether all earlier writes are durable or have failed."""
        return not self._unsettled

    async def aclose(self) -> None:
        """Make all writes durable, and close the file."""
        self._closing = True
        self._waiting.put(None)
        await asyncio.shield(self._closed)
        self._thread.join()  # setting the future was the last thing that it did

    def _reported(self, group: Sequence[_Write[Any]], outcomes: Sequence[object]) -> None:
        is_settling = bool(self._outcomes)
        self._outcomes.extend(zip(group, outcomes, strict=True))
        if not is_settling:
            self._settle_some()

    def _settle_some(self) -> None:
        for _ in range(min(_SETTLED_AT_ONCE, len(self._outcomes))):
            write, outcome = self._outcomes.popleft()
            self._unsettled -= 1
            # First the caller, which continues in the next turn of the loop, then those that wait for its effects.
            if not write.done.done():  # as it is if the caller was cancelled
                if isinstance(outcome, Exception):
                    write.done.set_exception(outcome)
                else:
                    write.done.set_result(outcome)
            if write.settled is not None:
                try:
                    write.settled(outcome)
                except Exception:  # the other writes are settled too
                    _logger.exception("Unexpected error after a write.")
        if self._outcomes:
            self._loop.call_soon(self._settle_some)
        elif self._has_ended:
            self._closed.set_result(None)

    def _ended(self) -> None:
        self._has_ended = True
        if not self._outcomes:
            self._settle_some()

    # --- on the thread ---

    def _work(self) -> None:
        for group in self._groups():
            self._tell(partial(self._reported, group, self._write(group)))
            del group  # otherwise the written objects would stay in memory until the next write
        try:
            self._connection.close()
        finally:
            self._tell(self._ended)

    def _tell(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the event loop was closed before the store
            self._loop.call_soon_threadsafe(call)

    def _groups(self) -> Iterator[list[_Write[Any]]]:
        """Yield the waiting writes in groups of limited size, until the store is closed."""
        write = self._waiting.get()
        while write is not None:
            group, size = [write], write.size
            write = self._waiting.get() if (more := not self._waiting.empty()) else None
            while write is not None and len(group) < self._limits.writes and size + write.size <= self._limits.bytes:
                group.append(write)
                size += write.size
                write = self._waiting.get() if (more := not self._waiting.empty()) else None
            yield group
            del group
            if not more:
                write = self._waiting.get()

    def _write(self, group: Sequence[_Write[object]]) -> list[object]:
        """Write a group, and return the result or error of each write."""
        try:
            return self._commit(group)
        except REFUSED:
            return [self._write_alone(write) for write in group]
        except Exception as error:  # noqa: BLE001 - an error of this package: raise it in all callers that wait
            return self._lose(group, error)

    def _write_alone(self, write: _Write[object]) -> object:
        try:
            return self._commit([write])[0]
        except REFUSED as error:
            return self._lose([write], refusal(error, self._path))[0]

    def _commit(self, group: Sequence[_Write[object]]) -> list[object]:
        if self._displaced and (displaced := self._place.fault()) is not None:
            return self._lose(group, displaced)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                outcomes = [self._perform(write) for write in group]
                self._connection.execute("COMMIT")
            except BaseException as error:
                _release(error)
                if self._connection.in_transaction:  # after some errors SQLite itself has ended it
                    self._connection.execute("ROLLBACK")
                raise
        except REFUSED:
            raise
        except sqlite3.Error as error:
            if is_damage(error) and len(group) > 1:  # the damage is at one place in the file
                return [self._write_alone(write) for write in group]
            return self._lose(group, fault(error, self._path))
        # Checked after the commit and before any write is acknowledged: files that are in place now were in place then.
        self._displaced = not self._place.stays()
        return self._displace(group) if self._displaced else outcomes

    def _displace(self, group: Sequence[_Write[object]]) -> list[object]:
        """Refuse a group, because the files were moved. First save what is only in the journal."""
        if self._place.lacks_journal_only:
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint")
        fault = self._place.fault() or StoreError(f"{self._path} was away for a moment. Repeat the call.")
        return self._lose(group, fault)

    def _perform(self, write: _Write[object]) -> object:
        if write.state is not None and write.state.failed:
            return StoreError(
                f"An earlier write of this execution to {self._path} failed, so this one failed too. Repeat the call."
            )
        return write.work(self._connection)

    def _lose(self, group: Sequence[_Write[object]], error: Exception) -> list[object]:
        """Mark the objects of ``group`` as newer than their rows, and return the error for each write."""
        for write in group:
            if write.state is not None:
                write.state.failed = True
        return [error] * len(group)


def _release(error: BaseException | None) -> None:
    """Drop the local variables of the code that raised ``error``. A cursor among them that still has rows would keep
    the connection in its transaction for as long as the error exists, and all later reads would see the file as it was.
    """
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


class Reader:
    """Reads on its own thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path, place: Place) -> None:
        self._connection = connection
        self._path = str(path)
        self._place = place
        self._thread = ThreadPoolExecutor(1, "durable-async-reader")

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``question`` with the connection, in its own transaction, and return its result.

        :raises StoreError: the file or disk fails
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
            except BaseException as error:
                _release(error)
                raise
            finally:
                self._connection.execute("ROLLBACK")  # COMMIT fails after a page that cannot be read
        except sqlite3.Error as error:
            raise fault(error, self._path) from error
        if (displaced := self._place.fault()) is not None:
            raise displaced
        return answer
