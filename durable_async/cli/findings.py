"""What ``doctor`` finds: how it is, what it is, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs


class Health(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


STYLES: Final[Mapping[str, str]] = MappingProxyType({Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red"})


@attrs.frozen
class Finding:
    """:ivar advice: what to do; nothing if it is well"""

    health: Health
    subject: str
    found: str
    advice: str = ""


def well(subject: str, found: str) -> Finding:
    return Finding(Health.OK, subject, found)


def doubtful(subject: str, found: str, advice: str) -> Finding:
    return Finding(Health.WARN, subject, found, advice)


def broken(subject: str, found: str, advice: str) -> Finding:
    return Finding(Health.FAIL, subject, found, advice)
