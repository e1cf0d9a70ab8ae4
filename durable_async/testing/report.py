"""The report of ``explore``: what it found, and where."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from textwrap import indent

import attrs

__tracebackhide__ = True  # pytest shows the line of the test, and not those of this module

_WIDTH = 58
_CONTEXT = 2  # lines before the first difference
_SHOWN = 8  # lines from there on


class Fault(StrEnum):
    """What kind of problem it is."""

    OUTCOME_CHANGED = "the outcome changed"
    NON_DETERMINISM = "the workflow is not deterministic"
    RAN_AGAIN = "a completed step ran again"
    RAN_TWICE = "an at-most-once body ran twice"
    EFFECT_OUTSIDE_STEP = "a side effect outside a step"
    NOT_IDEMPOTENT = "a step is not idempotent"
    UNSTABLE_CALL = "a call that may answer differently in a replay"
    SWALLOWED_CANCELLATION = "a swallowed cancellation"
    MISSING_AWAIT = "a missing await"


@attrs.frozen
class Problem:
    """
    :ivar message: what is wrong and what to do; after that the places in the code, each with its source line
    :ivar run: in which run it was seen, for example ``"a crash after checkpoint 3"``
    :ivar first: the history of the first run; empty if it says nothing here
    :ivar other: the history of the run that differs
    """

    fault: Fault
    message: str
    run: str
    first: str = ""
    other: str = ""

    def __str__(self) -> str:
        text = f"{self.fault.capitalize()}\n{indent(self.message, '   ')}\n   It happened in {self.run}."
        return f"{text}\n\n{side_by_side(self.first, self.other)}" if self.first != self.other else text


@attrs.frozen
class Exploration:
    """
    :ivar problems: one for each thing that is wrong
    :ivar runs: how many executions were run
    :ivar checkpoints: how many the first run made: each is a boundary
    :ivar skipped: what was not explored, and why
    :ivar outcome: how the first run ended, such as ``SUCCEEDED with "parcel 17"``
    """

    problems: Sequence[Problem]
    runs: int
    checkpoints: int
    skipped: Sequence[str]
    outcome: str

    @property
    def passed(self) -> bool:
        return not self.problems

    def check(self) -> None:
        """Raise if something was found.

        :raises AssertionError: something was found; its message is the report
        """
        if not self.passed:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        boundaries = "1 boundary" if self.checkpoints == 1 else f"{self.checkpoints} boundaries"
        problems = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"explore found {problems} in {self.runs} runs over {boundaries}"]
        if not self.outcome.startswith("SUCCEEDED"):
            lines.append(f"The workflow ended {self.outcome}")
        lines += [f"\n{number}. {problem}" for number, problem in enumerate(self.problems, 1)]
        lines += [f"\nNot explored: {each}" for each in self.skipped]
        return "\n".join(lines)


def side_by_side(first: str, other: str) -> str:
    """Return two histories beside each other, from a little before their first difference on. Equal lines stand beside
    each other."""
    pairs = [*_aligned(first.splitlines(), other.splitlines())]
    start = next((n for n, (left, right) in enumerate(pairs) if left != right), len(pairs))
    shown = pairs[max(0, start - _CONTEXT) : start + _SHOWN]
    lines = [f"     {'the first run':<{_WIDTH}} | this run"]
    for left, right in shown:
        mark = " " if left == right else ">"
        lines.append(f"   {mark} {_cut(left):<{_WIDTH}} | {_cut(right)}".rstrip())
    return "\n".join(lines)


def _aligned(first: list[str], other: list[str]) -> Iterator[tuple[str, str]]:
    for _, left, left_end, right, right_end in SequenceMatcher(None, first, other, autojunk=False).get_opcodes():
        yield from zip_longest(first[left:left_end], other[right:right_end], fillvalue="")


def place_in_code(file: str, line: int, function: str | None = None) -> str:
    """Return a place with its source line, as a traceback shows it."""
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    source = linecache.getline(file, line).strip()
    within = "" if function is None else f" in {function}"
    return f"{shown}:{line}{within}" + (f"\n    {source}" if source else "")


def _cut(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
