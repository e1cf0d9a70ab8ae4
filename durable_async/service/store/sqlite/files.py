"""Opens a store's file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite import schema
from durable_async.service.store.sqlite.damage import fault
from durable_async.service.store.sqlite.schema import MIGRATIONS, Migration

Durability = Literal["full", "normal"]

_BUSY_SECONDS = 5.0  # how long to wait while a shell or a backup has a lock
_JOURNAL_PAGES = 4000  # before they are copied into the file. SQLite's default, 1000, copies the same page more often
_JOURNAL_BYTES = 64 * 1024 * 1024  # the size of the journal on disk after it was larger once


def make_private(path: Path) -> None:
    """Create an empty file that only its owner may read, if there is none. SQLite gives its other files the same
    rights.

    An existing file is not opened, because closing it again would end the locks that this process has on it.
    """
    with suppress(OSError):  # SQLite opens it next, and its error says what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


class Place:
    """The identity of a store's file and journal when they were opened. Commands such as ``mv`` and programs that
    synchronize folders may replace them; later writes then go to a file that has no name any more.

    :param journal: True: the journal must stay in its place too. False: only the file must
    """

    def __init__(self, path: Path, *, journal: bool) -> None:
        self._paths = [str(path), str(_journal(path))] if journal else [str(path)]
        self._opened = [*map(_identity, self._paths)]

    def stays(self) -> bool:
        return [*map(_identity, self._paths)] == self._opened

    @property
    def lacks_journal_only(self) -> bool:
        return [*map(_identity, self._paths)] == [self._opened[0], None]

    def fault(self) -> StoreError | None:
        """Return an error that says which file was moved and what to do; None: all files are in their place."""
        for path, opened in zip(self._paths, self._opened, strict=True):
            found = _identity(path)
            if found != opened:
                happened = "was deleted or moved away" if found is None else "was replaced by another file"
                return StoreError(
                    f"{path} {happened} while it was in use, so nothing is written or read any more. Put the original "
                    "file back, or restart the service, which then uses the file that is there."
                )
        return None


def _identity(path: str) -> tuple[int, ...] | None:
    """Return the inode and the device of a file; None if there is none."""
    try:
        return os.stat(path)[1:3]  # noqa: PTH116 - for every commit, and much quicker
    except OSError:
        return None


def locate(path: Path) -> Path:
    """Return the path with symbolic links resolved. The file need not exist.

    :raises StoreError: the path has a special meaning in SQLite, its directory does not exist, or the file was emptied
    """
    if str(path) == ":memory:" or str(path).startswith("file:"):
        raise StoreError(f"{path} is not the path of a file. Give a plain path, or none to keep executions in memory.")
    path = path.resolve()
    if not path.parent.is_dir():
        raise StoreError(f"The directory {path.parent} does not exist. Create it, or choose another file.")
    journal = _journal(path)
    if _size(path) == 0 and _size(journal):  # SQLite would delete the journal, which may hold the missing data
        raise StoreError(f"{path} is empty, but its journal {journal.name} is not. Restore a backup of both.")
    return path


def open_for_writing(
    path: Path, durability: Durability, migrations: Sequence[Migration] = MIGRATIONS
) -> sqlite3.Connection:
    """Return a connection to the store's file. The file is created, or converted to the latest version, if needed.

    :raises StoreError: it is not a store, has a later version, is damaged, or cannot be written
    """
    with _opening(path, "rwc") as connection:
        prepare(connection, path, durability, migrations)
    return connection


def prepare(
    connection: sqlite3.Connection, path: Path, durability: Durability, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Set how a connection writes, and create or convert the tables of its file if needed.

    :raises StoreError: the file is not a store, has a later version, or cannot be written
    """
    if (
        schema.check(connection, str(path), migrations) == 0
    ):  # check before anything is written, because the file may belong to another program
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # not possible later
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreError(f"SQLite cannot keep a write-ahead log for {path}. Choose a local file system.")
    connection.execute(f"PRAGMA synchronous = {durability}")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: to the disk, not only to its cache
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_JOURNAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
    schema.migrate(connection, str(path), migrations)
    _try_to_write(connection, len(migrations))


def open_for_reading(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Return a connection that sees committed data. If SQLite cannot write its own files in the directory, the store's
    file must not change meanwhile.

    :raises StoreError: there is no store, it has another version, or it is damaged
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist.")
    still = not _size(_journal(path)) and not os.access(path.parent, os.W_OK)
    with _opening(path, "ro&immutable=1" if still else "ro") as connection:
        version = schema.check(connection, str(path), migrations)
        if version < len(migrations):
            raise StoreError(f"{path} has version {version}. Open it for writing once: that converts it.")
    return connection


def _try_to_write(connection: sqlite3.Connection, version: int) -> None:
    """Raise if SQLite has opened the file for reading only, which it does silently."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("ROLLBACK")


@contextmanager
def _opening(path: Path, mode: str) -> Generator[sqlite3.Connection]:
    """Yield a connection. If the code inside raises, the connection is closed."""
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # only one thread at a time uses it
        )
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise fault(error, str(path)) from error


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None
