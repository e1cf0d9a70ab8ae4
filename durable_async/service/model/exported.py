"""Reads a history that was exported from the API: the inverse of ``service.http.rendering``.

It accepts the answers of ``GetDurableExecutionHistory`` with their data, in the forms that clients produce: times are
epoch seconds on the wire, ``datetime`` from botocore, and ISO 8601 texts from the AWS CLI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import attrs

from durable_async._wire.text import JsonMembers
from durable_async.errors import HistoryError
from durable_async.service.model.history import PAYLOADS, EventType, HistoryEvent, milliseconds

_EPOCH = datetime.fromtimestamp(0, UTC)

_NO_STATE = frozenset(
    {
        EventType.EXECUTION_PAUSED,
        EventType.EXECUTION_RESUMED,
        EventType.EXECUTION_REDRIVEN,
        EventType.CHAINED_INVOKE_STARTED,
        EventType.INVOCATION_COMPLETED,
    }
)
"""Events whose payloads may be missing, because the state of the operations does not depend on them."""


@attrs.frozen
class ExportedHistory:
    """A history that was read.

    :ivar execution_arn: None if the export does not name it
    """

    events: Sequence[HistoryEvent]
    execution_arn: str | None = None


def read_history(exported: object) -> ExportedHistory:
    """Read a history in any of the forms that clients produce.

    :param exported: an answer, or a list of answers, or a list of events, as JSON values; or a list of
        :class:`HistoryEvent`. An answer may have ``DurableExecutionArn`` beside its events. Newest first works too
    :raises HistoryError: it is not a history, is incomplete, or has no data
    """
    if events := _typed(exported):
        return ExportedHistory(sorted(events, key=lambda event: event.id))
    pages = _pages(exported)
    if pages and (pages[-1].get("NextMarker") or pages[-1].get("NextToken")):
        raise HistoryError("the history is longer than what was exported: export all of its pages")
    arn = next((page["DurableExecutionArn"] for page in pages if page.get("DurableExecutionArn")), None)
    read = [read_event(shown) for page in pages for shown in _mappings(page.get("Events"), "Events")]
    return ExportedHistory(sorted(read, key=lambda event: event.id), arn)


def _typed(exported: object) -> list[HistoryEvent]:
    """Return the events if ``exported`` consists of them, otherwise an empty list."""
    if not isinstance(exported, Sequence):
        return []
    items = cast("Sequence[object]", exported)
    events = [item for item in items if isinstance(item, HistoryEvent)]
    return events if len(events) == len(items) else []


def _pages(exported: object) -> Sequence[JsonMembers]:
    if isinstance(exported, Mapping):
        return [cast("JsonMembers", exported)]
    items = _mappings(exported, "the export")
    return items if items and "Events" in items[0] else [{"Events": items}]


def _mappings(value: object, what: str) -> Sequence[JsonMembers]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        items = list(cast("Iterable[object]", value))
        if all(isinstance(item, Mapping) for item in items):
            return cast("list[JsonMembers]", items)
    raise HistoryError(f"{what} is not a list of JSON objects")


def read_event(shown: JsonMembers) -> HistoryEvent:
    """Read an event as the API shows it.

    :raises HistoryError: it is of an unknown type, malformed, or without its data
    """
    number, name = shown.get("EventId"), shown.get("EventType")
    try:
        kind = EventType(cast("str", name))
    except ValueError:
        raise HistoryError(f"event {number} has an unknown type: {name!r}") from None
    try:
        details: JsonMembers = shown.get(f"{kind}Details") or {}
        return HistoryEvent(
            id=int(shown["EventId"]),
            type=kind,
            at_us=_microseconds(shown["EventTimestamp"]),
            details={member: _member(kind, member, value) for member, value in details.items()},
            operation_id=shown.get("Id"),
            name=shown.get("Name"),
            sub_type=shown.get("SubType"),
            parent_id=shown.get("ParentId"),
        )
    except _NotIncludedError:
        raise HistoryError(
            f"event {number}, {kind}{_named(shown)}, has no data: export the history with IncludeExecutionData"
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HistoryError(f"event {number}, {kind}, is malformed: {type(error).__name__}: {error}") from None


class _NotIncludedError(Exception):
    """The event had a payload that the export left out."""


def _member(kind: EventType, member: str, value: object) -> object:
    if member.endswith("Timestamp"):
        return milliseconds(_microseconds(value))
    if member not in PAYLOADS:
        return value
    payload = cast("JsonMembers", value or {})
    if payload.get("Truncated") and kind not in _NO_STATE:
        raise _NotIncludedError
    return payload.get("Payload")


def _microseconds(time: Any) -> int:
    """Return a time in epoch microseconds.

    :param time: epoch seconds, a ``datetime``, or ISO 8601 with its offset
    """
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(f"the time {time.isoformat()} has no offset from UTC")
        return (time - _EPOCH) // timedelta(microseconds=1)
    return round(float(time) * 1_000_000)


def _named(shown: Mapping[str, object]) -> str:
    return f" {shown['Name']!r}" if shown.get("Name") else ""
