"""Writes to a stream that may have no reader, such as the standard error of a server.

A pipe that nobody reads is full after 64 KiB, and then a write waits for ever. So a thread writes, from a buffer that
has a bound; what does not fit is dropped, and a line says how much it was.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import cache
from typing import TextIO

_BUFFER_CHARACTERS = 1024 * 1024
_CLOSE_SECONDS = 1.0


class BoundedOutput:
    """Takes texts without waiting, in the order in which they come. From any thread.

    :param stream: it is written to and flushed by one daemon thread, which starts with the first text
    :param most: characters that may wait to be written
    """

    def __init__(self, stream: TextIO, *, most: int = _BUFFER_CHARACTERS) -> None:
        self._stream = stream
        self._most = most
        self._texts: deque[str] = deque()
        self._waiting = 0  # characters
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def write(self, text: str, /) -> int:
        """Return the length of ``text``, as a stream does, also if it is dropped."""
        with self._changed:
            if self._waiting + len(text) > self._most:
                self._dropped += 1
            else:
                self._note_dropped()
                self._append(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="durable-async-output", daemon=True)
                self._thread.start()
        return len(text)

    def flush(self) -> None:
        """Return at once: what waits is written as soon as somebody reads."""

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> None:
        """Wait until everything is written, but no longer than ``seconds``. The stream stays open."""
        with self._changed:
            self._closed = True
            self._note_dropped()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    def _note_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._append(f"[{dropped} lines were dropped here, because nobody read the output fast enough]\n")

    def _append(self, text: str) -> None:
        self._texts.append(text)
        self._waiting += len(text)
        self._changed.notify_all()

    def _write_all(self) -> None:
        while (text := self._next()) is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # the reader has gone, or the stream is closed: nobody can be told
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
    """The one writer of ``stream``, so that whoever writes to it keeps one order."""
    return BoundedOutput(stream)
