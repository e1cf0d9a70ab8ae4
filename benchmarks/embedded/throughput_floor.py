"""What five commits cost a bare SQLite writer thread, which is what an execution of three steps keeps. Prints as
``throughput_ours``.

An asyncio program hands each transaction to a thread of the bare ``sqlite3`` module, and waits until it is committed.
A transaction has one row for the execution, one operation and two events, of about the size of ours.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from itertools import count
from queue import SimpleQueue
from threading import Thread

TABLES = ("executions", "operations", "events")
COMMITS = 5
TEXT = "x" * 200


class WriterThread:
    def __init__(self, file: str, durability: str) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {durability}")
        for table in TABLES:
            self._connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT)")
        self._ids = count(1)
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[asyncio.Future[None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work)
        self._thread.start()

    def commit(self) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        self._asked.put(done)
        return done

    def close(self) -> None:
        self._asked.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while (done := self._asked.get()) is not None:
            self._connection.execute("BEGIN IMMEDIATE")
            for table in (*TABLES, TABLES[-1]):
                self._connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (next(self._ids), TEXT))
            self._connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(done.set_result, None)


async def main(file: str, durability: str, count: int, at_once: int) -> None:
    writer = WriterThread(file, durability)

    async def several(numbers: range) -> None:
        for _ in numbers:
            for _ in range(COMMITS):
                await writer.commit()

    try:
        await several(range(10))
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(several(range(first, count, at_once)) for first in range(at_once)))
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
    finally:
        writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
