"""Whole numbers, checked."""

from __future__ import annotations


def checked_count(name: str, value: object, minimum: int) -> int:
    """Return the value that was passed as ``name``.

    :raises TypeError: it is not an int
    :raises ValueError: it is less than ``minimum``
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value}")
    return value
