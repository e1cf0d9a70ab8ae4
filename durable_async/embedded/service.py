"""The durable service as a part of an asyncio program."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextvars import copy_context
from datetime import datetime, timedelta
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeGuard, TypeVar, overload
from uuid import uuid4

from durable_async._arguments import check_plain_function
from durable_async._callables import name_of_callable
from durable_async._engine.branches import entered
from durable_async._raised import message_of
from durable_async._threads import DEFAULT_THREADS, Threads
from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import utf8
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.execution import ExecutionHandle, as_json, results_as_json
from durable_async.embedded.local import in_process_handler
from durable_async.handler import AnyHandler, DurableHandler
from durable_async.serializers import NO_TYPE
from durable_async.service import own_tasks
from durable_async.service.clock import steady_time
from durable_async.service.functions.base import in_process_function
from durable_async.service.machine import InvocationRetryPolicy, Limits
from durable_async.service.model import arns
from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.registry import OnMismatch
from durable_async.service.runtime.settings import Timing
from durable_async.service.runtime.views import ExecutionSummary
from durable_async.service.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from durable_async.otel import Traces

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

PlainFunction = Callable[[Any, Any], Any]
"""An ordinary function of ``(event, context)``, sync or async: the target of a chained invoke."""


class DurableService:
    """Runs durable executions in this process, and keeps them in a file. Used as ``async with DurableService(...)``.

    Executions that an earlier service left open continue when their function is registered. At exit, the service begins
    nothing more, waits for running steps, and leaves the rest to the next service.

    The service belongs to the event loop on which it is entered. Only one process at a time can use the file.

    :param path: the SQLite file, which is created with rights for its owner only; None or ``":memory:"``: everything is
        lost at exit. SQLite's ``file:`` URIs raise a ``ValueError``
    :param durability: what an acknowledged write survives. ``"full"``: a loss of power. ``"normal"``: a crash of the
        process, but not always one of the machine; it costs less
    :param wait_for_lock: how long to wait while another process uses the file, for example during a deployment; zero:
        fail at once
    :param execution_timeout: the timeout of executions of functions that are registered without one; up to 366 days
    :param retention: how long a closed execution is kept, in whole days
    :param max_concurrency: the maximum number of invocations at once, of all functions; None: no limit
    :param max_cached_executions: how many suspended executions stay in memory and continue without a replay. The least
        recently used are evicted; 0: none stays
    :param threads: the maximum number of synchronous steps and functions at once; one execution uses at most half of
        them. The threads belong to the service, so the program's other threads do not wait for them
    :param max_cached_idle: how long a suspended execution stays in memory
    :param grace: how long to wait for running steps at exit. They are then cancelled, and those that still run 7
        seconds later are abandoned. A cancellation during the exit ends ``grace`` at once; a second one ends the rest
        of the wait
    :param retries: when to repeat an invocation that raised or crashed, and when to put its execution in quarantine
    :param clock: returns the time in epoch seconds. The default is the system's clock, except that it does not go back
        while the process runs. With another clock, call ``api.fire_due`` after moving it
    :param tracer_provider: of OpenTelemetry's SDK: executions are traced, in the execution view unless their handler
        has its own :class:`~durable_async.otel.Traces`, and do not stay in memory while they wait. An execution that is
        started within a span continues the span's trace. None: nothing is traced
    :param meter_provider: of OpenTelemetry's SDK: executions and the service's own work are measured. None: nothing is
        measured
    :param new_id: returns the id of a new execution, which is also its name if it gets no other. All ids must differ.
        The default is a random UUID
    :param timing: when the service repeats its own work, and how long it waits at shutdown
    """

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        durability: Literal["full", "normal"] = "full",
        wait_for_lock: timedelta = timedelta(0),
        execution_timeout: timedelta = timedelta(days=366),
        retention: timedelta = timedelta(days=14),
        max_concurrency: int | None = 1000,
        max_cached_executions: int = 1000,
        max_cached_idle: timedelta = timedelta(minutes=5),
        threads: int = DEFAULT_THREADS,
        grace: timedelta = timedelta(seconds=10),
        retries: InvocationRetryPolicy = InvocationRetryPolicy(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        region: str = "us-east-1",
        account: str = "000000000000",
        clock: Callable[[], float] = steady_time,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        new_id: Callable[[], str] = lambda: str(uuid4()),
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        if retention < timedelta(days=1) or retention % timedelta(days=1):
            raise ValueError(f"retention must be a whole number of days, not {retention}")
        store = None
        if path is not None and fspath(path) != ":memory:":
            if fspath(path).startswith("file:"):
                raise ValueError(f"{path} is a URI. Give the plain path of a file, or None for executions in memory")
            store = SqliteStore(path, durability=durability, wait_for_lock=wait_for_lock.total_seconds())
        self._threads = Threads(threads)
        self._cache = ExecutionCache(max_cached_executions, max_cached_idle.total_seconds(), threads=self._threads)
        self._traces: Traces | None = None
        observer = None
        if tracer_provider is not None or meter_provider is not None:
            from durable_async.otel import ServiceTelemetry, Traces

            observer = ServiceTelemetry(tracer_provider, meter_provider, self._cache)
            if tracer_provider is not None:
                self._traces = Traces(view="execution", tracer_provider=tracer_provider, flush_timeout=timedelta(0))
        self._api = LambdaApi(
            store=store,
            clock=clock,
            region=region,
            account=account,
            default_execution_timeout=_seconds(execution_timeout, "execution_timeout"),
            retries=retries,
            retention_days=retention.days,
            limits=limits,
            max_concurrency=max_concurrency,
            observer=observer,
            new_id=new_id,
            timing=timing,
        )
        self._pid = os.getpid()
        self._entered = False
        self._grace = grace.total_seconds()
        self._clock = clock
        self._names: dict[AnyHandler, tuple[str, int | None]] = {}  # with the highest version

    @property
    def api(self) -> LambdaApi:
        """The operations of Lambda's API as methods, with names, bytes and JSON.

        :raises ApiError: status 503: this process was forked from the one that runs the service
        """
        if self._pid != os.getpid():
            raise ServiceClosedError(
                f"This service runs in process {self._pid}, and process {os.getpid()} was forked from it. Use the "
                "service in the process that entered it, and call it from others over HTTP; or start processes with "
                "the method 'spawn', and let each enter its own service with its own file."
            )
        return self._api

    async def __aenter__(self) -> Self:
        """Open the service. Everything that it runs sees the context variables that are set now, and not those of later
        callers.

        :raises ApiError: status 503: the file cannot be used, or another process uses it; the message says which
        """
        self._pid = os.getpid()
        with entered(None):  # all variables, except the durable identity if a workflow enters the service
            context = copy_context()
        try:
            await own_tasks.finish(self.api.__aenter__(), context=context, hurry=True)
        except asyncio.CancelledError:
            await own_tasks.finish(self.api.aclose())
            raise
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid == os.getpid():  # a forked process leaves the shutdown to the process that entered
            await own_tasks.finish(self._leave(), hurry=True)

    async def _leave(self) -> None:
        self._cache.drain()
        try:
            await self.api.aclose(grace=self._grace)
        finally:
            await self._cache.aclose()

    def register(
        self,
        function: AnyHandler | PlainFunction,
        *,
        name: str | None = None,
        execution_timeout: timedelta | None = None,
        max_concurrency: int | None = None,
        on_mismatch: OnMismatch = "park",
        cancel_before: timedelta | None = None,
        version: int | None = None,
        pinned: bool = True,
    ) -> None:
        """Register a handler, under its own name or another. Its open executions continue.

        :param function: a durable handler; or a function of ``(event, context)`` that workflows can invoke
        :param execution_timeout: the timeout of each execution; None: the service's
        :param max_concurrency: the maximum number of its invocations at once; None: no limit
        :param on_mismatch: what happens to an execution whose code calls another operation than the recorded one, or
            can no longer read its event. ``"park"``: it is paused, and tried again when the next service registers the
            function, or on :meth:`ExecutionHandle.resume`. ``"fail"``: it fails, as on AWS
        :param cancel_before: how long before the timeout of an execution its workflow is cancelled, so that its
            compensations can run; the execution then ends TIMED_OUT. None: it is not cancelled, and times out at once
        :param version: a number. A handler may be registered once for each version, under the same name; new executions
            begin on the highest version, or on that of the handler that ``start`` gets. None: it has no versions, and
            executions of all versions continue with it
        :param pinned: for a version. True: executions that begin on it continue only with the handler of this version.
            False: they move to the highest version
        :raises TypeError: ``function`` is not a function
        :raises ValueError: the name is taken, or is not a function name; or ``cancel_before`` is not less than the
            timeout
        """
        if not _is_durable(function):
            check_plain_function(function, "register")
        name = name or str(getattr(function, "__name__", ""))
        timeout = None if execution_timeout is None else _seconds(execution_timeout, "execution_timeout")
        if _is_durable(function):
            self.api.register(
                name,
                in_process_handler(self._as_run(function), self.api, cache=self._cache),
                execution_timeout=timeout,
                max_concurrency=max_concurrency,
                on_mismatch=on_mismatch,
                cancel_before=None if cancel_before is None else _seconds(cancel_before, "cancel_before"),
                version=version,
                pinned=pinned,
            )
            known, latest = self._names.get(function, (name, version))
            self._names[function] = known, max(filter(None, (latest, version)), default=None)
        else:
            self.api.register(name, in_process_function(function, self._threads), max_concurrency=max_concurrency)

    def _as_run(self, handler: AnyHandler) -> AnyHandler:
        """Return the handler that runs the invocations."""
        handler = handler.on_clock(self._clock)
        return handler if self._traces is None else handler.with_plugin(self._traces)

    # --- executions ---

    @overload
    async def start(
        self,
        function: DurableHandler[EventT, ResultT],
        event: EventT,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ExecutionHandle[ResultT]: ...
    @overload
    async def start(
        self, function: str, event: Any, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> ExecutionHandle[Any]: ...
    async def start(
        self,
        function: AnyHandler | str,
        event: Any,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ExecutionHandle[Any]:
        """Start an execution, or find the one that was started under ``name`` with the same event.

        When this returns, the execution is recorded: it will run even if this process ends.

        :param function: a registered handler, or the name of one, also with a version: ``"fulfil:2"``
        :param event: of the type that the handler's first parameter declares
        :param name: 1 to 64 letters, digits, hyphens and underscores; None: a new one
        :param tags: up to 50, by which :meth:`executions` finds it. An execution that is found keeps its own
        :raises RuntimeError: the service was not entered
        :raises TypeError: ``function`` is not a durable handler
        :raises LookupError: the handler is not registered
        :raises SerializationError: the event cannot be written
        :raises ApiError: ``DurableExecutionAlreadyStartedException``: the name is taken by an execution with another
            event; others as :meth:`LambdaApi.invoke <durable_async.service.LambdaApi.invoke>`
        """
        known, version = self._place_of(function)
        qualified = known if ":" in known else f"{known}:{version or arns.LATEST}"
        if isinstance(function, str):
            payload = as_json(event, "the execution's input")
        else:
            payload = utf8(function.encode_event(event))
        trace_header = None
        if self._traces is not None:
            from durable_async.otel import header_of_current_span

            trace_header = header_of_current_span()
        started = await self.api.invoke(qualified, payload, execution_name=name, trace_header=trace_header, tags=tags)
        return self._handle(function, started.execution_arn)

    @overload
    async def find(self, function: DurableHandler[Any, ResultT], name: str) -> ExecutionHandle[ResultT] | None: ...
    @overload
    async def find(self, function: str, name: str) -> ExecutionHandle[Any] | None: ...
    async def find(self, function: AnyHandler | str, name: str) -> ExecutionHandle[Any] | None:
        """Return the execution of ``function`` that was started under ``name``; None if there is none."""
        found = await self.api.list_executions(self._name_of(function), execution_name=name, max_items=1)
        return self._handle(function, found.items[0].arn) if found.items else None

    async def fork_history(
        self,
        function: DurableHandler[Any, ResultT] | str,
        history: object,
        *,
        before: str | None = None,
        name: str | None = None,
        event: object = NO_TYPE,
        replace: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ExecutionHandle[ResultT]:
        """Start an execution that continues an exported history, such as one of AWS Lambda; see
        :meth:`ExecutionHandle.fork`.

        :param history: what :func:`durable_async.replay.replay` takes
        :raises ApiError: also ``InvalidParameterValueException``: the history is not complete, or without its data
        """
        started = await self.api.fork_history(
            self._name_of(function),
            history,
            before=before,
            execution_name=name,
            payload=None if event is NO_TYPE else as_json(event, "the execution's input"),
            replace=results_as_json(replace or {}),
            tags=tags,
        )
        return self._handle(function, started.execution_arn)

    def execution(self, arn: str) -> ExecutionHandle[Any]:
        """Return a handle of the execution with this ARN. Its result consists of plain JSON values."""
        return ExecutionHandle(arn, self, _as_json)

    async def executions(
        self,
        function: AnyHandler | str | None = None,
        *,
        statuses: Iterable[str] = (),
        name_prefix: str = "",
        tags: Mapping[str, str] | None = None,
        started_after: datetime | None = None,
        started_before: datetime | None = None,
        oldest_first: bool = False,
    ) -> AsyncGenerator[ExecutionSummary]:
        """Yield the executions of a function, newest first, page by page as they are asked for.

        :param function: only its executions; None: those of all functions
        :param statuses: only these; none: all
        :param name_prefix: only those whose name begins with it
        :param tags: only those with all of these tags
        :param started_after: inclusive, and aware of its time zone, like ``started_before``
        :raises ApiError: ``InvalidParameterValueException``: a status does not exist
        """
        marker: str | None = ""
        while marker is not None:
            page = await self.api.list_executions(
                None if function is None else self._name_of(function),
                statuses=[*statuses],
                name_prefix=name_prefix,
                tags=tags,
                started_after=started_after,
                started_before=started_before,
                reverse=oldest_first,
                marker=marker,
            )
            for summary in page.items:
                yield summary
            marker = page.next_marker

    # --- what external systems answer ---

    async def succeed_callback(self, callback_id: str, result: Any = None) -> None:
        """Complete a callback.

        :param result: is written as JSON. A workflow that gives ``returns=`` reads it as that type; otherwise it gets
            the text. ``bytes`` are sent as they are
        :raises ApiError: ``ResourceNotFoundException``, ``CallbackTimeoutException``,
            ``InvalidParameterValueException``: it is completed already, or the result is too large
        """
        answer = result if isinstance(result, bytes) else as_json(result, "the callback's result")
        await self._running().callback_succeeded(callback_id, answer)

    async def fail_callback(self, callback_id: str, error: ErrorObject | BaseException) -> None:
        """Fail a callback. The workflow that waits for it gets a ``CallbackFailedError``.

        :param error: an exception, whose class name and text are sent, or an error object
        :raises ApiError: as :meth:`succeed_callback`
        """
        if isinstance(error, BaseException):
            error = {"ErrorType": type(error).__name__, "ErrorMessage": message_of(error)}
        await self._running().callback_failed(callback_id, error)

    async def heartbeat_callback(self, callback_id: str) -> None:
        """Report that a callback is still being worked on. Its heartbeat timeout begins again.

        :raises ApiError: as :meth:`succeed_callback`
        """
        await self._running().callback_heartbeat(callback_id)

    # ---

    def _running(self) -> LambdaApi:
        if not self._entered:
            raise RuntimeError("the service is not running: use it in 'async with DurableService(...) as service:'")
        return self.api

    def _name_of(self, function: AnyHandler | str) -> str:
        return self._place_of(function)[0]

    def _place_of(self, function: AnyHandler | str) -> tuple[str, int | None]:
        """Return the name and the version under which a function is registered; None: it has no version."""
        self._running()
        if isinstance(function, str):
            return function, None
        if not _is_durable(function):
            raise TypeError(f"{name_of_callable(function)} is not a durable handler. Put @durable_execution above it")
        place = self._names.get(function)
        if place is None:
            raise LookupError(f"the handler {function!r} is not registered: call service.register(...) first")
        return place

    def _handle(self, function: AnyHandler | str, arn: str) -> ExecutionHandle[Any]:
        return ExecutionHandle(arn, self, _as_json if isinstance(function, str) else function.decode_result)


def _is_durable(function: object) -> TypeGuard[AnyHandler]:
    return isinstance(function, DurableHandler)


def _seconds(duration: timedelta, what: str) -> int:
    seconds = int(duration.total_seconds())
    if duration != timedelta(seconds=seconds) or not timedelta(seconds=1) <= duration <= timedelta(days=366):
        raise ValueError(f"{what} must be 1 second to 366 days, in whole seconds, not {duration}")
    return seconds


async def _as_json(_arn: str, text: str) -> Any:
    return json.loads(text)
