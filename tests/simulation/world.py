"""One run of a seed."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import warnings
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from datetime import timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import attrs

from durable_async import DurableHandler, StepContext
from durable_async._engine import invocation
from durable_async.service import LambdaApi
from durable_async.service.model.errors import ApiError
from durable_async.service.model.history import HistoryEvent
from durable_async.testing import StuckError, VirtualTime
from tests.programs.execution import outcome_of
from tests.programs.interpreter import Interpreter, Place
from tests.programs.program import Answer, Program

from .chaos import Chaos
from .checks import Checks
from .conditions import Conditions
from .disk import SimulatedFile
from .operator import Operator
from .processes import Invoked, Server, mind_here, supervise, until_it_works
from .programs import random_program

T = TypeVar("T")

_PATIENCE = timedelta(days=5)  # after which an execution should have ended that nothing holds up
_POWER = 0.5  # of the deaths of services, where power fails
_NEVER = "the execution does not end"
_FAULTS = ("The service failed at its own work.", "Exception in callback", "Task exception was never retrieved")


@attrs.frozen
class Result:
    """
    :ivar wrong: what must not have happened
    :ivar trace: what happened
    """

    seed: int
    conditions: Conditions
    programs: Sequence[Program]
    wrong: Sequence[str]
    trace: Sequence[str]

    def __str__(self) -> str:
        programs = "\n".join(str(each) for each in self.programs)
        return "\n".join([f"seed {self.seed}", str(self.conditions), programs, *self.trace, *self.wrong])


def simulate(seed: int) -> Result:
    """Run a seed. The same seed is the same run, exactly."""
    rng = Random(seed)
    conditions = Conditions.random(rng)
    programs = [random_program(rng) for _ in range(conditions.executions)]
    clock = VirtualTime(patience=timedelta(0))
    world = World(rng, conditions, programs, clock)
    wrong: list[str] = []
    with _repeatable(seed), _log() as logged:
        try:
            asyncio.run(_in_virtual_time(world))
        except StuckError as stuck:
            wrong.append(str(stuck))
        except RuntimeError as stopped:
            wrong.append(f"the run goes round and round: {stopped}")
    world.file.destroy()
    wrong += [each for checks, _ in world.workflows for each in checks.wrong]
    wrong += [line for line in logged if line.startswith(_FAULTS)]
    return Result(seed, conditions, programs, wrong, world.chaos.trace)


async def _in_virtual_time(world: World) -> None:
    with world.clock:
        await world.run()


@contextmanager
def _repeatable(seed: int) -> Generator[None]:
    """Seed jitter, and leave out the garbage collector: what it collects when depends on what ran before."""
    state, was_enabled = random.getstate(), gc.isenabled()
    random.seed(seed)
    gc.disable()
    try:
        with warnings.catch_warnings():  # a task that is cancelled before its first step awaits nothing
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        invocation._abandoned.clear()  # tasks of services that died, whose end nobody waited for
        random.setstate(state)
        if was_enabled:
            gc.enable()


@contextmanager
def _log() -> Generator[list[str]]:
    """Collect what is logged, and keep it out of the log."""
    lines: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: lines.append(  # type: ignore[method-assign]
        f"{record.getMessage()} {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
    )
    loggers = [logging.getLogger(name) for name in ("durable_async", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield lines
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


class World:
    """
    :ivar workflows: with what is checked of their one execution each
    :ivar workers: that were started so far
    :ivar server: the service that runs; None: none does
    """

    def __init__(self, rng: Random, conditions: Conditions, programs: Sequence[Program], clock: VirtualTime) -> None:
        self.clock = clock
        self.chaos = Chaos(rng, conditions, clock)
        self.chaos.kill = self._kill
        self.file = SimulatedFile(self.chaos)
        self.server: Server | None = None
        self.workers: list[Invoked] = []
        self.is_over = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._answers: list[tuple[Checks, str, Place, Answer]] = []
        self._invocations = self._workers = 0
        self._interpreter_rng = Random(rng.random())
        self.workflows: list[tuple[Checks, DurableHandler[Any, Any]]] = []
        for number, program in enumerate(programs):
            checks = Checks(f"workflow-{number}", program)
            inline = timedelta(seconds=conditions.max_inline_wait)
            handler = Interpreter(self._interpreter_rng, Observer(self, checks)).handler(program, inline)
            self.workflows.append((checks, handler))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that belongs to no workflow and no service."""
        task = Context().run(asyncio.get_running_loop().create_task, work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), AssertionError | LookupError | TypeError):
            raise error

    def next_invocation(self) -> int:
        self._invocations += 1
        return self._invocations

    def next_worker(self) -> int:
        self._workers += 1
        return self._workers

    def new_id(self) -> str:
        return str(UUID(int=self.chaos.rng.getrandbits(128), version=4))

    async def run(self) -> None:
        supervisor = self.spawn(supervise(self))
        starts = [self.spawn(self._execution(checks)) for checks, _ in self.workflows]
        for start in starts:
            await asyncio.wait([start])
            start.result()
        self.is_over = True
        self.chaos.calm()
        while not supervisor.done():
            if self.server is not None:
                await self.server.stop(0.0)
            await asyncio.sleep(1)
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.sleep(60)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            self.workflows[0][0].fail(f"left on the loop: {sorted(str(each.get_coro()) for each in left)}")

    # --- the outside ---

    async def _execution(self, checks: Checks) -> None:
        """Start an execution, watch it, and check its end."""
        arn = await self._started(checks)
        command = self.chaos.conditions.command
        commanded = None if command is None else self.spawn(Operator(self, checks, arn).give(command))
        until = self.clock() + _PATIENCE.total_seconds()
        while True:
            may_end = commanded is None or commanded.done()
            has_lost = self.file.has_lost
            try:
                checks.history(await self._history(arn))
                execution = await until_it_works(self, lambda api: api.get_execution(arn))
                events = await self._history(arn)
            except ApiError:
                if not self.file.has_lost or self.chaos.conditions.durability == "full":
                    checks.fail("an execution was lost that was started")
                    return
                arn = await self._started(checks)  # its start was lost with the power
                continue
            if may_end and not execution.status.open and has_lost == self.file.has_lost:
                break
            if self.clock() > until:
                checks.fail(_NEVER)
                return
            if may_end and self.file.has_lost and execution.status == "PAUSED":  # its end was lost with the power
                await until_it_works(self, lambda api: api.resume(arn))
            await asyncio.sleep(self.chaos.rng.choice([0.1, 3, 60, 3600]))
        outcome = outcome_of(execution.status, execution.result, execution.error)
        checks.closed(events, outcome)
        await asyncio.sleep(60)
        try:
            later = await self._history(arn)
        except ApiError:
            if has_lost == self.file.has_lost:
                raise
        else:
            if has_lost == self.file.has_lost:
                checks.stays_closed(later)

    async def _started(self, checks: Checks) -> str:
        function = f"{checks.name}:$LATEST"
        return (await until_it_works(self, lambda api: api.invoke(function, b"{}", execution_name="one"))).execution_arn

    async def _history(self, arn: str) -> list[HistoryEvent]:
        while True:
            has_lost = self.file.has_lost
            events: list[HistoryEvent] = []
            marker: str | None = None
            while True:
                page = await until_it_works(self, _page(arn, marker))
                events += page.items
                marker = page.next_marker
                if marker is None:
                    break
            if has_lost == self.file.has_lost:
                return events

    def answers(self, checks: Checks, callback_id: str, place: Place, answer: Answer, after: int) -> None:
        self._answers.append((checks, callback_id, place, answer))
        self.spawn(self._answer(checks, callback_id, place, answer, after))

    def answer_again(self, checks: Checks) -> None:
        """Send all answers again: the service may have lost some, or refused them while the execution was closed."""
        for of, callback_id, place, answer in self._answers:
            if of is checks:
                self.spawn(self._answer(checks, callback_id, place, answer, 0))

    async def _answer(self, checks: Checks, callback_id: str, place: Place, answer: Answer, after: int) -> None:
        await asyncio.sleep(after)
        if answer is Answer.NOTHING:
            return
        error = {"ErrorType": "Rejected", "ErrorMessage": f"{place.path} is rejected"}

        async def send(api: LambdaApi) -> None:
            if answer is Answer.RESULT:
                await api.callback_succeeded(callback_id, place.path.encode())
            else:
                await api.callback_failed(callback_id, error)
            checks.answered(callback_id)

        try:
            await until_it_works(self, send)
        except ApiError as refused:  # it was answered before
            self.chaos.note(f"callback {place.path}: {refused.code}")

    # --- deaths ---

    def _kill(self) -> None:
        living = [worker for worker in self.workers if worker.task is not None and not worker.task.done()]
        if living and self.chaos.rng.random() < 0.6:
            worker = self.chaos.rng.choice(living)
            self.chaos.note(f"{worker} dies")
            worker.die()
        elif self.server is not None:
            dead, self.server = self.server, None
            if self.chaos.conditions.power_fails and self.chaos.rng.random() < _POWER:
                self._lose_power()
            else:
                self.chaos.note("the service dies")
            dead.die()

    def _lose_power(self) -> None:
        """End all processes of the service's machine. If commits may be lost, the outside sends again what it said."""
        for worker in self.workers:
            worker.die()
        has_lost = self.file.has_lost
        self.file.lose_power()
        if self.file.has_lost == has_lost or self.chaos.conditions.durability == "full":
            return
        for checks, _ in self.workflows:
            checks.forget(events=True)
            self.answer_again(checks)


def _page(arn: str, marker: str | None) -> Any:
    return lambda api: api.get_history(arn, marker=marker, max_items=1000)


@attrs.frozen
class Observer:
    """Passes on what an interpreter's workflow does."""

    world: World
    checks: Checks

    def began(self, here: StepContext, *, at_most_once: bool) -> None:
        self.world.chaos.note(f"body of {here.name}, attempt {here.attempt}")
        self.checks.began(here, mind_here(), at_most_once=at_most_once)

    def saw(self, place: Place, value: Any) -> None:
        self.checks.saw(place, value)

    def handed_out(self, callback_id: str, place: Place, answer: Answer, after: int) -> None:
        self.world.answers(self.checks, callback_id, place, answer, after)
