"""Runs the cases against any running service: ``python -m tests.conformance URL [--log-json FILE] [--spans FILE] [suite...]``.

A case is run as the function of its id.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .case import load_cases
from .report import Row, closing_lines
from .runner import Outcome, Runner, connect
from .sources import NONE_THERE, folders, sources
from .suites import DEPARTURES


def main() -> int:
    cases = load_cases(folders())
    if not cases:
        sys.exit(NONE_THERE)
    suites = list(dict.fromkeys(case.suite for case in cases))
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description="Run the behaviour cases.")
    parser.add_argument("url", help="of the service, such as http://127.0.0.1:8080")
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(suites)}, or a case's id; default: all that are built")
    parser.add_argument(
        "--log-json", type=Path, metavar="FILE", help="the service's log file; else logs aren't compared"
    )
    parser.add_argument(
        "--spans", type=Path, metavar="FILE", help="the file of tests.otlp_receiver; else spans aren't compared"
    )
    parser.add_argument("--workers", type=int, default=12, help="cases run at a time (%(default)s)")
    options = parser.parse_intermixed_args()
    if unknown := set(options.suite) - set(suites) - {case.id for case in cases}:
        parser.error(f"no such suite or case: {', '.join(sorted(unknown))}")

    wanted = options.suite or suites
    runner = Runner(connect(options.url), options.log_json, span_file=options.spans)
    with ThreadPoolExecutor(options.workers) as pool:
        outcomes = list(pool.map(runner.run, [case for case in cases if {case.suite, case.id} & set(wanted)]))

    for outcome in outcomes:
        if not outcome.conforms:
            print(outcome.report(), end="\n\n")
    print(*closing_lines(sources(), map(_row, outcomes)), sep="\n")
    return 0 if all(outcome.conforms for outcome in outcomes) else 1


def _row(outcome: Outcome) -> Row:
    not_compared = f"{' and '.join(outcome.not_compared)} not compared" if outcome.not_compared else ""
    note = "; ".join(filter(None, [not_compared, DEPARTURES.get(outcome.case.id, "")]))
    return Row(outcome.case.suite, "passed" if outcome.conforms else "failed", note)


if __name__ == "__main__":
    sys.exit(main())
