"""A program run on a durable service, in virtual time, with interruptions."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from itertools import count
from random import Random
from typing import Any, Protocol, TypeVar, assert_never

import attrs

from durable_async import DurableContext, DurableHandler, StepContext, durable_execution
from durable_async._wire.operations import CheckpointResult, ErrorObject, ExecutionState, OperationUpdate
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import InProcessClient
from durable_async.errors import ServiceCallError
from durable_async.service.functions.base import InvocationFailed, InvocationRequest, in_process_function
from durable_async.service.machine import Execution, Limits
from durable_async.service.machine.pages import envelope
from durable_async.service.model.errors import ApiError
from durable_async.service.runtime.api import LambdaApi
from durable_async.testing import VirtualTime
from durable_async.transport.base import DurableServiceClient
from tests.loops import LOOP

from .interpreter import DURABLE_TARGET, NOW, TARGET, Interpreter, Place
from .meaning import Broken, Failed, Returned, fails
from .observations import Observations
from .program import ORDERED, RACED, Answer, Concurrency, Program, Together, walk

T = TypeVar("T")

_YEAR = 365 * 86_400  # seconds
_LATENCIES = (None, None, 0, 0, 0.01, 0.2, 3)  # seconds; None: not a turn of the loop


class Clock(Protocol):
    """Virtual time."""

    def __call__(self) -> float: ...
    def attach(self, service: LambdaApi) -> None: ...


class Interruption(StrEnum):
    """What can happen at a call to the service."""

    LOST = "the process is gone before the service gets the call"
    UNHEARD = "the process is gone before it gets the answer"
    CANCELLED = "the invocation is cancelled from outside"
    DRAINED = "the service shuts down, and another one takes up what it left"
    REPEATED = "the transport loses the answer, and repeats the call"


@attrs.frozen
class Conditions:
    """What a program runs under.

    :ivar interruptions: by the number of the call to the service, from 0
    :ivar page: how many operations are in a page of the record
    :ivar max_inline_wait: timers that are due within this time are waited for in place
    :ivar parked: how many executions may stay in memory
    :ivar idle: seconds that one may stay there
    """

    seed: int = 0
    interruptions: Mapping[int, Interruption] = attrs.field(factory=dict)
    page: int = 1000
    max_inline_wait: timedelta = timedelta(0)
    parked: int = 0
    idle: float = _YEAR

    @classmethod
    def random(cls, seed: int, calls: int) -> Conditions:
        """:param calls: how many calls there are without interruptions"""
        rng = Random(seed)
        often = rng.choice([1, 1, 2, 4])
        return cls(
            seed,
            {rng.randrange(calls + often): rng.choice([*Interruption]) for _ in range(often)} if calls else {},
            page=rng.choice([1, 3, 1000, 1000]),
            max_inline_wait=timedelta(seconds=rng.choice([0, 0, 2, 1800])),
            parked=rng.choice([0, 1, 2, 1000]),
            idle=rng.choice([0.1, 5, _YEAR]),
        )


@attrs.frozen
class Report:
    """
    :ivar operations: id, name, type, subtype, parent and status of all that do not depend on timing
    :ivar calls: how often the service was called
    :ivar wrong: what must not have happened
    """

    outcome: Returned | Failed
    operations: frozenset[tuple[str | None, ...]]
    calls: int
    wrong: list[str]


def execute(program: Program, conditions: Conditions) -> Report:
    """Run a program to its end."""
    return run_to_its_end(ProgramRun(program, conditions))


def run_to_its_end(run: Run, *, eager: bool = False, loop: str = LOOP) -> Report:
    """
    :param eager: True: tasks start eagerly, which came with Python 3.12. False: they start in the next turn
    :param loop: "asyncio", or one of ``UVLOOPS``
    """
    if loop == "asyncio":
        return in_virtual_time(run.report, eager=eager)
    from tests.uvloops import UVLOOPS, in_time_of

    return in_time_of(UVLOOPS[loop], run.report, eager=eager)


def in_virtual_time(work: Callable[[VirtualTime], Awaitable[T]], *, eager: bool = False) -> T:
    async def timed() -> T:
        if eager:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        with VirtualTime(patience=timedelta(0)) as clock:
            return await work(clock)

    return asyncio.run(timed())


class Run:
    """One execution of a workflow, and what is to be said of it.

    :ivar observed: what the workflow's code saw in each invocation
    :ivar is_repeatable: whether a replay of the finished record comes to the same end
    """

    is_repeatable = True

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.rng = Random(conditions.seed)
        self.handler = durable_execution(max_inline_wait=conditions.max_inline_wait)(self.workflow)
        self.service: LambdaApi | None = None
        self.caches = [self._new_cache()]
        self.execution: Execution | None = None
        self.outside: set[asyncio.Task[None]] = set()
        self.wrong: list[str] = []
        self.calls = count()
        self.bodies: Counter[tuple[str, int]] = Counter()
        self.observed = Observations()

    async def workflow(self, event: Any, ctx: DurableContext) -> Any:
        """Run the workflow's code, in each invocation."""
        raise NotImplementedError

    def _new_cache(self) -> ExecutionCache:
        return ExecutionCache(self.conditions.parked, self.conditions.idle)

    @property
    def cache(self) -> ExecutionCache:
        return self.caches[-1]

    def drain(self) -> None:
        self.cache.drain()
        self.caches.append(self._new_cache())

    async def report(self, clock: Clock, *, is_alone: bool = True) -> Report:
        """:param is_alone: True: nothing else runs on the loop, so nothing may be left there"""
        self.handler._clock = clock
        async with LambdaApi(
            clock=clock,
            default_execution_timeout=_YEAR,
            limits=Limits(page_operations=self.conditions.page),
        ) as service:
            self.service = service
            clock.attach(service)
            durable_target._clock = clock
            service.register(TARGET, in_process_function(target))
            service.register(DURABLE_TARGET.partition(":")[0], Function(self, service, durable_target))
            service.register("program", Interrupted(self, service, self.handler))
            started = await service.invoke("program", b"", qualifier="$LATEST")
            closed = await service.wait(started.execution_arn)
            outcome = outcome_of(closed.status, closed.result, closed.error)
            for task in self.outside:
                task.cancel()
            await service.idle()
            for cache in self.caches:
                await cache.aclose()
            assert self.execution is not None
            await self._replay(self.execution, outcome)
        self.wrong += self.observed.differences()
        if is_alone:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            self.wrong += [f"left on the loop: {task}" for task in left]
        return Report(outcome, _on_record(self.execution), next(self.calls), self.wrong)

    async def _replay(self, execution: Execution, outcome: Returned | Failed) -> None:
        """Run the workflow against its finished record. Nothing is left to be done."""
        if not self.is_repeatable:
            return
        try:
            output = await self.handler.run(envelope(execution, "token", [], Limits()), client=Finished(self.wrong))
        except Gone:
            return
        again = outcome_of(output["Status"], output.get("Result"), output.get("Error"))
        if again != outcome:
            self.wrong.append(f"the finished record replays to {again}")

    # --- what the workflow tells ---

    def began(self, here: StepContext, *, at_most_once: bool) -> None:
        assert self.execution is not None
        recorded = self.execution.by_id.get(here.operation_id)
        if recorded is not None and recorded.ended:
            self.wrong.append(f"the body of {here.name} ran although it is on record as {recorded.status}")
        self.bodies[here.operation_id, here.attempt] += 1
        runs = self.bodies[here.operation_id, here.attempt]
        allowed = 1 if at_most_once else 1 + len(self.conditions.interruptions)
        if runs > allowed and not (here.name or "").startswith(RACED):
            self.wrong.append(f"attempt {here.attempt} of {here.name} ran {runs} times")

    async def travel(self) -> None:
        """Take the time of a call on its way to the service, or back."""
        if (seconds := self.rng.choice(_LATENCIES)) is not None:
            await asyncio.sleep(seconds)

    def answer_later(self, callback_id: str, answer: Answer, after: float, text: str) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(callback_id, answer, after, text))
        self.outside.add(task)
        task.add_done_callback(self.outside.discard)

    async def _answer(self, callback_id: str, answer: Answer, after: float, text: str) -> None:
        await asyncio.sleep(after)
        with suppress(ApiError):  # it may have been handed out, and answered, before; or nobody waits any more
            match answer:
                case Answer.RESULT:
                    await self.service.callback_succeeded(callback_id, text.encode())
                case Answer.FAILURE:
                    error: ErrorObject = {"ErrorType": "Rejected", "ErrorMessage": f"{text} is rejected"}
                    await self.service.callback_failed(callback_id, error)
                case Answer.NOTHING:
                    pass
                case _:
                    assert_never(answer)


class ProgramRun(Run):
    """One execution of a program."""

    def __init__(self, program: Program, conditions: Conditions) -> None:
        super().__init__(conditions)
        self.program = program
        self.is_repeatable = not races(program)
        self.seen: dict[str, Any] = {}

    async def workflow(self, event: Any, ctx: DurableContext) -> Any:
        interpreter = Interpreter(self.rng, self, self.conditions.seed, self.observed.new_log())
        return await interpreter.run(ctx, self.program)

    def saw(self, place: Place, value: Any) -> None:
        if place.path.endswith(NOW) and races(self.program, Concurrency.DURABLE_GROUP):
            return  # the time after such a group is that of the branches that ended before they were cancelled
        before = self.seen.setdefault(place.name, value)
        if before != value:
            self.wrong.append(f"{place.name} was {before} and then {value}")

    def handed_out(self, callback_id: str, place: Place, answer: Answer, after: int) -> None:
        self.answer_later(callback_id, answer, after, place.path)


async def target(event: Any, context: Any) -> str:
    """What programs invoke."""
    if event["fails"]:
        raise Broken(f"{event['place']} is broken")
    return event["place"]


@durable_execution
async def durable_target(event: Any, ctx: DurableContext) -> str:
    await ctx.wait(timedelta(seconds=1))
    await ctx.step(lambda: None, name="work")
    return await target(event, ctx)


@attrs.frozen
class Function:
    """A durable function, whose executions stay in memory as the conditions say."""

    run: Run
    service: LambdaApi
    handler: DurableHandler[Any, Any]
    durable: bool = True

    @property
    def memory(self) -> ExecutionCache:
        return self.run.cache

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        return await self.answer(event, InProcessClient(self.service))

    async def answer(self, event: Any, client: DurableServiceClient) -> Any:
        cache = self.run.cache
        output = await cache.run(self.handler, event, client=client)
        if cache is not self.run.cache and output["Status"] == "PENDING":
            raise InvocationFailed({"ErrorType": "ServiceShutDown"})  # it was asked to stop, and may wait for nothing
        return output


@attrs.frozen
class Interrupted(Function):
    """The workflow's function."""

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        self.run.execution = await self.service._find.execution(event["DurableExecutionArn"])
        invocation = asyncio.current_task()
        assert invocation is not None
        client = Client(self.run, InProcessClient(self.service), invocation)
        try:
            return await self.answer(event, client)
        except InvocationFailed:
            raise
        except Gone as error:
            raise InvocationFailed({"ErrorType": "Runtime.ExitError"}) from error
        except asyncio.CancelledError as error:
            if not client.cancelled:
                raise
            invocation.uncancel()
            raise InvocationFailed({"ErrorType": "Runtime.ExitError"}) from error
        except Exception as error:
            self.run.wrong.append(f"the invocation raised {error!r}")
            raise InvocationFailed({"ErrorType": "Runtime.ExitError"}) from error


class Gone(ServiceCallError):
    """To the invocation, the end of the service; to the service, that of the invocation."""

    def __init__(self) -> None:
        super().__init__("a call", "the process is gone")


@attrs.define
class Client:
    """The way to the service: slow at random, and interrupted as planned."""

    run: Run
    client: InProcessClient
    invocation: asyncio.Task[Any]
    cancelled: bool = False

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        return await self._call(lambda: self.client.checkpoint(execution_arn, token, updates, client_token))

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        return await self._call(lambda: self.client.get_state(execution_arn, token, marker))

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        interruption = self.run.conditions.interruptions.get(next(self.run.calls))
        if interruption is Interruption.CANCELLED:
            self.cancelled = self.invocation.cancel()
        if interruption is Interruption.DRAINED:
            self.run.drain()
        await self.run.travel()
        if interruption is Interruption.LOST:
            raise Gone
        answer = await call()
        if interruption is Interruption.REPEATED and (again := await call()) != answer:
            self.run.wrong.append(f"a call was answered {answer}, and when it was repeated {again}")
        await self.run.travel()
        if interruption is Interruption.UNHEARD:
            raise Gone
        return answer


@attrs.frozen
class Finished:
    """A service that has heard everything there is to be said."""

    wrong: list[str]

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        self.wrong.extend(f"replay of the finished record writes {update}" for update in updates)
        if updates:
            raise Gone
        return {"CheckpointToken": token, "NewExecutionState": {"Operations": []}}

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        raise AssertionError("all was in the envelope")


def races(program: Program, *hows: Concurrency) -> bool:
    """Whether a branch that fails cancels others. On a replay these may get further than they did.

    :param hows: in which of these ways; none: in any
    """
    return any(
        isinstance(statement, Together)
        and statement.how.fails_together
        and statement.how in (hows or Concurrency)
        and any(map(fails, statement.branches))
        for statement in walk(program.body)
    )


def outcome_of(status: str, result: str | None, error: Mapping[str, Any] | None) -> Returned | Failed:
    if status == "SUCCEEDED":
        return Returned(json.loads(result or "null"))
    return Failed(error.get("ErrorType"), error.get("ErrorMessage")) if error else Failed(status, None)


def _on_record(execution: Execution) -> frozenset[tuple[str | None, ...]]:
    return frozenset(
        (each.id, each.name, each.type, each.sub_type, each.parent_id, each.status)
        for each in execution.operations[1:]
        if not (each.name or "").startswith((ORDERED, RACED))
    )
