"""Ids that are derived from an execution, so that all its invocations agree on them, and the X-Ray trace header."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import blake2b

import attrs

SPAN_BYTES = 8
TRACE_BYTES = 12  # of a trace id, after the 4 of its time

_ROOT = re.compile(r"1-([0-9a-f]{8})-([0-9a-f]{24})", re.IGNORECASE)
_PARENT = re.compile(r"[0-9a-f]{16}", re.IGNORECASE)


@attrs.frozen
class Remote:
    """What a caller says of the trace that an invocation belongs to. Each part may be missing.

    :ivar trace_id: None: the execution begins a trace of its own
    :ivar span_id: the caller's span, which is the parent of what the invocation does; None: there is none
    :ivar sampled: whether the trace is recorded; None: the caller did not decide
    """

    trace_id: int | None = None
    span_id: int | None = None
    sampled: bool | None = None


def read_header(header: str | None) -> Remote:
    """Return what an X-Ray trace header says. A part that is missing or malformed is None."""
    fields: dict[str, str] = {}
    for part in (header or "").split(";"):
        name, _, value = part.strip().partition("=")
        fields[name] = value
    root = _ROOT.fullmatch(fields.get("Root", ""))
    parent = _PARENT.fullmatch(fields.get("Parent", ""))
    trace_id = int(root[1] + root[2], 16) if root else 0
    span_id = int(parent[0], 16) if parent else 0
    return Remote(trace_id or None, span_id or None, {"0": False, "1": True}.get(fields.get("Sampled", "")))


def write_header(trace_id: int, span_id: int, *, sampled: bool) -> str:
    trace = f"{trace_id:032x}"
    return f"Root=1-{trace[:8]}-{trace[8:]};Parent={span_id:016x};Sampled={int(sampled)}"


def trace_id_of(execution_arn: str, started: datetime) -> int:
    """Return the trace id of an execution whose caller gave none. Its first half is a time, as X-Ray demands."""
    seconds = int(started.timestamp()) & 0xFFFFFFFF
    return (
        int.from_bytes(seconds.to_bytes(4, "big") + blake2b(execution_arn.encode()).digest()[:TRACE_BYTES], "big") or 1
    )


def workflow_id(execution_arn: str) -> int:
    return _span_id(f"workflow:{execution_arn}")


def anchor_id(execution_arn: str) -> int:
    return _span_id(f"execution-root:{execution_arn}")


def service_span_id(execution_arn: str) -> int:
    return _span_id(f"service:{execution_arn}")


def operation_span_id(execution_arn: str, operation_id: str) -> int:
    return _span_id(f"{execution_arn}:{operation_id}")


def _span_id(text: str) -> int:
    return int.from_bytes(blake2b(text.encode()).digest()[:SPAN_BYTES], "big") or 1  # zero is no valid id
