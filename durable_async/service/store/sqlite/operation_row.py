"""The row of an operation. What a chained invoke asked for, and its outcome while that is held, are JSON in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from durable_async._wire.operations import OperationStatus, OperationType
from durable_async.service.machine import ChainedOutcome, Child, OperationRecord, StartChained, Target
from durable_async.service.store.sqlite.payloads import Kept, Row, Written, by_name, compact_json

COLUMNS = (
    "sequence",
    "id",
    "type",
    "start_us",
    "status",
    "parent_id",
    "name",
    "sub_type",
    "end_us",
    "due_ms",
    "attempts",
    "replay_children",
    "duration",
    "callback_id",
    "heartbeat_seconds",
    "heartbeat_due_ms",
    "result",
    "result_digest",
    "error",
    "error_digest",
    "request",
    "held",
)
TEXTS = ("id", "parent_id", "name", "sub_type", "callback_id")
_PLAIN = COLUMNS.index("result")  # the columns before are members of the record, as they are


INTEGERS = tuple(column for column in COLUMNS[:_PLAIN] if column not in {*TEXTS, "type", "status"})

Taken = tuple[Any, ...]
"""An operation as it was at one moment: its columns up to ``heartbeat_due_ms``, then what must be encoded."""

taken: Callable[[OperationRecord], Taken] = attrgetter(
    *(
        "type._value_" if name == "type" else "status._value_" if name == "status" else name
        for name in COLUMNS[:_PLAIN]
    ),
    *("result", "error", "request", "held"),
)
"""One call, since every write makes it on the event loop. Plain strings, since SQLite's module binds enums slowly."""


def operation_row(operation: Taken, written: Written) -> Row:
    result, error, request, held = operation[_PLAIN:]
    return (
        *operation[:_PLAIN],
        *written.text(result),
        *written.json(error),
        None if request is None else _request_json(request, written),
        None if held is None else _held_json(held, written),
    )


def operation_of(columns: Row, kept: Kept) -> OperationRecord:
    row = by_name(COLUMNS, columns)
    return OperationRecord(
        id=row["id"],
        type=OperationType(row["type"]),
        sequence=row["sequence"],
        start_us=row["start_us"],
        status=OperationStatus(row["status"]),
        parent_id=row["parent_id"],
        name=row["name"],
        sub_type=row["sub_type"],
        end_us=row["end_us"],
        due_ms=row["due_ms"],
        attempts=row["attempts"],
        result=kept.text(row["result"], row["result_digest"]),
        error=kept.json(row["error"], row["error_digest"]),
        replay_children=bool(row["replay_children"]),
        duration=row["duration"],
        callback_id=row["callback_id"],
        heartbeat_seconds=row["heartbeat_seconds"],
        heartbeat_due_ms=row["heartbeat_due_ms"],
        request=None if row["request"] is None else _request_of(row["id"], json.loads(row["request"]), kept),
        held=None if row["held"] is None else _held_of(json.loads(row["held"]), kept),
    )


def _request_json(request: StartChained, written: Written) -> str:
    target, child = request.target, request.child
    return compact_json(
        {
            "target": {
                "function_arn": target.function_arn,
                "name": target.name,
                "version": target.version,
                "durable": target.durable,
            },
            "tenant_id": request.tenant_id,
            "child": None if child is None else {"arn": child.arn, "name": child.name, "id": child.id},
            **_members("payload", request.payload, written),
        }
    )


def _request_of(operation_id: str, members: Mapping[str, Any], kept: Kept) -> StartChained:
    child = members["child"]
    return StartChained(
        operation_id,
        Target(**members["target"]),
        _text_of("payload", members, kept) or "",
        members["tenant_id"],
        None if child is None else Child(**child),
    )


def _held_json(outcome: ChainedOutcome, written: Written) -> str:
    error = None if outcome.error is None else compact_json(outcome.error)
    result = _members("result", outcome.result, written)
    return compact_json({"status": outcome.status, **result, **_members("error", error, written)})


def _held_of(members: Mapping[str, Any], kept: Kept) -> ChainedOutcome:
    error = _text_of("error", members, kept)
    result = _text_of("result", members, kept)
    return ChainedOutcome(members["status"], result, None if error is None else json.loads(error))


def _members(name: str, text: str | None, written: Written) -> Mapping[str, str | None]:
    """A payload inside a JSON object: itself, or its digest in hex."""
    digest = None if text is None else written.digest(text)
    return {name: text} if digest is None else {f"{name}_digest": digest.hex()}


def _text_of(name: str, members: Mapping[str, Any], kept: Kept) -> str | None:
    digest: str | None = members.get(f"{name}_digest")
    text: str | None = members.get(name)
    return text if digest is None else kept.long(bytes.fromhex(digest))
