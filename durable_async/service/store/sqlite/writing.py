"""What is written, inside of a transaction that somebody else begins and ends."""

from __future__ import annotations

import sqlite3

from durable_async.service.store.sqlite import event_row, execution_row, operation_row
from durable_async.service.store.sqlite.damage import is_damage, naming_for_writing, superseded
from durable_async.service.store.sqlite.payloads import Row, Written
from durable_async.service.store.sqlite.residents import Standing
from durable_async.service.store.sqlite.snapshot import Snapshot

_VACUUMED_PAGES = 256  # given back to the file system at once, so that no deletion keeps others waiting


def _insert(table: str, *columns: str, verb: str = "INSERT") -> str:
    return f"{verb} INTO {table} ({', '.join(columns)}) VALUES {_places(columns)}"


def _places(columns: tuple[str, ...]) -> str:
    return f"({', '.join('?' * len(columns))})"


def _assignments(columns: tuple[str, ...]) -> str:
    return ", ".join(f"{column} = ?" for column in columns)


# A name or an id that is taken is no error. The era is that of the latest one, or the next if the clock was put back.
_ADD = f"""
    INSERT INTO executions ({", ".join(execution_row.COLUMNS)}, era)
    VALUES ({", ".join("?" * len(execution_row.COLUMNS))},
            coalesce((SELECT era + (? < started_ms) FROM executions ORDER BY position DESC LIMIT 1), 0))
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - names
_NAMED = "SELECT id FROM executions WHERE function_name = ? AND name = ?"
_FIND = "SELECT position FROM executions WHERE id = ?"
_AS_LEFT = "WHERE position = ? AND event_count = ?"
_SAVE = f"UPDATE executions SET {_assignments(execution_row.PROGRESS)} {_AS_LEFT}"  # noqa: S608 - names
# Apart, because an index is rewritten by every statement that could change it.
_SAVE_WITH_OUTCOME = (
    f"UPDATE executions SET {_assignments((*execution_row.OUTCOME, *execution_row.PROGRESS))} {_AS_LEFT}"  # noqa: S608
)
_OPERATION_COLUMNS = ("execution", *operation_row.COLUMNS)
_OPERATION = _insert("operations", *_OPERATION_COLUMNS, verb="REPLACE")
_EVENT_COLUMNS = ("execution", *event_row.COLUMNS)
_EVENT = _insert("events", *_EVENT_COLUMNS)
_TWO_EVENTS = f"{_EVENT}, {_places(_EVENT_COLUMNS)}"  # what most writes have
_PAYLOAD = _insert("payloads", "execution", "digest", "body", verb="INSERT OR IGNORE")
_DELETE = "DELETE FROM executions WHERE position = ?"  # the rest follows by its foreign keys
_CLOSED = "SELECT position, id FROM executions WHERE ended_ms < ? ORDER BY ended_ms"


def add(taken: Snapshot, standing: Standing, connection: sqlite3.Connection) -> str | None:
    """Keep a new execution. Or return the id of the one that has its name, or its id, already."""
    execution, written = taken.execution, Written()
    row = (
        *execution_row.identity_row(execution, written),
        *_outcome(taken, written),
        *taken.progress,
        execution.started_ms,
    )
    inserted = connection.execute(_ADD, row)
    if inserted.rowcount != 1:
        named = connection.execute(_NAMED, (execution.function_name, execution.name)).fetchone()
        return execution.id if named is None else str(named[0])
    standing.position = inserted.lastrowid
    _save_record(connection, standing.position, taken, written)
    return None


def save(
    taken: Snapshot, standing: Standing, events: int, connection: sqlite3.Connection, *, with_outcome: bool
) -> None:
    """Keep what changed of an execution, unless it was deleted.

    :param events: the row's ``event_count``, if this object was the last to write it
    :param with_outcome: whether the status may have changed since the last write
    :raises DamagedExecutionError: the place in the file is damaged
    :raises StoreError: another object wrote the row
    """
    position, written = standing.position, Written()
    with naming_for_writing(taken.execution.id):
        if with_outcome:
            row = (*_outcome(taken, written), *taken.progress, position, events)
            saved = connection.execute(_SAVE_WITH_OUTCOME, row)
        else:
            saved = connection.execute(_SAVE, (*taken.progress, position, events))
        if saved.rowcount == 1:
            _save_record(connection, position, taken, written)
        elif connection.execute(_FIND, (taken.execution.id,)).fetchone() is not None:
            raise superseded()


def _outcome(taken: Snapshot, written: Written) -> Row:
    return execution_row.outcome_row(taken.status, taken.ended_ms, taken.result, taken.error, written)


def _save_record(connection: sqlite3.Connection, position: int | None, taken: Snapshot, written: Written) -> None:
    for operation in taken.operations:
        connection.execute(_OPERATION, (position, *operation_row.operation_row(operation, written)))
    rows = [(position, *event_row.event_row(each, written)) for each in taken.events]
    if len(rows) == 2:
        connection.execute(_TWO_EVENTS, rows[0] + rows[1])
    else:
        connection.executemany(_EVENT, rows)
    if written.bodies:
        connection.executemany(_PAYLOAD, [(position, digest, body) for digest, body in written.bodies.items()])


def delete(execution_id: str, connection: sqlite3.Connection) -> list[str]:
    """Return the ids of the deleted.

    :raises DamagedExecutionError: the place in the file is damaged
    """
    with naming_for_writing(execution_id):
        found = connection.execute(_FIND, (execution_id,)).fetchall()
        connection.executemany(_DELETE, found)
    return [execution_id]


def delete_closed(before_ms: int, count: int, connection: sqlite3.Connection) -> list[str]:
    """Return the ids of the deleted: those of ``count`` that were closed before ``before_ms``, earliest first. What is
    damaged stays.
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
    """Give a part of what is free back to the file system."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    for _ in range(min(free, _VACUUMED_PAGES)):
        connection.execute("PRAGMA incremental_vacuum(1)")  # of a larger number the module does one, too
