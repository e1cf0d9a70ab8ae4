"""The tables of a store's file, and the conversion of files of earlier versions.

Columns are plain, so that the ``sqlite3`` shell can read them: times are epoch milliseconds (``_ms``) or microseconds
(``_us``), and statuses and types are the API's words. A payload (an input, a result, an error as JSON) is UTF-8 text in
a BLOB, because Python texts may hold lone surrogates, which TEXT cannot hold. A short payload is in its row. A long one
is in ``payloads``, once for each execution, and the row holds its digest.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence

import attrs

from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite.damage import is_damage

_logger = logging.getLogger("durable_async.service")

APPLICATION_ID = 0x44757261  # "Dura": marks an SQLite file as a store

_VERSION_1 = """
CREATE TABLE executions (
    position INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of their starts
    id TEXT NOT NULL UNIQUE,
    arn TEXT NOT NULL,
    function_name TEXT NOT NULL,
    name TEXT NOT NULL,
    function_arn TEXT NOT NULL,
    version TEXT NOT NULL,
    tenant_id TEXT,
    parent_execution TEXT,  -- the id of the one whose chained invoke started it
    parent_operation TEXT,
    started_ms INTEGER NOT NULL,
    era INTEGER NOT NULL,  -- within one, started_ms grows with position; a clock that is put back begins another
    timeout_seconds INTEGER NOT NULL,
    input BLOB,
    input_digest BLOB,

    status TEXT NOT NULL,
    ended_ms INTEGER,
    result BLOB,
    result_digest BLOB,
    error BLOB,
    error_digest BLOB,

    timeout_ms INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    unseen TEXT NOT NULL,  -- sequences of the operations that the handler has not seen as they are, a JSON array
    request_id TEXT,  -- of the running invocation, as the next three
    invoked_ms INTEGER,
    token TEXT,
    waiting INTEGER,
    invoke_at_ms INTEGER,
    failures INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    idle_answers INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    pause_requested_ms INTEGER,
    pause_timeout_ms INTEGER,
    pause_timeout_paused INTEGER,
    pause_reason BLOB,
    due_ms INTEGER,  -- when the service has something to do for it
    active INTEGER NOT NULL,  -- whether a service that starts has

    UNIQUE (function_name, name)
);
CREATE INDEX executions_of_function ON executions (function_name);
CREATE INDEX executions_by_status ON executions (function_name, status);
CREATE INDEX executions_by_start ON executions (era, started_ms);
CREATE INDEX executions_by_end ON executions (ended_ms) WHERE ended_ms IS NOT NULL;

CREATE TABLE operations (
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    sequence INTEGER NOT NULL,  -- from 0, the EXECUTION operation
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    status TEXT NOT NULL,
    parent_id TEXT,
    name TEXT,
    sub_type TEXT,
    end_ms INTEGER,
    due_ms INTEGER,
    attempts INTEGER NOT NULL,
    replay_children INTEGER NOT NULL,
    duration INTEGER,  -- seconds
    callback_id TEXT,
    heartbeat_seconds INTEGER NOT NULL,
    heartbeat_due_ms INTEGER,
    result BLOB,
    result_digest BLOB,
    error BLOB,
    error_digest BLOB,
    request TEXT,  -- of a chained invoke that runs, JSON
    held TEXT,  -- the outcome of a chained invoke, not yet told, JSON
    PRIMARY KEY (execution, sequence)
) WITHOUT ROWID;

CREATE TABLE events (
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    id INTEGER NOT NULL,  -- from 1, without gaps
    type TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    operation_id TEXT,
    name TEXT,
    sub_type TEXT,
    parent_id TEXT,
    details TEXT NOT NULL,  -- JSON, without the member that the next one names
    payload_member TEXT,
    payload_digest BLOB,
    PRIMARY KEY (execution, id)
) WITHOUT ROWID;

CREATE TABLE payloads (
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    digest BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (execution, digest)
);
"""

_VERSION_2 = """
ALTER TABLE operations RENAME COLUMN start_ms TO start_us;
ALTER TABLE operations RENAME COLUMN end_ms TO end_us;
ALTER TABLE events RENAME COLUMN at_ms TO at_us;
ALTER TABLE executions ADD COLUMN trace_header TEXT;  -- X-Ray's, as the caller gave it
ALTER TABLE events RENAME COLUMN payload_member TO details_member;
ALTER TABLE events RENAME COLUMN payload_digest TO details_digest;
ALTER TABLE executions RENAME COLUMN parent_execution TO parent_execution_id;
ALTER TABLE executions RENAME COLUMN parent_operation TO parent_operation_id;
ALTER TABLE executions RENAME COLUMN request_id TO invocation_request_id;
ALTER TABLE executions RENAME COLUMN invoked_ms TO invocation_started_ms;
ALTER TABLE executions RENAME COLUMN token TO invocation_token;
ALTER TABLE executions RENAME COLUMN waiting TO invocation_waiting;
ALTER TABLE executions ADD COLUMN pause_reason_digest BLOB;
"""


def _convert_rows(connection: sqlite3.Connection) -> None:
    """Convert the rows of each execution to version 2. The rows of a damaged execution are left as they are."""
    positions = connection.execute("SELECT position FROM executions INDEXED BY executions_of_function").fetchall()
    for (position,) in positions:
        connection.execute("SAVEPOINT one")
        try:
            _convert(position, connection)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            connection.execute("ROLLBACK TO one")
        except (TypeError, ValueError):
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")


def _convert(position: int, connection: sqlite3.Connection) -> None:
    """Make each event later than the one before it, and give each operation the times of its first and last event."""
    first: dict[str | None, int] = {}
    last: dict[str | None, int] = {}
    events: list[tuple[int, int, int]] = []
    latest = 0
    question = "SELECT id, at_us, operation_id FROM events WHERE execution = ? ORDER BY id"
    for number, at_ms, operation_id in connection.execute(question, (position,)):
        latest = max(at_ms * 1000, latest + 1)
        events.append((latest, position, number))
        first.setdefault(operation_id, latest)
        last[operation_id] = latest
    connection.executemany("UPDATE events SET at_us = ? WHERE execution = ? AND id = ?", events)
    question = "SELECT sequence, id, start_us, end_us, request FROM operations WHERE execution = ?"
    operations = [
        (
            first.get(operation_id, start_ms * 1000),
            None if end_ms is None else last.get(operation_id, end_ms * 1000),
            None if request is None else json.dumps({"operation_id": operation_id, **json.loads(request)}),
            position,
            sequence,
        )
        for sequence, operation_id, start_ms, end_ms, request in connection.execute(question, (position,))
    ]
    connection.executemany(
        "UPDATE operations SET start_us = ?, end_us = ?, request = ? WHERE execution = ? AND sequence = ?", operations
    )


_VERSION_3 = """
ALTER TABLE operations ADD COLUMN answer_schema BLOB;  -- of a callback: JSON Schema
ALTER TABLE operations ADD COLUMN answer_schema_digest BLOB;
ALTER TABLE executions ADD COLUMN cancel_before_seconds INTEGER;
ALTER TABLE executions ADD COLUMN parent_cancels INTEGER;  -- whether it is cancelled with its parent
ALTER TABLE executions ADD COLUMN tags TEXT;  -- a JSON object of texts
CREATE TABLE tags (  -- finds executions by their tags
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    execution INTEGER NOT NULL REFERENCES executions ON DELETE CASCADE,
    PRIMARY KEY (key, value, execution)
) WITHOUT ROWID;
CREATE INDEX tags_of_execution ON tags (execution);
CREATE TRIGGER tag AFTER INSERT ON executions WHEN new.tags IS NOT NULL BEGIN
    INSERT INTO tags (key, value, execution) SELECT key, value, new.position FROM json_each(new.tags);
END;
"""


@attrs.frozen
class Migration:
    """Converts a file from one version to the next: ``script`` changes the tables, ``convert`` the rows."""

    script: str
    convert: Callable[[sqlite3.Connection], None] | None = None


MIGRATIONS: tuple[Migration, ...] = (
    Migration(_VERSION_1),
    Migration(_VERSION_2, _convert_rows),
    Migration(_VERSION_3),
)
"""The n-th migration converts version n - 1 to version n. Never change a released migration."""


def migrate(connection: sqlite3.Connection, path: str, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Convert the file to the version after ``migrations``, each step in one transaction. An empty file becomes a
    store.

    :raises StoreError: the file is not a store, or has a later version; it is not changed then
    """
    version = check(connection, path, migrations)
    if 0 < version < len(migrations):
        _logger.warning(
            "Converting %s from version %d to %d. Earlier releases cannot open it afterwards.",
            path,
            version,
            len(migrations),
        )
    for number, migration in enumerate(migrations[version:], version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {migration.script}")  # this leaves the transaction open
        if migration.convert is not None:
            migration.convert(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def check(connection: sqlite3.Connection, path: str, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Return the version of the file; 0: it is empty.

    :raises StoreError: the file is not a store, or has a later version
    """
    application, version, tables = (
        connection.execute(question).fetchone()[0]
        for question in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application != APPLICATION_ID and (application or version or tables):
        raise StoreError(f"{path} is an SQLite file of another application. Choose another file.")
    if version > len(migrations):
        raise StoreError(
            f"{path} has version {version}, and this release of durable_async supports versions up to "
            f"{len(migrations)}. Use the release that wrote the file, or a later one."
        )
    return int(version)
