"""``python -m benchmarks.tracing``: what tracing costs a sequential step, in CPU time, beside the official plugin.

Against the service of the benchmarks, with an exporter in memory. In one process of each contender, invocations without
a plugin and with its plugin in each view take turns; a ratio is that of two neighbours, and the median of all is shown.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from statistics import median, quantiles

import attrs

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
    parser.add_argument("--rounds", type=int, default=8, help="invocations of each kind (%(default)s)")
    parser.add_argument("--ours", action="store_true", help="leave the official plugin out")
    options = parser.parse_args()
    ours = attrs.evolve(OURS, requirement=None)  # this environment has OpenTelemetry
    contenders = [(ours, "ours")] if options.ours else [(ours, "ours"), (OFFICIAL, "official")]
    print(f"CPU time of a sequential step in microseconds, median of {options.rounds} rounds of {STEPS} steps, and its")
    print(f"ratio to none: median (middle half); load {os.getloadavg()[0]:.1f}")
    print(f"  {'':<10}" + "".join(f"{view:>28}" for view in VIEWS))
    with serving() as service:
        for contender, adapter in contenders:
            cpu = _measure(python_of(contender, options.venvs), adapter, service, options.rounds)
            print(f"  {adapter:<10}" + "".join(f"{_cell(cpu[view], cpu['none']):>28}" for view in VIEWS), flush=True)


def _measure(python: str, adapter: str, service: Service, rounds: int) -> dict[str, list[float]]:
    def envelopes(steps: int) -> dict[str, dict[str, object]]:
        event = {"steps": steps, "body_seconds": 0}
        return {view: service.envelope(service.new_execution(event)) for view in VIEWS}

    task = {"warm_up": envelopes(20), "rounds": [envelopes(STEPS) for _ in range(rounds)]}
    printed = run_module(python, f"benchmarks.adapters.traced_{adapter}", task, service, timeout=3600)
    assert printed is not None
    assert printed["bodies"] == len(VIEWS) * (20 + rounds * STEPS)
    cpu: dict[str, list[float]] = printed["cpu"]
    return cpu


def _cell(cpu: list[float], base: list[float]) -> str:
    ratios = [each / beside for each, beside in zip(cpu, base, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    step = f"{median(cpu) / STEPS * 1e6:.0f}"
    return step if cpu is base else f"{step} {middle:.2f}x ({low:.2f}-{high:.2f})"


if __name__ == "__main__":
    main()
