"""A program that uses a library, as an execution in virtual time.

The library calls back into the program from tasks of its own, so the program finds its :class:`LibraryPlay` by the
running execution and not in an argument.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from durable_async import DurableContext, current_step, require_context
from tests.order.play import OrderRun, Play
from tests.programs.execution import Conditions, Interruption, Report, run_to_its_end
from tests.property_runs import FACTOR

_EACH = max(1, 8 // FACTOR)  # a normal run does not crash after each checkpoint


class LibraryPlay(Play):
    """What a program gets in one invocation."""

    async def work(self, label: str) -> None:
        """Take a random time, in the body of a step that must not run again once it is recorded."""
        self._run.began(current_step(), at_most_once=False)
        await self._run.nap(label)

    async def record(self, ctx: DurableContext, label: str, value: Any = None, *, fails: bool = False) -> Any:
        """Run a step of ``ctx`` that takes a random time.

        :return: ``value``, or the label if there is none
        """

        async def body() -> Any:
            await self.work(label)
            if fails:
                raise ValueError(label)
            return label if value is None else value

        return await ctx.step(body, name=label)


Program = Callable[[LibraryPlay], Awaitable[Any]]

PROGRAMS: dict[str, Program] = {}
"""All programs of the modules that were imported, by module and name."""


def program(play: Program) -> Program:
    PROGRAMS[f"{play.__module__.rpartition('.')[2]}: {play.__name__}"] = play
    return play


_plays: dict[str, LibraryPlay] = {}


def playing() -> LibraryPlay:
    return _plays[require_context().execution_arn]


async def step(label: str, value: Any = None, *, fails: bool = False) -> Any:
    """Call a step at the position of the running code."""
    return await playing().record(require_context(), label, value, fails=fails)


async def step_at(key: str, label: str, value: Any = None) -> Any:
    """Call a step that is identified by ``key``."""
    return await playing().record(require_context().at(key), label, value)


async def answer_from_outside(key: str, label: str) -> str:
    """Wait until the outside world has answered with the label."""
    play = playing()

    async def ask(callback_id: str) -> None:
        await play.hand_out(callback_id, label)

    return await require_context().at(key).wait_for_callback(ask, name=label)


async def wait(seconds: int, label: str) -> None:
    await require_context().wait(timedelta(seconds=seconds), name=label)


class LibraryRun(OrderRun):
    async def workflow(self, event: Any, ctx: DurableContext) -> Any:
        play = _plays[ctx.execution_arn] = LibraryPlay(ctx, self.observed.new_log(), self)
        result = await self.program(play)
        play.saw("result", result)
        return result


def run(program: Program, conditions: Conditions, *, eager: bool = False) -> Report:
    report = run_to_its_end(LibraryRun(program, conditions), eager=eager)
    assert report.wrong == [], conditions
    assert type(report.outcome).__name__ == "Returned", (conditions, report.outcome)
    return report


def check(program: Program, seed: int) -> None:
    """Run a program undisturbed, and then with interruptions, in memory or not, and with tasks that start eagerly."""
    calls = run(program, Conditions(seed)).calls
    run(program, Conditions.random(seed, calls))
    run(program, Conditions(seed, parked=1))
    for call in range(seed % _EACH, calls, _EACH):
        run(program, Conditions(seed, {call: Interruption.UNHEARD}))
    if sys.version_info >= (3, 12):
        run(program, Conditions.random(seed, calls), eager=True)
