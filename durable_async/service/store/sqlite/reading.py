"""What is read of one execution, or of one function, inside of a transaction that somebody else begins and ends."""

from __future__ import annotations

import json
import sqlite3

from durable_async.service.history import Event
from durable_async.service.machine import Execution
from durable_async.service.store import OpenExecution
from durable_async.service.store.sqlite import event_row, execution_row, operation_row
from durable_async.service.store.sqlite.payloads import Kept, by_name

_EXECUTION = f"SELECT position, {', '.join(execution_row.COLUMNS)} FROM executions WHERE id = ?"  # noqa: S608 - names
_OPERATIONS = f"SELECT {', '.join(operation_row.COLUMNS)} FROM operations WHERE execution = ? ORDER BY sequence"  # noqa: S608
_POSITION = "SELECT position FROM executions WHERE id = ?"
_EVENTS = f"SELECT {', '.join(event_row.COLUMNS)} FROM events WHERE execution = ?"  # noqa: S608 - names
_UPWARDS = f"{_EVENTS} AND id >= ? ORDER BY id LIMIT ?"
_DOWNWARDS = f"{_EVENTS} AND id <= ? ORDER BY id DESC LIMIT ?"
_OPEN = """
    SELECT id, due_ms, active, request_id, waiting, crashes FROM executions
    WHERE function_name = ? AND status IN ('RUNNING', 'PAUSING', 'PAUSED')
"""
# From each name to the next, so that it costs no more for many executions.
_FUNCTION_NAMES = """
    WITH RECURSIVE names (name) AS (
        SELECT min(function_name) FROM executions
        UNION ALL
        SELECT (SELECT min(function_name) FROM executions WHERE function_name > names.name)
        FROM names WHERE names.name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
"""


def load(execution_id: str, connection: sqlite3.Connection) -> Execution | None:
    found = connection.execute(_EXECUTION, (execution_id,)).fetchone()
    if found is None:
        return None
    row = by_name(execution_row.COLUMNS, found[1:])
    kept = Kept(connection, found[0])
    execution = execution_row.execution_of(row, kept)
    operations = [operation_row.operation_of(columns, kept) for columns in connection.execute(_OPERATIONS, (found[0],))]
    execution.restore(operations, json.loads(row["unseen"]))
    return execution


def events(
    execution_id: str, first: int, count: int, connection: sqlite3.Connection, *, newest_first: bool
) -> list[Event]:
    found = connection.execute(_POSITION, (execution_id,)).fetchone()
    if found is None:
        return []
    kept = Kept(connection, found[0])
    return [
        event_row.event_of(columns, kept)
        for columns in connection.execute(_DOWNWARDS if newest_first else _UPWARDS, (*found, first, count))
    ]


def open_executions(function_name: str, connection: sqlite3.Connection) -> list[OpenExecution]:
    return [
        OpenExecution(execution_id, due_ms, bool(active), request_id, bool(waiting), crashes)
        for execution_id, due_ms, active, request_id, waiting, crashes in connection.execute(_OPEN, (function_name,))
    ]


def function_names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_FUNCTION_NAMES)]
