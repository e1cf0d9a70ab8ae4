"""``python -m benchmarks [name ...]``: prints tables. It never fails for being slow."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import attrs

from benchmarks import checkpoint_calls, function_calls, replay_identity, replay_order
from benchmarks.contenders import default_directory, python_of, version_of
from benchmarks.costs import compare as costs
from benchmarks.processes import serving
from benchmarks.report import table, targets
from benchmarks.scenarios import CONTENDERS, SCENARIOS, Scenario, measure


def main() -> None:
    options = _options()
    machine = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    print(f"{machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before (which should be near 0)\n")
    names = set(options.names)
    if chosen := [scenario for scenario in SCENARIOS if not names or scenario.name in names]:
        if options.runs:
            chosen = [attrs.evolve(scenario, runs=options.runs) for scenario in chosen]
        measure_speed(chosen, options.venvs)
    if not names or function_calls.NAME in names:
        function_calls.compare(options.venvs)
    if not names or checkpoint_calls.NAME in names:
        checkpoint_calls.compare()
    if not names or costs.NAME in names:
        costs.compare(options.beside)
    if not names or replay_identity.NAME in names:
        replay_identity.compare(options.venvs, runs=options.identity_runs)
    if not names or replay_order.NAME in names:
        replay_order.compare(options.venvs, runs=options.order_runs)


def measure_speed(scenarios: list[Scenario], venvs: Path) -> None:
    pythons = {contender: python_of(contender, venvs) for contender in CONTENDERS}
    for contender, python in pythons.items():
        print(f"  {contender.name:<10}{contender.distribution} {version_of(contender, python)}")
    results = {}
    with serving() as service:
        for scenario in scenarios:
            results[scenario] = measure(scenario, pythons, service)
            print("", *table(scenario, results[scenario]), sep="\n", flush=True)
    print("\ntargets of ours", *targets(results), "", sep="\n", flush=True)


def _options() -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS] + [
        function_calls.NAME,
        checkpoint_calls.NAME,
        costs.NAME,
        replay_identity.NAME,
        replay_order.NAME,
    ]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(names)}; all of them without any")
    parser.add_argument(
        "--venvs", type=Path, default=default_directory(), help="where peers are installed (%(default)s)"
    )
    parser.add_argument("--runs", type=int, help="processes of each contender, instead of 3 or 5")
    parser.add_argument("--beside", type=Path, help="another checkout of this project, which costs are compared with")
    parser.add_argument("--identity-runs", type=int, default=20, help="of replay-identity (%(default)s)")
    parser.add_argument("--order-runs", type=int, default=10, help="of each program of replay-order (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


if __name__ == "__main__":
    main()
