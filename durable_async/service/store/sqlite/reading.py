"""What is read of one execution, or of one function, inside of a transaction that somebody else begins and ends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import pairwise

import attrs

from durable_async.service.history import Event
from durable_async.service.machine import Execution, ExecutionStatus, OperationRecord
from durable_async.service.store import OpenExecution
from durable_async.service.store.sqlite import event_row, execution_row, operation_row
from durable_async.service.store.sqlite.damage import check_types, damaged, is_damage, naming
from durable_async.service.store.sqlite.payloads import Kept, Row, by_name
from durable_async.service.store.sqlite.repair import repair
from durable_async.service.store.sqlite.residents import Standing
from durable_async.wire.operations import OperationType

_EXECUTION = f"SELECT position, {', '.join(execution_row.COLUMNS)} FROM executions WHERE id = ?"  # noqa: S608 - names
_OPERATIONS = f"SELECT {', '.join(operation_row.COLUMNS)} FROM operations WHERE execution = ? ORDER BY sequence"  # noqa: S608
_POSITION = "SELECT position FROM executions WHERE id = ?"
_EVENTS = f"SELECT {', '.join(event_row.COLUMNS)} FROM events WHERE execution = ?"  # noqa: S608 - names
_UPWARDS = f"{_EVENTS} AND id >= ? ORDER BY id LIMIT ?"
_DOWNWARDS = f"{_EVENTS} AND id <= ? ORDER BY id DESC LIMIT ?"
_LATEST_EVENT = "SELECT max(id) FROM events WHERE execution = ?"
_IS_OPEN = "function_name = ? AND status IN ('RUNNING', 'PAUSING', 'PAUSED')"
_OPEN = f"SELECT id, due_ms, active, request_id, waiting, crashes FROM executions WHERE {_IS_OPEN}"  # noqa: S608 - ours
_OPEN_POSITIONS = f"SELECT position FROM executions WHERE {_IS_OPEN}"  # noqa: S608
_OPEN_ONE = "SELECT id, due_ms, active, request_id, waiting, crashes FROM executions WHERE position = ?"
_ID = "SELECT id FROM executions INDEXED BY sqlite_autoindex_executions_1 WHERE position = ?"  # never from the row
# Between each status and the next, so that it costs no more for many executions.
_STATUSES = ("", *sorted(ExecutionStatus), "\U0010ffff")
_NO_STATUS = " UNION ALL ".join(
    f"SELECT id FROM executions WHERE function_name = ?1 AND status > '{low}' AND status < '{high}'"  # noqa: S608
    for low, high in pairwise(_STATUSES)
)
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


@attrs.frozen
class Loaded:
    """:ivar repaired: the history went on after what the row said, and the execution is as the history says"""

    execution: Execution
    standing: Standing
    repaired: bool


def load(execution_id: str, connection: sqlite3.Connection) -> Loaded | None:
    """:raises DamagedExecutionError: it is there, and cannot be read"""
    with naming(execution_id, "its row"):
        found = connection.execute(_EXECUTION, (execution_id,)).fetchone()
        if found is None:
            return None
        row = by_name(execution_row.COLUMNS, found[1:])
        check_types(row, execution_row.INTEGERS, execution_row.TEXTS)
        kept = Kept(connection, found[0])
        execution = execution_row.execution_of(row, kept)
        unseen: Sequence[int] = json.loads(row["unseen"])
        standing = Standing(row["event_count"], row["status"], found[0])
    with naming(execution_id, "an operation"):
        operations = [_operation(columns, kept) for columns in connection.execute(_OPERATIONS, (found[0],))]
    with naming(execution_id, "its history"):
        latest: int = connection.execute(_LATEST_EVENT, (found[0],)).fetchone()[0] or 0
    if latest < execution.event_count:
        raise damaged(execution_id, f"its row tells of {execution.event_count} events, and the last is {latest}")
    if repaired := latest > execution.event_count:
        with naming(execution_id, "its row is older than its history, which"):
            rows = connection.execute(_UPWARDS, (found[0], 1, -1))
            operations = repair(execution, operations, [event_row.event_of(columns, kept) for columns in rows])
            unseen = range(len(operations)) if execution.open else ()
    with naming(execution_id, "the order of its operations"):
        _check_order(execution, operations)
        execution.restore(operations, unseen)
    return Loaded(execution, standing, repaired)


def _operation(columns: Row, kept: Kept) -> OperationRecord:
    check_types(by_name(operation_row.COLUMNS, columns), operation_row.INTEGERS, operation_row.TEXTS)
    return operation_row.operation_of(columns, kept)


def _check_order(execution: Execution, operations: Sequence[OperationRecord]) -> None:
    """:raises ValueError: one is missing"""
    first = operations[0]
    if first.type is not OperationType.EXECUTION or first.id != execution.id:
        raise ValueError("the first is not the execution's own")
    if any(operation.sequence != number for number, operation in enumerate(operations)):
        raise ValueError("one is missing")


def events(
    execution_id: str, first: int, count: int, connection: sqlite3.Connection, *, newest_first: bool
) -> list[Event]:
    """:raises DamagedExecutionError: one of them is missing or cannot be read"""
    with naming(execution_id, "its history"):
        found = connection.execute(_POSITION, (execution_id,)).fetchone()
        if found is None:
            return []
        kept = Kept(connection, found[0])
        read = [
            event_row.event_of(columns, kept)
            for columns in connection.execute(_DOWNWARDS if newest_first else _UPWARDS, (*found, first, count))
        ]
        if read and abs(read[-1].id - read[0].id) != len(read) - 1:
            raise ValueError("one is missing")
        return read


def open_executions(function_name: str, connection: sqlite3.Connection) -> list[OpenExecution]:
    """Those that are damaged are active: whoever loads them is told what is wrong."""
    try:
        rows = connection.execute(_OPEN, (function_name,)).fetchall()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        rows = _open_one_by_one(function_name, connection)
    rows += [
        (execution_id, None, 1, None, 0, 0) for (execution_id,) in connection.execute(_NO_STATUS, (function_name,))
    ]
    return [
        OpenExecution(execution_id, due_ms, bool(active), request_id, bool(waiting), crashes)
        if (due_ms is None or type(due_ms) is int) and type(crashes) is int
        else OpenExecution(execution_id, None, active=True)
        for execution_id, due_ms, active, request_id, waiting, crashes in rows
    ]


def _open_one_by_one(function_name: str, connection: sqlite3.Connection) -> list[Row]:
    rows: list[Row] = []
    for (position,) in connection.execute(_OPEN_POSITIONS, (function_name,)):
        try:
            rows.append(connection.execute(_OPEN_ONE, (position,)).fetchone())
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            rows += [(execution_id, None, 1, None, 0, 0) for execution_id in id_of(position, connection)]
    return rows


def id_of(position: int, connection: sqlite3.Connection) -> list[str]:
    """The id of an execution whose row cannot be read, from the index of ids, if that can."""
    try:
        return [found for (found,) in connection.execute(_ID, (position,))]
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return []


def function_names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_FUNCTION_NAMES)]
