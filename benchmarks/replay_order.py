"""Does a replay go the way that the first run went? Programs that decide by the order in which steps end, over a crash.

Each run is two processes. The first dies in a random body, the second continues from what was recorded. Both note what
the program saw; the second must see what the first saw, in the same order, and then end.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.contenders import DBOS, FORK, OURS, Contender, python_of, version_of
from benchmarks.ordered.programs import PROGRAMS
from benchmarks.processes import Service, run_module, serving

NAME = "replay-order"
CONTENDERS = (OURS, FORK, DBOS)
_CRASHES = (4, 6)  # no program has fewer bodies


class Verdict(StrEnum):
    RIGHT = "right"
    OTHERWISE = "another way"
    """It succeeded, and saw another order than before the crash, or a step had another one's result: nobody is told."""
    FAILED = "failed"
    """It ended with an error, or did not end."""


def compare(venvs: Path, *, runs: int) -> None:
    pythons = {contender: python_of(contender, venvs) for contender in CONTENDERS}
    print(f"{NAME}: {len(PROGRAMS)} programs over a crash, {runs} runs of each; right / another way / failed")
    print(f"  {'':<28}" + "".join(f"{contender.name:>16}" for contender in CONTENDERS))
    totals: dict[Contender, Counter[Verdict]] = {contender: Counter() for contender in CONTENDERS}
    with serving() as service:
        for program in PROGRAMS:
            cells = []
            for contender, python in pythons.items():
                verdicts = _verdicts(contender, python, service, program, runs)
                totals[contender].update(verdicts)
                cells.append(_cell(verdicts))
            print(f"  {program:<28}" + "".join(f"{cell:>16}" for cell in cells), flush=True)
    print(f"  {'all':<28}" + "".join(f"{_cell(totals[contender]):>16}" for contender in CONTENDERS))
    print("", *(f"  {one.name:<10}{one.distribution} {version_of(one, pythons[one])}" for one in CONTENDERS), sep="\n")


def _cell(verdicts: Counter[Verdict]) -> str:
    return " / ".join(str(verdicts[verdict]) for verdict in Verdict)


def _verdicts(contender: Contender, python: str, service: Service, program: str, runs: int) -> Counter[Verdict]:
    crash_points = random.Random(0)  # the same for each contender
    return Counter(
        _crash_and_continue(contender, python, service, program, crash_points.randint(*_CRASHES)) for _ in range(runs)
    )


def _crash_and_continue(contender: Contender, python: str, service: Service, program: str, crash_in: int) -> Verdict:
    module = f"benchmarks.ordered.{contender.name}"
    logs: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as directory:
        execution = service.new_execution(None)
        for crash in (crash_in, None):
            log = Path(directory) / f"log{len(logs)}"
            task = {
                "crash_in": crash,
                "program": program,
                "log": str(log),
                "envelope": service.envelope(execution),
                "database": str(Path(directory) / "dbos.sqlite"),
            }
            try:
                printed = run_module(python, module, task, service, timeout=60)
            except RuntimeError:
                if crash is not None:
                    raise
                return Verdict.FAILED
            if (printed is None) != (crash is not None):
                raise RuntimeError(f"{module} was to crash in body {crash}, and printed {printed}")
            logs.append([json.loads(line) for line in log.read_text().splitlines()] if log.exists() else [])
    assert printed is not None
    if printed["error"] is not None:
        return Verdict.FAILED
    before, after = logs
    went_the_same_way = after[: len(before)] == before and not any("swapped" in saw for saw in after)
    return Verdict.RIGHT if went_the_same_way else Verdict.OTHERWISE
