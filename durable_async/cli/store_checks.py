"""Is the file of a store well: read here, whoever else has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from durable_async.cli.findings import Finding, broken, doubtful, well
from durable_async.service.errors import StoreError
from durable_async.service.store.sqlite.damage import is_damage
from durable_async.service.store.sqlite.faults import fault
from durable_async.service.store.sqlite.files import locate, open_for_reading
from durable_async.service.store.sqlite.inspection import damaged_executions
from durable_async.service.store.sqlite.lock import holder
from durable_async.service.store.sqlite.shield import is_held

_SHOWN = 5  # executions by name

_QUARANTINED = """
    SELECT function_name || '/' || name FROM executions
    WHERE status = 'PAUSED' AND CAST(pause_reason AS TEXT) LIKE 'Quarantined:%' ORDER BY position
"""
_OPEN = """
    SELECT function_name, count(*) FROM executions WHERE ended_ms IS NULL GROUP BY function_name ORDER BY function_name
"""


def check_store(file: Path) -> Iterator[Finding]:
    try:
        path = locate(file)
        writer = _writer(path)
        with closing(open_for_reading(path)) as connection:
            yield from _of(connection, path, writer)
    except StoreError as error:
        sentence, _, advice = error.message.partition(". ")
        yield broken("store", sentence, advice)
    except sqlite3.Error as error:
        sentence, _, advice = fault(error, str(file)).message.partition(". ")
        yield broken("store", sentence, advice)


def _writer(path: Path) -> str:
    pid = holder(path)
    if pid is not None:
        return f"process {pid}"
    return "a process that the lock file does not name" if path.exists() and is_held(path) else "none"


def _of(connection: sqlite3.Connection, path: Path, writer: str) -> Iterator[Finding]:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    yield well("store", f"{path}, version {version}")
    found = _integrity(connection)
    if found != ["ok"]:
        yield broken("integrity", "; ".join(found), "stop its service, and restore a backup")
        yield from _damaged(connection)
        return
    yield well("integrity", "ok")
    yield from _damaged(connection)
    yield well("writer", writer)
    counts = connection.execute("SELECT status, count(*) FROM executions GROUP BY status ORDER BY status").fetchall()
    yield well("executions", ", ".join(f"{count} {status}" for status, count in counts) or "none")
    if still_open := connection.execute(_OPEN).fetchall():
        functions = ", ".join(f"{name} ({count})" for name, count in still_open)
        yield well("open", f"{functions}: they go on where these functions are registered")
    if quarantined := [name for (name,) in connection.execute(_QUARANTINED)]:
        more = f" and {len(quarantined) - _SHOWN} more" if len(quarantined) > _SHOWN else ""
        advice = "their handlers crashed again and again: mend them, then durable-async resume"
        yield doubtful("quarantine", ", ".join(quarantined[:_SHOWN]) + more, advice)


def _integrity(connection: sqlite3.Connection) -> list[str]:
    try:
        return [line for (line,) in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return ["a page of the file cannot be read"]


def _damaged(connection: sqlite3.Connection) -> Iterator[Finding]:
    for damaged in damaged_executions(connection):
        found = f"{damaged.name}: {damaged.what}"
        if damaged.repairable:
            yield doubtful("damaged", found, "start its service, which repairs it when it is used")
        else:
            yield broken("damaged", found, "the others go on; restore a backup of the store to have this one back")
