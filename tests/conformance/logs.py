"""The log records of an execution, and how a case's expectations of them are checked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from .case import LogExpectation
from .matching import as_text, fill, fill_pattern, same

_ARN_FIELDS = ("executionArn", "durableExecutionArn")


@attrs.frozen
class LogRecord:
    """One JSON object that a function wrote. ``timestamp`` is in milliseconds since the epoch."""

    timestamp: int
    fields: Mapping[str, Any]


def records_of(execution_arn: str, lines: Iterable[str]) -> list[LogRecord]:
    """An execution's records among the lines of a service's log file.

    A record is a line whose message is a JSON object with the execution's ARN in one of the two fields. Other lines
    are not seen, nor is a line that is still being written.
    """
    return list(_records_of(execution_arn, lines))


def match_logs(expected: Sequence[LogExpectation], records: Sequence[LogRecord], names: Mapping[str, Any]) -> list[str]:
    """The differences between the expected records and those written."""
    return [difference for expectation in expected for difference in _match_one(expectation, records, names)]


def _records_of(execution_arn: str, lines: Iterable[str]) -> Iterator[LogRecord]:
    for line in lines:
        entry = _json_object(line)
        fields = _json_object(entry.get("message"))
        if any(fields.get(field) == execution_arn for field in _ARN_FIELDS):
            yield LogRecord(entry["timestamp"], fields)


def _json_object(text: Any) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _match_one(expectation: LogExpectation, records: Sequence[LogRecord], names: Mapping[str, Any]) -> Iterator[str]:
    found = _matching(expectation.match, records, names)
    about = f"log {json.dumps(fill(expectation.match, names), default=str)}"
    if len(found) < expectation.minimum:
        yield f"{about}: expected at least {expectation.minimum}, found {len(found)}"
    if expectation.maximum is not None and len(found) > expectation.maximum:
        yield f"{about}: expected at most {expectation.maximum}, found {len(found)}"
    for anchor in expectation.after:
        times = _times(_matching(anchor, records, names))
        if not times:
            yield f"{about}: the anchor {fill(anchor, names)} matches nothing"
        elif found and min(_times(found)) < max(times):
            yield f"{about}: not after every {fill(anchor, names)}"
    for anchor in expectation.before:
        times = _times(_matching(anchor, records, names))
        if not times:
            yield f"{about}: the anchor {fill(anchor, names)} matches nothing"
        elif found and max(_times(found)) > min(times):
            yield f"{about}: not before every {fill(anchor, names)}"


def _matching(match: Mapping[str, Any], records: Sequence[LogRecord], names: Mapping[str, Any]) -> list[LogRecord]:
    return [
        record
        for record in records
        if all(key in record.fields and _fits(value, record.fields[key], names) for key, value in match.items())
    ]


def _fits(expected: Any, actual: Any, names: Mapping[str, Any]) -> bool:
    if isinstance(expected, str) and len(expected) > 1 and expected.startswith("/") and expected.endswith("/"):
        return re.search(fill_pattern(expected[1:-1], names), as_text(actual)) is not None
    wanted = fill(expected, names)
    if isinstance(wanted, str) and isinstance(actual, str):
        return wanted.strip() == actual.strip()
    return same(wanted, actual)


def _times(records: Sequence[LogRecord]) -> list[int]:
    return [record.timestamp for record in records]
