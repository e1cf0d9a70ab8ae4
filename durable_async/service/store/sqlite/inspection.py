"""Which executions of a file are damaged: each is read as a service would read it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import attrs

from durable_async.service.errors import DamagedExecutionError
from durable_async.service.store.sqlite import reading
from durable_async.service.store.sqlite.damage import is_damage

# From an index, which may be readable where the rows are not.
_FIRST_POSITIONS = "SELECT position FROM executions INDEXED BY executions_of_function"
_NAME = "SELECT id, function_name || '/' || name FROM executions WHERE position = ?"


@attrs.frozen
class Damaged:
    """
    :ivar name: function and name of the execution; its id where they cannot be read
    :ivar what: a sentence
    :ivar repairable: a service that loads it repairs it
    """

    name: str
    what: str
    repairable: bool


def damaged_executions(connection: sqlite3.Connection) -> Iterator[Damaged]:
    """Those that are damaged, inside of a transaction that somebody else begins and ends. Takes as long as reading the
    whole file.

    :raises sqlite3.Error: not even their index can be read
    """
    for (position,) in connection.execute(_FIRST_POSITIONS):
        execution_id, name = _named(position, connection)
        try:
            loaded = reading.load(execution_id, connection)
            reading.events(execution_id, 1, -1, connection, newest_first=False)
        except DamagedExecutionError as error:
            yield Damaged(name, error.message.partition(". ")[0], repairable=False)
        else:
            if loaded is None:
                yield Damaged(
                    name, "The row of the execution and the index of ids contradict each other", repairable=False
                )
            elif loaded.repaired:
                yield Damaged(name, "The state of the execution is older than its history", repairable=True)


def _named(position: int, connection: sqlite3.Connection) -> tuple[str, str]:
    try:
        execution_id, name = connection.execute(_NAME, (position,)).fetchone()
    except (sqlite3.Error, TypeError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        found = reading.id_of(position, connection)
        return (found[0], found[0]) if found else ("", f"number {position}")
    return str(execution_id), str(name)
