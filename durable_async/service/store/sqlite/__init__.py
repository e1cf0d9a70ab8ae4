"""A store in one SQLite file.

Durable means, at ``full``: the write-ahead log is flushed to the disk (``PRAGMA synchronous = FULL``) before a write
returns, so what was acknowledged survives a loss of power. At ``normal`` it is handed to the operating system: it
survives the end of the process, however that comes, but the last moments may be gone after a loss of power. The file is
whole in any case.
"""

from __future__ import annotations

from durable_async.service.store.sqlite.files import Durability
from durable_async.service.store.sqlite.store import SqliteStore

__all__ = ["Durability", "SqliteStore"]
