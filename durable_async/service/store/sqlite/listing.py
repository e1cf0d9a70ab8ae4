"""Lists of executions, at the same cost however many there are.

The order is that of positions, so an index of the function or of its statuses gives each page at once. A time range is
made a range of positions first: within an era, positions and starts grow together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice

from durable_async.service.store import ExecutionQuery, Summary
from durable_async.service.store.sqlite.damage import is_damage
from durable_async.service.store.sqlite.payloads import Row

_LAST = 2**63 - 1

_SUMMARIES = "SELECT position, arn, name, function_arn, status, started_ms, ended_ms FROM executions"
_ONE = f"{_SUMMARIES} WHERE position = ?"
_POSITIONS = "SELECT position FROM executions WHERE function_name = ? AND position BETWEEN ? AND ?"
_TYPES = [int, str, str, str, str, int]
_LATEST_ERA = "SELECT era FROM executions ORDER BY position DESC LIMIT 1"
_SPAN = """
    SELECT
        (SELECT position FROM executions WHERE era = :era AND started_ms >= :after
         ORDER BY started_ms, position LIMIT 1),
        (SELECT position FROM executions WHERE era = :era AND started_ms <= :before
         ORDER BY started_ms DESC, position DESC LIMIT 1)
"""

Span = tuple[int, int]


def executions(query: ExecutionQuery, connection: sqlite3.Connection) -> list[Summary]:
    found: list[Summary] = []
    for span in _spans(query, connection):
        found += _within(query, span, query.count - len(found), connection)
        if len(found) == query.count:
            break
    return found


def _spans(query: ExecutionQuery, connection: sqlite3.Connection) -> Iterator[Span]:
    """Ranges of positions, both ends included, in the order of the list."""
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


def _within(query: ExecutionQuery, span: Span, count: int, connection: sqlite3.Connection) -> list[Summary]:
    """Up to ``count``. Several statuses are asked for one by one, each in its index."""
    found: list[Summary] = []
    for status in query.statuses or (None,):
        try:
            values = [query.function_name, *span, status, query.name, count]
            rows = connection.execute(
                statement(query, status), [each for each in values if each is not None]
            ).fetchall()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            rows = None
        if rows is None or not all(map(_readable, rows)):
            rows = [*islice(_one_by_one(query, span, status, connection), count)]
        found += [Summary(*row) for row in rows]
    found.sort(key=lambda summary: summary.position, reverse=not query.oldest_first)
    return found[:count]


def _one_by_one(query: ExecutionQuery, span: Span, status: str | None, connection: sqlite3.Connection) -> Iterator[Row]:
    """The rows that can be read, where some cannot: positions come from an index."""
    order = "position" if query.oldest_first else "position DESC"
    for (position,) in connection.execute(f"{_POSITIONS} ORDER BY {order}", (query.function_name, *span)):
        try:
            row = connection.execute(_ONE, (position,)).fetchone()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            continue
        if _readable(row) and status in {None, row[4]} and query.name in {None, row[2]}:
            yield row


def _readable(row: Row) -> bool:
    """Whether each column holds what it should: position, four texts, and two times, of which the last may be none."""
    return [*map(type, row[:6])] == _TYPES and type(row[6]) in {int, type(None)}


def statement(query: ExecutionQuery, status: str | None) -> str:
    """Its values: the function's name, both ends of a span; the status, the name, if there are; and a count."""
    conditions = ["function_name = ?", "position BETWEEN ? AND ?"]
    if status is not None:
        conditions.append("status = ?")
    if query.name is not None:
        conditions.append("name = ?")
    order = "position" if query.oldest_first else "position DESC"
    return f"{_SUMMARIES} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
