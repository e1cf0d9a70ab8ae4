"""The store for asyncio: keeps executions in memory, and waits for the threads that read and write."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import get_args

from durable_async.service import own_tasks
from durable_async.service.machine import Changes, Execution
from durable_async.service.model.errors import StoreError
from durable_async.service.model.history import HistoryEvent
from durable_async.service.store import Count, ExecutionQuery, OpenExecution, Settled, Summary
from durable_async.service.store.sqlite import listing, reading, writing
from durable_async.service.store.sqlite.damage import superseded
from durable_async.service.store.sqlite.files import Durability, Place, locate, open_for_reading, open_for_writing
from durable_async.service.store.sqlite.lock import Shield, WriterLock, holder
from durable_async.service.store.sqlite.residents import Residents, WriteState
from durable_async.service.store.sqlite.rows import INLINE
from durable_async.service.store.sqlite.threads import CommitLimits, Reader, Writer

_logger = logging.getLogger("durable_async.service")


class SqliteStore:
    """Keeps executions in an SQLite file. The file holds payloads as they are, so a new file gets rights for its owner
    only; the rights of an existing file do not change. SQLite's files ``<path>-wal`` and ``<path>-shm`` are beside it
    while it is open, and ``<path>-lock`` always.

    Only one store at a time may write. Any number may read meanwhile, also in other processes.

    :param path: made by ``open`` if it does not exist
    :param durability: what a write that returned survives: ``full``, a loss of power; ``normal``, the end of the
        process. The package says more
    :param read_only: True: every ``load`` reads the file again, and writes are refused. False: it can be written
    :param resident: how many open executions stay in memory though nobody holds them
    :param inline_payload: up to this number of characters, a payload is stored with its operation or event. A longer
        one is stored once for each execution. Stores with different values can use the same file
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        durability: Durability = "full",
        read_only: bool = False,
        resident: int = 1000,
        commit_limits: CommitLimits = CommitLimits(),  # noqa: B008 - frozen
        inline_payload: int = INLINE,
    ) -> None:
        if durability not in get_args(Durability):  # SQLite takes every other word for "normal"
            raise ValueError(f"durability must be 'full' or 'normal', not {durability!r}")
        self.path: Path = Path(path)
        self._pid = os.getpid()
        self._durability: Durability = durability
        self._read_only = read_only
        self._residents = Residents(resident)
        self._commit_limits = commit_limits
        self._inline_payload = inline_payload
        self._adding: dict[str, writing.Snapshot] = {}  # the latest write of each id
        self._loading: dict[str, asyncio.Task[Execution | None]] = {}
        self._closing = AsyncExitStack()
        self._reader: Reader | None = None
        self._writer: Writer | None = None

    async def open(self) -> None:
        """Open the file.

        :raises StoreError: another store uses the file, or it belongs to another application, has a later version, is
            damaged, or cannot be opened
        """
        self.path, self._pid = locate(self.path), os.getpid()
        async with AsyncExitStack() as undo:
            if not self._read_only:
                lock = await own_tasks.in_thread(partial(WriterLock.take, self.path), undo=WriterLock.release)
                undo.callback(lock.release)
                connection = await own_tasks.in_thread(
                    partial(open_for_writing, self.path, self._durability), undo=sqlite3.Connection.close
                )
                place = Place(self.path, journal=True)
                self._writer = Writer(connection, self.path, place, self._commit_limits)
                undo.push_async_callback(self._writer.aclose)
                lock.shield.cover()
                undo.callback(self._uncover, lock.shield, place)
            else:
                place = Place(self.path, journal=False)
            connection = await own_tasks.in_thread(partial(open_for_reading, self.path), undo=sqlite3.Connection.close)
            self._reader = Reader(connection, self.path, place)
            undo.push_async_callback(self._reader.aclose)
            self._closing = undo.pop_all()

    @staticmethod
    def _uncover(shield: Shield, place: Place) -> None:
        if place.stays():  # otherwise SQLite would delete a journal that belongs to another file
            shield.uncover()

    async def aclose(self) -> None:
        await self._closing.aclose()
        self._reader = self._writer = None

    # --- writes ---

    def add(
        self, execution: Execution, changes: Changes, settled: Settled | None = None
    ) -> Awaitable[Execution | None]:
        taken = writing.snapshot(execution, changes, self._inline_payload)
        return self._added(taken, self._add(taken, settled), settled)

    def _add(self, taken: writing.Snapshot, settled: Settled | None) -> Awaitable[str | None]:
        state = WriteState(taken.event_count, taken.row)
        self._adding[taken.execution.id] = taken
        work = partial(writing.add, taken, state)
        return self._writes.put(work, state, taken.size, settled=partial(self._add_settled, taken, state, settled))

    def _add_settled(
        self,
        taken: writing.Snapshot,
        state: WriteState,
        settled: Settled | None,
        outcome: str | Exception | None,
    ) -> None:
        execution = taken.execution
        if self._adding.get(execution.id) is taken:
            del self._adding[execution.id]
        if outcome is None:
            self._residents.admit(execution, state)
        if settled is not None:
            settled(outcome is None)

    async def _added(
        self, taken: writing.Snapshot, named: Awaitable[str | None], settled: Settled | None
    ) -> Execution | None:
        while (execution_id := await named) is not None:
            if (existing := await self.load(execution_id)) is not None:
                return existing
            named = self._add(taken, settled)  # that execution was deleted meanwhile
        return None

    def save(self, execution: Execution, changes: Changes, settled: Settled | None = None) -> Awaitable[None]:
        taken = writing.snapshot(execution, changes, self._inline_payload)
        writes, state = self._writes, self._residents.state(execution)
        if state is None:
            raise superseded()
        before, state.events = state.events, taken.event_count
        places, state.row = writing.changed_places(state.row, taken.row), taken.row
        work = partial(writing.save, taken, state, places, before)
        return writes.put(work, state, taken.size, settled and partial(_report, settled))

    async def barrier(self) -> None:
        if self._writer is not None:
            await self._writer.barrier()

    def is_settled(self) -> bool:
        return self._writer is None or self._writer.is_settled()

    async def delete(self, execution_id: str) -> None:
        await self._writes.put(partial(writing.delete, execution_id), settled=self._deleted)

    async def delete_closed(self, before_ms: int, count: int) -> int:
        deleting = self._writes.put(partial(writing.delete_closed, before_ms, count), settled=self._deleted)
        return len(await deleting)

    def _deleted(self, outcome: list[str] | Exception) -> None:
        if not isinstance(outcome, Exception):
            for execution_id in outcome:
                self._residents.forget(execution_id)
                self._loading.pop(execution_id, None)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                f"{self.path} was opened by process {self._pid}, and this process is a fork of it, to which neither "
                "its threads nor its locks belong. Use the service in the process that opened it."
            )

    @property
    def _writes(self) -> Writer:
        self._check_process()
        if self._writer is not None:
            return self._writer
        pid = holder(self.path)
        by = "" if pid is None else f" Process {pid} has it open for writing."
        raise StoreError(f"{self.path} is open for reading only.{by}")

    # --- reads ---

    async def load(self, execution_id: str) -> Execution | None:
        if self._writer is None:
            loaded = await self._reads.read(partial(reading.load, execution_id))
            return None if loaded is None else loaded.execution
        if (resident := self._residents.get(execution_id)) is not None:
            return resident
        self._check_process()
        loading = self._loading.get(execution_id)
        if loading is None:
            loading = self._loading[execution_id] = own_tasks.start(self._load(execution_id))
            loading.add_done_callback(_look_at)
        return await asyncio.shield(loading)  # other calls may wait for it too

    async def _load(self, execution_id: str) -> Execution | None:
        """Read an execution that is not in memory. So no write of it is waiting, except perhaps its first one."""
        try:
            await self._added_before(execution_id)
            loaded = await self._reads.read(partial(reading.load, execution_id))
            await self._added_before(execution_id)
        finally:
            # A deletion removes this task from the dict: what it read may be deleted.
            deleted = self._loading.get(execution_id) is not asyncio.current_task()
            if not deleted:
                del self._loading[execution_id]
        if loaded is None or deleted:
            return self._residents.get(execution_id)
        execution = self._residents.admit(loaded.execution, loaded.state)
        if loaded.repaired and execution is loaded.execution:
            _logger.warning("%s was repaired: its stored state was older than its history", execution.arn)
            await self.save(execution, Changes(operations={**execution.by_id}))
        return execution

    async def _added_before(self, execution_id: str) -> None:
        """Wait until no new execution with that id waits to be written. If it was stored, it is resident then."""
        while execution_id in self._adding:
            await self._writes.barrier()

    async def open_executions(self, function_name: str) -> Sequence[OpenExecution]:
        return await self._reads.read(partial(reading.open_executions, function_name))

    async def function_names(self) -> Sequence[str]:
        return await self._reads.read(reading.function_names)

    async def events(self, execution_id: str, first: int, count: int, *, newest_first: bool) -> Sequence[HistoryEvent]:
        question = partial(reading.events, execution_id, first, count, newest_first=newest_first)
        return await self._reads.read(question)

    async def executions(self, query: ExecutionQuery) -> Sequence[Summary]:
        return await self._reads.read(partial(listing.executions, query))

    async def counts(self, query: ExecutionQuery) -> Sequence[Count]:
        return await self._reads.read(partial(listing.counts, query))

    @property
    def _reads(self) -> Reader:
        self._check_process()
        if self._reader is None:
            raise StoreError(f"{self.path} is not open.")
        return self._reader


def _report(settled: Settled, outcome: Exception | None) -> None:
    settled(outcome is None)


def _look_at(loading: asyncio.Task[Execution | None]) -> None:
    # asyncio would log an error that nobody retrieves, if every call that waits for it was cancelled.
    if not loading.cancelled():
        loading.exception()
