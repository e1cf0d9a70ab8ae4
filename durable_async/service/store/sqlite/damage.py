"""Turns errors of a store's file into sentences that say what to do. The file or disk fails, or one execution's record.

Messages of SQLite and of decoders are never passed on, because they may quote values.

One kind of damage is repaired. Earlier releases could write an older object over the row of an execution and over its
first operation, while its history stayed complete. The state is then derived from the history (``repair``).
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from durable_async.errors import HistoryError
from durable_async.service.machine import Execution, ExecutionStatus, OperationRecord
from durable_async.service.machine.derive import derive
from durable_async.service.machine.execution import Pause
from durable_async.service.model.errors import DamagedExecutionError, StoreError
from durable_async.service.model.history import EventType, HistoryEvent, milliseconds

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
"""Errors that are caused by the value to write. All other errors come from the file or disk, and affect every write."""

_SENTENCES = {
    sqlite3.SQLITE_FULL: "The disk that holds {path} is full. Free some space; a service that runs then "
    "continues by itself.",
    sqlite3.SQLITE_READONLY: "{path} cannot be written. Check the permissions of the file and of its directory, and "
    "whether it was moved or its file system is mounted read-only.",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged. Restore a backup; the .recover command of the sqlite3 shell may save "
    "what the file still holds.",
    sqlite3.SQLITE_NOTADB: "{path} is not an SQLite file, or its beginning is damaged. Choose another file, or "
    "restore a backup.",
    sqlite3.SQLITE_BUSY: "Another process keeps {path} locked. Let it finish; a backup or a shell must not hold a "
    "transaction open.",
    sqlite3.SQLITE_CANTOPEN: "{path} cannot be opened. Check that it is a file, the permissions, and how many files "
    "this process may have open (ulimit -n): SQLite must be able to create files beside it, with the endings -wal and "
    "-shm.",
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
    """Return the error to raise for ``error``, which came from opening ``path`` for writing."""
    code = _CODES.get(error.errno or 0, sqlite3.SQLITE_CANTOPEN)
    return StoreError(_SENTENCES[code].format(path=path, name=error.strerror))


def fault(error: sqlite3.Error, path: str) -> StoreError:
    """Return the error to raise for ``error``, which came from the file or disk."""
    code = (
        getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    )  # the other bits say which kind of this error
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(_SENTENCES.get(code, "SQLite cannot use {path} ({name}).").format(path=path, name=name))


def refusal(error: Exception, path: str) -> StoreError:
    """Return the error to raise for ``error``, one of ``REFUSED``."""
    if isinstance(error, StoreError):
        return error
    return StoreError(
        f"{path} cannot store a value of the execution ({type(error).__name__}). Other executions are not affected."
    )


def superseded() -> StoreError:
    """Return the error of writing through an object that is not the current one of its execution."""
    return StoreError("Another writer changed the execution meanwhile. Repeat the call.")


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
    """Return whether an error comes from one damaged place in the file, and not from the file or disk as a whole."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.OperationalError)  # the sqlite3 module raises this for text that is not UTF-8
    return bool(code & 0xFF == sqlite3.SQLITE_CORRUPT)


def damaged(execution_id: str, what: str) -> DamagedExecutionError:
    return DamagedExecutionError(
        f"The execution {execution_id} is damaged: {what}. It is left as it is, and the others continue. Restore a "
        "backup of the store, or delete the execution; `durable-async doctor --store FILE` lists all damaged ones.",
        execution_id,
    )


@contextmanager
def naming(execution_id: str, what: str) -> Generator[None]:
    """Turn errors that the contents of the file cause into the damage of this execution.

    :raises DamagedExecutionError: instead of such an error
    """
    try:
        yield
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise damaged(execution_id, f"{what} cannot be read from the file") from None
    except _UNDECODABLE:
        raise damaged(execution_id, f"{what} cannot be decoded") from None


def named_for_writing(error: sqlite3.Error, execution_id: str) -> Exception:
    """Return the error to raise instead of one that writing an execution raised: one that names the execution, if
    SQLite found damage in the file, otherwise the same."""
    if not is_damage(error):
        return error
    return damaged(execution_id, "the part of the file that holds its record cannot be written")


def repair(
    execution: Execution, kept: Sequence[OperationRecord], history: Sequence[HistoryEvent]
) -> list[OperationRecord]:
    """Bring ``execution``, which has no operations yet, to the end of its history.

    :param kept: the stored operations. What a history does not hold, such as heartbeats, comes from them
    :return: the operations to restore it with, all of them as unseen
    :raises HistoryError: the history is incomplete, or belongs to other operations
    """
    derived = derive(history)
    of_history = {operation.id: operation for operation in derived.operations}
    if any(operation.id not in of_history for operation in kept) or derived.id != execution.id:
        raise HistoryError("there are operations that are not in the history")
    execution.event_count = len(history)
    execution.status, execution.ended_ms = derived.status, derived.ended_ms
    execution.result, execution.error = derived.result, derived.error
    if all(event.type is not EventType.EXECUTION_PAUSED for event in history):
        execution.timeout_ms = execution.started_ms + execution.timeout_seconds * 1000
    if not execution.open:
        execution.invoke_at_ms, execution.deferred, execution.pause = None, False, None
    elif execution.status is ExecutionStatus.PAUSED and execution.pause is None:
        execution.pause = Pause(milliseconds(derived.latest_us), execution.timeout_ms, timeout_paused=False)
    by_id = {operation.id: operation for operation in kept}
    return [_newer(by_id.get(operation.id), operation) for operation in derived.operations]


def _newer(kept: OperationRecord | None, derived: OperationRecord) -> OperationRecord:
    """Return the newer state of an operation. Except for the first operation, the stored one is right, because it is
    written together with its events.
    """
    if kept is None or derived.sequence == 0:
        return derived
    if (kept.sequence, kept.type, kept.ended) != (derived.sequence, derived.type, derived.ended):
        raise HistoryError("an operation contradicts the history")
    return kept
