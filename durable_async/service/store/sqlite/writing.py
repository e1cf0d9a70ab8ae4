"""Writes executions. Callers begin and end the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import compress
from operator import ne
from typing import Any, NamedTuple

from durable_async.service.machine import Changes, Execution
from durable_async.service.model.errors import ExecutionDeletedError
from durable_async.service.model.history import HistoryEvent
from durable_async.service.store.sqlite.damage import is_damage, named_for_writing, superseded
from durable_async.service.store.sqlite.residents import WriteState
from durable_async.service.store.sqlite.rows import EVENTS, EXECUTIONS, OPERATIONS, PayloadWriter, Row, Table

_VACUUMED_PAGES = 256  # returned to the file system at once, so that a deletion does not delay other writes
_STATEMENTS = 512  # kept as text, of each kind. Few are in use at a time, but there is one for each set of columns
_ROWS_OF_ONE_STATEMENT = (
    4  # rows for each statement. Most writes have fewer, and one statement is faster than one for each row
)


class Snapshot(NamedTuple):
    """The values of an execution to write, taken when the write is called: the execution changes while the write waits.

    :ivar execution: another thread may read those of its fields that never change
    :ivar row: the execution's own fields
    :ivar size: the approximate size on disk, in bytes
    :ivar inline: see :class:`~durable_async.service.store.sqlite.rows.PayloadWriter`
    """

    execution: Execution
    row: Row
    event_count: int
    operations: list[Row]
    events: list[HistoryEvent]
    size: int
    inline: int


def snapshot(execution: Execution, changes: Changes, inline: int) -> Snapshot:
    changed = changes.operations.values()
    return Snapshot(
        execution,
        EXECUTIONS.take(execution),
        execution.event_count,
        [OPERATIONS.take(operation) for operation in changed],
        [*changes.events],
        len(execution.result or "") + sum([operation.size for operation in changed]),
        inline,
    )


def _present(rows: Sequence[Row]) -> tuple[bool, ...]:
    """Return for each column whether one of the rows has a value there.

    Statements leave out the other columns, which SQLite fills with NULL, because the sqlite3 module is slow with None.
    """
    present = [value is not None for value in rows[0]]
    for row in rows[1:]:
        present = [known or value is not None for known, value in zip(present, row, strict=True)]
    return tuple(present)


@lru_cache(_STATEMENTS)
def _insert(verb: str, table: Table[object], present: tuple[bool, ...], rows: int) -> str:
    columns = [*compress((*table.columns, "execution"), present)]
    values = ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
    return f"{verb} INTO {table.name} ({', '.join(columns)}) VALUES {values}"


@lru_cache(_STATEMENTS)
def update(places: tuple[int, ...]) -> str:
    """Return the statement that writes the values at ``places``, if no other object wrote the row.

    Other columns are left out, because a statement writes each index again that contains one of its columns.
    """
    columns = [column for place in places for column in EXECUTIONS.columns_of[place]]
    assignments = ", ".join(f"{column} = ?" for column in columns)
    return f"UPDATE executions SET {assignments} WHERE position = ? AND event_count = ?"  # noqa: S608 - names


@lru_cache(_STATEMENTS)
def _add(present: tuple[bool, ...]) -> str:
    """Return the statement that inserts an execution. An existing name or id is not an error.

    The era is the latest one, or the next if the clock was put back.
    """
    columns = [*compress(EXECUTIONS.columns, present)]
    return f"""
        INSERT INTO executions ({", ".join(columns)}, era)
        VALUES ({", ".join("?" * len(columns))},
                coalesce((SELECT era + (? < started_ms) FROM executions ORDER BY position DESC LIMIT 1), 0))
        ON CONFLICT DO NOTHING
    """  # noqa: S608 - names


_NAMED = "SELECT id FROM executions WHERE function_name = ? AND name = ?"
_FIND = "SELECT position FROM executions WHERE id = ?"
_PAYLOAD = "INSERT OR IGNORE INTO payloads (execution, digest, body) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM executions WHERE position = ?"  # foreign keys delete the rest
_CLOSED = "SELECT position, id FROM executions WHERE ended_ms < ? ORDER BY ended_ms"
_EVENT_COUNT = EXECUTIONS.columns_of.index(("event_count",))


def add(taken: Snapshot, state: WriteState, connection: sqlite3.Connection) -> str | None:
    """Insert a new execution, or return the id of the execution that already has its name or its id."""
    execution, payloads = taken.execution, PayloadWriter(taken.inline)
    row = EXECUTIONS.row(taken.row, payloads)
    present = _present([row])
    inserted = connection.execute(_add(present), (*compress(row, present), execution.started_ms))
    if inserted.rowcount != 1:
        named = connection.execute(_NAMED, (execution.function_name, execution.name)).fetchone()
        return execution.id if named is None else str(named[0])
    state.position = inserted.lastrowid
    _save_record(connection, state.position, taken, payloads)
    return None


def changed_places(before: Row | None, now: Row) -> tuple[int, ...]:
    """Return the places at which ``now`` differs from the row; all places if the row is unknown."""
    if before is None:
        return tuple(range(len(now)))
    return tuple(compress(range(len(now)), map(ne, before, now))) or (_EVENT_COUNT,)


def save(
    taken: Snapshot, state: WriteState, places: tuple[int, ...], events: int, connection: sqlite3.Connection
) -> None:
    """Write the changes of an execution.

    :param places: the changed places in its row, from ``changed_places``
    :param events: the row's ``event_count`` if no other object has written it
    :raises DamagedExecutionError: the file is damaged at this place
    :raises StoreError: another object has written the row, or the execution was deleted
    """
    position, payloads = state.position, PayloadWriter(taken.inline)
    values = (*EXECUTIONS.changes(taken.row, places, payloads), position, events)
    try:
        if connection.execute(update(places), values).rowcount == 1:
            _save_record(connection, position, taken, payloads)
        elif connection.execute(_FIND, (taken.execution.id,)).fetchone() is None:
            raise ExecutionDeletedError(f"Durable execution not found: {taken.execution.arn}")
        else:
            raise superseded()
    except sqlite3.Error as error:
        raise named_for_writing(error, taken.execution.id) from None


def _save_record(
    connection: sqlite3.Connection, position: int | None, taken: Snapshot, payloads: PayloadWriter
) -> None:
    operations = [OPERATIONS.row(operation, payloads, position) for operation in taken.operations]
    _write_rows(connection, "REPLACE", OPERATIONS, operations)
    events = [EVENTS.row(EVENTS.take(event), payloads, position) for event in taken.events]
    _write_rows(connection, "INSERT", EVENTS, events)
    if payloads.bodies:
        connection.executemany(_PAYLOAD, [(position, digest, body) for digest, body in payloads.bodies.items()])


def _write_rows(connection: sqlite3.Connection, verb: str, table: Table[Any], rows: Sequence[Row]) -> None:
    if not rows:
        return
    present = _present(rows)
    values = [tuple(compress(row, present)) for row in rows]
    if len(rows) > _ROWS_OF_ONE_STATEMENT:
        connection.executemany(_insert(verb, table, present, 1), values)
    else:
        connection.execute(_insert(verb, table, present, len(rows)), sum(values, ()))


def delete(execution_id: str, connection: sqlite3.Connection) -> list[str]:
    """Delete an execution, and return a list with its id.

    :raises DamagedExecutionError: the file is damaged at this place
    """
    try:
        found = connection.execute(_FIND, (execution_id,)).fetchall()
        connection.executemany(_DELETE, found)
    except sqlite3.Error as error:
        raise named_for_writing(error, execution_id) from None
    return [execution_id]


def delete_closed(before_ms: int, count: int, connection: sqlite3.Connection) -> list[str]:
    """Delete up to ``count`` executions that were closed before ``before_ms``, the earliest first, and return their
    ids.

    Damaged executions stay.
    """
    deleted: list[str] = []
    closed = connection.execute(_CLOSED, (before_ms,))
    while len(deleted) < count and (portion := closed.fetchmany(count - len(deleted))):
        deleted += [found for position, found in portion if _delete_undamaged(position, connection)]
    closed.close()
    _vacuum(connection)
    return deleted


def _delete_undamaged(position: int, connection: sqlite3.Connection) -> bool:
    try:
        connection.execute(_DELETE, (position,))
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return False
    return True


def _vacuum(connection: sqlite3.Connection) -> None:
    """Return a part of the free space to the file system."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, _VACUUMED_PAGES)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # the module executes one step only, for any number
