"""Whatever a program is made of and wherever it is interrupted: it means the same."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.property_runs import examples

from .execution import Conditions, Report, execute
from .generation import programs
from .meaning import Failed, meaning
from .program import (
    Answer,
    Batch,
    Callback,
    Child,
    Compensated,
    Concurrency,
    Condition,
    Derive,
    Gathered,
    Guarded,
    InTime,
    Invoke,
    Program,
    Race,
    Raise,
    Retried,
    Statement,
    Step,
    Together,
    TooLate,
    Wait,
    WaitForCallback,
    walk,
)

PROGRAMS = examples(120)
INTERRUPTED = 8  # runs of each


# What is logged where a workflow fails: it may do so at the very moment at which its process does.
FAILURES = ("%s failed", "%s: ignored what the workflow raised while it ended")


BATCH_FAILED = "%s: %s ended FAILED (%s): %d of %d started items failed%s"
"""What a batch says whose items failed, as those of programs do on purpose."""


@contextmanager
def no_warnings(program: Program) -> Iterator[None]:
    """Nothing is logged, and nothing is left that will be."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("durable_async", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False  # or a failing test would print all that was to be expected
    try:
        yield
        gc.collect()
        expected = FAILURES if any_workflow_fails(program) else ()
        logged = [
            record.getMessage() for record in records if record.msg not in expected and record.msg != BATCH_FAILED
        ]
        assert logged == [], program
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


def any_workflow_fails(program: Program) -> bool:
    invoked = any(isinstance(each, Invoke) and each.durable and each.fails for each in walk(program.body))
    return invoked or isinstance(meaning(program), Failed)


def check(program: Program, conditions: Conditions, before: Report | None) -> Report:
    report = execute(program, conditions)
    try:
        assert report.wrong == []
        assert report.outcome == meaning(program)
        if before is not None:
            assert report.operations == before.operations
    except AssertionError as error:
        error.add_note(f"under {conditions}:\n{program}")
        raise
    return report


def bug(*body: Statement, seed: int = 0) -> Callable[[Any], Any]:
    """A program that once did not mean the same."""
    return example(Program(body), seed)


FAILING_GROUP = Together(Concurrency.TASK_GROUP, ((Step(fails=True),), (Wait(),)))


GROUP_IN_TASKS = TooLate(
    (
        Together(
            Concurrency.GATHER,
            (
                (
                    Retried(
                        (
                            Batch(((Raise(), WaitForCallback(Answer.FAILURE), Raise()),), max_concurrency=2),
                            Together(
                                Concurrency.AS_COMPLETED,
                                (
                                    (
                                        Together(
                                            Concurrency.STREAM,
                                            (
                                                (
                                                    WaitForCallback(Answer.NOTHING),
                                                    Invoke(fails=True),
                                                    Derive(),
                                                    Step(in_thread=True),
                                                ),
                                                (Derive(), Invoke(), Wait()),
                                            ),
                                        ),
                                        Compensated((WaitForCallback(after=1, fails=True),), (True,), (False,)),
                                        TooLate((Step(),)),
                                        Raise(),
                                    ),
                                    (),
                                ),
                            ),
                        ),
                        failures=0,
                        max_attempts=1,
                    ),
                ),
            ),
        ),
    )
)


BEGUN_WHILE_A_GROUP_FAILS = Together(
    Concurrency.GATHER,
    (
        (Step(), Child((Wait(), Callback(after=8)))),
        (
            Together(
                Concurrency.DURABLE_GROUP,
                (
                    (Retried((), failures=2),),
                    (Together(Concurrency.CONDITION, ((WaitForCallback(fails=True),), (WaitForCallback(),))),),
                ),
            ),
        ),
    ),
)


# A task that is cancelled before its first step drops the coroutines it was to await.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=[*HealthCheck])
@bug(InTime((Derive(),)))
@bug(Guarded((TooLate((Derive(),)),)))
@bug(Guarded((TooLate((Guarded((FAILING_GROUP,)),)),)), Wait(), Derive())
@bug(TooLate((Together(Concurrency.GATHER, ((WaitForCallback(),), ())),)))
@bug(Batch(((Step(), Derive()), (Wait(), Derive())), flat=True, large=True), Wait())
@bug(Gathered((Step(), Batch(((Derive(), Race((Derive(),))),)))))
@bug(Gathered((Wait(2), Child((Step(), Step())), Wait(2))))
@bug(InTime((Derive(), Derive())), InTime((Derive(), Derive())))
@bug(Derive(), Guarded((TooLate((Wait(7), Step())),)), Derive())
@bug(Race((Together(Concurrency.TASK_GROUP, ((), (Step(),))), Step())))
@bug(TooLate((TooLate((Callback(Answer.FAILURE, 1),)),)))
@bug(Together(Concurrency.GATHER, ((Step(),), (TooLate((Condition(), Step(), Step())),))), seed=69)
@bug(
    Gathered((Child(()),)),
    TooLate(()),
    Together(Concurrency.GATHER, ((),)),
    Together(Concurrency.GATHER, ((),)),
    seed=4607681,
)
@bug(
    Child(()),
    TooLate(
        (
            Together(Concurrency.SEMAPHORE, ((), (Step(),), (Derive(), Raise(), Step()), (Raise(), Step()))),
            TooLate(()),
        )
    ),
    seed=43329,
)
@bug(TooLate((TooLate((Together(Concurrency.QUEUE, ((), (), (Step(),))),)),)))
@bug(Gathered((Wait(), Wait(), Retried((Together(Concurrency.LOCK, ((), (), ())),)))), seed=5)
@bug(
    TooLate(
        (TooLate((Gathered((Batch(((Callback(Answer.RESULT, 8),), (), (Step(),)), max_concurrency=2),)), Wait())),)
    ),
    Callback(Answer.FAILURE, 8),
    seed=5,
)
@bug(TooLate((Batch(((),), flat=True, large=True),)))
@bug(GROUP_IN_TASKS, seed=2)
@bug(BEGUN_WHILE_A_GROUP_FAILS, seed=2)
@given(programs(), st.integers(0, 2**32))
def test_a_program_means_the_same_wherever_it_is_interrupted(program, seed):
    with no_warnings(program):
        before = check(program, Conditions(seed), None)
        for n in range(INTERRUPTED):
            check(program, Conditions.random(seed + n, before.calls), before)
