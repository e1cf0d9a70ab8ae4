"""What functions and servers print: line by line, in order, and without waiting for a slow reader."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TextIO

LineSink = Callable[[str | None, str], None]
"""A function that takes a line without its end, and the name of the function that wrote it; None: no function ran."""

_BUFFER_CHARACTERS = 1024 * 1024
_CLOSE_SECONDS = 1.0
_PIPE_BYTES = 1024 * 1024  # the maximum that a pipe holds on Linux, unless an administrator allows more


class BoundedOutput:
    """Takes texts from any thread without waiting, and keeps their order.

    :param stream: the target. One daemon thread, which starts with the first text, writes to it and flushes it
    :param max_characters: the maximum number of characters that wait to be written
    """

    def __init__(self, stream: TextIO, *, max_characters: int = _BUFFER_CHARACTERS) -> None:
        self._stream = stream
        self._max_characters = max_characters
        self._texts: deque[str] = deque()
        self._waiting = 0  # characters
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def write(self, text: str, /) -> int:
        """Return the length of ``text``, as a stream does, even if the text is dropped."""
        with self._changed:
            if self._waiting + len(text) > self._max_characters:
                self._dropped += 1
            else:
                self._note_dropped()
                self._append(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="durable-async-output", daemon=True)
                self._thread.start()
        return len(text)

    def flush(self) -> None:
        """Return at once. What waits is written when the reader of the stream is ready."""

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> None:
        """Wait until everything is written, but not longer than ``seconds``. The stream stays open."""
        with self._changed:
            self._closed = True
            self._note_dropped()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    def _note_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._append(f"[{dropped} lines were dropped here, because the output was not read fast enough]\n")

    def _append(self, text: str) -> None:
        self._texts.append(text)
        self._waiting += len(text)
        self._changed.notify_all()

    def _write_all(self) -> None:
        while (text := self._next()) is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # the reader has gone, or the stream is closed: the error cannot be reported
                pass
            with self._changed:
                self._waiting -= len(text)

    def _next(self) -> str | None:
        with self._changed:
            while not self._texts:
                if self._closed:
                    return None
                self._changed.wait()
            return self._texts.popleft()


@cache
def bounded(stream: TextIO) -> BoundedOutput:
    """Return the writer of ``stream``. There is one for each stream, so texts from all threads keep their order."""
    return BoundedOutput(stream)


def to_stderr(_function: str | None, line: str) -> None:
    """Write a line to standard error without waiting, see :class:`BoundedOutput`."""
    bounded(sys.stderr).write(f"{line}\n")


def json_lines(file: TextIO, clock: Callable[[], float] = time.time) -> LineSink:
    """Return a sink that appends each line of a function to ``file`` as ``{"timestamp": milliseconds, "function": ...,
    "message": ...}``.

    Lines that no function wrote, such as those of a module during its import, go to standard error. If ``file`` is not
    a regular file, such as a pipe, lines are dropped when it is not read fast enough.
    """
    regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode) if _has_descriptor(file) else True
    output = file if regular else bounded(file)

    def write(function: str | None, line: str) -> None:
        if function is None:
            to_stderr(function, line)
            return
        entry = {"timestamp": int(clock() * 1000), "function": function, "message": line}
        output.write(json.dumps(entry) + "\n")
        output.flush()  # takes microseconds, and a reader waits for these lines

    return write


def _has_descriptor(file: TextIO) -> bool:
    try:
        file.fileno()
    except OSError:
        return False
    return True


class PipedOutput:
    """Reads what a process prints, line by line. Both of its streams are one pipe, so their lines stay in order.

    :ivar write_end: the descriptor that the process gets; close it here once the process has it
    :ivar function: the name of the function that writes the lines from now on; None: no function runs
    """

    def __init__(self, sink: LineSink) -> None:
        self.function: str | None = None
        self._sink = sink
        self._read_end: int
        self.write_end: int
        self._read_end, self.write_end = os.pipe()
        self._rest = b""
        os.set_blocking(self._read_end, False)
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def _read(self) -> None:
        """Pass on what has arrived. One read takes everything that a pipe can hold."""
        try:
            data = os.read(self._read_end, _PIPE_BYTES)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._read_end)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._sink(self.function, line.decode(errors="replace"))

    def finish(self) -> None:
        """Pass on what has arrived, including a last line without its end."""
        self._read()
        if self._rest:
            self._sink(self.function, self._rest.decode(errors="replace"))
            self._rest = b""

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
