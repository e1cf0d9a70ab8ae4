"""What is measured: each scenario in fresh processes, contenders taking turns, medians of the runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from time import perf_counter

import attrs

from benchmarks.contenders import FLOOR, FORK, OFFICIAL, OURS, PLAIN, Contender
from benchmarks.processes import Service, run_module

CONTENDERS = (FLOOR, PLAIN, OURS, OFFICIAL, FORK)


@attrs.frozen
class Scenario:
    """A workflow of ``steps`` sequential steps, of which ``completed`` are on record already.

    :ivar body_seconds: how long each step's body sleeps; with zero, it returns at once
    :ivar cold: the process is measured from its start; else one invocation, after another one that warmed it up
    """

    name: str
    title: str
    steps: int
    completed: int = 0
    body_seconds: float = 0.0
    cold: bool = False
    runs: int = 3


SCENARIOS = (
    Scenario("steps-200", "200 sequential steps", 200),
    Scenario("steps-1000", "1,000 sequential steps", 1_000),
    Scenario("steps-10ms", "100 sequential steps of 10 ms", 100, body_seconds=0.01),
    Scenario("replay-1000", "replay of 1,000 completed steps", 1_000, completed=1_000),
    Scenario("replay-10000", "replay of 10,000 completed steps", 10_000, completed=10_000),
    Scenario("cold-start", "cold start: from exec to the answer of a one-step workflow", 1, cold=True, runs=5),
)


@attrs.frozen
class Figures:
    """Seconds, and checkpoint calls as the service counted them, of one invocation or the median of several."""

    wall: float
    cpu: float
    tail: float
    calls: float

    @classmethod
    def median(cls, runs: Sequence[Figures]) -> Figures:
        return cls(*(median(column) for column in zip(*map(attrs.astuple, runs), strict=True)))


def measure(scenario: Scenario, pythons: Mapping[Contender, str], service: Service) -> dict[Contender, Figures]:
    """:raises RuntimeError: a contender failed, or its answer is wrong: then its speed is of no interest"""
    contenders = [contender for contender in pythons if not (contender is PLAIN and scenario.completed)]
    runs: dict[Contender, list[Figures]] = {contender: [] for contender in contenders}
    for contender in contenders:
        _run(scenario, contender, pythons[contender], service)  # and throw away: it fills the caches of bytecode
    for contender in _turns(contenders, scenario.runs):
        runs[contender].append(_run(scenario, contender, pythons[contender], service))
    return {contender: Figures.median(of_one) for contender, of_one in runs.items()}


def _turns(contenders: list[Contender], rounds: int) -> Iterator[Contender]:
    """Each contender once a round, in the opposite order every other round, so that a drift hits all alike."""
    for number in range(rounds):
        yield from contenders if number % 2 == 0 else reversed(contenders)


def _run(scenario: Scenario, contender: Contender, python: str, service: Service) -> Figures:
    event = {"steps": scenario.steps, "body_seconds": scenario.body_seconds}
    warm_up = []
    if not scenario.cold:
        first = service.new_execution(event | {"steps": 3}, completed=min(scenario.completed, 2))  # it makes a client
        warm_up.append(service.envelope(first))
    execution = service.new_execution(event, completed=scenario.completed)
    task = {"warm_up": warm_up, "envelope": service.envelope(execution), "spawned_at": perf_counter()}
    printed = run_module(python, f"benchmarks.adapters.{contender.name}", task, service)
    expected = {"Status": "SUCCEEDED", "Result": str(sum(range(scenario.steps)))}
    bodies = scenario.steps - scenario.completed
    if printed is None or printed["output"] != expected or printed["bodies"] != bodies:
        raise RuntimeError(f"{contender.name}, {scenario.title}: expected {expected} of {bodies} bodies, got {printed}")
    figures = printed["figures"]
    span = "life_" if scenario.cold else ""
    calls = service.calls(execution)
    return Figures(figures[f"{span}wall"], figures[f"{span}cpu"], figures["tail"], calls)
