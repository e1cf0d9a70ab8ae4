"""What is measured: each scenario in fresh processes, contenders taking turns, medians of the runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from statistics import median
from time import perf_counter
from typing import Any

import attrs

from benchmarks.contenders import FLOOR, FORK, OFFICIAL, OURS, PLAIN, Contender
from benchmarks.processes import Service, run_module

CONTENDERS = (FLOOR, PLAIN, OURS, OFFICIAL, FORK)
_TRIMMED = (FLOOR, OURS, OFFICIAL, FORK)  # for what has few calls to make


class Workflow(StrEnum):
    STEPS = "steps"
    """One after another, ``adapters``."""
    MAP = "map"
    """One in each branch, ``wide``."""
    WAITS = "waits"
    """None, but an hour's wait in each branch, ``wide``."""

    @property
    def package(self) -> str:
        return "adapters" if self is Workflow.STEPS else "wide"

    @property
    def part(self) -> str:
        return {Workflow.STEPS: "step", Workflow.MAP: "branch", Workflow.WAITS: "wait"}[self]

    def output(self, steps: int) -> dict[str, Any]:
        """The right one."""
        if self is Workflow.WAITS:
            return {"Status": "PENDING"}
        return {"Status": "SUCCEEDED", "Result": str(sum(range(steps)))}


@attrs.frozen
class Scenario:
    """A workflow of ``steps`` steps, or waits, of which ``completed`` are on record already.

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
    workflow: Workflow = Workflow.STEPS
    contenders: tuple[Contender, ...] = CONTENDERS


SCENARIOS = (
    Scenario("steps-200", "200 sequential steps", 200),
    Scenario("steps-1000", "1,000 sequential steps", 1_000),
    Scenario("steps-10ms", "100 sequential steps of 10 ms", 100, body_seconds=0.01),
    Scenario("replay-1000", "replay of 1,000 completed steps", 1_000, completed=1_000, contenders=_TRIMMED),
    Scenario("replay-10000", "replay of 10,000 completed steps", 10_000, completed=10_000, contenders=_TRIMMED),
    Scenario(
        "map-1000",
        "map of 1,000 branches of one 50 ms step",
        1_000,
        body_seconds=0.05,
        workflow=Workflow.MAP,
        contenders=_TRIMMED,
    ),
    Scenario(
        "map-10000",
        "map of 10,000 branches of one 50 ms step",
        10_000,
        body_seconds=0.05,
        workflow=Workflow.MAP,
        contenders=(FLOOR, OURS),
    ),
    Scenario(
        "waits-1000",
        "1,000 branches until all of them wait",
        1_000,
        workflow=Workflow.WAITS,
        contenders=_TRIMMED,
    ),
    Scenario("cold-start", "cold start: from exec to the answer of a one-step workflow", 1, cold=True, runs=5),
)


@attrs.frozen
class Figures:
    """Of one invocation, or the median of several.

    :ivar wall: seconds, like ``cpu`` and ``tail``
    :ivar memory: bytes by which the peak of the process grew
    :ivar calls: checkpoints, as the service counted them, like ``updates``
    """

    wall: float
    cpu: float
    tail: float
    memory: float
    calls: float
    updates: float

    @classmethod
    def median(cls, runs: Sequence[Figures]) -> Figures:
        return cls(*(median(column) for column in zip(*map(attrs.astuple, runs), strict=True)))


def measure(scenario: Scenario, pythons: Mapping[Contender, str], service: Service) -> dict[Contender, Figures]:
    """:raises RuntimeError: a contender failed, or its answer is wrong: then its speed is of no interest"""
    contenders = list(scenario.contenders)
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
    workflow = scenario.workflow
    event = {"workflow": workflow, "steps": scenario.steps, "body_seconds": scenario.body_seconds}
    warm_up = []
    if not scenario.cold:
        first = service.new_execution(event | {"steps": 3}, completed=min(scenario.completed, 2))  # it makes a client
        warm_up.append(service.envelope(first))
    execution = service.new_execution(event, completed=scenario.completed)
    task = {"warm_up": warm_up, "envelope": service.envelope(execution), "spawned_at": perf_counter()}
    printed = run_module(python, f"benchmarks.{workflow.package}.{contender.name}", task, service)
    expected = workflow.output(scenario.steps)
    bodies = scenario.steps - scenario.completed
    if printed is None or printed["output"] != expected or printed["bodies"] != bodies:
        raise RuntimeError(f"{contender.name}, {scenario.title}: expected {expected} of {bodies} bodies, got {printed}")
    figures = printed["figures"]
    span = "life_" if scenario.cold else ""
    counts = service.counts(execution)
    return Figures(
        wall=figures[f"{span}wall"],
        cpu=figures[f"{span}cpu"],
        tail=figures["tail"],
        memory=figures["memory"],
        calls=counts["calls"],
        updates=counts["updates"],
    )
