"""What a workflow's code sees, invocation by invocation: each must see what those before it saw, in the same order."""

from __future__ import annotations

from typing import Any


class Log:
    """What the code saw in one invocation.

    Each context has an order of its own, because a replay does not enter a context that has ended.
    """

    def __init__(self) -> None:
        self.by_context: dict[str, list[Any]] = {}

    def note(self, what: Any, context: str = "") -> None:
        self.by_context.setdefault(context, []).append(what)


class Observations:
    """The logs of the invocations of one execution."""

    def __init__(self) -> None:
        self._logs: list[Log] = []

    def new_log(self) -> Log:
        """Return the log of an invocation that begins."""
        self._logs.append(Log())
        return self._logs[-1]

    def differences(self) -> list[str]:
        """Say where an invocation saw something else than the one before it that had got furthest."""
        found: list[str] = []
        furthest: dict[str, list[Any]] = {}
        for number, log in enumerate(self._logs):
            for context, saw in log.by_context.items():
                before = furthest.get(context, [])
                for n, (then, now) in enumerate(zip(before, saw, strict=False)):
                    if then != now:
                        found.append(f"invocation {number} saw {now} as number {n}, one before it {then}")
                        break
                furthest[context] = max(before, saw, key=len)
        return found
