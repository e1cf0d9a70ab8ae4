"""A program that decides by the order in which its operations end runs the same way in every invocation."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, given, settings
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


def property_of(number):
    return settings(max_examples=number, deadline=None, suppress_health_check=[*HealthCheck])


def run(name: str, conditions: Conditions, *, only_time: bool = False, eager: bool = False) -> Report:
    report = run_to_its_end(OrderRun(PROGRAMS[name], conditions, only_time=only_time), eager=eager)
    assert report.wrong == [], (name, conditions)
    assert type(report.outcome).__name__ == "Returned", (name, conditions, report.outcome)
    return report


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@each_program
@property_of(SEEDS_OF_CRASHES)
@given(seeds)
def test_a_workflow_whose_tasks_start_eagerly_sees_the_same_order_on_a_replay(name, seed):
    calls = run(name, Conditions(seed), eager=True).calls
    run(name, Conditions.random(seed, calls), eager=True)


@each_program
@property_of(SEEDS)
@given(seeds)
def test_each_invocation_sees_the_order_of_those_before(name, seed):
    calls = run(name, Conditions(seed)).calls
    run(name, Conditions.random(seed, calls))


@each_program
@property_of(SEEDS)
@given(seeds)
def test_an_execution_kept_in_memory_does_what_a_replayed_one_does(name, seed):
    replayed = run(name, Conditions(seed), only_time=True)
    kept = run(name, Conditions(seed, parked=1), only_time=True)
    if name not in VARYING:
        assert (kept.outcome, kept.operations) == (replayed.outcome, replayed.operations)


@each_program
@property_of(SEEDS_OF_CRASHES)
@given(seeds)
def test_a_crash_after_a_checkpoint_changes_nothing_that_was_seen(name, seed):
    for call in range(seed % EACH, run(name, Conditions(seed)).calls, EACH):
        run(name, Conditions(seed, {call: Interruption.UNHEARD}))
