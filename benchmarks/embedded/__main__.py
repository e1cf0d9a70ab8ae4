"""``python -m benchmarks.embedded [name ...]``: prints tables about the embedded service."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contenders import DBOS, default_directory, python_of, version_of

AT_ONCE = (1, 100)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedded", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all without any")
    parser.add_argument("--venvs", type=Path, default=default_directory(), help="where peers are installed")
    parser.add_argument("--runs", type=int, default=3, help="processes of each, of which the median counts (3)")
    parser.add_argument("--stored", type=int, default=100_000, help="executions for 'stored' (100,000)")
    parser.add_argument("--suspended", type=int, default=10_000, help="executions for 'recovery' (10,000)")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark has the name {', '.join(sorted(unknown))}: they are {', '.join(BENCHMARKS)}")
    machine = f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    print(f"{machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before (which should be near 0)")
    for name in options.names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{name}", flush=True)
            BENCHMARKS[name](Path(folder), options)


def throughput(folder: Path, options: argparse.Namespace) -> None:
    """Executions per second of three steps."""
    dbos = python_of(DBOS, options.venvs)
    contenders = [
        ("ours, in memory", sys.executable, "ours", "full", False),
        ("a bare thread, normal", sys.executable, "floor", "normal", True),
        ("a bare thread, full", sys.executable, "floor", "full", True),
        ("ours, normal", sys.executable, "ours", "normal", True),
        ("ours, full", sys.executable, "ours", "full", True),
        ("dbos, WAL, normal", dbos, "dbos", "NORMAL", True),
        ("dbos, WAL, full", dbos, "dbos", "FULL", True),
        ("dbos, as it comes (full)", dbos, "dbos", "as it comes", True),
    ]
    print(f"  dbos {version_of(DBOS, dbos)}; executions of three steps each second, and CPU of one")
    print(f"  {'':<26}" + "".join(f"{f'{at_once} at once':>24}" for at_once in AT_ONCE))
    for number, (label, python, module, durability, on_disk) in enumerate(contenders):
        cells = ""
        for at_once in AT_ONCE:
            count = (200 if module == "dbos" else 500) * (1 if at_once == 1 else 2)
            runs: list[tuple[float, float]] = []
            for run in range(options.runs):
                file = str(folder / f"{number}-{at_once}-{run}.db") if on_disk else ""
                arguments = [file, durability, str(count), str(at_once)]
                runs.append(tuple(printed(python, f"benchmarks.embedded.throughput_{module}", *arguments)))
            wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
            cells += f"{count / wall:>10.0f}/s {cpu / count * 1e3:>7.2f} ms"
        print(f"  {label:<26}{cells}", flush=True)


def step(folder: Path, options: argparse.Namespace) -> None:
    """What a step costs."""
    for number, (label, durability, on_disk) in enumerate(
        [("in memory", "full", False), ("normal", "normal", True), ("full", "full", True)]
    ):
        runs = [
            inside("step", str(folder / f"{number}-{run}.db") if on_disk else "", durability)
            for run in range(options.runs)
        ]
        wall, cpu = (statistics.median(run[column] for run in runs) for column in ("wall", "cpu"))
        print(f"  {label:<12}{wall * 1e6:>8.0f} us a step, of them {cpu * 1e6:.0f} us CPU", flush=True)


def recovery(folder: Path, options: argparse.Namespace) -> None:
    """A service that starts on many suspended executions."""
    file = str(folder / "suspended.db")
    count = str(options.suspended)
    print(f"  {options.suspended:,} executions suspended in {inside('suspend', file, count)['wall']:.1f} s")
    figures = inside("recover", file, count)
    print(f"  opened, and a new execution done: {figures['ready'] * 1e3:.0f} ms; {figures['memory'] / 2**20:.0f} MiB")
    print(f"  a day later, all of them finished: {figures['finished']:.1f} s", flush=True)


def stored(folder: Path, options: argparse.Namespace) -> None:
    """Whether calls stay as quick beside many stored executions."""
    costs: dict[int, dict[str, float]] = {}
    for count in (options.stored // 100, options.stored):
        file = folder / f"{count}.db"
        seconds = inside("fill", str(file), str(count))["wall"]
        print(f"  {count:,} executions stored in {seconds:.1f} s, {file.stat().st_size / count:.0f} bytes each")
        costs[count] = inside("flat", str(file))
    few, many = costs.values()
    print(f"  {'':<14}" + "".join(f"{f'{count:,}':>12}" for count in costs) + "       ratio")
    for name in few:
        print(f"  {name:<14}{few[name] * 1e3:>9.2f} ms{many[name] * 1e3:>9.2f} ms{many[name] / few[name]:>12.2f}")


def hot(folder: Path, options: argparse.Namespace) -> None:
    """A thousand waits, with and without staying in memory."""
    for label, kept in (("hot", "1"), ("cold", "0")):
        runs = [inside("hot", str(folder / f"{label}-{run}.db"), kept) for run in range(options.runs)]
        wall, cpu = (statistics.median(run[column] for run in runs) for column in ("wall", "cpu"))
        print(f"  {label:<6}{wall:>8.2f} s, CPU {cpu:.2f} s", flush=True)


def layers(folder: Path, options: argparse.Namespace) -> None:
    """Where the cost of an execution of three steps lies, beside five commits of a bare thread."""
    print(f"  {'CPU of one, us':<26}{'event loop':>12}{'writer':>12}{'together':>12}")
    for chosen, durability in (
        ("ours", ""),
        ("floor", "normal"),
        ("ours", "normal"),
        ("floor", "full"),
        ("ours", "full"),
    ):
        runs = [_layers("cpu", chosen, durability, folder, run) for run in range(options.runs)]
        loop, threads = (statistics.median(run[name] for run in runs) * 1e6 for name in ("loop", "threads"))
        label = f"{chosen}, {durability or 'in memory'}"
        print(f"  {label:<26}{loop:>12.0f}{threads:>12.0f}{loop + threads:>12.0f}", flush=True)
    print(f"  {'counts of one':<26}{'statements':>12}{'pages':>12}{'loop turns':>12}{'own calls':>12}")
    for chosen, durability in (("ours", ""), ("floor", "normal"), ("ours", "normal")):
        counted = _layers("counts", chosen, durability, folder, 0)
        label = f"{chosen}, {durability or 'in memory'}"
        print(f"  {label:<26}" + "".join(f"{figure:>12.1f}" for figure in counted.values()), flush=True)


def _layers(how: str, chosen: str, durability: str, folder: Path, run: int) -> dict[str, float]:
    place = folder / f"{how}-{chosen}-{durability}-{run}"
    place.mkdir()
    figures: dict[str, float] = printed(
        sys.executable, "benchmarks.embedded.layers", how, chosen, durability, str(place)
    )
    return figures


def gate(folder: Path, options: argparse.Namespace) -> None:
    """``durable-async replay --open`` over 1,000 open executions of three handlers. The new code breaks five."""
    file = str(folder / "open.db")
    inside("open_ones", file, "1000")
    command = [sys.executable, "-m", "durable_async.cli", "replay", "benchmarks.embedded.deployed", "--open"]
    tomorrow = {**os.environ, "TOMORROW": "1"}
    runs: list[tuple[float, float]] = []
    for _ in range(options.runs):
        wall, cpu = time.perf_counter(), _cpu_of_children()
        ended = subprocess.run([*command, "--store", file], check=False, capture_output=True, text=True, env=tomorrow)
        runs.append((time.perf_counter() - wall, _cpu_of_children() - cpu))
        assert ended.stdout.endswith("1000 open executions replayed, 5 would break\n"), ended
    wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"  {wall:.1f} s, CPU {cpu:.1f} s", flush=True)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def inside(name: str, *arguments: str) -> dict[str, float]:
    figures: dict[str, float] = printed(sys.executable, "benchmarks.embedded.inside", name, *arguments)
    return figures


def printed(python: str, module: str, *arguments: str) -> Any:
    command = [python, "-m", module, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


BENCHMARKS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    function.__name__: function for function in (throughput, layers, step, recovery, stored, hot, gate)
}

if __name__ == "__main__":
    main()
