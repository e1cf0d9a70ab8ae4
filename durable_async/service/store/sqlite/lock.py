"""Makes sure that only one store at a time writes a file, in all processes. It uses two locks.

The first is a transaction that its holder never ends, on a tiny SQLite file beside the store's. It works on every
system that SQLite supports. The file holds the process id of the holder, for error messages, and is never deleted.

The second (``Shield``) is on the store's file itself. SQLite's own locks belong to the process: they end when any code
in the process closes another descriptor of the same file, as a copy of the folder does. Another process would then
consider the file abandoned and delete its journal. The shield's locks belong to one open descriptor each
(``F_OFD_SETLK``):

- one byte that SQLite does not use, locked for writing, so that there is one writer
- the bytes that SQLite locks while a file is in use, locked for reading: deleting the journal needs an exclusive lock
  on them
- the same bytes of the shared memory file: otherwise another process could truncate it as the file of a dead process

Systems other than Linux do not have such locks, and only the first lock works there. Neither lock needs a clock, and
both end with the process.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Self
from weakref import WeakSet

from durable_async.service.model.errors import StoreInUseError
from durable_async.service.store.sqlite.damage import fault, unopened
from durable_async.service.store.sqlite.files import make_private

if sys.platform == "linux":
    import fcntl

# The positions of SQLite's own locks. They are part of its file format.
_SHARED_BYTES = (0x40000002, 510)
_WRITER_BYTE = (0x40000200, 1)  # directly behind them, in a page that never holds data
_SHARED_MEMORY_BYTE = (128, 1)

_FLOCK = "hhqqi4x"  # struct flock: kind, whence, first byte, length, process
_REFUSED = frozenset({errno.EAGAIN, errno.EACCES})
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})  # by the kernel or the file system


class Shield:
    """The lock on the store's file. Call ``release`` after SQLite has closed the files."""

    def __init__(self, path: Path, *descriptors: int) -> None:
        self._path = path
        self._descriptors = [*descriptors]  # of the file and of the shared memory
        _held.add(self)

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Take the lock.

        :param path: the store's file; if it does not exist, it is created with rights for its owner only
        :return: None if another process has the lock
        :raises OSError: the file cannot be opened for writing
        """
        if sys.platform == "linux":
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            shield = cls(path, file)
            if not _lock(file, fcntl.F_WRLCK, _WRITER_BYTE):
                shield.release()
                return None
        else:  # without a lock, closing the descriptor later would only end SQLite's locks
            make_private(path)
            shield = cls(path)
        return shield

    def cover(self) -> None:
        """Lock the files as being in use. Call this when SQLite has opened them.

        :raises StoreError: the shared memory cannot be opened
        """
        if sys.platform == "linux":
            shared = f"{self._path}-shm"
            try:
                self._descriptors.append(os.open(shared, os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                raise unopened(error, shared) from error
            self._lock_both(fcntl.F_RDLCK)

    def uncover(self) -> None:
        """Unlock the files, so that SQLite can delete the journal when it closes them."""
        if sys.platform == "linux":
            self._lock_both(fcntl.F_UNLCK)

    def _lock_both(self, kind: int) -> None:
        for descriptor, place in zip(self._descriptors, (_SHARED_BYTES, _SHARED_MEMORY_BYTE), strict=False):
            _lock(descriptor, kind, place)

    def release(self) -> None:
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process has the store at ``path`` open for writing. False also if this is not known.

    Do not call this in a process that has the store open: the check ends SQLite's locks there.
    """
    if sys.platform == "linux":
        with suppress(OSError), path.open("rb") as file:
            request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *_WRITER_BYTE, 0)
            answer: bytes = fcntl.fcntl(file, fcntl.F_OFD_GETLK, request)
            return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    return False


def _lock(descriptor: int, kind: int, place: tuple[int, int]) -> bool:
    """Return True if the lock is taken, or if the system does not have such locks; False if another process has it."""
    if sys.platform == "linux":
        request = struct.pack(_FLOCK, kind, os.SEEK_SET, *place, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
        except OSError as error:
            if error.errno in _REFUSED:
                return False
            if error.errno not in _UNKNOWN:
                raise
    return True


_held: WeakSet[Shield] = WeakSet()


def _forked() -> None:
    """Close the inherited descriptors in a forked child. Otherwise it would keep its parent's locks."""
    for shield in _held:
        shield.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


_BUSY_SECONDS = 0.2  # another process may be writing its process id at this moment


class WriterLock:
    """Both locks of a writer. Call ``release`` after SQLite has closed the store's file."""

    def __init__(self, connection: sqlite3.Connection, shield: Shield) -> None:
        self._connection = connection
        self.shield: Shield = shield

    @classmethod
    def take(cls, path: Path) -> Self:
        """Take both locks.

        :param path: the store's file, which is created if it does not exist
        :raises StoreInUseError: another store has the lock; the message names its process
        """
        connection = _announce(path)
        try:
            shield = Shield.take(path)
        except OSError as error:
            connection.close()
            raise unopened(error, str(path)) from error
        if shield is None:
            connection.close()
            raise _in_use(path, None)  # the file was opened under another name, or its lock file was deleted
        return cls(connection, shield)

    def release(self) -> None:
        self.shield.release()
        self._connection.close()


def _announce(path: Path) -> sqlite3.Connection:
    """Lock the lock file, and write the id of this process into it."""
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
        connection.execute("COMMIT")  # so that other processes can read it
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        connection.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise _in_use(path, holder(path)) from None
        raise fault(error, str(lock)) from error
    return connection


def _in_use(path: Path, pid: int | None) -> StoreInUseError:
    by = "another process" if pid is None else f"process {pid}" + (" (this one)" if pid == os.getpid() else "")
    return StoreInUseError(
        f"{path} is in use by {by}, and only one store at a time may write. Others can open it for reading."
    )


def holder(path: Path) -> int | None:
    """Return the id of the process that has the lock of the store at ``path``; None: no process has it, or it is
    unknown.
    """
    lock = _file(path)
    try:
        with closing(sqlite3.connect(f"{lock.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)) as other:
            found = other.execute("SELECT pid FROM holder").fetchone()
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return None if found is None else int(found[0])
    except sqlite3.Error:
        pass  # there is no such file, or this process may not write it
    return None


def _file(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")
