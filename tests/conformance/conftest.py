"""The closing lines of the behaviour cases, after the tests' own summary."""

import pytest

from .report import Row, closing_lines
from .sources import sources
from .suites import DEPARTURES

_TEST = "test_cases.py::test_case["


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        _row(report, verdict)
        for verdict in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(verdict, ())
        if isinstance(report, pytest.TestReport) and _TEST in report.nodeid
    ]
    if rows:
        terminalreporter.section("behaviour cases")
        for line in closing_lines(sources(), rows):
            terminalreporter.line(line)


def _row(report: pytest.TestReport, verdict: str) -> Row:
    suite, _, case_id = report.nodeid.partition(_TEST)[2].removesuffix("]").partition("/")
    reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
    return Row(suite, verdict, reason or DEPARTURES.get(case_id, ""))
