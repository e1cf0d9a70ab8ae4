"""Payloads as files of a folder."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs

from durable_async._threads import threads_of

T = TypeVar("T")

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199})*")


@attrs.frozen
class FileStorage:
    """A :class:`Storage` in a folder that every process of the workflow can reach, such as an EFS mount.

    Do not use Lambda's ``/tmp``, which is deleted with its environment. References are paths relative to the folder, so
    the folder can be moved as a whole. Only their owner can read the files.

    A file is written under a hidden name, flushed to the disk, and only then gets its own name. A process that dies
    in between leaves a ``.*.tmp`` file, which nothing reads and which may be deleted when it is old.

    :ivar folder: created at the first write, with its parents
    """

    folder: Path = attrs.field(converter=Path)

    async def put(self, key: str, data: bytes) -> str:
        """Write ``data`` to the file of ``key``.

        :raises ValueError: the key is not segments of ``A-Z a-z 0-9 _ - .``, none of which begins with a dot
        :raises OSError: the file system refused
        """
        await self._in_thread(partial(_write, self._path(key), data))
        return key

    async def get(self, reference: str) -> bytes:
        """Return the contents of a file.

        :raises LookupError: there is no such file
        :raises ValueError: as for ``put``
        :raises OSError: the file system refused
        """
        try:
            return await self._in_thread(self._path(reference).read_bytes)
        except FileNotFoundError:
            raise LookupError(reference) from None

    async def _in_thread(self, func: Callable[[], T]) -> T:
        return await threads_of(asyncio.get_running_loop()).run(str(self.folder), func)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not a key of a file")
        return self.folder / key


def _write(path: Path, data: bytes) -> None:
    _make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    """Flush a folder: only then are the names in it on the disk."""
    if os.name == "nt":  # where folders cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
