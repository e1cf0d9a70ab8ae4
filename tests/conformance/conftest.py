"""The table of the behaviour cases, after the tests' own summary."""

import pytest

from .report import Row, table
from .sources import sources

_TEST = "test_cases.py::test_case["


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        Row(_suite(report.nodeid), verdict, _reason(report))
        for verdict in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(verdict, ())
        if isinstance(report, pytest.TestReport) and _TEST in report.nodeid
    ]
    if rows:
        terminalreporter.section("behaviour cases")
        terminalreporter.line(f"{'; '.join(map(str, sources()))}. The first source of a case counts.")
        for line in table(rows):
            terminalreporter.line(line)


def _suite(node_id: str) -> str:
    return node_id.partition(_TEST)[2].partition("/")[0]


def _reason(report: pytest.TestReport) -> str:
    return report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
