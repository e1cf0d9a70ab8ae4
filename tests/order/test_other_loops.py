"""The order holds on uvloop in real time; and on a loop of which it is not known what it is about to run, unless nothing
but callbacks runs for many turns."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given

from durable_async import EngineLimits
from tests.loops import needs_uvloop
from tests.programs.execution import Conditions
from tests.property_runs import FACTOR

from .play import OrderRun
from .programs import PROGRAMS
from .properties import (
    SEEDS,
    SEEDS_OF_CRASHES,
    check,
    each_invocation_sees_the_order_of_those_before,
    property_of,
    seeds,
)

FEW_SEEDS = 1 if FACTOR == 1 else SEEDS

NO_LIMIT_TO_CLEAN_UP = EngineLimits(clean_up=1e6)
"""A body that was cancelled may take longer than 5 seconds of fast time to leave, when the machine is busy."""

MANY_TURNS = ["callbacks_that_call_each_other"]
"""The programs that do not replay on a loop of which it is not known what it is about to run."""


@needs_uvloop
@property_of(SEEDS_OF_CRASHES)
@given(seeds)
def test_programs_side_by_side_in_real_time_on_uvloop_see_the_order_of_invocations_before(seed):
    from tests.uvloops import FastUvloop, in_time_of

    async def report_of(name, conditions, clock):
        run = OrderRun(PROGRAMS[name], conditions)
        run.handler._limits = NO_LIMIT_TO_CLEAN_UP
        report = await run.report(clock, is_alone=False)
        check(report, name, conditions)
        return report

    async def play(name, clock):
        calls = (await report_of(name, Conditions(seed), clock)).calls
        await report_of(name, Conditions.random(seed, calls), clock)
        await report_of(name, Conditions(seed, parked=1), clock)

    async def all_of_them(clock):
        await asyncio.gather(*(play(name, clock) for name in PROGRAMS))

    in_time_of(FastUvloop, all_of_them)


@needs_uvloop
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in MANY_TURNS])
@property_of(FEW_SEEDS)
@given(seeds)
def test_each_invocation_on_a_loop_with_an_unknown_queue_sees_the_order_of_those_before(name, seed):
    each_invocation_sees_the_order_of_those_before(name, seed, loop="wrapping uvloop")
