"""The durable service as a part of an asyncio program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import timedelta
from os import PathLike, fspath
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeGuard, TypeVar
from uuid import uuid4

from durable_async._arguments import check_plain_function
from durable_async._callables import name_of_callable
from durable_async._counts import checked_count
from durable_async._durations import checked_timedelta
from durable_async._engine.calling import entered
from durable_async._lazy import LazyModule
from durable_async._threads import DEFAULT_THREADS, Threads
from durable_async.client.api import DurableApi
from durable_async.client.executions import Executions, check_durable
from durable_async.client.remote import RemoteApi
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import in_process_handler
from durable_async.embedded.owner_calls import OwnerCalls
from durable_async.handler import AnyHandler, DurableHandler, running_loop
from durable_async.service import own_tasks
from durable_async.service.clock import steady_time
from durable_async.service.functions.base import in_process_function
from durable_async.service.http.takeover import Takeover
from durable_async.service.machine import InvocationRetryPolicy, Limits
from durable_async.service.model.errors import ServiceClosedError
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.registry import OnMismatch
from durable_async.service.runtime.settings import Timing
from durable_async.service.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from opentelemetry import metrics, trace

    from durable_async import otel
else:
    metrics, trace = LazyModule("opentelemetry.metrics"), LazyModule("opentelemetry.trace")
    otel = LazyModule("durable_async.otel")

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

PlainFunction = Callable[[Any, Any], Any]
"""An ordinary function of ``(event, context)``, sync or async: the target of a chained invoke."""


class DurableService(Executions):
    """Runs durable executions in this process, and keeps them in a file. Used as ``async with DurableService(...)``.

    Executions that an earlier service left open continue when their function is registered. At exit, the service begins
    nothing more, waits for running steps, and leaves the rest to the next service.

    The service belongs to the event loop on which it is entered, and is entered once. Only one process at a time can
    use the file.

    :param path: of the SQLite file, made if it is not there, for its owner alone; None or ``":memory:"``: nothing
        outlives the service. SQLite's ``file:`` URIs raise a ``ValueError``
    :param durability: what an answer survives: ``"full"``, the loss of power too; ``"normal"``, the death of the
        process, and not always that of the machine, at less cost
    :param takeover: None: if another service has the file, entering is refused. Otherwise this one stands by and takes
        over when that one ends or dies. Until then every method calls that one, which needs a ``takeover`` too; its
        value is how long a call waits while no service has the file, and should exceed ``grace``
    :param execution_timeout: of the executions of functions registered without one; up to 366 days
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
        takeover: timedelta | None = None,
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
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        new_id: Callable[[], str] = lambda: str(uuid4()),
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        if checked_timedelta("retention", retention) < timedelta(days=1) or retention % timedelta(days=1):
            raise ValueError(f"retention must be a whole number of days, not {retention}")
        store = None
        if path is not None and fspath(path) != ":memory:":
            if fspath(path).startswith("file:"):
                raise ValueError(f"{path} is a URI. Give the plain path of a file, or None for executions in memory")
            store = SqliteStore(path, durability=durability)
        self._threads = Threads(threads)
        self._cache = ExecutionCache(
            checked_count("max_cached_executions", max_cached_executions, 0),
            _not_negative("max_cached_idle", max_cached_idle),
            threads=self._threads,
        )
        self._traces: otel.Traces | None = None
        observer = None
        if tracer_provider is not None or meter_provider is not None:
            observer = otel.ServiceTelemetry(tracer_provider, meter_provider, self._cache)
            if tracer_provider is not None:
                self._traces = otel.Traces(
                    view="execution", tracer_provider=tracer_provider, flush_timeout=timedelta(0)
                )
        self._lambda_api = LambdaApi(
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
        self._takeover: Takeover | None = None
        if takeover is not None:
            if store is None:
                raise ValueError("takeover needs the path of a file, which another service can have")
            patience = _not_negative("takeover", takeover)
            self._takeover = Takeover(self._lambda_api, store.path, self._open, patience=patience)
        self._context = Context()
        self._pid = os.getpid()
        self._entered = self._runs = False
        self._loop: asyncio.AbstractEventLoop | None = None  # on which it was entered
        self._thread = 0  # of that loop
        self._grace = _not_negative("grace", grace)
        self._clock = clock
        self._names: dict[AnyHandler, tuple[str, int | None]] = {}  # with the highest version

    @property
    def api(self) -> LambdaApi:
        """The operations of Lambda's API as methods, with names, bytes and JSON. While this service stands by,
        functions can be registered with it, and it can be mounted; its other methods fail.

        :raises ApiError: status 503: this process was forked from the one that runs the service
        """
        if self._pid != os.getpid():
            raise ServiceClosedError(
                f"This service runs in process {self._pid}, and process {os.getpid()} was forked from it. Use the "
                "service in the process that entered it, and call it from others over HTTP; or start processes with "
                "the method 'spawn', and let each enter its own service with its own file."
            )
        return self._lambda_api

    async def __aenter__(self) -> Self:
        """Open the service. Everything that it runs sees the context variables that are set now, and not those of later
        callers.

        :raises ApiError: status 503: the file cannot be used, or another process uses it; the message says which
        :raises RuntimeError: the service runs already, or has run before
        """
        if self._runs and self._pid == os.getpid():
            raise RuntimeError("the service runs already: enter it once, and pass the entered service to who needs it")
        self._pid = os.getpid()
        with entered(None):  # of all variables but the durable identity of a workflow that enters it
            self._context = copy_context()
        try:
            await (self._open() if self._takeover is None else self._takeover.start())
        except asyncio.CancelledError:
            await own_tasks.finish(self.api.aclose())
            raise
        self._entered = self._runs = True
        self._loop, self._thread = asyncio.get_running_loop(), get_ident()
        return self

    async def _open(self) -> None:
        await own_tasks.finish(self.api.__aenter__(), context=self._context, hurry=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pid == os.getpid():  # a forked process leaves the shutdown to the process that entered
            self._check_loop()
            self._runs = False
            await own_tasks.finish(self._leave(), hurry=True)

    async def _leave(self) -> None:
        if self._takeover is not None:
            await self._takeover.stand_down()
        self._cache.drain()
        try:
            await self.api.aclose(grace=self._grace)
        finally:
            await self._cache.aclose()
            if self._takeover is not None:
                await self._takeover.aclose()

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
        :raises RuntimeError: the service runs, and its event loop does not run here: executions could not continue
        """
        if self._runs and running_loop() is None:
            raise RuntimeError("register needs the service's event loop: call it in a coroutine, or before entering")
        if self._runs:
            self._check_loop()
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

    # --- executions, whose methods are those of every service ---

    def _api(self) -> DurableApi:
        if not self._entered:
            raise RuntimeError("the service does not run: use it in 'async with DurableService(...) as service:'")
        api = self.api
        self._check_loop()
        return api if api.owner is None else RemoteApi(OwnerCalls(api.owner))

    def _check_loop(self) -> None:
        """Check that the service's event loop runs here, or none.

        :raises RuntimeError: another one runs here, or this is another thread
        """
        if self._thread != get_ident() or running_loop() not in (None, self._loop):
            raise RuntimeError(
                "The service belongs to the event loop on which it was entered. Keep that loop for as long as the "
                "service is used: each asyncio.run has a loop of its own, an asyncio.Runner keeps one. From another "
                "thread, use asyncio.run_coroutine_threadsafe(service.start(...), loop).result()."
            )

    def _place_of(self, function: AnyHandler | str) -> tuple[str, int | None]:
        self._api()
        if isinstance(function, str):
            return function, None
        check_durable(function)
        place = self._names.get(function)
        if place is None:
            name = name_of_callable(function)
            raise LookupError(f"the handler {name} is not registered: call service.register({name}) first")
        return place

    def _trace_header(self) -> str | None:
        if self._traces is None:
            return None
        return otel.header_of_current_span()


def _is_durable(function: object) -> TypeGuard[AnyHandler]:
    return isinstance(function, DurableHandler)


def _seconds(duration: timedelta, what: str) -> int:
    checked_timedelta(what, duration)
    if duration % timedelta(seconds=1) or not timedelta(seconds=1) <= duration <= timedelta(days=366):
        raise ValueError(f"{what} must be 1 second to 366 days, in whole seconds, not {duration}")
    return int(duration.total_seconds())


def _not_negative(what: str, duration: timedelta) -> float:
    """Return the duration in seconds."""
    if checked_timedelta(what, duration) < timedelta(0):
        raise ValueError(f"{what} must not be negative, not {duration}")
    return duration.total_seconds()
