"""Services that die and start again on the same file, and workers that run one invocation and may die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from durable_async import DurableContext, DurableHandler, durable_execution
from durable_async._wire.operations import Operation, OperationType
from durable_async.embedded.cache import ExecutionCache
from durable_async.service import InvocationFailed, InvocationRequest, InvocationRetryPolicy, LambdaApi, Limits
from durable_async.service.functions.base import in_process_function
from durable_async.service.model.errors import ApiError
from tests.programs.execution import target
from tests.programs.interpreter import DURABLE_TARGET, TARGET

from .checks import Checks, Mind
from .disk import SimulatedStore
from .network import Client, Unreachable, json_copy

if TYPE_CHECKING:
    from .world import World

T = TypeVar("T")

YEAR = 365 * 86_400  # seconds
CRASHED = {"ErrorType": "Runtime.ExitError", "ErrorMessage": "the worker died"}


async def _work() -> None:
    """A step on the loop: what runs in a thread is not decided by a seed."""


@durable_execution
async def durable_target(event: Any, ctx: DurableContext) -> str:
    """What programs invoke."""
    await ctx.wait(timedelta(seconds=1))
    await ctx.step(_work, name="work")
    return await target(event, ctx)


_mind: ContextVar[Mind] = ContextVar("mind")


def mind_here() -> Mind:
    """Return what the process knows in which this code runs."""
    return _mind.get()


class Process(Protocol):
    """What a client belongs to."""

    world: World
    may_lose_replies: bool

    def server(self) -> Server | None:
        """Return the service that it reaches now."""
        ...

    async def alive(self) -> None:
        """Return if the process lives; never, if it is dead."""
        ...

    def said(self, operations: Sequence[Operation]) -> None:
        """Check operations that the service answered with."""
        ...

    def wrote(self, operations: Sequence[Operation]) -> None:
        """Check a checkpoint that the service accepted, and the operations that it answered with."""
        ...

    def received(self, operations: Sequence[Operation]) -> None:
        """Learn what an answer says that has arrived."""
        ...


@attrs.define(eq=False)
class Invoked:
    """One invocation in one process.

    :ivar number: of the invocation, in the order in which they were asked for
    :ivar worker: of the process
    """

    world: World
    checks: Checks | None
    mind: Mind
    number: int
    worker: int
    owner: Server | None
    is_dead: bool = False
    task: asyncio.Task[Any] | None = None

    @property
    def may_lose_replies(self) -> bool:
        return self.owner is None

    def __str__(self) -> str:
        return f"worker {self.worker}"

    def server(self) -> Server | None:
        return self.world.server if self.owner is None else self.owner

    async def alive(self) -> None:
        if self.is_dead or (self.owner is not None and self.owner.death.done()):
            await asyncio.get_running_loop().create_future()

    def said(self, operations: Sequence[Operation]) -> None:
        if self.checks is not None:
            self.checks.said(operations)

    def wrote(self, operations: Sequence[Operation]) -> None:
        if self.checks is not None:
            self.checks.wrote(self.number, self.worker)
            self.checks.said(operations)

    def received(self, operations: Sequence[Operation]) -> None:
        self.mind.learn(operations)

    def begins(self, event: Mapping[str, Any]) -> None:
        self.received(event["InitialExecutionState"]["Operations"])
        _mind.set(self.mind)

    def die(self) -> None:
        self.is_dead = True
        if self.task is not None:
            self.task.cancel()


class Server:
    """One life of the service.

    :ivar death: done when it is over
    """

    def __init__(self, world: World) -> None:
        conditions, rng = world.chaos.conditions, world.chaos.rng
        self.world = world
        self.death: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store = SimulatedStore(world.file, resident=rng.choice([0, 1, 1000]))
        self._cache = ExecutionCache(conditions.cached, rng.choice([5.0, float(YEAR)]))
        self._calls: set[asyncio.Task[Any]] = set()
        self._minds: dict[str, Mind] = {}
        self.api = LambdaApi(
            store=self._store,
            clock=world.clock,
            default_execution_timeout=YEAR,
            limits=Limits(page_operations=conditions.page),
            retries=InvocationRetryPolicy(max_failures=None, quarantine_after=1_000_000),
            max_concurrency=conditions.concurrency,
            new_id=world.new_id,
        )

    async def start(self) -> None:
        """:raises StoreError: the file cannot be opened"""
        await self.api.__aenter__()
        self.world.clock.attach(self.api)
        self.api.register(TARGET, in_process_function(target))
        self.api.register(DURABLE_TARGET.partition(":")[0], self._function(durable_target, None))
        for checks, handler in self.world.workflows:
            self.api.register(checks.name, self._function(handler, checks))

    def _function(self, handler: DurableHandler[Any, Any], checks: Checks | None) -> Any:
        handler = handler.on_clock(self.world.clock)
        return (
            Embedded(self, handler, checks) if self.world.chaos.conditions.embedded else Remote(self, handler, checks)
        )

    async def call(self, work: Callable[[LambdaApi], Awaitable[T]]) -> T:
        """Let the service do what a request asks for.

        :raises Unreachable: it died first
        """
        task = self.world.spawn(self._do(work))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        await asyncio.wait([task, self.death], return_when=asyncio.FIRST_COMPLETED)
        if not task.done() or task.cancelled():
            task.cancel()
            raise Unreachable
        return task.result()

    async def _do(self, work: Callable[[LambdaApi], Awaitable[T]]) -> T:
        if self.death.done():  # it died before this began, and what it still holds may be lost with the power
            raise Unreachable
        return await work(self.api)

    def mind(self, arn: str) -> Mind:
        return self._minds.setdefault(arn, Mind())

    def forget(self, arn: str) -> None:
        """Forget what this process knows of an execution."""
        self._minds.pop(arn, None)

    @property
    def cache(self) -> ExecutionCache:
        return self._cache

    async def stop(self, grace: float) -> None:
        """Shut it down as an operator does."""
        self._cache.drain()
        await self.api.aclose(grace=grace)
        await self._cache.aclose()
        self._end()

    def die(self) -> None:
        """End it: nothing that it still does has an effect."""
        self._end()
        for mind in self._minds.values():
            mind.is_dead = True
        self._store.die()
        runner = self.api._runner
        runner.commands.close()
        runner.retention.close()
        self.cancel_tasks()
        self._cache.drain()

    def cancel_tasks(self) -> None:
        """Cancel what it does. Code that is cancelled may begin more, to be cancelled when the simulation ends."""
        for task in [*self.api._runner._tasks._tasks, *self._calls]:
            task.cancel()

    def _end(self) -> None:
        if not self.death.done():
            self.death.set_result(None)
        self.world.clock.detach(self.api)


@attrs.frozen(eq=False)
class Embedded:
    """A workflow in the service's own process."""

    _server: Server
    _handler: DurableHandler[Any, Any]
    _checks: Checks | None
    durable: bool = True

    @property
    def memory(self) -> ExecutionCache:
        return self._server.cache

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        world = self._server.world
        arn, number = event["DurableExecutionArn"], world.next_invocation()
        _said(self._checks, event)
        invoked = Invoked(world, self._checks, self._server.mind(arn), number, number, self._server)
        invoked.begins(event)
        try:
            output = await self._server.cache.run(self._handler, json_copy(event), client=Client(invoked))
        except Exception as error:
            raise InvocationFailed({"ErrorType": type(error).__name__}) from error
        return json_copy(output)


@attrs.frozen(eq=False)
class Remote:
    """A workflow in workers, each of which runs one invocation."""

    _server: Server
    _handler: DurableHandler[Any, Any]
    _checks: Checks | None
    durable: bool = True
    memory: None = None

    async def invoke(self, event: Any, request: InvocationRequest) -> Any:
        world, number = self._server.world, self._server.world.next_invocation()
        chaos = world.chaos
        _said(self._checks, event)
        await chaos.travel()
        deliveries = 2 if chaos.strikes("an invocation is delivered twice") else 1
        workers = [self._start(json_copy(event), number) for _ in range(deliveries)]
        await asyncio.wait([worker.task for worker in workers])  # which live on if this is cancelled
        answers = [_outcome(worker.task) for worker in workers]
        await chaos.travel()
        if chaos.strikes("the answer of an invocation is lost"):
            raise InvocationFailed({"ErrorType": "Sandbox.Timedout"})
        return json_copy(_of_deliveries(answers))

    def _start(self, event: Any, number: int) -> Any:
        world = self._server.world
        invoked = Invoked(world, self._checks, Mind(), number, world.next_worker(), None)

        async def run() -> Any:
            invoked.begins(event)
            return await self._handler.run(event, client=Client(invoked))

        invoked.task = world.spawn(run())
        world.workers.append(invoked)
        return invoked


def _outcome(task: asyncio.Task[Any]) -> Any:
    return asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()


def _of_deliveries(answers: Sequence[Any]) -> Any:
    """Return the answer of an invocation. If it was delivered twice, one worker lost its token to the other: it answers
    PENDING, which means nothing.

    :raises InvocationFailed: a worker died that may have had the token
    """
    given = [answer for answer in answers if not isinstance(answer, BaseException)]
    for answer in given:
        if answer["Status"] != "PENDING":
            return answer
    if len(given) < len(answers):
        raise InvocationFailed(CRASHED)
    return given[0]


def _said(checks: Checks | None, event: Mapping[str, Any]) -> None:
    """Check an envelope that the service sent."""
    if checks is None:
        return
    state = event["InitialExecutionState"]
    operations: list[Operation] = state["Operations"]
    if not state["NextMarker"] and any(each["Type"] == OperationType.EXECUTION for each in operations):
        checks.said_whole(operations)
    else:
        checks.said(operations)


async def supervise(world: World) -> None:
    """Keep a service running on the file until the world ends."""
    rng = world.chaos.rng
    while not world.is_over:
        server = Server(world)
        try:
            await server.start()
        except Exception as error:
            world.chaos.note(f"the service does not start: {type(error).__name__}")
            await asyncio.sleep(rng.choice([0.1, 5]))
            continue
        world.server = server
        world.chaos.note("the service runs")
        await asyncio.wait([server.death])
        world.server = None
        await asyncio.sleep(rng.choice([0, 0.1, 5, 600]))


async def until_it_works(world: World, work: Callable[[LambdaApi], Awaitable[T]]) -> T:
    """Ask the service from outside, again and again, until it answers.

    :raises ApiError: it refuses for good
    """
    while True:
        await world.chaos.travel()
        if world.server is not None:
            with suppress(Unreachable):
                try:
                    answer = await world.server.call(work)
                except ApiError as refused:
                    if refused.status < 500:
                        raise
                else:
                    await world.chaos.travel()
                    if not world.chaos.strikes("a caller does not get the answer"):
                        return answer
        await asyncio.sleep(1)
