"""Who may write: one store at a time, whichever process it is in.

There are two locks. One is on the store's file itself, and nothing that is done with files takes it away (``shield``).
The other is a transaction on a tiny SQLite file beside the store's, which its holder never ends: it works wherever
SQLite does, and the file holds its holder's process id for those who are refused. Both need no clock, and end with the
process however that ends. The lock file stays behind.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Self

from durable_async.service.errors import StoreInUseError
from durable_async.service.store.sqlite.faults import fault, unopened
from durable_async.service.store.sqlite.files import make_private
from durable_async.service.store.sqlite.shield import Shield

_BUSY_SECONDS = 0.2  # another one may be writing its process id just now


class WriterLock:
    """Held from when it is made until ``release``, which must come after SQLite has closed the store's file."""

    def __init__(self, connection: sqlite3.Connection, shield: Shield) -> None:
        self._connection = connection
        self.shield: Shield = shield

    @classmethod
    def take(cls, path: Path) -> Self:
        """
        :param path: the store's file, which is made if it is not there
        :raises StoreInUseError: another store, which it names, has the lock
        """
        connection = _announce(path)
        try:
            shield = Shield.take(path)
        except OSError as error:
            connection.close()
            raise unopened(error, str(path)) from error
        if shield is None:
            connection.close()
            raise _in_use(path, None)  # under another name, or its lock file was deleted
        return cls(connection, shield)

    def release(self) -> None:
        self.shield.release()
        self._connection.close()


def _announce(path: Path) -> sqlite3.Connection:
    """Take the lock file, and write our process id into it."""
    lock = _file(path)
    make_private(lock)
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
            raise _in_use(path, holder(path)) from None
        raise fault(error, str(lock)) from error
    return connection


def _in_use(path: Path, pid: int | None) -> StoreInUseError:
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
