"""The store that asyncio sees: which execution is in memory, and who waits for the threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from os import PathLike
from pathlib import Path

from durable_async.service import own_tasks
from durable_async.service.errors import StoreError
from durable_async.service.history import Event
from durable_async.service.machine import Changes, Execution
from durable_async.service.store import ExecutionQuery, OpenExecution, Summary
from durable_async.service.store.sqlite import listing, reading, writing
from durable_async.service.store.sqlite.files import Durability, locate, open_for_reading, open_for_writing
from durable_async.service.store.sqlite.lock import WriterLock, holder
from durable_async.service.store.sqlite.residents import Residents
from durable_async.service.store.sqlite.snapshot import Snapshot, snapshot
from durable_async.service.store.sqlite.threads import Reader, Writer


class SqliteStore:
    """Executions in an SQLite file, with whatever permissions the process gives to new files; payloads are in it as
    they came, so its directory should be as private as they are. Beside it stand ``<path>-wal`` and ``<path>-shm``
    while it is open, and ``<path>-lock``.

    One store may write at a time; any number may read meanwhile, in other processes, too.

    :param path: made by ``open`` if it does not exist
    :param durability: what a write that returned survives: ``full``, a loss of power; ``normal``, the end of the
        process. The package says more
    :param read_only: every ``load`` reads anew, and writes are refused
    :param resident: how many open executions stay in memory though nobody holds them
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        durability: Durability = "full",
        read_only: bool = False,
        resident: int = 1000,
    ) -> None:
        self._path = Path(path)
        self._durability: Durability = durability
        self._read_only = read_only
        self._residents = Residents(resident)
        self._loading: dict[str, asyncio.Task[Execution | None]] = {}
        self._closing = AsyncExitStack()
        self._reader: Reader | None = None
        self._writer: Writer | None = None

    async def open(self) -> None:
        """
        :raises StoreError: the file is in use by another store, of another application, of a later version, damaged,
            or cannot be opened
        """
        self._path = locate(self._path)
        async with AsyncExitStack() as undo:
            if not self._read_only:
                lock = await asyncio.to_thread(WriterLock.take, self._path)
                undo.callback(lock.release)
                connection = await asyncio.to_thread(open_for_writing, self._path, self._durability)
                self._writer = Writer(connection, self._path)
                undo.push_async_callback(self._writer.aclose)
            connection = await asyncio.to_thread(open_for_reading, self._path)
            self._reader = Reader(connection, self._path)
            undo.push_async_callback(self._reader.aclose)
            self._closing = undo.pop_all()

    async def aclose(self) -> None:
        await self._closing.aclose()
        self._reader = self._writer = None

    # --- writes ---

    def add(self, execution: Execution, changes: Changes) -> Awaitable[Execution | None]:
        taken = snapshot(execution, changes)
        return self._added(taken, self._add(taken))

    def _add(self, taken: Snapshot) -> Awaitable[str | None]:
        execution = taken.execution
        standing = self._residents.standing(execution)
        adding = self._writes.put(partial(writing.add, taken), standing, taken.size)
        self._residents.admit(execution)
        adding.add_done_callback(partial(self._forget_if_refused, execution.id))
        return asyncio.shield(adding)

    def _forget_if_refused(self, execution_id: str, adding: asyncio.Future[str | None]) -> None:
        if adding.exception() is None and adding.result() is not None:
            self._residents.forget(execution_id)

    async def _added(self, taken: Snapshot, named: Awaitable[str | None]) -> Execution | None:
        while (execution_id := await named) is not None:
            if (existing := await self.load(execution_id)) is not None:
                return existing
            named = self._add(taken)  # that one was deleted meanwhile
        return None

    def save(self, execution: Execution, changes: Changes) -> Awaitable[None]:
        taken = snapshot(execution, changes)
        return self._writes.put(partial(writing.save, taken), self._residents.standing(execution), taken.size)

    async def barrier(self) -> None:
        if self._writer is not None:
            await self._writer.barrier()

    async def delete(self, execution_id: str) -> None:
        await self._forget(self._writes.put(partial(writing.delete, execution_id)))

    async def delete_closed(self, before_ms: int, count: int) -> int:
        return await self._forget(self._writes.put(partial(writing.delete_closed, before_ms, count)))

    async def _forget(self, deleting: asyncio.Future[list[str]]) -> int:
        """How many were deleted, when they are."""
        deleting.add_done_callback(self._deleted)
        return len(await asyncio.shield(deleting))

    def _deleted(self, deleting: asyncio.Future[list[str]]) -> None:
        if deleting.exception() is None:
            for execution_id in deleting.result():
                self._residents.forget(execution_id)
                self._loading.pop(execution_id, None)

    @property
    def _writes(self) -> Writer:
        if self._writer is not None:
            return self._writer
        pid = holder(self._path)
        by = "" if pid is None else f" Process {pid} has it open for writing."
        raise StoreError(f"{self._path} is open for reading only.{by}")

    # --- reads ---

    async def load(self, execution_id: str) -> Execution | None:
        if self._writer is None:
            return await self._reads.read(partial(reading.load, execution_id))
        if (resident := self._residents.get(execution_id)) is not None:
            return resident
        loading = self._loading.get(execution_id)
        if loading is None:
            loading = self._loading[execution_id] = own_tasks.start(self._load(execution_id))
        return await asyncio.shield(loading)  # others may wait for it, too

    async def _load(self, execution_id: str) -> Execution | None:
        """Nobody holds the execution, so nothing of it waits to be written."""
        try:
            execution = await self._reads.read(partial(reading.load, execution_id))
        finally:
            # A deletion takes this task out: what was read may be gone.
            deleted = self._loading.get(execution_id) is not asyncio.current_task()
            if not deleted:
                del self._loading[execution_id]
        if execution is None or deleted:
            return None
        self._residents.admit(execution)
        return self._residents.get(execution_id)

    async def open_executions(self, function_name: str) -> Sequence[OpenExecution]:
        return await self._reads.read(partial(reading.open_executions, function_name))

    async def function_names(self) -> Sequence[str]:
        return await self._reads.read(reading.function_names)

    async def events(self, execution_id: str, first: int, count: int, *, newest_first: bool) -> Sequence[Event]:
        question = partial(reading.events, execution_id, first, count, newest_first=newest_first)
        return await self._reads.read(question)

    async def executions(self, query: ExecutionQuery) -> Sequence[Summary]:
        return await self._reads.read(partial(listing.executions, query))

    @property
    def _reads(self) -> Reader:
        if self._reader is None:
            raise StoreError(f"{self._path} is not open.")
        return self._reader
