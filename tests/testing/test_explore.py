"""``explore`` finds each kind of fault, says where it is, and finds nothing where there is none."""

import asyncio
import cProfile
import gc
import random
import re
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from botocore.compat import get_current_datetime
from botocore.hooks import HierarchicalEmitter

from durable_async import DurableContext, durable_execution
from durable_async.testing import Fault, Ledger, explore

from . import faulty_workflows as faulty

sys.path.append(str(Path(__file__).parents[2] / "docs" / "examples"))

import order

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def nothing_is_left_to_collect():
    """What the faulty workflows never awaited is collected here, and not in the middle of another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


FOUND = {
    "random_outside_a_step": (
        Fault.UNSTABLE_CALL,
        "faulty_workflows.py:20 in random_outside_a_step",
    ),
    "clock_two_calls_deep_in_a_branch": (
        Fault.UNSTABLE_CALL,
        "faulty_workflows.py:35 in branch\n       _stamp()\n",
    ),
    "effect_outside_a_step": (Fault.EFFECT_OUTSIDE_STEP, "'mail' happened outside of a step"),
    "set_iterated_into_map": (Fault.NON_DETERMINISM, "PYTHONHASHSEED="),
    "step_that_is_not_idempotent": (Fault.NOT_IDEMPOTENT, "Step 'charge' did 'charge 42' twice"),
    "cancellation_swallowed": (Fault.SWALLOWED_CANCELLATION, "cancellation_swallowed"),
    "missing_await_of_an_operation": (Fault.MISSING_AWAIT, "called and never awaited"),
    "missing_await_of_a_coroutine": (Fault.MISSING_AWAIT, "coroutine 'notify' was never awaited"),
    "state_shared_with_a_body": (Fault.OUTCOME_CHANGED, "SUCCEEDED with 1, this one as SUCCEEDED with 0"),
    "state_of_the_module_shared_with_a_body": (Fault.NON_DETERMINISM, "in another process"),
    "sleep_in_the_workflow": (Fault.UNSTABLE_CALL, "sleep() sleeps. Instead, use ctx.wait."),
}


@pytest.mark.parametrize("name", FOUND)
async def test_it_finds(name):
    fault, where = FOUND[name]
    seeds = (1, 2) if "another process" in where or "PYTHONHASHSEED" in where else ()
    found = await explore(getattr(faulty, name), {}, ledger=faulty.ledger, hash_seeds=seeds)
    assert not found.passed
    assert fault in [problem.fault for problem in found.problems], str(found)
    assert where in str(found)
    with pytest.raises(AssertionError):
        found.check()


async def test_it_finds_nothing_where_nothing_is_wrong():
    found = await explore(faulty.without_fault, {}, ledger=faulty.ledger)
    assert found.passed, str(found)
    assert found.skipped == []
    assert found.runs > 2 * found.checkpoints > 6


async def test_it_finds_nothing_in_the_examples():
    found = await explore(order.fulfil, order.Order("1017", ["tea"], 4250), hash_seeds=())
    assert found.passed, str(found)
    fastapi_app = pytest.importorskip("fastapi") and __import__("fastapi_app")
    found = await explore(fastapi_app.fulfil, fastapi_app.Order(17, 4250), callbacks={"approval": None}, hash_seeds=())
    assert found.passed, str(found)


@durable_execution
async def library_that_reads_the_clock(event: dict, ctx: DurableContext) -> str:
    return await ctx.step(faulty.work, str(get_current_datetime()))


async def test_a_call_in_a_library_is_reported_with_its_module_unless_the_package_is_ignored():
    found = await explore(library_that_reads_the_clock, {}, hash_seeds=(), max_runs=1)
    [problem] = [each for each in found.problems if each.fault is Fault.UNSTABLE_CALL]
    assert problem.message.startswith(
        "datetime.now(), called in botocore.compat, reads the clock. Instead, use ctx.now()"
    )
    assert "leave the package out with ignore=('botocore',)" in problem.message
    for name in ("botocore", "botocore.compat"):
        found = await explore(library_that_reads_the_clock, {}, hash_seeds=(), max_runs=1, ignore=(name,))
        assert Fault.UNSTABLE_CALL not in [each.fault for each in found.problems]


async def test_what_a_users_function_calls_is_reported_though_an_ignored_package_calls_it():
    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> None:
        emitter = HierarchicalEmitter()
        emitter.register("event", lambda **_: random.random())
        emitter.emit("event")

    found = await explore(workflow, {}, hash_seeds=(), max_runs=1, ignore=["botocore"])
    [problem] = found.problems
    assert problem.message.startswith("Random.random() draws a random value. Instead, use ctx.random()")


@pytest.mark.parametrize("name", ["botocor", "botocore.no", "pydantic-ai", "", "."])
async def test_a_package_to_ignore_that_does_not_exist_is_refused(name):
    with pytest.raises(ValueError, match=rf"ignore= names '{re.escape(name)}', and there is no package or module"):
        await explore(faulty.without_fault, {}, ignore=[name])


async def test_packages_to_ignore_are_several():
    with pytest.raises(TypeError, match=r"write ignore=\('botocore',\)"):
        await explore(faulty.without_fault, {}, ignore="botocore")


@pytest.mark.filterwarnings("ignore:coroutine 'notify' was never awaited")
async def test_what_a_collection_of_garbage_calls_is_not_the_workflows():
    @durable_execution
    async def workflow(event, ctx: DurableContext):
        gc.collect()

    def on_collection(phase, info):
        time.perf_counter()

    gc.callbacks.append(on_collection)
    try:
        assert (await explore(workflow, {})).problems == []
    finally:
        gc.callbacks.remove(on_collection)


@pytest.mark.filterwarnings("ignore:coroutine 'notify' was never awaited")  # whenever it is collected
async def test_a_coroutine_that_was_left_before_is_not_the_workflows():
    cycle = [faulty.notify()]
    cycle.append(cycle)
    del cycle
    found = await explore(faulty.without_fault, {}, ledger=faulty.ledger, hash_seeds=())
    assert found.passed, str(found)


async def test_it_runs_under_a_profiler():
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        assert (await explore(faulty.without_fault, {}, ledger=faulty.ledger, hash_seeds=())).passed
    finally:
        profiler.disable()


async def test_a_race_may_have_another_winner_with_other_timing():
    async def racer(ctx: DurableContext, name: str) -> str:
        return await ctx.step(faulty.work, name, name=name)

    @durable_execution
    async def race(event: dict, ctx: DurableContext) -> str:
        first = await ctx.race(("north", lambda ctx: racer(ctx, "north")), ("south", lambda ctx: racer(ctx, "south")))
        return str(first)

    found = await explore(race, {}, hash_seeds=())
    assert found.passed, str(found)
    assert "which of the workflow's tasks is faster" in found.skipped[0]


async def test_the_report_shows_both_runs_side_by_side():
    found = await explore(faulty.state_shared_with_a_body, {}, hash_seeds=())
    lines = str(next(each for each in found.problems if each.fault is Fault.OUTCOME_CHANGED)).splitlines()
    assert lines[:3] == [
        "The outcome changed",
        "   The first run ended as SUCCEEDED with 1, this one as SUCCEEDED with 0.",
        "   It happened in a run with a crash after checkpoint 1 is recorded.",
    ]
    left, right = lines[4].split("|")
    assert (left.strip(), right.strip()) == ("the first run", "this run")
    crashed, completed, ended = (line.split("|") for line in lines[-3:])
    assert crashed[0].strip() == ">" and "InvocationCompleted error=Runtime.ExitError" in crashed[1]
    assert completed[0].strip() == completed[1].strip() == "00:00:00  InvocationCompleted"
    assert "ExecutionSucceeded result=1" in ended[0] and "ExecutionSucceeded result=0" in ended[1]


async def test_a_large_workflow_is_explored_up_to_max_runs_and_the_report_says_so():
    @durable_execution
    async def long(event: dict, ctx: DurableContext) -> None:
        for n in range(30):
            await ctx.step(lambda: None, name=f"step {n}")
            await ctx.wait(timedelta(days=1))

    found = await explore(long, {}, max_runs=12)
    assert found.passed, str(found)
    assert found.runs == 12
    assert "for max_runs=12" in found.skipped[0]
    assert "other hash seeds" in found.skipped[1]


async def test_a_crash_in_an_at_most_once_step_may_change_the_outcome():
    ledger = Ledger()
    found = await explore(order.fulfil, order.Order("1017", ["tea"], 4250), ledger=ledger, hash_seeds=())
    assert found.passed


def test_it_runs_without_async_tests():
    assert asyncio.run(explore(faulty.without_fault, {}, ledger=faulty.ledger, hash_seeds=())).passed


async def test_a_name_that_matches_nothing_in_the_first_run_is_said():
    def replace(service):
        service.replace("charg", returns=None)

    with pytest.raises(AssertionError, match=r"replace\('charg'\)\..* ran: 'work'"):
        await explore(one_step, {}, prepare=replace)


@durable_execution
async def one_step(event: dict, ctx: DurableContext) -> str:
    return await ctx.step(faulty.work, "done")
