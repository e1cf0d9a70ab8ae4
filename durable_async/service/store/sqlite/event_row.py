"""The row of an event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from durable_async.service.model.history import PAYLOADS, Event, EventType
from durable_async.service.store.sqlite.payloads import Kept, Row, Written, by_name, compact_json

COLUMNS = (
    "id",
    "type",
    "at_us",
    "operation_id",
    "name",
    "sub_type",
    "parent_id",
    "details",
    "payload_member",
    "payload_digest",
)


def event_row(event: Event, written: Written) -> Row:
    member, digest = _long_payload(event.details, written)
    details: Mapping[str, Any] = event.details
    if member is not None:
        details = {name: value for name, value in details.items() if name != member}
    return (
        event.id,
        event.type.value,
        event.at_us,
        event.operation_id,
        event.name,
        event.sub_type,
        event.parent_id,
        compact_json(details) if details else "{}",
        member,
        digest,
    )


def event_of(columns: Row, kept: Kept) -> Event:
    row = by_name(COLUMNS, columns)
    details = json.loads(row["details"])
    member = row["payload_member"]
    if member is not None:
        text = kept.long(row["payload_digest"])
        details[member] = json.loads(text) if member == "Error" else text
    return Event(
        row["id"],
        EventType(row["type"]),
        row["at_us"],
        details,
        row["operation_id"],
        row["name"],
        row["sub_type"],
        row["parent_id"],
    )


def _long_payload(details: Mapping[str, Any], written: Written) -> tuple[str | None, bytes | None]:
    """The payload of an event, if it is long. No event has two."""
    for member, value in details.items():
        if member in PAYLOADS and value is not None:
            digest = written.digest(value if isinstance(value, str) else compact_json(value))
            if digest is not None:
                return member, digest
    return None, None
