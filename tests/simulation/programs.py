"""A random workflow. ``tests.programs.meaning`` tells what it must result in, without the SDK."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.programs.generation import batch_of, compensated_of, together_of
from tests.programs.program import (
    GROUPS,
    Answer,
    Callback,
    Child,
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
    Step,
    TooLate,
    Verdict,
    Wait,
    WaitForCallback,
)

if TYPE_CHECKING:
    from tests.programs.program import Block, Call, Statement


def random_program(rng: Random) -> Program:
    return Program(_block(rng, depth=rng.choice([0, 1, 1, 2]), least=1))


def _block(rng: Random, depth: int, *, least: int = 0) -> Block:
    return tuple(_statement(rng, depth) for _ in range(rng.randint(least, 3)))


def _blocks(rng: Random, depth: int) -> tuple[Block, ...]:
    return tuple(_block(rng, depth) for _ in range(rng.randint(1, 3)))


def _statement(rng: Random, depth: int) -> Statement:
    if depth > 0 and rng.random() < 0.6:
        return _larger(rng, depth - 1)
    match rng.randrange(10):
        case 0:
            return Callback(_answer(rng), rng.choice([0, 1, 8]))
        case 1:
            return Derive()
        case 2 if rng.random() < 0.5:
            return Raise()
        case _:
            return _operation(rng)


def _operation(rng: Random) -> Call:
    match rng.randrange(8):
        case 0:
            return Wait(rng.choice([1, 2, 7, 3600]))
        case 1:
            return WaitForCallback(_answer(rng), rng.choice([0, 1, 8]), fails=_rarely(rng))
        case 2:
            return Condition(rng.randint(1, 3), rng.choice([Verdict.MET, *Verdict]))
        case 3:
            return Invoke(durable=rng.random() < 0.5, fails=_rarely(rng))
        case _:
            return Step(
                rng.choice([0, 0, 0, 1, 2]), fails=_rarely(rng), at_most_once=rng.random() < 0.3, keyed=_rarely(rng)
            )


def _context(rng: Random, depth: int) -> Call:
    match rng.randrange(4):
        case 0:
            return Child(_block(rng, depth), large=_rarely(rng), keyed=_rarely(rng))
        case 1:
            return Retried(_block(rng, depth), failures=rng.randint(0, 2), max_attempts=rng.randint(1, 3))
        case 2:
            return Race(_block(rng, depth))
        case _:
            return batch_of(
                _blocks(rng, depth),
                parallel=rng.random() < 0.5,
                max_concurrency=rng.choice([None, 1, 2]),
                flat=_rarely(rng),
                large=_rarely(rng),
                fail_fast=rng.random() < 0.5,
            )


def _larger(rng: Random, depth: int) -> Statement:
    match rng.randrange(9):
        case 0:
            return Guarded(_block(rng, depth))
        case 1:
            return InTime(_block(rng, depth))
        case 2:
            return TooLate(_block(rng, depth))
        case 3:
            undo_fails = [rng.random() < 0.5 for _ in range(4)]
            return compensated_of(_block(rng, depth), undo_fails, [_rarely(rng) for _ in range(rng.randrange(3))])
        case 4 | 5:
            return together_of(rng.choice(GROUPS), _blocks(rng, depth))
        case 6:
            operations = [_operation(rng) if rng.random() < 0.5 else _context(rng, depth) for _ in range(3)]
            return Gathered(tuple(operations[: rng.randint(1, 3)]))
        case _:
            return _context(rng, depth)


def _answer(rng: Random) -> Answer:
    return rng.choice([Answer.RESULT, *Answer])


def _rarely(rng: Random) -> bool:
    return rng.random() < 0.25
