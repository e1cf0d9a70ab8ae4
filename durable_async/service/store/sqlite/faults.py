"""What an error of SQLite means for whoever runs the service, in a sentence that says what to do.

SQLite's own messages are not passed on: they may quote values.
"""

from __future__ import annotations

import errno
import sqlite3

from durable_async.service.errors import StoreError

REFUSED = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    RecursionError,
    StoreError,
    TypeError,
    ValueError,
)
"""Errors of what was to be written. Others come from the medium, and would come with any other write, too."""

_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full. Free some space; no restart is needed.",
    sqlite3.SQLITE_READONLY: "{path} cannot be written. Check the permissions of the file and of its directory, and "
    "whether it was moved or its file system is mounted read-only.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged. Restore a backup; the .recover command of the sqlite3 shell may save "
    "what the file still holds.",
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite file, or its beginning is damaged. Choose another file, or restore a "
    "backup.",
    sqlite3.SQLITE_BUSY: "Another process keeps {path} locked. Let it finish; a backup or a shell must not hold a "
    "transaction open.",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened. Check that it is a file, and the permissions: SQLite must be "
    "able to create files beside it, with the endings -wal and -shm.",
    sqlite3.SQLITE_IOERR: "{path} cannot be read or written ({name}). Check the disk.",
}


_CODES = {
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


def unopened(error: OSError, path: str) -> StoreError:
    """What ``error`` means. It came from opening ``path`` for writing."""
    code = _CODES.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
    return StoreError(_SENTENCES[code].format(path=path, name=error.strerror))


def fault(error: sqlite3.Error, path: str) -> StoreError:
    """What ``error`` means. It came from the medium."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest says which kind of it
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(_SENTENCES.get(code, "SQLite cannot use {path} ({name}).").format(path=path, name=name))


def refusal(error: Exception, path: str) -> StoreError:
    """What ``error``, one of ``REFUSED``, means."""
    if isinstance(error, StoreError):
        return error
    return StoreError(f"{path} cannot keep a value of the execution ({type(error).__name__}). Others are kept.")


def superseded() -> StoreError:
    """Of an object that is not, or no longer, the one through which its execution is written."""
    return StoreError("Somebody else wrote the execution meanwhile. Read it again, and repeat the call.")
