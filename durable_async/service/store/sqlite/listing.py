"""Lists and counts executions. Callers begin and end the transaction.

The cost of a page does not depend on the number of executions, with one exception: the filter by a prefix costs as much
as the function has names with the prefix. A list is ordered by position, so an index of the function, of its statuses
or of a tag gives each page at once. A time range is first converted into a range of positions: within an era, positions
and start times grow together.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Any

import attrs

from durable_async.service.store import Count, ExecutionQuery, Summary
from durable_async.service.store.sqlite.damage import is_damage
from durable_async.service.store.sqlite.reading import function_names
from durable_async.service.store.sqlite.rows import Row

Span = tuple[int, int]
"""A range of positions, both ends included."""

_LAST = 2**63 - 1

_COLUMNS = "position, arn, name, function_arn, status, started_ms, ended_ms, tags"
_TYPES = [int, str, str, str, str, int]
_ONE = f"SELECT {_COLUMNS} FROM executions WHERE position = ?"  # noqa: S608 - names
# From an index, which may be readable even if the rows are not.
_POSITIONS = "SELECT position FROM executions INDEXED BY executions_of_function WHERE position BETWEEN ? AND ?"
_LATEST_ERA = "SELECT era FROM executions ORDER BY position DESC LIMIT 1"
_SPAN = """
    SELECT
        (SELECT position FROM executions WHERE era = :era AND started_ms >= :after
         ORDER BY started_ms, position LIMIT 1),
        (SELECT position FROM executions WHERE era = :era AND started_ms <= :before
         ORDER BY started_ms DESC, position DESC LIMIT 1)
"""


def executions(query: ExecutionQuery, connection: sqlite3.Connection) -> list[Summary]:
    found: list[Summary] = []
    parts = _parts(query, connection)
    for span in _spans(query, connection):
        found += _within(query, parts, span, query.count - len(found), connection)
        if len(found) == query.count:
            break
    return found


def counts(query: ExecutionQuery, connection: sqlite3.Connection) -> list[Count]:
    """Count the executions that ``query`` selects, on all pages."""
    found: Counter[tuple[str, str]] = Counter()
    for span in _spans(attrs.evolve(query, after=None), connection):
        conditions, values = _conditions(query, span)
        source = _source(query, counted=True)
        question = f"SELECT function_name, status, count(*) FROM {source} {conditions} GROUP BY 1, 2"  # noqa: S608 - ours
        for function_name, status, number in connection.execute(question, values):
            found[function_name, status] += number
    return [Count(*place, number) for place, number in sorted(found.items())]


def _spans(query: ExecutionQuery, connection: sqlite3.Connection) -> Iterator[Span]:
    """Return the ranges of positions to list, in the order of the list."""
    first, last = 1, _LAST
    if query.after is not None:
        first, last = (query.after + 1, last) if query.oldest_first else (first, query.after - 1)
    if query.started_after_ms is None and query.started_before_ms is None:
        yield first, last
        return
    after = 0 if query.started_after_ms is None else query.started_after_ms
    before = _LAST if query.started_before_ms is None else query.started_before_ms
    for era in _eras(connection, oldest_first=query.oldest_first):
        low, high = connection.execute(_SPAN, {"era": era, "after": after, "before": before}).fetchone()
        if low is not None and high is not None:
            yield max(first, low), min(last, high)


def _eras(connection: sqlite3.Connection, *, oldest_first: bool) -> Sequence[int]:
    (latest,) = connection.execute(_LATEST_ERA).fetchone() or (-1,)
    return range(latest + 1) if oldest_first else range(latest, -1, -1)


def _parts(query: ExecutionQuery, connection: sqlite3.Connection) -> list[ExecutionQuery]:
    """Split the query into queries for which an index gives the list in order."""
    if query.tags or not (query.statuses or query.name is not None or query.name_prefix):
        return [query]
    functions = function_names(connection) if query.function_name is None else [query.function_name]
    statuses = [frozenset({status}) for status in query.statuses] or [query.statuses]
    return [
        attrs.evolve(query, function_name=function, statuses=each) for function, each in product(functions, statuses)
    ]


def _within(
    query: ExecutionQuery, parts: Sequence[ExecutionQuery], span: Span, count: int, connection: sqlite3.Connection
) -> list[Summary]:
    """Return up to ``count`` entries of the list in ``span``."""
    found: list[Summary] = []
    for part in parts:
        rows: list[Row] | None = None
        try:
            rows = connection.execute(*statement(part, span, count)).fetchall()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        if rows is None or not all(map(_readable, rows)):
            rows = [*islice(_one_by_one(part, span, connection), count)]
        found += [_summary(row) for row in rows]
    found.sort(key=lambda summary: summary.position, reverse=not query.oldest_first)
    return found[:count]


def _one_by_one(query: ExecutionQuery, span: Span, connection: sqlite3.Connection) -> Iterator[Row]:
    """Return the rows that can be read, one by one, if some cannot."""
    of_function = "" if query.function_name is None else " AND function_name = ?"
    values = (*span, *filter(None, [query.function_name]))
    order = _order(attrs.evolve(query, tags={}))
    for (position,) in connection.execute(f"{_POSITIONS}{of_function} {order}", values):
        try:
            row = connection.execute(_ONE, (position,)).fetchone()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            continue
        if _readable(row) and _fits(row, query):
            yield row


def _readable(row: Row) -> bool:
    """Return whether each column has the right type: the position, four texts, a time, and optional values."""
    try:
        _tags(row)
    except (TypeError, ValueError):
        return False
    return [*map(type, row[:6])] == _TYPES and type(row[6]) in {int, type(None)}


def _summary(row: Row) -> Summary:
    position, arn, name, function_arn, status, started_ms, ended_ms, _ = row
    return Summary(position, arn, name, function_arn, status, started_ms, ended_ms, _tags(row))


def _tags(row: Row) -> dict[str, str] | None:
    return None if row[7] is None else dict(json.loads(row[7]))


def _fits(row: Row, query: ExecutionQuery) -> bool:
    name, status, tags = row[2], row[4], _tags(row) or {}
    return (
        query.name in {None, name}
        and (query.version is None or row[3].endswith(f":{query.version}"))
        and name.startswith(query.name_prefix)
        and (not query.statuses or status in query.statuses)
        and all(tags.get(key) == value for key, value in query.tags.items())
    )


def statement(query: ExecutionQuery, span: Span, count: int) -> tuple[str, list[Any]]:
    """Return the SQL statement for up to ``count`` rows, and its values."""
    conditions, values = _conditions(query, span)
    question = f"SELECT {_COLUMNS} FROM {_source(query)} {conditions} {_order(query)} LIMIT ?"  # noqa: S608 - ours
    return question, [*values, count]


def _order(query: ExecutionQuery) -> str:
    position = "tag.execution" if query.tags else "position"
    return f"ORDER BY {position}" if query.oldest_first else f"ORDER BY {position} DESC"


def _source(query: ExecutionQuery, *, counted: bool = False) -> str:
    if query.tags:
        return (
            "tags AS tag CROSS JOIN executions ON position = tag.execution"  # SQLite must read the tables in this order
        )
    if query.name_prefix:
        return "executions INDEXED BY sqlite_autoindex_executions_2"  # (function_name, name)
    if counted and query.name is None and query.version is None:
        return "executions INDEXED BY executions_by_status"  # this index has all counted columns
    return "executions"


def _conditions(query: ExecutionQuery, span: Span) -> tuple[str, list[object]]:
    conditions: list[str] = []
    values: list[object] = []

    def add(condition: str, *given: object) -> None:
        conditions.append(condition)
        values.extend(given)

    for number, tag in enumerate(query.tags.items()):
        if number == 0:
            add("tag.key = ? AND tag.value = ? AND tag.execution BETWEEN ? AND ?", *tag, *span)
        else:
            add("EXISTS (SELECT 1 FROM tags WHERE key = ? AND value = ? AND execution = position)", *tag)
    if query.function_name is not None:
        add("function_name = ?", query.function_name)
    if query.version is not None:
        add("version = ?", query.version)
    if not query.tags:
        add("position BETWEEN ? AND ?", *span)
    if query.statuses:
        add(f"status IN ({', '.join('?' * len(query.statuses))})", *query.statuses)
    if query.name is not None:
        add("name = ?", query.name)
    if query.name_prefix:
        add("name >= ? AND name < ?", query.name_prefix, query.name_prefix + "\U0010ffff")
    return f"WHERE {' AND '.join(conditions)}", values
