"""Does a replay give each step its own result? Three gathered coroutines of three steps, over a crash.

Each run is two processes. The first dies in a random body, the second continues from what was recorded. Between steps
the coroutines pause for random times, so the second process comes by the steps in another order than the first did.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.contenders import DBOS, FORK, OURS, Contender, python_of, version_of
from benchmarks.gathered.workflow import BRANCHES, STEPS
from benchmarks.processes import Service, run_module, serving

NAME = "replay-identity"
CONTENDERS = (OURS, FORK, DBOS)
RIGHT_RESULT = [[f"{branch}-{number}" for number in range(STEPS)] for branch in range(BRANCHES)]


class Verdict(StrEnum):
    RIGHT = "right"
    SWAPPED = "swapped"
    """It succeeded, with a step's result in another step's place: nobody is told."""
    FAILED = "failed"
    """It ended with an error, or did not end."""


def compare(venvs: Path, *, runs: int) -> None:
    pythons = {contender: python_of(contender, venvs) for contender in CONTENDERS}
    print(f"{NAME}: {BRANCHES} gathered coroutines of {STEPS} steps over a crash, {runs} runs of each")
    print(f"  {'':<10}" + "".join(f"{verdict:>10}" for verdict in Verdict) + "   what the failures said")
    with serving() as service:
        for contender, python in pythons.items():
            verdicts, errors = _verdicts(contender, python, service, runs)
            counts = "".join(f"{verdicts[verdict]:>10}" for verdict in Verdict)
            print(f"  {contender.name:<10}{counts}   {', '.join(f'{error} ({n})' for error, n in errors.items())}")
    print("", *(f"  {one.name:<10}{one.distribution} {version_of(one, pythons[one])}" for one in CONTENDERS), sep="\n")


def _verdicts(
    contender: Contender, python: str, service: Service, runs: int
) -> tuple[Counter[Verdict], Mapping[str, int]]:
    crash_points = random.Random(0)  # the same for each contender
    verdicts: Counter[Verdict] = Counter()
    errors: Counter[str] = Counter()
    for _ in range(runs):
        printed = _crash_and_continue(contender, python, service, crash_points.randint(2, BRANCHES * STEPS))
        if printed["error"] is not None:
            errors[printed["error"]] += 1
            verdicts[Verdict.FAILED] += 1
        else:
            verdicts[Verdict.RIGHT if printed["result"] == RIGHT_RESULT else Verdict.SWAPPED] += 1
    return verdicts, errors


def _crash_and_continue(contender: Contender, python: str, service: Service, crash_in: int) -> dict[str, Any]:
    module = f"benchmarks.gathered.{contender.name}"
    with tempfile.TemporaryDirectory() as directory:
        execution = service.new_execution(None)
        for crash in (crash_in, None):
            task = {
                "crash_in": crash,
                "envelope": service.envelope(execution),
                "database": str(Path(directory) / "dbos.sqlite"),
            }
            printed = run_module(python, module, task, service, timeout=60)
            if (printed is None) != (crash is not None):
                raise RuntimeError(f"{module} was to crash in body {crash}, and printed {printed}")
    assert printed is not None
    return printed
