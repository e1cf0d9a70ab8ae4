"""The lines that close a run: where its cases come from, how each suite went, and how many cases ran."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from .sources import Source


@attrs.frozen
class Row:
    """How one case went.

    :ivar verdict: ``passed``, ``failed`` or ``skipped``
    :ivar note: why the case was skipped, what of it was not compared, or where its handler departs from it
    """

    suite: str
    verdict: str
    note: str = ""


def closing_lines(sources: Iterable[Source], rows: Iterable[Row]) -> Sequence[str]:
    """Sum up a run: the sources of the cases, one line for each suite with its notes, and the totals."""
    rows = list(rows)
    suites = list(dict.fromkeys(row.suite for row in rows))
    skipped = sum(row.verdict == "skipped" for row in rows)
    return [
        f"{'; '.join(map(str, sources))}. The first source of a case counts.",
        _line("suite", "cases", "passed", "failed", "skipped", ""),
        *(_counted(suite, [row for row in rows if row.suite == suite], notes=True) for suite in suites),
        _counted("all", rows, notes=False),
        f"{len(rows) - skipped} of {len(rows)} cases ran.",
    ]


def _counted(label: str, rows: list[Row], *, notes: bool) -> str:
    counts = [str(sum(row.verdict == verdict for row in rows)) for verdict in ("passed", "failed", "skipped")]
    reasons = dict.fromkeys(row.note for row in rows if row.note)
    return _line(label, str(len(rows)), *counts, "; ".join(reasons) if notes else "")


def _line(suite: str, cases: str, passed: str, failed: str, skipped: str, note: str) -> str:
    return f"{suite:<20}{cases:>7}{passed:>8}{failed:>8}{skipped:>9}  {note}".rstrip()
