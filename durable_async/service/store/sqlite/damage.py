"""An execution whose row is older than its history.

Earlier releases could write an older object over the row of an execution, and its first operation, while all that had
happened stayed in its history. So the state is derived from there.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from durable_async.errors import HistoryError
from durable_async.service.machine import Execution, ExecutionStatus, OperationRecord
from durable_async.service.machine.derive import derive
from durable_async.service.machine.execution import Pause
from durable_async.service.model.errors import DamagedExecutionError, StoreError
from durable_async.service.model.history import Event, EventType

REFUSED = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    RecursionError,
    StoreError,
    TypeError,
    ValueError,
)
"""Errors of what was to be written. Others come from the medium, and would come with any other write, too."""

_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full. Free some space; no restart is needed.",
    sqlite3.SQLITE_READONLY: "{path} cannot be written. Check the permissions of the file and of its directory, and "
    "whether it was moved or its file system is mounted read-only.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged. Restore a backup; the .recover command of the sqlite3 shell may save "
    "what the file still holds.",
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite file, or its beginning is damaged. Choose another file, or restore a "
    "backup.",
    sqlite3.SQLITE_BUSY: "Another process keeps {path} locked. Let it finish; a backup or a shell must not hold a "
    "transaction open.",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened. Check that it is a file, and the permissions: SQLite must be "
    "able to create files beside it, with the endings -wal and -shm.",
    sqlite3.SQLITE_IOERR: "{path} cannot be read or written ({name}). Check the disk.",
}


_CODES = {
    errno.EACCES: sqlite3.SQLITE_READONLY,
    errno.EPERM: sqlite3.SQLITE_READONLY,
    errno.EROFS: sqlite3.SQLITE_READONLY,
    errno.ENOSPC: sqlite3.SQLITE_FULL,
    errno.EIO: sqlite3.SQLITE_IOERR,
}


def unopened(error: OSError, path: str) -> StoreError:
    """What ``error`` means. It came from opening ``path`` for writing."""
    code = _CODES.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
    return StoreError(_SENTENCES[code].format(path=path, name=error.strerror))


def fault(error: sqlite3.Error, path: str) -> StoreError:
    """What ``error`` means. It came from the medium."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest says which kind of it
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(_SENTENCES.get(code, "SQLite cannot use {path} ({name}).").format(path=path, name=name))


def refusal(error: Exception, path: str) -> StoreError:
    """What ``error``, one of ``REFUSED``, means."""
    if isinstance(error, StoreError):
        return error
    return StoreError(f"{path} cannot keep a value of the execution ({type(error).__name__}). Others are kept.")


def superseded() -> StoreError:
    """Of an object that is not, or no longer, the one through which its execution is written."""
    return StoreError("Somebody else wrote the execution meanwhile. Read it again, and repeat the call.")


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


def repair(execution: Execution, kept: Sequence[OperationRecord], history: Sequence[Event]) -> list[OperationRecord]:
    """Bring ``execution``, which is not restored yet, to where its history ends.

    :param kept: the operations as they are kept. What a history does not hold, such as heartbeats, is taken from them
    :return: the operations, with which it must be restored, all of them unseen
    :raises HistoryError: the history is incomplete, or of other operations
    """
    derived = derive(history)
    of_history = {operation.id: operation for operation in derived.operations}
    if any(operation.id not in of_history for operation in kept) or derived.id != execution.id:
        raise HistoryError("there are operations of which the history does not tell")
    execution.event_count = len(history)
    execution.status, execution.ended_ms = derived.status, derived.ended_ms
    execution.result, execution.error = derived.result, derived.error
    if all(event.type is not EventType.EXECUTION_PAUSED for event in history):
        execution.timeout_ms = execution.started_ms + execution.timeout_seconds * 1000
    if not execution.open:
        execution.invoke_at_ms, execution.deferred, execution.pause = None, False, None
    elif execution.status is ExecutionStatus.PAUSED and execution.pause is None:
        execution.pause = Pause(derived.latest_us // 1000, execution.timeout_ms, timeout_paused=False)
    by_id = {operation.id: operation for operation in kept}
    return [_newer(by_id.get(operation.id), operation) for operation in derived.operations]


def _newer(kept: OperationRecord | None, derived: OperationRecord) -> OperationRecord:
    """Operations other than the first are written together with their events, so what is kept of them is right."""
    if kept is None or derived.sequence == 0:
        return derived
    if (kept.sequence, kept.type, kept.ended) != (derived.sequence, derived.type, derived.ended):
        raise HistoryError("an operation contradicts the history")
    return kept
