"""Payloads, each kept once for its execution: a result stands in its operation, its event, and perhaps the execution's.

A short one stands in the row that mentions it. A long one stands in ``payloads`` under its digest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

SHORT = 256
"""Characters. Rows are small then, as tables without rowid want them, and a repetition costs less than a digest."""

Row = tuple[Any, ...]

Place = tuple[bytes | None, bytes | None]
"""Two columns: the payload's bytes, or its digest. Both None: there is no payload."""


def by_name(names: Sequence[str], columns: Row) -> Mapping[str, Any]:
    return dict(zip(names, columns, strict=True))


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def decode(body: bytes) -> str:
    return body.decode("utf-8", "surrogatepass")


compact_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode
"""ASCII: lone surrogates are escaped."""


class Written:
    """The long payloads of one write."""

    def __init__(self) -> None:
        self.bodies: dict[bytes, bytes] = {}
        self._digests: dict[str, bytes] = {}  # an operation and its event have the same text

    def digest(self, text: str) -> bytes | None:
        """Under which ``text`` is kept; None: it is short, and stands in its row."""
        if len(text) <= SHORT:
            return None
        digest = self._digests.get(text)
        if digest is None:
            body = encode(text)
            digest = self._digests[text] = blake2b(body, digest_size=20).digest()
            self.bodies[digest] = body
        return digest

    def text(self, text: str | None) -> Place:
        if text is None:
            return None, None
        digest = self.digest(text)
        return (encode(text), None) if digest is None else (None, digest)

    def json(self, value: Any) -> Place:
        """:param value: JSON; None: there is none"""
        return self.text(None if value is None else compact_json(value))


class Kept:
    """The payloads of one stored execution."""

    def __init__(self, connection: sqlite3.Connection, execution: int) -> None:
        self._connection = connection
        self._execution = execution
        self._texts: dict[bytes, str] = {}

    def long(self, digest: bytes) -> str:
        text = self._texts.get(digest)
        if text is None:
            question = "SELECT body FROM payloads WHERE execution = ? AND digest = ?"
            (body,) = self._connection.execute(question, (self._execution, digest)).fetchone()
            text = self._texts[digest] = decode(body)
        return text

    def text(self, short: bytes | None, digest: bytes | None) -> str | None:
        if digest is not None:
            return self.long(digest)
        return None if short is None else decode(short)

    def json(self, short: bytes | None, digest: bytes | None) -> Any:
        text = self.text(short, digest)
        return None if text is None else json.loads(text)
