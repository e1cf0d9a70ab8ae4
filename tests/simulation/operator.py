"""An operator, who pauses, stops, redrives and cancels an execution from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, assert_never

import attrs

from durable_async.service import LambdaApi
from durable_async.service.model.errors import ApiError
from durable_async.service.model.history import EventType

from .checks import Checks
from .conditions import Command
from .processes import until_it_works

if TYPE_CHECKING:
    from .world import World

REASON = "the operator wants it"


@attrs.frozen
class Operator:
    """Gives one command to one execution, at a moment that chance chooses."""

    world: World
    checks: Checks
    arn: str

    async def give(self, command: Command) -> None:
        rng = self.world.chaos.rng
        await asyncio.sleep(rng.choice([0, 0.1, 3, 60, 1000]))
        match command:
            case Command.PAUSE:
                await self._ask("pause", lambda api: api.pause(self.arn, reason=REASON))
                await asyncio.sleep(rng.choice([0.1, 30, 5000]))
                await self._ask("resume", lambda api: api.resume(self.arn))
            case Command.STOP:
                await self._stop()
            case Command.REDRIVE:
                await self._stop()
                await asyncio.sleep(rng.choice([0, 1, 60]))
                await self._redrive()
            case Command.CANCEL:
                self.checks.may_be_cancelled = True
                await self._ask("cancel", self._cancel)
            case _:
                assert_never(command)

    async def _ask(self, what: str, work: Callable[[LambdaApi], Awaitable[Any]]) -> None:
        try:
            await until_it_works(self.world, work)
        except ApiError as refused:  # it has ended, or the reply to the same command was lost
            self.world.chaos.note(f"{what}: {refused.code}")
        else:
            self.world.chaos.note(what)

    async def _stop(self) -> None:
        self.checks.may_be_stopped = True

        async def stop(api: LambdaApi) -> None:
            await api.stop(self.arn)
            if (await api.get_execution(self.arn)).status.open:
                self.checks.fail("an execution that was stopped is open")

        await self._ask("stop", stop)

    async def _cancel(self, api: LambdaApi) -> None:
        await api.cancel(self.arn, reason=REASON)
        self.checks.is_cancelled = True

    async def _redrive(self) -> None:
        for worker in self.world.workers:  # the service has ended its invocation
            if worker.checks is self.checks:
                worker.die()
        if self.world.server is not None:
            self.world.server.forget(self.arn)
        self.checks.forget()

        async def redrive(api: LambdaApi) -> None:
            if not await self._is_redriven(api):  # it may have been, without an answer, and have failed once more
                await api.redrive(self.arn)
            self.checks.may_be_stopped = False

        await self._ask("redrive", redrive)
        self.world.answer_again(self.checks)

    async def _is_redriven(self, api: LambdaApi) -> bool:
        history = await api.get_history(self.arn, max_items=1000)
        return any(event.type == EventType.EXECUTION_REDRIVEN for event in history.items)
