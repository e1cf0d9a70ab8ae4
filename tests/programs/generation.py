"""All programs, as a hypothesis strategy."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from .meaning import fails
from .program import (
    GROUPS,
    MEETINGS,
    Answer,
    Batch,
    Block,
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
    Verdict,
    Wait,
    WaitForCallback,
)

_LEAVES = 24  # statements of a program that contain no other, at most

_rarely = st.sampled_from([False, False, False, True])
_steps = st.builds(
    Step,
    failures=st.sampled_from([0, 0, 0, 1, 2]),
    fails=_rarely,
    at_most_once=_rarely,
    in_thread=_rarely,
    keyed=_rarely,
)
_waits = st.builds(Wait, st.sampled_from([1, 2, 7, 3600]))
_answers = st.sampled_from([Answer.RESULT, *Answer])
_delays = st.sampled_from([0, 1, 8])
_operations = st.one_of(
    _steps,
    _steps,
    _waits,
    st.builds(WaitForCallback, _answers, _delays, fails=_rarely),
    st.builds(Condition, st.integers(1, 3), st.sampled_from([Verdict.MET, *Verdict])),
    st.builds(Invoke, durable=st.booleans(), fails=_rarely),
)
_simple = st.one_of(
    _operations, _operations, st.builds(Callback, _answers, _delays), st.builds(Derive), st.builds(Raise)
)


def _larger(statements: SearchStrategy[Statement]) -> SearchStrategy[Statement]:
    blocks = st.lists(statements, max_size=4).map(tuple)
    branches = st.lists(blocks, min_size=1, max_size=3).map(tuple)
    several = st.lists(blocks, min_size=2, max_size=4).map(tuple)
    children = st.builds(Child, blocks, large=_rarely, keyed=_rarely)
    retried = st.builds(Retried, blocks, failures=st.integers(0, 2), max_attempts=st.integers(1, 3))
    batches = st.builds(
        batch_of,
        branches,
        parallel=st.booleans(),
        max_concurrency=st.sampled_from([None, 1, 2]),
        flat=_rarely,
        large=_rarely,
        fail_fast=st.booleans(),
    )
    contexts = st.one_of(children, retried, batches, st.builds(Race, blocks))
    calls = st.lists(st.one_of(_operations, contexts), min_size=1, max_size=4).map(tuple)
    return st.one_of(
        contexts,
        contexts,
        st.builds(Guarded, blocks),
        st.builds(InTime, blocks),
        st.builds(TooLate, blocks),
        st.builds(
            compensated_of, blocks, st.lists(st.booleans(), min_size=4, max_size=4), st.lists(_rarely, max_size=2)
        ),
        st.builds(together_of, st.sampled_from(GROUPS), branches),
        st.builds(together_of, st.sampled_from(GROUPS), branches),
        st.builds(together_of, st.sampled_from(MEETINGS), several),
        st.builds(together_of, st.sampled_from(MEETINGS), several),
        st.builds(Gathered, calls),
    )


def compensated_of(body: Block, undo_fails: list[bool], cleanups_fail: list[bool]) -> Compensated:
    return Compensated(body, tuple(undo_fails[: len(body)]), tuple(cleanups_fail))


def batch_of(items: tuple[Block, ...], *, fail_fast: bool, **options: Any) -> Batch:
    return Batch(_one_fails(items) if fail_fast else items, fail_fast=fail_fast, **options)


def together_of(how: Concurrency, branches: tuple[Block, ...]) -> Together:
    return Together(how, _one_fails(branches) if how.fails_together else branches)


def _one_fails(branches: tuple[Block, ...]) -> tuple[Block, ...]:
    """Of the branches that fail, all but the first are guarded."""
    failing = [n for n, branch in enumerate(branches) if fails(branch)]
    return tuple((Guarded(branch),) if n in failing[1:] else branch for n, branch in enumerate(branches))


_statements = st.recursive(_simple, _larger, max_leaves=_LEAVES)


def programs() -> SearchStrategy[Program]:
    return st.lists(_statements, min_size=1, max_size=4).map(lambda body: Program(tuple(body)))
