"""The table of the costs of concurrency. With ``--beside PATH`` that checkout is measured in turns with this one."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from benchmarks.processes import run_module

NAME = "costs"
WORKFLOWS = (
    "1,000 steps, one after another",
    "replay of 10,000 steps, one after another",
    "gather of 1,000 steps",
    "300 tasks of three steps over a suspension",
    "map of 1,000 steps",
)
_PROCESSES, _RUNS = 5, 5


def compare(beside: Path | None, *, processes: int = _PROCESSES) -> None:
    print(f"{NAME}: of the SDK alone, the service in its process; median of {processes} processes")
    titles = ["CPU", "own calls"] + (["CPU there", "calls there", "CPU : there", "calls : there"] if beside else [])
    print(f"  {'':<45}" + "".join(f"{title:>14}" for title in titles))
    for workflow in WORKFLOWS:
        here, there = _figures(workflow, beside, processes)
        cells = [f"{here[0] * 1e3:.1f} ms", f"{here[1]:,}"]
        if there is not None:
            cells += [f"{there[0] * 1e3:.1f} ms", f"{there[1]:,}", f"{here[0] / there[0]:.2f}"]
            cells.append(f"{here[1] / there[1]:.2f}")
        print(f"  {workflow:<45}" + "".join(f"{cell:>14}" for cell in cells), flush=True)
    print()


Figures = tuple[float, int]


def _figures(workflow: str, beside: Path | None, processes: int) -> tuple[Figures, Figures | None]:
    here: list[Figures] = []
    there: list[Figures] = []
    for _ in range(processes):
        here.append(_measured(workflow, None))
        if beside is not None:
            there.append(_measured(workflow, beside))
    return _median(here), _median(there) if there else None


def _measured(workflow: str, checkout: Path | None) -> Figures:
    task = {"workflow": workflow, "checkout": str(checkout.resolve()) if checkout else None, "runs": _RUNS}
    printed = run_module(sys.executable, "benchmarks.costs.worker", task)
    assert printed is not None
    return printed["cpu"], printed["calls"]


def _median(figures: list[Figures]) -> Figures:
    return median(cpu for cpu, _ in figures), round(median(calls for _, calls in figures))
