"""The tables, and how the figures stand to the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from benchmarks.contenders import FLOOR, FORK, OFFICIAL, OURS, Contender
from benchmarks.scenarios import Figures, Scenario

Results = Mapping[Contender, Figures]


def table(scenario: Scenario, results: Results) -> Iterator[str]:
    """Totals, then each step's part, then ratios to the floor, then the rest."""
    floor = results[FLOOR]
    yield f"{scenario.title} (median of {scenario.runs} processes)"
    part = scenario.workflow.part
    per = [f"wall/{part}", f"CPU/{part}"] if scenario.steps > 1 else []
    yield _row("", "wall", "CPU", *per, "wall : floor", "CPU : floor", "tail", "memory", "calls", "updates")
    for contender, figures in results.items():
        parts = [_time(total / scenario.steps) for total in (figures.wall, figures.cpu)] if per else []
        ratios = (f"{figures.wall / floor.wall:.2f}", f"{figures.cpu / floor.cpu:.2f}")
        counts = (f"{figures.calls:.0f}", f"{figures.updates:.0f}")
        totals = (_time(figures.wall), _time(figures.cpu))
        yield _row(
            contender.name, *totals, *parts, *ratios, _time(figures.tail), f"{figures.memory / 2**20:.1f} MiB", *counts
        )


def _row(name: str, *cells: str) -> str:
    return f"  {name:<10}" + "".join(f"{cell:>13}" for cell in cells)


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"


@attrs.frozen
class Target:
    scenarios: tuple[str, ...]
    claim: str
    figure: Callable[[Scenario, Results], float]
    limit: float


_QUICK_STEPS = ("steps-200", "steps-1000")
_STEPS = (*_QUICK_STEPS, "steps-10ms")
_REPLAYS = ("replay-1000", "replay-10000")
_MAP, _MAPS, _WAITS = ("map-1000",), ("map-1000", "map-10000"), ("waits-1000",)

TARGETS = (
    Target(_QUICK_STEPS, "wall of a step, times the floor's", lambda _, of: of[OURS].wall / of[FLOOR].wall, 1.5),
    Target(_QUICK_STEPS, "CPU of a step, times the floor's", lambda _, of: of[OURS].cpu / of[FLOOR].cpu, 1.5),
    Target(_STEPS, "checkpoint calls a step", lambda scenario, of: of[OURS].calls / scenario.steps, 1.0),
    Target(_REPLAYS, "us of CPU a completed step", lambda scenario, of: of[OURS].cpu / scenario.steps * 1e6, 15.0),
    Target(_REPLAYS, "checkpoint calls", lambda _, of: of[OURS].calls, 0.0),
    Target(
        _STEPS + _REPLAYS, "ms between the workflow's return and the answer", lambda _, of: of[OURS].tail * 1e3, 1.0
    ),
    Target(_MAP, "wall, seconds", lambda _, of: of[OURS].wall, 0.4),
    Target(_MAP, "wall, times official's", lambda _, of: of[OURS].wall / of[OFFICIAL].wall, 0.5),
    Target(_MAP, "checkpoint calls", lambda _, of: of[OURS].calls, 18.0),
    Target(_MAPS, "KiB of memory a branch", lambda scenario, of: of[OURS].memory / 1024 / scenario.steps, 8.0),
    Target(("map-10000",), "checkpoint calls", lambda _, of: of[OURS].calls, 162.0),
    Target(_WAITS, "wall, seconds", lambda _, of: of[OURS].wall, 0.2),
    Target(_WAITS, "wall, times official's", lambda _, of: of[OURS].wall / of[OFFICIAL].wall, 0.3),
    Target(_WAITS, "checkpoint calls", lambda _, of: of[OURS].calls, 10.0),
    Target(
        ("cold-start",), "cold start, ms beyond the floor's", lambda _, of: (of[OURS].wall - of[FLOOR].wall) * 1e3, 25.0
    ),
    Target(("cold-start",), "cold start, times official's", lambda _, of: of[OURS].wall / of[OFFICIAL].wall, 1.0),
    Target(("cold-start",), "cold start, times fork's", lambda _, of: of[OURS].wall / of[FORK].wall, 1.0),
)


def targets(results: Mapping[Scenario, Results]) -> Iterator[str]:
    for target in TARGETS:
        for scenario, of in results.items():
            if scenario.name in target.scenarios:
                figure = target.figure(scenario, of)
                verdict = "held" if figure <= target.limit else "MISSED"
                yield f"  {verdict:<7} {scenario.name:<13} {target.claim}: {figure:.2f} (at most {target.limit:g})"
