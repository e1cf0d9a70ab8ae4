"""Who may write: one store at a time, whichever process it is in.

The lock is a transaction on a tiny SQLite file beside the store's, which its holder never ends. So it works wherever
SQLite does, needs no clock, and ends with the process however that ends. The file holds its holder's process id, and
stays behind.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Self

from durable_async.service.errors import StoreInUseError
from durable_async.service.store.sqlite.faults import fault

_BUSY_SECONDS = 0.2  # another one may be writing its process id just now


class WriterLock:
    """Held from when it is made until ``release``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def take(cls, path: Path) -> Self:
        """
        :param path: the store's file
        :raises StoreInUseError: another store, which it names, has the lock
        """
        lock = _file(path)
        try:
            connection = sqlite3.connect(lock, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise fault(error, str(lock)) from error
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE IF NOT EXISTS holder (pid INTEGER NOT NULL)")
            connection.execute("DELETE FROM holder")
            connection.execute("INSERT INTO holder VALUES (?)", (os.getpid(),))
            connection.execute("COMMIT")  # for others to read
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise in_use(path) from None
            raise fault(error, str(lock)) from error
        return cls(connection)

    def release(self) -> None:
        self._connection.close()


def in_use(path: Path) -> StoreInUseError:
    pid = holder(path)
    by = "another process" if pid is None else f"process {pid}"
    return StoreInUseError(
        f"{path} is in use by {by}, and only one at a time may write. Others can open it for reading."
    )


def holder(path: Path) -> int | None:
    """The process that has the lock of the store at ``path`` now. None: nobody, or nobody can tell."""
    lock = _file(path)
    try:
        with closing(sqlite3.connect(f"{lock.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)) as other:
            found = other.execute("SELECT pid FROM holder").fetchone()
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return None if found is None else int(found[0])
    except sqlite3.Error:
        pass  # no such file, or not ours to write: nobody can tell
    return None


def _file(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")
