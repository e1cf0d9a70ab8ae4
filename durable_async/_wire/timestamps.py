"""Reads timestamps of the wire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from durable_async._wire.operations import Operation

_EPOCH = datetime.fromtimestamp(0, UTC)


def seconds(timestamp: float | datetime) -> float:
    """Return a timestamp in epoch seconds, whatever its format.

    An envelope has epoch milliseconds, an API response epoch seconds, and botocore's own parser makes ``datetime`` of
    the latter. A number above 1e11 is milliseconds: as seconds it would be the year 5138.
    """
    if isinstance(timestamp, datetime):
        return timestamp.timestamp()
    return timestamp / 1000 if timestamp > 1e11 else timestamp


def start_microseconds(operation: Operation) -> int | None:
    """Return when ``operation`` started, in epoch microseconds; None if it does not say."""
    started = operation.get("StartTimestamp")
    return None if started is None else _microseconds(started) + (operation.get("StartMicroseconds") or 0)


def end_microseconds(operation: Operation) -> int | None:
    """Return when ``operation`` ended, in epoch microseconds; None if it has not ended, or does not say.

    On our own service no other operation of the execution has the same number. On Lambda, operations that ended in one
    checkpoint may share it.
    """
    ended = operation.get("EndTimestamp")
    return None if ended is None else _microseconds(ended) + (operation.get("EndMicroseconds") or 0)


def cut_to_milliseconds(operations: Iterable[Operation]) -> None:
    """Make the times of ``operations`` those that an envelope has, which only our own service sends with microseconds.

    An API response may be more precise. Ends would then have another order in a replay than in the first run.
    """
    for operation in operations:
        started, ended = operation.get("StartTimestamp"), operation.get("EndTimestamp")
        if started is not None and not isinstance(started, int):  # a whole number has no microseconds
            operation["StartTimestamp"] = _microseconds(started) // 1000
        if ended is not None and not isinstance(ended, int):
            operation["EndTimestamp"] = _microseconds(ended) // 1000


def _microseconds(timestamp: float | datetime) -> int:
    if isinstance(timestamp, datetime):
        return (timestamp - _EPOCH) // timedelta(microseconds=1)
    return round(timestamp * 1000) if timestamp > 1e11 else round(timestamp * 1_000_000)
