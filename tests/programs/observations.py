"""What a workflow's code sees, invocation by invocation: each must see what those before it saw, in the same order."""

from __future__ import annotations

from typing import Any

Log = list[Any]


class Observations:
    """The logs of the invocations of one execution."""

    def __init__(self) -> None:
        self._logs: list[Log] = []

    def new_log(self) -> Log:
        """Return the log of an invocation that begins."""
        self._logs.append([])
        return self._logs[-1]

    def differences(self) -> list[str]:
        """Say where an invocation saw something else than the one before it that had got furthest."""
        found: list[str] = []
        furthest: Log = []
        for number, log in enumerate(self._logs):
            for before, now in zip(furthest, log, strict=False):
                if before != now:
                    found.append(f"invocation {number} saw {now} where one before it saw {before}")
                    break
            furthest = max(furthest, log, key=len)
        return found
