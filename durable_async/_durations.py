"""Durations: checked, and converted to the whole seconds of the service."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from durable_async._wire.limits import DELAY_SECONDS

if TYPE_CHECKING:
    import attrs

_SECOND = timedelta(seconds=1)
_LONGEST = timedelta(seconds=DELAY_SECONDS)


def whole_seconds(duration: timedelta) -> int:
    """Return a duration in seconds, rounded up, so that it is never shorter than requested."""
    return -(-duration // _SECOND)


def duration_seconds(value: timedelta, *, what: str) -> int:
    """Return a duration in whole seconds, rounded up: from 1 to 31,622,400 (366 days).

    :param what: names the value in the errors
    :raises TypeError: it is not a ``timedelta``
    :raises ValueError: it is zero, negative, or longer than the service waits
    """
    return whole_seconds(positive(what, value))


def positive(name: str, duration: timedelta) -> timedelta:
    """Return the duration that was passed as ``name``.

    :raises TypeError: it is not a ``timedelta``
    :raises ValueError: it is zero, negative, or longer than 366 days
    """
    if checked_timedelta(name, duration) <= timedelta(0):
        raise ValueError(f"{name} must be longer than zero, not {duration}")
    if duration > _LONGEST:
        raise ValueError(
            f"{name} must be at most {_LONGEST.days} days, which is the longest the service waits, not {duration}"
        )
    return duration


def checked_timedelta(name: str, value: object) -> timedelta:
    """Return the value if it is a ``timedelta``.

    :raises TypeError: the value that was passed as ``name`` is not a ``timedelta``
    """
    if not isinstance(value, timedelta):
        instead = ""
        if isinstance(value, int | float):
            instead = f": write timedelta(seconds={value!r})"
        elif isinstance(value, datetime):
            instead = ": write the time from now until then, 'moment - ctx.now()'"
        raise TypeError(f"{name} must be a datetime.timedelta, not {value!r}{instead}")
    return value


def timedelta_field(_: object, attribute: attrs.Attribute[timedelta], value: object) -> None:
    """Check the value of an attrs field, as a validator."""
    checked_timedelta(attribute.name, value)
