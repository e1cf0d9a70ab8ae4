"""The row of an execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from durable_async._wire.operations import ErrorObject
from durable_async.service.machine import Execution, ExecutionStatus, Parent
from durable_async.service.machine.execution import Invocation, Pause
from durable_async.service.store.sqlite.payloads import Kept, Row, Written, compact_json, decode, encode

# What never changes; what seldom does, and has indexes; what nearly every command changes.
IDENTITY = (
    "id",
    "arn",
    "function_name",
    "name",
    "function_arn",
    "version",
    "tenant_id",
    "trace_header",
    "parent_execution",
    "parent_operation",
    "started_ms",
    "timeout_seconds",
    "input",
    "input_digest",
)
OUTCOME = ("status", "ended_ms", "result", "result_digest", "error", "error_digest")
PROGRESS = (
    "timeout_ms",
    "event_count",
    "unseen",
    "invoke_at_ms",
    "failures",
    "crashes",
    "idle_answers",
    "deferred",
    "request_id",
    "invoked_ms",
    "token",
    "waiting",
    "pause_requested_ms",
    "pause_timeout_ms",
    "pause_timeout_paused",
    "pause_reason",
    "due_ms",
    "active",
)
COLUMNS = (*IDENTITY, *OUTCOME, *PROGRESS)
INTEGERS = (
    "started_ms",
    "timeout_seconds",
    "ended_ms",
    *(column for column in PROGRESS if column not in {"unseen", "request_id", "token", "pause_reason"}),
)
TEXTS = (*(column for column in IDENTITY if column not in {*INTEGERS, "input", "input_digest"}), "request_id", "token")

_NO_INVOCATION: Row = (None, None, None, None)
_NO_PAUSE: Row = (None, None, None, None)


def identity_row(execution: Execution, written: Written) -> Row:
    parent = execution.parent
    return (
        execution.id,
        execution.arn,
        execution.function_name,
        execution.name,
        execution.function_arn,
        execution.version,
        execution.tenant_id,
        execution.trace_header,
        None if parent is None else parent.execution_id,
        None if parent is None else parent.operation_id,
        execution.started_ms,
        execution.timeout_seconds,
        *written.text(execution.input),
    )


def outcome_row(
    status: str, ended_ms: int | None, result: str | None, error: ErrorObject | None, written: Written
) -> Row:
    return (status, ended_ms, *written.text(result), *written.json(error))


def progress_row(execution: Execution) -> Row:
    return (
        execution.timeout_ms,
        execution.event_count,
        compact_json([operation.sequence for operation in execution.unseen.values()]) if execution.unseen else "[]",
        execution.invoke_at_ms,
        execution.failures,
        execution.crashes,
        execution.idle_answers,
        execution.deferred,
        *(_NO_INVOCATION if execution.invocation is None else _invocation_row(execution.invocation)),
        *(_NO_PAUSE if execution.pause is None else _pause_row(execution.pause)),
        execution.next_due_ms(),
        execution.active,
    )


def _invocation_row(invocation: Invocation) -> Row:
    return (invocation.request_id, invocation.started_ms, invocation.token, invocation.waiting)


def _pause_row(pause: Pause) -> Row:
    reason = None if pause.reason is None else encode(pause.reason)
    return (pause.requested_ms, pause.timeout_ms, pause.timeout_paused, reason)


def execution_of(row: Mapping[str, Any], kept: Kept) -> Execution:
    """What ``restore`` must complete. ``row`` has the columns of ``COLUMNS``."""
    return Execution(
        id=row["id"],
        arn=row["arn"],
        name=row["name"],
        function_name=row["function_name"],
        function_arn=row["function_arn"],
        version=row["version"],
        input=kept.text(row["input"], row["input_digest"]) or "",
        started_ms=row["started_ms"],
        timeout_seconds=row["timeout_seconds"],
        timeout_ms=row["timeout_ms"],
        tenant_id=row["tenant_id"],
        trace_header=row["trace_header"],
        parent=None if row["parent_execution"] is None else Parent(row["parent_execution"], row["parent_operation"]),
        status=ExecutionStatus(row["status"]),
        ended_ms=row["ended_ms"],
        result=kept.text(row["result"], row["result_digest"]),
        error=kept.json(row["error"], row["error_digest"]),
        event_count=row["event_count"],
        invocation=_invocation_of(row),
        invoke_at_ms=row["invoke_at_ms"],
        failures=row["failures"],
        crashes=row["crashes"],
        idle_answers=row["idle_answers"],
        deferred=bool(row["deferred"]),
        pause=_pause_of(row),
    )


def _invocation_of(row: Mapping[str, Any]) -> Invocation | None:
    if row["request_id"] is None:
        return None
    return Invocation(row["request_id"], row["invoked_ms"], row["token"], waiting=bool(row["waiting"]))


def _pause_of(row: Mapping[str, Any]) -> Pause | None:
    if row["pause_requested_ms"] is None:
        return None
    reason = None if row["pause_reason"] is None else decode(row["pause_reason"])
    return Pause(row["pause_requested_ms"], row["pause_timeout_ms"], bool(row["pause_timeout_paused"]), reason)
