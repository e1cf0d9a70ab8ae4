"""The lock that lets one store at a time write a file, whichever process the store is in. Two locks make it.

One is a transaction that its holder never ends, on a tiny SQLite file beside the store's. It works wherever SQLite
does, and the file holds the process id of the holder for those who are refused. The file stays behind.

The other (``Shield``) is on the store's file itself, and nothing that is done with files takes it away. SQLite's own
locks belong to the process: they end as soon as anything in the process closes another descriptor of the same file,
which a copy of the folder does. Another process would then take the file for abandoned and delete its journal. The
shield's locks belong to one open descriptor each (``F_OFD_SETLK``):

- one byte that SQLite does not use, locked for writing: there is one writer
- the bytes that SQLite locks while a file is in use, locked for reading: nobody can lock them alone, which deleting the
  journal takes
- the same for the shared memory beside it: nobody takes it for that of a dead process and truncates it

Systems other than Linux have no such locks, and only the first lock works there. Neither lock needs a clock, and both
end with the process however it ends.
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

# Where SQLite's own locks are. These numbers are part of its file format.
_SHARED_BYTES = (0x40000002, 510)
_WRITER_BYTE = (0x40000200, 1)  # just behind them, in a page that never holds data
_SHARED_MEMORY_BYTE = (128, 1)

_FLOCK = "hhqqi4x"  # struct flock: kind, from where, first byte, bytes, process
_REFUSED = frozenset({errno.EAGAIN, errno.EACCES})
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK})  # to the kernel or the file system


class Shield:
    """Held from when it is made until ``release``, which must not come before SQLite has closed the files."""

    def __init__(self, path: Path, *descriptors: int) -> None:
        self._path = path
        self._descriptors = [*descriptors]  # of the file, and of the shared memory
        _held.add(self)

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """
        :param path: of the store's file, which is made if it is not there, for its owner alone
        :return: None if somebody else has it
        :raises OSError: it cannot be opened for writing
        """
        if sys.platform == "linux":
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            shield = cls(path, file)
            if not _lock(file, fcntl.F_WRLCK, _WRITER_BYTE):
                shield.release()
                return None
        else:  # a descriptor without a lock would only end SQLite's when it is closed
            make_private(path)
            shield = cls(path)
        return shield

    def cover(self) -> None:
        """Show that the files are in use. To be called when SQLite has opened them."""
        if sys.platform == "linux":
            self._descriptors.append(os.open(f"{self._path}-shm", os.O_RDONLY | os.O_CLOEXEC))
            self._lock_both(fcntl.F_RDLCK)

    def uncover(self) -> None:
        """Let SQLite close the files as it does: the last one out deletes the journal."""
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
    """Whether somebody has the store at ``path`` open for writing. False as well where that cannot be found out.

    Not for a process that has the store open itself: looking ends the locks that SQLite has there.
    """
    if sys.platform == "linux":
        with suppress(OSError), path.open("rb") as file:
            request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *_WRITER_BYTE, 0)
            answer: bytes = fcntl.fcntl(file, fcntl.F_OFD_GETLK, request)
            return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    return False


def _lock(descriptor: int, kind: int, place: tuple[int, int]) -> bool:
    """Whether it is ours now, or cannot be had by anybody."""
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
    """A child shares its parent's descriptors, and would keep the locks of a parent that is dead."""
    for shield in _held:
        shield.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


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
