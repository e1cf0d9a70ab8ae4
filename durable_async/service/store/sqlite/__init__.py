"""A store in one SQLite file.

With the durability ``full``, the write-ahead log is flushed to the disk (``PRAGMA synchronous = FULL``) before a write
returns, so acknowledged writes survive a loss of power. With ``normal``, they are handed to the operating system: they
survive every end of the process, but the last ones may be lost after a loss of power. The file stays consistent in both
cases.
"""

from __future__ import annotations

from durable_async.service.store.sqlite.files import Durability
from durable_async.service.store.sqlite.store import SqliteStore
from durable_async.service.store.sqlite.threads import CommitLimits

__all__ = ["CommitLimits", "Durability", "SqliteStore"]
