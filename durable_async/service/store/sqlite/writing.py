"""What is written, inside of a transaction that somebody else begins and ends."""

from __future__ import annotations

import sqlite3

from durable_async.service.store.sqlite import event_row, execution_row, operation_row
from durable_async.service.store.sqlite.payloads import Row, Written
from durable_async.service.store.sqlite.snapshot import Snapshot

_VACUUMED_PAGES = 256  # given back to the file system at once, so that no deletion keeps others waiting


def _insert(verb: str, table: str, *columns: str) -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _assignments(columns: tuple[str, ...]) -> str:
    return ", ".join(f"{column} = ?" for column in columns)


_NAMED = "SELECT id FROM executions WHERE function_name = ? AND name = ?"
_LATEST = "SELECT era, started_ms FROM executions ORDER BY position DESC LIMIT 1"
_ADD = _insert("INSERT", "executions", *execution_row.COLUMNS, "era")
_FIND = "SELECT position FROM executions WHERE id = ?"
_SAVE = f"UPDATE executions SET {_assignments(execution_row.PROGRESS)} WHERE position = ?"  # noqa: S608 - names
# Apart, because an index is rewritten by every statement that could change it.
_SAVE_OUTCOME = f"UPDATE executions SET {_assignments(execution_row.OUTCOME)} WHERE position = ? AND status <> ?"  # noqa: S608
_OPERATION = _insert("REPLACE", "operations", "execution", *operation_row.COLUMNS)
_EVENT = _insert("INSERT", "events", "execution", *event_row.COLUMNS)
_PAYLOAD = _insert("INSERT OR IGNORE", "payloads", "execution", "digest", "body")
_DELETE = "DELETE FROM executions WHERE position = ?"  # the rest follows by its foreign keys
_CLOSED = "SELECT position, id FROM executions WHERE ended_ms < ? ORDER BY ended_ms LIMIT ?"


def add(taken: Snapshot, connection: sqlite3.Connection) -> str | None:
    """Keep a new execution. Or return the id of the one that has its name already."""
    execution = taken.execution
    named = connection.execute(_NAMED, (execution.function_name, execution.name)).fetchone()
    if named is not None:
        return str(named[0])
    era, latest_ms = connection.execute(_LATEST).fetchone() or (0, execution.started_ms)
    written = Written()
    row = (
        *execution_row.identity_row(execution, written),
        *_outcome(taken, written),
        *taken.progress,
        era + (execution.started_ms < latest_ms),
    )
    position = connection.execute(_ADD, row).lastrowid
    if position is None:
        raise sqlite3.InternalError("an inserted row has no id")
    _save_record(connection, position, taken, written)
    return None


def save(taken: Snapshot, connection: sqlite3.Connection) -> None:
    """Keep what changed of an execution, unless it was deleted."""
    found = connection.execute(_FIND, (taken.execution.id,)).fetchone()
    if found is None:
        return
    (position,) = found
    written = Written()
    connection.execute(_SAVE, (*taken.progress, position))
    connection.execute(_SAVE_OUTCOME, (*_outcome(taken, written), position, taken.status))
    _save_record(connection, position, taken, written)


def _outcome(taken: Snapshot, written: Written) -> Row:
    return execution_row.outcome_row(taken.status, taken.ended_ms, taken.result, taken.error, written)


def _save_record(connection: sqlite3.Connection, position: int, taken: Snapshot, written: Written) -> None:
    operations = [(position, *operation_row.operation_row(each, written)) for each in taken.operations]
    events = [(position, *event_row.event_row(each, written)) for each in taken.events]
    connection.executemany(_OPERATION, operations)
    connection.executemany(_EVENT, events)
    if written.bodies:
        connection.executemany(_PAYLOAD, [(position, digest, body) for digest, body in written.bodies.items()])


def delete(execution_id: str, connection: sqlite3.Connection) -> list[str]:
    """Return the ids of the deleted."""
    found = connection.execute(_FIND, (execution_id,)).fetchall()
    connection.executemany(_DELETE, found)
    return [execution_id]


def delete_closed(before_ms: int, count: int, connection: sqlite3.Connection) -> list[str]:
    """Return the ids of the deleted: those of ``count`` that were closed before ``before_ms``, earliest first."""
    found = connection.execute(_CLOSED, (before_ms, count)).fetchall()
    connection.executemany(_DELETE, [(position,) for position, _ in found])
    _vacuum(connection)
    return [execution_id for _, execution_id in found]


def _vacuum(connection: sqlite3.Connection) -> None:
    """Give a part of what is free back to the file system."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, _VACUUMED_PAGES)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # of a larger number the module does one, too
