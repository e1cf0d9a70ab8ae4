"""Locks on a store's files that nothing done to the files takes away.

SQLite's own locks belong to the process, and end as soon as anything in it closes another descriptor of the same file:
a copy of the data folder is enough. Another process then takes the file for abandoned, and deletes its journal. The
locks here belong to one open descriptor each (``F_OFD_SETLK``), and to the file itself under whatever name:

- one byte that SQLite does not use, for writing: there is one writer
- the bytes that SQLite locks to show that a file is in use, for reading: nobody gets them alone, which it takes to
  delete the journal
- the same for the shared memory beside it: nobody takes it for a dead process's, and truncates it

Where the system has no such locks (it is Linux that has), nothing is locked here.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self
from weakref import WeakSet

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
