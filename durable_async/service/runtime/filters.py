"""Checks filters of lists and counts, and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from durable_async.service.machine import ExecutionStatus
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.store import ExecutionQuery

MAX_TAGS = 50
_KEY_LENGTH = 128
_VALUE_LENGTH = 256


class Filters(TypedDict, total=False):
    """Selects the executions to list or count. A member that is not given selects all executions.

    - ``execution_name``: this name
    - ``name_prefix``: a name that begins with this text
    - ``statuses``: one of these statuses; empty: any
    - ``tags``: all of these tags, with these values
    - ``started_after``, ``started_before``: a start in this time, inclusive; with a time zone
    """

    execution_name: str | None
    name_prefix: str
    statuses: Sequence[str]
    tags: Mapping[str, str] | None
    started_after: datetime | None
    started_before: datetime | None


def query_of(function_name: str | None, filters: Filters) -> ExecutionQuery:
    """Return the store's query for ``filters``.

    :raises InvalidParameterValueError: a status or a tag is not valid
    """
    return ExecutionQuery(
        function_name=function_name,
        name=filters.get("execution_name"),
        name_prefix=filters.get("name_prefix", ""),
        statuses=_statuses(filters.get("statuses", ())),
        tags=dict(checked_tags(filters.get("tags")) or {}),
        started_after_ms=_milliseconds(filters.get("started_after")),
        started_before_ms=_milliseconds(filters.get("started_before")),
    )


def checked_tags(tags: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return the tags, or None if there are none.

    :raises InvalidParameterValueError: there are too many, or one breaks a rule
    """
    if not tags:
        return None
    if len(tags) > MAX_TAGS:
        raise InvalidParameterValueError(f"An execution has at most {MAX_TAGS} tags, and {len(tags)} were given.")
    for key, value in tags.items():
        if not (isinstance(key, str) and 1 <= len(key) <= _KEY_LENGTH and key.isprintable() and "=" not in key):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidParameterValueError(
                f"The key of a tag must be 1 to {_KEY_LENGTH} printable characters without '=', not {str(key)[:256]!r}."
            )
        if not (isinstance(value, str) and len(value) <= _VALUE_LENGTH and value.isprintable()):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidParameterValueError(
                f"The value of the tag {key!r} must be a text of at most {_VALUE_LENGTH} printable characters."
            )
    return dict(tags)


def _statuses(statuses: Sequence[str]) -> frozenset[str]:
    for status in statuses:
        if status not in [*ExecutionStatus]:
            raise InvalidParameterValueError(
                f"{status!r} is not a status of an execution. The statuses are {', '.join(ExecutionStatus)}."
            )
    return frozenset(statuses)


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
