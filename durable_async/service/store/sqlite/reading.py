"""Reads single executions, and finds damaged ones. Except for the latter, callers begin and end the transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import attrs

from durable_async._wire.operations import OPEN_EXECUTION, OperationType
from durable_async.service.machine import Execution, ExecutionStatus, OperationRecord
from durable_async.service.model.errors import DamagedExecutionError
from durable_async.service.model.history import HistoryEvent
from durable_async.service.store import OpenExecution
from durable_async.service.store.sqlite.damage import damaged, is_damage, naming, repair
from durable_async.service.store.sqlite.residents import WriteState
from durable_async.service.store.sqlite.rows import EVENTS, EXECUTIONS, OPERATIONS, PayloadReader, Row

_EXECUTION = f"SELECT position, {', '.join(EXECUTIONS.columns)} FROM executions WHERE id = ?"  # noqa: S608 - names
_OPERATIONS = f"SELECT {', '.join(OPERATIONS.columns)} FROM operations WHERE execution = ? ORDER BY sequence"  # noqa: S608
_POSITION = "SELECT position FROM executions WHERE id = ?"
_EVENTS = f"SELECT {', '.join(EVENTS.columns)} FROM events WHERE execution = ?"  # noqa: S608 - names
_UPWARDS = f"{_EVENTS} AND id >= ? ORDER BY id LIMIT ?"
_DOWNWARDS = f"{_EVENTS} AND id <= ? ORDER BY id DESC LIMIT ?"
_LATEST_EVENT = "SELECT id, at_us FROM events WHERE execution = ? ORDER BY id DESC LIMIT 1"
_IS_OPEN = f"function_name = ? AND status IN {OPEN_EXECUTION}"
_OPEN_COLUMNS = "id, due_ms, active, invocation_request_id, invocation_waiting, crashes, version"
_OPEN = f"SELECT {_OPEN_COLUMNS} FROM executions WHERE {_IS_OPEN}"  # noqa: S608 - ours
_OPEN_POSITIONS = f"SELECT position FROM executions WHERE {_IS_OPEN}"  # noqa: S608
_OPEN_ONE = f"SELECT {_OPEN_COLUMNS} FROM executions WHERE position = ?"  # noqa: S608 - ours
_ID = "SELECT id FROM executions INDEXED BY sqlite_autoindex_executions_1 WHERE position = ?"  # not the row
# Jumps from status to status, so the cost does not depend on the number of executions.
_STATUSES = ("", *sorted(ExecutionStatus), "\U0010ffff")
_NO_STATUS = " UNION ALL ".join(
    f"SELECT id FROM executions WHERE function_name = :function AND status > '{low}' AND status < '{high}'"  # noqa: S608
    for low, high in pairwise(_STATUSES)
)
# Jumps from name to name, so the cost does not depend on the number of executions.
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
    """An execution that was read.

    :ivar repaired: True: its row was older than its history, so its state was derived from the history. False: it was
        not
    """

    execution: Execution
    state: WriteState
    repaired: bool


def load(execution_id: str, connection: sqlite3.Connection) -> Loaded | None:
    """Read an execution; None if there is none with this id.

    :raises DamagedExecutionError: it exists and cannot be read
    """
    with naming(execution_id, "its row"):
        found = connection.execute(_EXECUTION, (execution_id,)).fetchone()
        if found is None:
            return None
        payloads = PayloadReader(connection, found[0])
        execution = EXECUTIONS.read(found[1:], payloads)
        unseen: Sequence[int] = json.loads(found[1 + EXECUTIONS.columns.index("unseen")])
        state = WriteState(execution.event_count, position=found[0])
    with naming(execution_id, "an operation"):
        operations = [OPERATIONS.read(row, payloads) for row in connection.execute(_OPERATIONS, (found[0],))]
    with naming(execution_id, "its history"):
        latest: int
        latest, execution.latest_us = connection.execute(_LATEST_EVENT, (found[0],)).fetchone() or (0, 0)
    if latest < execution.event_count:
        raise damaged(execution_id, f"its row counts {execution.event_count} events, and the last one is {latest}")
    if repaired := latest > execution.event_count:
        with naming(execution_id, "its row is older than its history, which"):
            rows = connection.execute(_UPWARDS, (found[0], 1, -1))
            operations = repair(execution, operations, [EVENTS.read(row, payloads) for row in rows])
            unseen = range(len(operations)) if execution.open else ()
    with naming(execution_id, "the order of its operations"):
        _check_order(execution, operations)
        execution.restore(operations, unseen)
    return Loaded(execution, state, repaired)


def _check_order(execution: Execution, operations: Sequence[OperationRecord]) -> None:
    """Check that no operation is missing.

    :raises ValueError: one is missing
    """
    first = operations[0]
    if first.type is not OperationType.EXECUTION or first.id != execution.id:
        raise ValueError("the first is not the execution's own")
    if any(operation.sequence != number for number, operation in enumerate(operations)):
        raise ValueError("one is missing")


def events(
    execution_id: str, first: int, count: int, connection: sqlite3.Connection, *, newest_first: bool
) -> list[HistoryEvent]:
    """Read events.

    :raises DamagedExecutionError: one of them is missing or cannot be read
    """
    with naming(execution_id, "its history"):
        found = connection.execute(_POSITION, (execution_id,)).fetchone()
        if found is None:
            return []
        payloads = PayloadReader(connection, found[0])
        read = [
            EVENTS.read(row, payloads)
            for row in connection.execute(_DOWNWARDS if newest_first else _UPWARDS, (*found, first, count))
        ]
        if read and abs(read[-1].id - read[0].id) != len(read) - 1:
            raise ValueError("one is missing")
        return read


def open_executions(function_name: str, connection: sqlite3.Connection) -> list[OpenExecution]:
    """Return the open executions of a function. Damaged ones are active, so the service logs them."""
    try:
        rows = connection.execute(_OPEN, (function_name,)).fetchall()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        rows = _open_one_by_one(function_name, connection)
    rows += [
        (execution_id, None, 1, None, 0, 0, None)
        for (execution_id,) in connection.execute(_NO_STATUS, {"function": function_name})
    ]
    return [
        OpenExecution(
            execution_id,
            due_ms,
            bool(active),
            request_id,
            bool(waiting),
            crashes,
            version if isinstance(version, str) else None,
        )
        if (due_ms is None or type(due_ms) is int) and type(crashes) is int
        else OpenExecution(execution_id, None, active=True)
        for execution_id, due_ms, active, request_id, waiting, crashes, version in rows
    ]


def _open_one_by_one(function_name: str, connection: sqlite3.Connection) -> list[Row]:
    rows: list[Row] = []
    for (position,) in connection.execute(_OPEN_POSITIONS, (function_name,)):
        try:
            rows.append(connection.execute(_OPEN_ONE, (position,)).fetchone())
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            rows += [(execution_id, None, 1, None, 0, 0, None) for execution_id in id_of(position, connection)]
    return rows


def id_of(position: int, connection: sqlite3.Connection) -> list[str]:
    """Return the id of an execution whose row cannot be read, from the index of ids; None if that is damaged too."""
    try:
        return [found for (found,) in connection.execute(_ID, (position,))]
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return []


def function_names(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute(_FUNCTION_NAMES)]


# From an index, which may be readable even if the rows are not.
_FIRST_POSITIONS = "SELECT position FROM executions INDEXED BY executions_of_function"
# SQLite begins its journal anew only in a moment in which nobody reads what is in it. Between two transactions that
# follow each other at once there is hardly such a moment for a service that writes without a break.
_PORTION = 16  # executions, then a pause
_PAUSE_SECONDS = 0.001
_ROW = "SELECT 1 FROM executions WHERE position = ?"
_NAME = "SELECT id, function_name || '/' || name FROM executions WHERE position = ?"


@attrs.frozen
class Damaged:
    """A damaged execution.

    :ivar name: function and name of the execution; its id if they cannot be read
    :ivar what: a sentence that describes the damage
    :ivar repairable: True: a service repairs it when it loads it. False: it cannot be repaired
    """

    name: str
    what: str
    repairable: bool


def damaged_executions(connection: sqlite3.Connection) -> Iterator[Damaged]:
    """Find the damaged executions. This reads the whole file, each execution in its own transaction: one for all would
    keep a service that writes meanwhile from copying its journal into the file for as long as it takes.

    An execution that is deleted meanwhile is not damaged, and one that is started meanwhile may be left out.

    :param connection: not in a transaction
    :raises sqlite3.Error: even the index of the executions cannot be read
    """
    gone: list[int] = []
    for number, position in enumerate(_positions(connection), 1):
        if number % _PORTION == 0:
            time.sleep(_PAUSE_SECONDS)
        with _transaction(connection):
            is_gone = _is_gone(position, connection)
            found = None if is_gone else _damage(position, connection)
        if is_gone:
            gone.append(position)
        elif found is not None:
            yield found
    if not gone:
        return
    # They were deleted meanwhile, or their rows are missing. Only then the index still has them.
    still_there = {*_positions(connection)}
    for position in gone:
        if position in still_there:
            with _transaction(connection):
                found = _damage(position, connection)
            if found is not None:
                yield found


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _positions(connection: sqlite3.Connection) -> list[int]:
    # All at once: a cursor with rows left would keep the connection in a transaction.
    return [position for (position,) in connection.execute(_FIRST_POSITIONS).fetchall()]


def _is_gone(position: int, connection: sqlite3.Connection) -> bool:
    try:
        return connection.execute(_ROW, (position,)).fetchone() is None
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return False


def _damage(position: int, connection: sqlite3.Connection) -> Damaged | None:
    """Return what is damaged of an execution; None: nothing."""
    execution_id, name = _named(position, connection)
    try:
        loaded = load(execution_id, connection)
        events(execution_id, 1, -1, connection, newest_first=False)
    except DamagedExecutionError as error:
        return Damaged(name, error.message.partition(". ")[0], repairable=False)
    if loaded is None:
        what = "The row of the execution and the index of ids contradict each other"
        return Damaged(name, what, repairable=False)
    if loaded.repaired:
        return Damaged(name, "The state of the execution is older than its history", repairable=True)
    return None


def _named(position: int, connection: sqlite3.Connection) -> tuple[str, str]:
    try:
        execution_id, name = connection.execute(_NAME, (position,)).fetchone()
    except (sqlite3.Error, TypeError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        found = id_of(position, connection)
        return (found[0], found[0]) if found else ("", f"number {position}")
    return str(execution_id), str(name)
