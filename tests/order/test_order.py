"""A program that decides by the order in which its operations end runs the same way in every invocation, on asyncio's
own loop and on uvloop."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given

from tests.loops import needs_uvloop

from .properties import (
    SEEDS,
    SEEDS_OF_CRASHES,
    a_crash_after_a_checkpoint_changes_nothing_that_was_seen,
    each_invocation_sees_the_order_of_those_before,
    each_program,
    one_kept_in_memory_does_what_a_replayed_one_does,
    property_of,
    seeds,
)

ASYNCIO = pytest.param("asyncio", id="asyncio")
UVLOOP = pytest.param("uvloop", id="uvloop", marks=needs_uvloop)
EAGER_UVLOOP = pytest.param(
    "uvloop",
    id="uvloop",
    marks=[
        needs_uvloop,
        pytest.mark.skipif(sys.version_info >= (3, 13), reason="uvloop 0.23 asks each factory not to start eagerly"),
    ],
)
on_each_loop = pytest.mark.parametrize("loop", [ASYNCIO, UVLOOP])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize("loop", [ASYNCIO, EAGER_UVLOOP])
@each_program
@property_of(SEEDS_OF_CRASHES)
@given(seeds)
def test_a_workflow_whose_tasks_start_eagerly_sees_the_same_order_on_a_replay(name, loop, seed):
    each_invocation_sees_the_order_of_those_before(name, seed, loop=loop, eager=True)


@on_each_loop
@each_program
@property_of(SEEDS)
@given(seeds)
def test_each_invocation_sees_the_order_of_those_before(name, loop, seed):
    each_invocation_sees_the_order_of_those_before(name, seed, loop=loop)


@on_each_loop
@each_program
@property_of(SEEDS)
@given(seeds)
def test_an_execution_kept_in_memory_does_what_a_replayed_one_does(name, loop, seed):
    one_kept_in_memory_does_what_a_replayed_one_does(name, seed, loop=loop)


@on_each_loop
@each_program
@property_of(SEEDS_OF_CRASHES)
@given(seeds)
def test_a_crash_after_a_checkpoint_changes_nothing_that_was_seen(name, loop, seed):
    a_crash_after_a_checkpoint_changes_nothing_that_was_seen(name, seed, loop=loop)
