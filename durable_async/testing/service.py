"""A durable service for tests: its time passes at once, and faults happen in it when a test plans them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Generic, Never, Self, TypedDict, TypeGuard, TypeVar
from uuid import UUID

from durable_async._durations import checked_timedelta
from durable_async._wire.envelope import Envelope, Output
from durable_async._wire.operations import Operation, OperationStatus, OperationType
from durable_async.client.executions import check_durable
from durable_async.embedded import DurableService, ExecutionHandle
from durable_async.embedded.service import PlainFunction
from durable_async.handler import AnyHandler, DurableHandler
from durable_async.service import InvocationRetryPolicy
from durable_async.testing.execution import TestExecution
from durable_async.testing.faults import Faults, TestedHandler, When, Witness
from durable_async.testing.outcomes import NOT_GIVEN, Outcomes
from durable_async.testing.virtual_time import StuckError, VirtualTime

__tracebackhide__ = True  # pytest shows the line of the test, and not those of this module

T = TypeVar("T")
EventT_contra = TypeVar("EventT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)
OtherEventT = TypeVar("OtherEventT")
OtherResultT = TypeVar("OtherResultT")

_YEAR = timedelta(days=366)
_SERVICE_GRAIN = 0.001  # seconds: the service rounds its due times down
_MAX_JUMPS = 100_000  # of time, in one wait of the test: a workflow that goes on for ever is found by it


class ServiceOptions(TypedDict, total=False):
    """Options of :class:`TestService` that :func:`~durable_async.testing.run` and
    :func:`~durable_async.testing.explore` pass on to it."""

    start: datetime | None
    replay_each_invocation: bool
    execution_timeout: timedelta
    retries: InvocationRetryPolicy
    patience: timedelta


class TestService(Generic[EventT_contra, ResultT_co]):
    """Run a handler's executions in virtual time: ``async with TestService(fulfil) as service:``.

    While it is entered, the time of the running event loop is virtual, for the test, the workflow, the SDK and the
    service: whenever nothing can run, the clock jumps to what is due next. Waits, retry delays, timeouts of steps,
    callbacks and executions take no real time and come in their order. The clock does not jump over a callback that
    the test has not answered, unless the test says so.

    Executions are kept in memory only. One whose code does not fit its record fails, as on AWS.

    :param handler: the workflow that :meth:`start` starts
    :param others: handlers and plain functions ``(event, context)`` that it may invoke, by their names
    :param start: when time begins; None: January 1, 2026, so that each run has the same times
    :param seed: of ``random``, which jitter is drawn from, and of the ids of executions. The state of ``random`` is
        put back at the end
    :param replay_each_invocation: True: no execution stays in memory between its invocations, so each suspension is
        followed by a replay, as on Lambda; False: as in an embedded service, where most are not
    :param execution_timeout: of each execution, 1 second to 366 days
    :param retries: when an invocation that crashed is repeated
    :param patience: how long, in real time, an open connection of a running step is waited for before time jumps
    :ivar time: the clock
    :ivar watch: follows what happens in invocations
    :ivar executions: those that were started here or by an invoke, in the order in which they were seen
    """

    __test__ = False

    def __init__(
        self,
        handler: DurableHandler[EventT_contra, ResultT_co],
        *others: AnyHandler | PlainFunction,
        start: datetime | None = None,
        seed: int = 0,
        replay_each_invocation: bool = True,
        execution_timeout: timedelta = _YEAR,
        retries: InvocationRetryPolicy = InvocationRetryPolicy(),  # noqa: B008 - frozen
        patience: timedelta = timedelta(seconds=1),
    ) -> None:
        check_durable(handler)
        self.time: VirtualTime = VirtualTime(start, patience=patience)
        self.executions: list[TestExecution[Any]] = []
        self._faults = Faults()
        self.watch: Watch = Watch()
        self._seed = seed
        self._replays = replay_each_invocation
        self._service = _TestedService(
            self._faults,
            lambda: self.watch,
            clock=self.time,
            seed=seed,
            replay_each_invocation=replay_each_invocation,
            execution_timeout=execution_timeout,
            retries=retries,
        )
        self._handler = handler
        self._others = others
        self._handlers: dict[str, DurableHandler[Never, Any]] = {}
        self._closing = AsyncExitStack()
        self._was_entered = False

    # --- entering ---

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise RuntimeError("a TestService is entered once: make another one, so that each test begins with nothing")
        self._was_entered = True
        async with AsyncExitStack() as undo:
            undo.enter_context(self.time)
            self.time.attach(self._service.api)
            self.time.may_pass = lambda: self.watch.has_no_open_callback()  # noqa: PLW0108 - another one may be set
            undo.callback(random.setstate, random.getstate())
            random.seed(self._seed)
            await undo.enter_async_context(self._service)
            for function in (self._handler, *self._others):
                self.register(function)
            self._closing = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.__aexit__(kind, error, trace)
        if error is None and (never := self._faults.never_happened()) is not None:
            raise AssertionError(never)

    @property
    def embedded(self) -> DurableService:
        """The service itself, for code under test that takes a ``DurableService``."""
        return self._service

    def register(self, function: AnyHandler | PlainFunction, name: str | None = None) -> None:
        """Register a handler or a plain function, so that it can be started, or invoked by name."""
        self._service.register(function, name=name, on_mismatch="fail")
        if _is_handler(function):
            self._handlers[name or str(getattr(function, "__name__", ""))] = function

    # --- executions ---

    async def start(self, event: EventT_contra, *, name: str | None = None) -> TestExecution[ResultT_co]:
        """Start an execution of the handler.

        :param event: of the type that the handler's first parameter declares
        :param name: of the execution; None: one that derives from the seed
        """
        return await self.start_other(self._handler, event, name=name)

    async def start_other(
        self, handler: DurableHandler[OtherEventT, OtherResultT], event: OtherEventT, *, name: str | None = None
    ) -> TestExecution[OtherResultT]:
        """Start an execution of another handler, one of ``others``.

        :raises LookupError: the handler is not registered
        """
        return self._seen(await self._service.start(handler, event, name=name), handler)

    def follow(self, handle: ExecutionHandle[T]) -> TestExecution[T]:
        """Drive an execution that was started elsewhere, for example by the application under test, which was given
        ``service.embedded``.

        :raises LookupError: its handler is not registered here
        """
        name = handle.arn.partition(":function:")[2].partition(":")[0]
        handler = self._handlers.get(name)
        if handler is None:
            raise LookupError(f"{name} is not registered: give its handler to TestService, or call service.register")
        return self._seen(handle, handler)

    def _seen(self, handle: ExecutionHandle[T], handler: DurableHandler[Never, T]) -> TestExecution[T]:
        for known in self.executions:
            if known.arn == handle.arn:
                return known
        execution = TestExecution(handle, self, handler)
        self.executions.append(execution)
        return execution

    # --- time ---

    def now(self) -> datetime:
        """Return the virtual time, in UTC."""
        return self.time.now()

    async def advance(self, by: timedelta) -> None:
        """Let ``by`` pass, with all that happens meanwhile. Callbacks time out if their time comes."""
        await self.advance_to(self.now() + checked_timedelta("the time to advance by", by))

    async def advance_to(self, moment: datetime) -> None:
        """Let time pass until ``moment``, with all that happens meanwhile. Callbacks time out if their time comes.

        :raises ValueError: ``moment`` is in the past, or has no time zone
        """
        if moment.tzinfo is None or moment < self.now():
            raise ValueError(f"time moves ahead, from {self.now()} on, and {moment} is not after that")
        while True:
            await self.time.idle()
            due = self.time.next_due()
            if due is None or due > moment.timestamp():
                break
            self.time.move_to(due)
        self.time.move_to(moment.timestamp())
        await self._refresh()

    async def drive(
        self, reached: Callable[[], T | None], what: str, *, over_callbacks: bool = False, ends: bool = False
    ) -> T:
        """Run, and let time pass, until ``reached()`` returns something, and return that.

        It is asked each time that nothing more can happen unless time passes.

        :param what: what is awaited, for the message of an error
        :param over_callbacks: True: callbacks may time out; False: time stops before the first one would
        :param ends: True: time does not pass while a callback is open; False: it passes up to the callback's timeout
        :raises StuckError: it will not come
        """
        for _ in range(_MAX_JUMPS):
            await self.time.idle()
            await self._refresh()
            found = reached()
            if found is not None:
                return found
            due = self.time.next_due()
            blocking = [] if over_callbacks else self._blocking(due, ends=ends)
            if due is None or blocking:
                raise StuckError(self._why_stuck(what, blocking))
            self.time.move_to(due)
        raise StuckError(f"{what} did not come within {_MAX_JUMPS} jumps of time; it is {self.now()} now")

    async def _refresh(self) -> None:
        for function in self._others:
            if _is_handler(function):
                async for summary in self._service.executions(function, oldest_first=True):
                    self._seen(self._service.execution(summary.arn), function)
        for execution in self.executions:
            await execution.refresh()

    def _blocking(self, due: float | None, *, ends: bool) -> list[str]:
        """Return the callbacks that time must not jump over, in words."""
        found: list[str] = []
        for callback in (each for execution in self.executions for each in execution.open_callbacks()):
            limit = callback.due
            if ends or due is None or (limit is not None and limit.timestamp() <= due + _SERVICE_GRAIN):
                until = "has no timeout" if limit is None else f"times out at {limit:%Y-%m-%d %H:%M:%S}"
                found.append(f"{callback.path!r} ({until})")
        return found

    def _why_stuck(self, what: str, blocking: Sequence[str]) -> str:
        open_ones = [
            f"{each.path!r} ({each.type}, {each.status})"
            for execution in self.executions
            for each in execution.operations
            if each.is_open
        ]
        states = ", ".join(execution.status for execution in self.executions)
        what = f"{what} does not come: " if what else ""
        if blocking:
            return (
                f"{what}the test has not answered callback {', '.join(blocking)}. It is {self.now():%Y-%m-%d %H:%M:%S} "
                "now. Answer with execution.until_callback(name).succeed(value) or .fail(error), let it time out with "
                ".time_out() or finish(over_callbacks=True), or let time pass with service.advance(...)"
            )
        return f"{what}nothing runs and nothing is due. Executions: {states}. Open operations: {', '.join(open_ones)}"

    # --- what a test changes ---

    def replace(
        self,
        name: str,
        *,
        returns: object = NOT_GIVEN,
        raises: BaseException | None = None,
        calls: Callable[..., object] | None = None,
        outcomes: Sequence[object] = (),
        optional: bool = False,
    ) -> Outcomes:
        """Replace what the step, condition or child context ``name`` does. Its function is not called any more.

        If nothing of this name ran, leaving the service raises an AssertionError: the name may be misspelt, and the
        real function called. Everything else is as it would be: the result is recorded, and a failure is retried.

        :param returns: this is its result
        :param raises: this is raised by each attempt
        :param calls: this is called with its arguments; may be an ``async def``
        :param outcomes: one for each attempt, the last for all that follow: exceptions are raised, other values
            returned. ``[Busy(), Busy(), "paid"]`` fails twice, then succeeds
        :param optional: True: it does not matter whether anything of this name runs; False: something must
        :return: its ``times`` is the number of calls
        :raises TypeError: not exactly one of these is given
        """
        replaced = Outcomes.of(returns=returns, raises=raises, calls=calls, outcomes=outcomes, optional=optional)
        self._faults.replaced[name] = replaced
        return replaced

    def replace_function(
        self,
        name: str,
        *,
        returns: object = NOT_GIVEN,
        raises: BaseException | None = None,
        calls: Callable[..., object] | None = None,
        outcomes: Sequence[object] = (),
        optional: bool = False,
    ) -> Outcomes:
        """Register a function for ``ctx.invoke(name, ...)``. As :meth:`replace`; ``calls`` gets the event.

        :raises ValueError: a function of this name is registered already: leave it out of ``others``
        """
        replaced = Outcomes.of(returns=returns, raises=raises, calls=calls, outcomes=outcomes, optional=optional)

        async def function(event: object, context: object) -> object:
            del context
            return await replaced.next(function, event)

        self._service.register(function, name=name.partition(":")[0])
        self._faults.functions[name] = replaced
        return replaced

    def crash_in(self, name: str, *, attempt: int | None = None, when: When = "after") -> None:
        """Let the process die once in the step or child context ``name``. The service then invokes again.

        :param attempt: from 1; None: the first that comes
        :param when: ``"before"``: before its function is called; ``"after"``: its function has run, and its end is not
            recorded
        """
        self._faults.crash_in(name, attempt, when)

    def crash_at_checkpoint(self, number: int, *, when: When = "after") -> None:
        """Let the process die once at the ``number``-th checkpoint call, from 1, of all executions.

        :param when: ``"before"``: the service does not get the call; ``"after"``: it has recorded it, and the process
            did not get the answer
        """
        self._faults.crash_at_checkpoint(number, when)

    def lose_reply(self, number: int) -> None:
        """Let the reply of the ``number``-th checkpoint call, from 1, get lost, and the client repeat the call."""
        self._faults.lose_reply(number)

    def throttle(self, number: int, times: int = 1) -> None:
        """Let the service refuse the ``number``-th checkpoint call, from 1, with 429, ``times`` times."""
        self._faults.throttle(number, times)

    def duplicate_invocation(self, number: int) -> None:
        """Deliver the ``number``-th invocation, from 1, twice at the same time, as Lambda may do.

        :raises ValueError: executions stay in memory, and such an invocation does not hold the whole record
        """
        if not self._replays:
            raise ValueError("an invocation can be delivered twice only with replay_each_invocation=True")
        self._faults.duplicate_invocation(number)

    def delay_calls(self, rng: random.Random) -> None:
        """Let each function and each reply of the service come some turns of the loop later, as ``rng`` draws: the
        tasks of a workflow then go on in another order."""
        self._faults.delays = rng

    def forget_faults(self) -> None:
        """Forget the faults that have not happened. Replacements stay, and need not be used."""
        self._faults.clear()

    @property
    def checkpoints(self) -> int:
        """How many checkpoint calls there were."""
        return self._faults.checkpoints


def _is_handler(function: object) -> TypeGuard[DurableHandler[Never, Any]]:
    return isinstance(function, DurableHandler)


class _TestedService(DurableService):
    """An embedded service whose invocations fail as :class:`Faults` says, and are reported to a :class:`Witness`."""

    def __init__(
        self,
        faults: Faults,
        witness: Callable[[], Witness],
        *,
        clock: VirtualTime,
        seed: int,
        replay_each_invocation: bool,
        execution_timeout: timedelta,
        retries: InvocationRetryPolicy,
    ) -> None:
        ids = random.Random(seed)  # noqa: S311 - to be the same in each run
        super().__init__(
            clock=clock,
            max_cached_executions=0 if replay_each_invocation else 1000,
            max_cached_idle=_YEAR,
            execution_timeout=execution_timeout,
            retention=timedelta(days=36_500),
            retries=retries,
            grace=timedelta(0),
            new_id=lambda: str(UUID(int=ids.getrandbits(128), version=4)),
        )
        self._faults = faults
        self._witness = witness

    def _as_run(self, handler: AnyHandler) -> AnyHandler:
        return TestedHandler[Never, object].of(super()._as_run(handler), self._faults, self._witness)


class Watch(Witness):
    """Knows which callbacks are open, from what the service sends to the workflow."""

    def __init__(self) -> None:
        self._open: dict[str, set[str]] = {}

    def invoked(self, envelope: Envelope) -> None:
        self.answered(envelope.execution_arn, envelope.operations)

    def left(self, envelope: Envelope, answer: Output | None) -> None:
        if answer is not None and answer["Status"] != "PENDING":
            self._open.pop(envelope.execution_arn, None)

    def answered(self, arn: str, operations: Sequence[Operation]) -> None:
        open_ones = self._open.setdefault(arn, set())
        for operation in operations:
            if operation["Type"] == OperationType.CALLBACK and operation["Status"] == OperationStatus.STARTED:
                open_ones.add(operation["Id"])
            else:
                open_ones.discard(operation["Id"])

    def has_no_open_callback(self) -> bool:
        return not any(self._open.values())
