"""A program that looks at the order in which its operations end, as an execution in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

import attrs

from durable_async import DurableContext, current_step
from tests.programs.execution import Conditions, Run
from tests.programs.observations import Log
from tests.programs.program import Answer

_TURNS = (0, 0, 1, 2, 10)


@attrs.frozen
class Play:
    """What a program gets in one invocation: its context, bodies that take random times, and a log.

    :ivar log: what the program saw in this invocation
    """

    ctx: DurableContext
    log: Log
    _run: OrderRun

    def saw(self, *what: Any) -> None:
        """Note what decides how the program goes on. Every invocation must see the same, in the same order."""
        self.log.note(what)

    async def step(self, label: str, *, fails: bool = False) -> str:
        """Run a step that takes a random time and returns its label."""

        async def body() -> str:
            self._run.began(current_step(), at_most_once=False)
            await self._run.nap(label)
            if fails:
                raise ValueError(label)
            return label

        got = await self.ctx.step(body, name=label)
        assert got == label, f"the step {label} has the result of {got}"
        return label

    async def wait(self, seconds: int, label: str | None = None) -> None:
        await self.ctx.wait(timedelta(seconds=seconds), name=label)

    async def hand_out(self, callback_id: str, label: str) -> None:
        """Let the outside world answer a callback with its label, at a random time."""
        after = self._run.nap_of(f"answer to {label}")
        self._run.answer_later(callback_id, Answer.RESULT, after, f'"{label}"')


Program = Callable[[Play], Awaitable[Any]]


class OrderRun(Run):
    """One execution of a program.

    :param only_time: bodies that take equal times, or no time but turns of the loop, do not occur, and calls to the
        service take no time. So the order of all ends follows from the seed
    """

    def __init__(self, program: Program, conditions: Conditions, *, only_time: bool = False) -> None:
        super().__init__(conditions)
        self.program = program
        self.only_time = only_time
        self._naps: Counter[str] = Counter()

    async def workflow(self, event: Any, ctx: DurableContext) -> Any:
        play = Play(ctx, self.observed.new_log(), self)
        result = await self.program(play)
        play.saw("result", result)
        return result

    def nap_of(self, label: str) -> float:
        """Return the seconds that the next body of this label takes."""
        self._naps[label] += 1
        return Random(f"{self.conditions.seed} {label} {self._naps[label]}").uniform(0.001, 3)

    async def nap(self, label: str) -> None:
        seconds = self.nap_of(label)
        if self.only_time or seconds > 1:
            await asyncio.sleep(seconds)
            return
        for _ in range(self.rng.choice(_TURNS)):
            await asyncio.sleep(0)

    async def travel(self) -> None:
        if not self.only_time:
            await super().travel()
