"""One execution, as a test sees and drives it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from datetime import datetime, timedelta
from typing import Generic, Never, Protocol, TypeVar

from durable_async._wire.operations import ErrorObject
from durable_async.embedded import DurableService, ExecutionHandle
from durable_async.errors import ExecutionError
from durable_async.handler import DurableHandler
from durable_async.service import EventType, ExecutionStatus, HistoryEvent
from durable_async.testing.operations import Journal, OperationView, as_text
from durable_async.testing.virtual_time import StuckError

__tracebackhide__ = True  # pytest shows the line of the test, and not those of this module

T = TypeVar("T")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class RecordedExecution:
    """Shows what happened in an execution so far.

    :ivar arn: of the execution
    :ivar journal: what its history says
    """

    __test__ = False

    def __init__(self, arn: str, journal: Journal) -> None:
        self.arn = arn
        self.journal = journal

    @property
    def status(self) -> ExecutionStatus:
        """RUNNING, PAUSED, SUCCEEDED, FAILED, TIMED_OUT or STOPPED."""
        return self.journal.status

    @property
    def is_closed(self) -> bool:
        return self.journal.is_closed

    @property
    def invocations(self) -> int:
        """How many invocations have ended, repeated ones included."""
        return self.journal.invocations

    @property
    def operations(self) -> list[OperationView]:
        """All operations, in the order in which they were started."""
        return [*self.journal.by_id.values()]

    @property
    def events(self) -> Sequence[HistoryEvent]:
        """The history."""
        return self.journal.events

    @property
    def history(self) -> str:
        """The history as text, one line for each event. It is the same in each run of the same code: for a snapshot."""
        return as_text(self.journal.events)

    def operation(self, wanted: str) -> OperationView:
        """Return an operation.

        :param wanted: its name, its path (``"ship/label"``: the names of the contexts around it and its own) or its id
        :raises LookupError: there is none, or there are several of this name
        """
        return self._found(wanted, None)

    def step(self, wanted: str) -> OperationView:
        """Return a step or condition. As :meth:`operation`."""
        return self._found(wanted, "STEP")

    def has(self, wanted: str) -> bool:
        """Return whether there is an operation with this name, path or id."""
        return any(wanted in (each.name, each.path, each.id) for each in self.journal.by_id.values())

    def _found(self, wanted: str, kind: str | None) -> OperationView:
        found = self.journal.find(wanted, kind)
        if found is None:
            what = "step" if kind == "STEP" else "operation"
            raise LookupError(f"the execution has no {what} {wanted!r}. Its operations: {self.journal.named()}")
        return found


class Driver(Protocol):
    """Moves time until something has happened."""

    @property
    def embedded(self) -> DurableService: ...

    def now(self) -> datetime: ...

    async def drive(
        self, reached: Callable[[], T | None], what: str, *, over_callbacks: bool = False, ends: bool = False
    ) -> T:
        """Run, and move time, until ``reached`` returns something, and return that.

        :param what: what is awaited, for the message of an error
        :param over_callbacks: True: callbacks may time out; False: time stops before the first one would
        :param ends: True: time does not pass while a callback is open; False: it passes up to the callback's timeout
        :raises StuckError: it will not come
        """
        ...


class TestExecution(RecordedExecution, Generic[ResultT_co]):
    """An execution of a :class:`~durable_async.testing.TestService`.

    It shows the state at the time when the last awaited method returned; :meth:`settle` brings it up to date.

    :ivar handler: whose execution it is
    """

    def __init__(
        self, handle: ExecutionHandle[ResultT_co], driver: Driver, handler: DurableHandler[Never, ResultT_co]
    ) -> None:
        super().__init__(handle.arn, Journal())
        self.handler = handler
        self._handle = handle
        self._driver = driver

    @property
    def handle(self) -> ExecutionHandle[ResultT_co]:
        """The embedded service's own handle: to stop or pause the execution, or to read its description."""
        return self._handle

    # --- driving ---

    async def finish(self, *, over_callbacks: bool = False) -> ResultT_co:
        """Run the execution to its end, and return its result.

        :param over_callbacks: True: a callback that the test has not answered times out when its time has come; False:
            :class:`StuckError` is raised before that
        :raises StuckError: it waits for a callback that the test has not answered, or for nothing that could come
        :raises ExecutionError: it failed, timed out or was stopped
        """
        await self.close(over_callbacks=over_callbacks)
        return await self._handle.result()

    async def failure(self, *, over_callbacks: bool = False) -> ExecutionError:
        """Run the execution to its end, and return the error with which it failed, timed out or was stopped.

        :raises AssertionError: it succeeded
        """
        await self.close(over_callbacks=over_callbacks)
        try:
            result = await self._handle.result()
        except ExecutionError as error:
            return error
        raise AssertionError(f"the execution was expected to fail, and returned {result!r}")

    async def close(self, *, over_callbacks: bool = False) -> None:
        """Run the execution to its end, whatever that is. As :meth:`finish`, without its result.

        :raises StuckError: as :meth:`finish`
        """

        def reached() -> bool | None:
            self._check_not_paused()
            return True if self.is_closed else None

        await self._driver.drive(reached, "the end of the execution", over_callbacks=over_callbacks, ends=True)

    async def settle(self) -> None:
        """Run until nothing more can happen unless time passes or a callback is answered."""
        await self._driver.drive(lambda: True, "")

    async def until(self, reached: Callable[[Sequence[HistoryEvent]], bool]) -> None:
        """Run, and let time pass, until ``reached(events)`` is true.

        It is asked each time that nothing more can happen unless time passes.

        :raises StuckError: the execution ended, or waits for what will not come
        """
        await self._reach(lambda: reached(self.events) or None, "the condition")

    async def until_step(self, wanted: str) -> OperationView:
        """Run until a step has ended, and return it. The workflow may have gone on since, as far as it can without
        time passing.

        :param wanted: its name, path or id
        :raises StuckError: the execution ended without it, or waits for what will not come
        """

        def reached() -> OperationView | None:
            step = self.journal.find(wanted, "STEP")
            return step if step is not None and not step.is_open else None

        return await self._reach(reached, f"the end of step {wanted!r}")

    def until_callback(self, name: str | None = None) -> CallbackToCome:
        """Run until a callback is open: ``callback = await execution.until_callback("approval")``, or at once
        ``await execution.until_callback("approval").succeed(decision)``.

        :param name: of the callback, or of the ``wait_for_callback``; None: whichever is open
        """
        return CallbackToCome(self, name)

    # --- for the service ---

    async def refresh(self) -> None:
        """Read what is new in the history."""
        api = self._driver.embedded.api
        marker: str | None = str(self.journal.last_id() + 1)
        while marker is not None:
            page = await api.get_history(self.arn, marker=marker, max_items=1000)
            self.journal.read(page.items)
            marker = page.next_marker

    def open_callbacks(self) -> list[OperationView]:
        """Return the callbacks that wait for an answer."""
        return self.journal.open_callbacks()

    def callback_named(self, name: str | None) -> OperationView | None:
        """Return the first callback that is open and has this name, or is that of a ``wait_for_callback`` that has."""
        for callback in self.open_callbacks():
            if name is None or name in self.journal.callback_names(callback):
                return callback
        return None

    async def advanced_until_closed(self, callback: OperationView) -> None:
        await self._driver.drive(
            lambda: True if not callback.is_open else None,
            f"the end of callback {callback.path!r}",
            over_callbacks=True,
        )

    async def callback(self, name: str | None) -> TestCallback:
        wanted = "a callback" if name is None else f"callback {name!r}"
        return TestCallback(self, self._driver, await self._reach(lambda: self.callback_named(name), wanted))

    async def _reach(self, reached: Callable[[], T | None], what: str) -> T:
        def reached_in_time() -> T | None:
            found = reached()
            if found is None:
                self._check_not_paused()
            if found is None and self.is_closed:
                raise StuckError(
                    f"the execution ended as {self.status} before {what} came. Its operations: {self.journal.named()}"
                )
            return found

        return await self._driver.drive(reached_in_time, what)

    def _check_not_paused(self) -> None:
        if self.status is ExecutionStatus.PAUSED:
            why = next(each for each in reversed(self.events) if each.type is EventType.EXECUTION_PAUSED)
            reason = why.details.get("Reason")
            raise StuckError(
                f"the execution is paused{f' ({reason})' if reason else ''}: call execution.handle.resume() to go on"
            )


class TestCallback:
    """A callback that waits for the test's answer.

    :ivar id: as the workflow's submitter gets it
    :ivar operation: the callback in the record
    """

    __test__ = False

    def __init__(self, execution: TestExecution[object], driver: Driver, operation: OperationView) -> None:
        self.id: str = operation.callback_id or ""
        self.operation = operation
        self._execution = execution
        self._driver = driver

    async def succeed(self, result: object = None) -> None:
        """Answer the callback.

        :param result: written as JSON; ``bytes`` are sent as they are
        """
        await self._driver.embedded.succeed_callback(self.id, result)

    async def fail(self, error: ErrorObject | BaseException) -> None:
        """Answer with a failure: the workflow gets a :class:`~durable_async.CallbackFailedError`."""
        await self._driver.embedded.fail_callback(self.id, error)

    async def heartbeat(self) -> None:
        """Send a heartbeat: the heartbeat timeout begins again."""
        await self._driver.embedded.heartbeat_callback(self.id)
        self.operation.last_heartbeat = self._driver.now()

    async def time_out(self) -> None:
        """Let time pass until the callback times out or misses its heartbeat.

        :raises StuckError: it has no timeout
        """
        if self.operation.due is None:
            raise StuckError(
                f"callback {self.operation.path!r} has no timeout: give it one with CallbackConfig(timeout=...)"
            )
        await self._execution.advanced_until_closed(self.operation)


class CallbackToCome:
    """What ``until_callback`` returns: awaited, a :class:`TestCallback`; its methods wait for it first."""

    def __init__(self, execution: TestExecution[object], name: str | None) -> None:
        self._execution = execution
        self._name = name

    def __await__(self) -> Generator[object, None, TestCallback]:
        return self._execution.callback(self._name).__await__()

    async def succeed(self, result: object = None) -> None:
        """Wait for the callback and answer it. As :meth:`TestCallback.succeed`."""
        await (await self).succeed(result)

    async def fail(self, error: ErrorObject | BaseException) -> None:
        """Wait for the callback and fail it. As :meth:`TestCallback.fail`."""
        await (await self).fail(error)

    async def heartbeat(self) -> None:
        """Wait for the callback and send a heartbeat. As :meth:`TestCallback.heartbeat`."""
        await (await self).heartbeat()

    async def time_out(self) -> None:
        """Wait for the callback and let it time out. As :meth:`TestCallback.time_out`."""
        await (await self).time_out()


class FinishedExecution(RecordedExecution, Generic[ResultT_co]):
    """An execution that has ended.

    :ivar error: None if it succeeded
    """

    def __init__(self, arn: str, journal: Journal, results: Sequence[ResultT_co], error: ExecutionError | None) -> None:
        super().__init__(arn, journal)
        self._results = results
        self.error: ExecutionError | None = error

    @property
    def took(self) -> timedelta:
        """How long it took by the execution's clock, in whole milliseconds."""
        events = self.journal.events
        return timedelta(milliseconds=round((events[-1].time - events[0].time) / timedelta(milliseconds=1)))

    @property
    def result(self) -> ResultT_co:
        """Return what the execution returned.

        :raises ExecutionError: it failed, timed out or was stopped
        """
        if self.error is not None:
            raise self.error
        return self._results[0]
