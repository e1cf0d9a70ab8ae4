"""``python -m benchmarks.tracing``: what tracing costs a sequential step, in CPU time, beside the official plugin.

Each contender runs in processes of its own, against the service of the benchmarks, with an exporter in memory: without
a plugin, and with its plugin in each view.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.contenders import OURS, Contender, default_directory, python_of
from benchmarks.processes import Service, run_module, serving

STEPS = 1000
OFFICIAL = Contender(
    "official-otel",
    "aws-durable-execution-sdk-python-otel",
    "aws_durable_execution_sdk_python",
    "aws-durable-execution-sdk-python-otel==2.0.0 opentelemetry-sdk>=1.30",
)
VIEWS = ("none", "invocation", "execution")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__)
    parser.add_argument(
        "--venvs", type=Path, default=default_directory(), help="where peers are installed (%(default)s)"
    )
    parser.add_argument("--runs", type=int, default=5, help="processes of each contender (%(default)s)")
    parser.add_argument("--ours", action="store_true", help="leave the official plugin out")
    options = parser.parse_args()
    contenders = [(OURS, "ours")] if options.ours else [(OURS, "ours"), (OFFICIAL, "official")]
    print(f"CPU time of a sequential step in microseconds, median of {options.runs} runs of {STEPS} steps")
    print(f"  {'':<10}" + "".join(f"{view:>24}" for view in VIEWS))
    with serving() as service:
        for contender, adapter in contenders:
            python = python_of(contender, options.venvs)
            figures: dict[str, list[float]] = {view: [] for view in VIEWS}
            for _ in range(options.runs):
                for view in VIEWS:
                    figures[view].append(_cpu(python, f"benchmarks.adapters.traced_{adapter}", view, service))
            base = median(figures["none"])
            cells = (f"{median(each) * 1e6:.0f} ({median(each) / base:.2f}x)" for each in figures.values())
            print(f"  {adapter:<10}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def _cpu(python: str, module: str, view: str, service: Service) -> float:
    event = {"steps": STEPS, "body_seconds": 0}
    task = {
        "view": view,
        "warm_up": [service.envelope(service.new_execution(event | {"steps": 1}))],
        "envelope": service.envelope(service.new_execution(event)),
        "spawned_at": perf_counter(),
    }
    printed = run_module(python, module, task, service)
    assert printed is not None
    assert printed["bodies"] == STEPS
    cpu: float = printed["figures"]["cpu"]
    return cpu / STEPS


if __name__ == "__main__":
    main()
