"""Reading the wire's timestamps."""

from __future__ import annotations

from datetime import datetime


def seconds(timestamp: float | datetime) -> float:
    """Epoch seconds of a timestamp in any of the forms it comes in.

    An envelope has epoch milliseconds, an API response epoch seconds, and botocore's own parser makes ``datetime`` of
    the latter. A number above 1e11 is milliseconds: as seconds it would be the year 5138.
    """
    if isinstance(timestamp, datetime):
        return timestamp.timestamp()
    return timestamp / 1000 if timestamp > 1e11 else timestamp
