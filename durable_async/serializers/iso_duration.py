"""A ``timedelta`` as an ISO 8601 duration, which other languages read: ``P1DT2H3M4.5S``, ``-PT1S``, ``PT0S``."""

from __future__ import annotations

import re
from datetime import timedelta

_PATTERN = re.compile(r"(-?)P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,6}))?S)?)?")


def format_duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{value.microseconds:06}".rstrip("0") if value.microseconds else ""
    days = f"{value.days}D" if value.days else ""
    clock = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number)
    if seconds or fraction or not (days or clock):
        clock += f"{seconds}{fraction}S"
    return f"{sign}P{days}{'T' if clock else ''}{clock}"


def parse_duration(text: str) -> timedelta:
    """:raises ValueError: it is no duration, or one in months or years, which have no length"""
    match = _PATTERN.fullmatch(text)
    if match is None or text[-1] in "PT":
        raise ValueError("not an ISO 8601 duration in weeks, days, hours, minutes and seconds")
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in match.groups()[1:6])
    microseconds = int((match[7] or "").ljust(6, "0"))
    value = timedelta(days, seconds, microseconds, 0, minutes, hours, weeks)
    return -value if match[1] else value
