"""When one execution cannot be read although the file can: which, and in what respect.

Neither SQLite's messages nor those of decoders are passed on: they may quote values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from durable_async.errors import HistoryError
from durable_async.service.errors import DamagedExecutionError

_UNDECODABLE = (
    HistoryError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it comes from what is in the file at one place, and not from the medium as a whole."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.OperationalError)  # the module's own, of a text that is not UTF-8
    return bool(code & 0xFF == sqlite3.SQLITE_CORRUPT)


def damaged(execution_id: str, what: str) -> DamagedExecutionError:
    return DamagedExecutionError(
        f"The execution {execution_id} is damaged: {what}. It is left as it is, and the others go on. Restore a backup "
        "of the store; `durable-async doctor --store FILE` names all that is damaged.",
        execution_id,
    )


@contextmanager
def naming(execution_id: str, what: str) -> Generator[None]:
    """What fails in here, because of what is in the file, is damage of this execution.

    :raises DamagedExecutionError: instead
    """
    try:
        yield
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise damaged(execution_id, f"{what} cannot be read from the file") from None
    except _UNDECODABLE:
        raise damaged(execution_id, f"{what} cannot be decoded") from None


@contextmanager
def naming_for_writing(execution_id: str) -> Generator[None]:
    """As ``naming``, where something that cannot be encoded is no damage.

    :raises DamagedExecutionError: SQLite met damage in the file
    """
    try:
        yield
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise damaged(execution_id, "the place in the file where its record is kept cannot be written") from None


def check_types(row: Mapping[str, Any], integers: Iterable[str], texts: Iterable[str]) -> None:
    """SQLite itself keeps anything in any column.

    :raises TypeError: a column holds something of another type
    """
    for column in integers:
        value = row[column]
        if value is not None and type(value) is not int:
            raise TypeError(column)
    for column in texts:
        value = row[column]
        if value is not None and type(value) is not str:
            raise TypeError(column)
