"""The table that sums up a run, suite by suite."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen
class Row:
    """How one case went. ``note`` is the reason why it was skipped, or what of it was not compared."""

    suite: str
    verdict: str  # passed, failed or skipped
    note: str = ""


def table(rows: Iterable[Row]) -> list[str]:
    """One line a suite, and a last one with the sums."""
    rows = list(rows)
    suites = list(dict.fromkeys(row.suite for row in rows))
    lines = [_line("suite", "cases", "passed", "failed", "skipped", "")]
    lines += [_counted(suite, [row for row in rows if row.suite == suite], notes=True) for suite in suites]
    return [*lines, _counted("all", rows, notes=False)]


def _counted(label: str, rows: list[Row], *, notes: bool) -> str:
    counts = [str(sum(row.verdict == verdict for row in rows)) for verdict in ("passed", "failed", "skipped")]
    reasons = dict.fromkeys(row.note for row in rows if row.note)
    return _line(label, str(len(rows)), *counts, "; ".join(reasons) if notes else "")


def _line(suite: str, cases: str, passed: str, failed: str, skipped: str, note: str) -> str:
    return f"{suite:<20}{cases:>7}{passed:>8}{failed:>8}{skipped:>9}  {note}".rstrip()
