"""What holds for each program and each seed, under whatever conditions the programs run.

``how``: ``loop`` and ``eager``, see ``run_to_its_end``.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.programs.execution import Conditions, Interruption, Report, run_to_its_end
from tests.property_runs import FACTOR, examples

from .play import OrderRun
from .programs import PROGRAMS, VARYING

SEEDS = examples(4)
SEEDS_OF_CRASHES = examples(1)
EACH = max(1, 8 // FACTOR)  # a normal run does not crash after each checkpoint

seeds = st.integers(0, 2**32)
each_program = pytest.mark.parametrize("name", PROGRAMS)


def property_of(number: int) -> settings:
    return settings(max_examples=number, deadline=None, suppress_health_check=[*HealthCheck])


def each_invocation_sees_the_order_of_those_before(name: str, seed: int, **how: Any) -> None:
    calls = _run(name, Conditions(seed), **how).calls
    _run(name, Conditions.random(seed, calls), **how)


def one_kept_in_memory_does_what_a_replayed_one_does(name: str, seed: int, **how: Any) -> None:
    replayed = _run(name, Conditions(seed), only_time=True, **how)
    kept = _run(name, Conditions(seed, parked=1), only_time=True, **how)
    if name not in VARYING:
        assert (kept.outcome, kept.operations) == (replayed.outcome, replayed.operations)


def a_crash_after_a_checkpoint_changes_nothing_that_was_seen(name: str, seed: int, **how: Any) -> None:
    for call in range(seed % EACH, _run(name, Conditions(seed), **how).calls, EACH):
        _run(name, Conditions(seed, {call: Interruption.UNHEARD}), **how)


def _run(name: str, conditions: Conditions, *, only_time: bool = False, **how: Any) -> Report:
    report = run_to_its_end(OrderRun(PROGRAMS[name], conditions, only_time=only_time), **how)
    check(report, name, conditions)
    return report


def check(report: Report, name: str, conditions: Conditions) -> None:
    assert report.wrong == [], (name, conditions)
    assert type(report.outcome).__name__ == "Returned", (name, conditions, report.outcome)
