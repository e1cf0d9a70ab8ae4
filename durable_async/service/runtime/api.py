"""The durable service's commands and queries, with Python values. ``service/http`` writes them as Lambda's JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self, Unpack
from uuid import uuid4

from durable_async._wire.operations import CheckpointResult, ErrorObject, ExecutionState, OperationUpdate
from durable_async.service import machine, own_tasks
from durable_async.service.clock import steady_time
from durable_async.service.computing import compute
from durable_async.service.functions.base import Function
from durable_async.service.machine import (
    Checkpoint,
    InvocationRetryPolicy,
    Limits,
    Source,
)
from durable_async.service.model import arns
from durable_async.service.model.errors import (
    DamagedExecutionError,
    InvalidParameterValueError,
    ResourceConflictError,
)
from durable_async.service.model.history import HistoryEvent, time_of
from durable_async.service.runtime.filters import Filters
from durable_async.service.runtime.finding import Finder
from durable_async.service.runtime.histories import HISTORY_PAGE_BYTES, Histories
from durable_async.service.runtime.inputs import ForkOptions, check_answer, page_length, page_start, read_event
from durable_async.service.runtime.listing import Lists, paged
from durable_async.service.runtime.observing import GuardedObserver, ServiceObserver
from durable_async.service.runtime.registry import FUNCTION_TIMEOUT, OnMismatch, Registered, Registry
from durable_async.service.runtime.runner import Runner
from durable_async.service.runtime.settings import Settings, Timing
from durable_async.service.runtime.starting import Starter
from durable_async.service.runtime.views import (
    Closed,
    Counts,
    ExecutionDescription,
    ExecutionSummary,
    FunctionDescription,
    OpenCallback,
    OwnerAddress,
    Page,
    Started,
    open_callbacks,
)
from durable_async.service.store import Store
from durable_async.service.store.memory import MemoryStore

DAY = 86_400  # seconds


class LambdaApi:
    """Every operation of Lambda's durable API as a method. Used as ``async with LambdaApi() as service:``.

    A function can be named by its name, or by its partial or full ARN, with or without a qualifier. An execution is
    named by its ARN.

    A call that is refused raises an :class:`~durable_async.service.ApiError` and changes nothing. A malformed ARN is
    refused as InvalidParameterValue, an unknown one as ResourceNotFound.

    :param store: where executions are kept; None: in memory. The service closes it
    :param clock: returns the time in epoch seconds. The default is the system's clock, except that it does not go back
        while the process runs. With another clock, call :meth:`fire_due` after moving it
    :param default_execution_timeout: in seconds, for functions that are registered without one
    :param retries: when to repeat an invocation that raised, crashed or ran too long
    :param retention_days: how long a closed execution is kept
    :param max_concurrency: the maximum number of invocations that run at once; None: no limit
    :param passive: True: never invoke a handler, and leave what has to run to the next service on the store.
        False: invoke handlers
    :param observer: is called with what the service does, to measure and to trace it. An error that it raises is logged
        and ignored. None: nothing is measured
    :param new_id: makes the id of an execution, and its name if it is given none. All ids must differ
    :param timing: when the service repeats its own work, and how long it waits at shutdown
    """

    def __init__(
        self,
        *,
        store: Store | None = None,
        clock: Callable[[], float] = steady_time,
        region: str = "us-east-1",
        account: str = "000000000000",
        default_execution_timeout: int = 366 * DAY,
        retries: InvocationRetryPolicy = InvocationRetryPolicy(),  # noqa: B008 - frozen
        retention_days: int = 14,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        max_concurrency: int | None = None,
        passive: bool = False,
        observer: ServiceObserver | None = None,
        new_id: Callable[[], str] = lambda: str(uuid4()),
        timing: Timing = Timing(),  # noqa: B008 - frozen
    ) -> None:
        self._store = MemoryStore() if store is None else store
        self._registry = Registry(region, account)
        guarded = None if observer is None else GuardedObserver(observer)
        self._settings = Settings(clock, retention_days, limits, retries, max_concurrency, passive, guarded, timing)
        self._runner = runner = Runner(self._registry, self._store, self._settings)
        self._commands = commands = runner.commands
        self._find = Finder(self._store, self._registry, runner.retention)
        self._starter = Starter(self._registry, runner, new_id)
        self._histories = Histories(self._store, runner.listeners, commands, self._find)
        self._lists = Lists(self._store, runner.listeners, commands)
        self.passive: bool = passive
        self.owner: OwnerAddress | None = None  # the service to ask instead, while this one stands by
        self._default_execution_timeout = default_execution_timeout

    async def __aenter__(self) -> Self:
        if self.closing:
            raise RuntimeError("A service is entered once. Make a new one for each 'async with'.")
        await self._runner.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, grace: float = 0.0) -> None:
        """Begin nothing more, wait up to ``grace`` seconds for running functions, then cancel them, and wait up to 7
        seconds more until they are gone. Executions stay in the store as they are, and the next service continues
        them.

        This is done completely, even in an anyio scope that is cancelled. A cancellation ends ``grace`` at once, a
        second one ends the rest of the wait; it is raised afterwards.
        """
        await own_tasks.finish(self._runner.aclose(grace), hurry=True)

    @property
    def closing(self) -> bool:
        """Whether the service begins nothing more."""
        return self._commands.draining

    # --- time ---

    def next_due(self) -> float | None:
        """Return the epoch seconds at which :meth:`fire_due` has something to do, at the earliest; None: never."""
        due = self._commands.next_due_ms()
        return None if due is None else due / 1000

    async def fire_due(self) -> None:
        """Do what is due by the clock now. With the wall's clock the service does so by itself."""
        await self._commands.fire_due()
        await self._runner.retention.sweep_if_due()

    def is_idle(self) -> bool:
        """Return whether no function runs and no write is waiting."""
        return self._runner.is_idle and self._store.is_settled()

    async def idle(self) -> None:
        """Return when no function runs: only time, or a call from outside, can then change anything."""
        await self._runner.idle()

    # --- functions ---

    def register(
        self,
        name: str,
        function: Function,
        *,
        execution_timeout: int | None = None,
        function_timeout: int = FUNCTION_TIMEOUT,
        max_concurrency: int | None = None,
        on_mismatch: OnMismatch = "fail",
        cancel_before: int | None = None,
        version: int | None = None,
        pinned: bool = True,
    ) -> None:
        """Make ``function`` known as ``name``. Executions of it that an earlier service left open continue.

        :param execution_timeout: seconds, for each of its durable executions; None: the service's default
        :param function_timeout: seconds, for each invocation; it becomes ``InvocationRequest.deadline_ms``
        :param max_concurrency: the maximum number of its invocations that run at once; None: no limit
        :param on_mismatch: what happens to an execution whose code calls another operation than the recorded one, can
            no longer read its event, or cannot be loaded. ``"fail"``: it fails, as on AWS. ``"park"``: it is paused,
            and tried again when a service registers the function, or when it is resumed
        :param cancel_before: seconds before the timeout of an execution at which its workflow is cancelled, so that its
            compensations can run; the execution then ends TIMED_OUT. None: it is not cancelled
        :param version: a number. The function may be registered once for each version; new executions begin on the
            highest. None: the function has no versions, and executions of all versions continue with it
        :param pinned: of a version. True: executions that begin on it continue when this version is registered. False:
            they move with the highest version
        :raises ValueError: the name is taken, or is not a function name; or ``cancel_before`` is not less than the
            timeout
        """
        timeout = self._default_execution_timeout if execution_timeout is None else execution_timeout
        registered = Registered(
            name,
            self._registry.arn(name, arns.LATEST if version is None else str(version)),
            function,
            timeout,
            function_timeout,
            max_concurrency,
            on_mismatch,
            cancel_before,
            version,
            pinned,
        )
        self._registry.add(registered)
        self._runner.registered(registered)

    def unregistered(self) -> dict[str, int]:
        """Return how many executions an earlier service left open of functions that are not registered yet. Executions
        that are pinned to a version are counted under ``name:version``.
        """
        return self._runner.left()

    def is_durable(self, function_name: str, qualifier: str | None = None) -> bool:
        """Return whether the function is durable.

        :raises ApiError: InvalidParameterValue (also: durable and unqualified, so that no Invoke may name it so),
        ResourceNotFound
        """
        return self._registry.invocable(function_name, qualifier).function.durable

    # --- Invoke ---

    async def invoke(
        self,
        function_name: str,
        payload: bytes,
        *,
        qualifier: str | None = None,
        execution_name: str | None = None,
        tenant_id: str | None = None,
        trace_header: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Started:
        """Start an execution of a durable function, or find the one started under ``execution_name`` with this payload.

        :param payload: the event, JSON; empty stands for ``{}``. The same payload is one that is equal as JSON, in
            whatever order its keys are; an execution keeps the text that it was started with
        :param trace_header: an X-Ray trace header, which every invocation of the execution gets
        :param tags: up to 50, by which lists are filtered. An execution that is found keeps its own. AWS has no
            tags of executions
        :raises ApiError: ResourceNotFound, InvalidParameterValue (unqualified, not durable, bad name),
            InvalidRequestContent (not JSON), RequestTooLarge, AlreadyStarted (the name is taken with another payload)
        """
        registered = self._registry.invocable(function_name, qualifier)
        return await self._starter.invoke(registered, payload, execution_name, tenant_id, trace_header, tags)

    async def fork(self, arn: str, **options: Unpack[ForkOptions]) -> Started:
        """Start an execution of the same function with the record of another up to an operation; see ``machine.fork``.
        AWS has no such operation.

        :param options: see :class:`~durable_async.service.ForkOptions`
        :raises ApiError: ResourceNotFound, InvalidParameterValue, AlreadyStarted (the name is taken)
        """
        execution = await self._find.execution(arn)
        history = await self._histories.read(execution, 1, execution.event_count)
        registered = self._registry.named(execution.function_name)
        made = partial(Source.of, execution.arn, {**execution.by_id}, history)
        source = await compute(made, light=machine.is_light(history))
        return await self._starter.fork(registered, source, options)

    async def fork_history(self, function_name: str, history: object, **options: Unpack[ForkOptions]) -> Started:
        """Do the same as :meth:`fork` from an exported history, such as one of AWS Lambda.

        :param history: the answers of ``GetDurableExecutionHistory`` with their data, as JSON values, or a list of
            :class:`~durable_async.service.HistoryEvent`
        :raises ApiError: also InvalidParameterValue (the history is not complete)
        """
        registered = self._registry.named(function_name)
        source = await compute(partial(Source.exported, history))
        return await self._starter.fork(registered, source, options)

    async def wait(self, execution_arn: str) -> Closed:
        """Wait for the end of the execution, and return how it ended. Cancelling this leaves the execution alone.

        :raises ServiceClosedError: the service ends before
        """
        execution = await self._find.execution(execution_arn)
        return await self._runner.closed(execution)

    async def invoke_plain(
        self,
        function_name: str,
        payload: bytes,
        *,
        qualifier: str | None = None,
        tenant_id: str | None = None,
        trace_header: str | None = None,
    ) -> object:
        """Invoke a function that is not durable, once, and return its answer, a JSON value. Cancelling this leaves the
        function running.

        :raises InvocationFailed: it raised, crashed or ran too long
        :raises ApiError: as :meth:`invoke`; ServiceClosed (the service ends before)
        """
        registered, event = await self._plain(function_name, payload, qualifier)
        return await self._runner.invoke_plain(registered, event, tenant_id, trace_header)

    async def invoke_event(
        self,
        function_name: str,
        payload: bytes,
        *,
        qualifier: str | None = None,
        tenant_id: str | None = None,
        trace_header: str | None = None,
    ) -> None:
        """Invoke a function like :meth:`invoke_plain`, without waiting. If it fails, this is logged."""
        registered, event = await self._plain(function_name, payload, qualifier)
        self._runner.invoke_event(registered, event, tenant_id, trace_header)

    async def _plain(self, function_name: str, payload: bytes, qualifier: str | None) -> tuple[Registered, object]:
        registered = self._registry.invocable(function_name, qualifier)
        if registered.function.durable:
            raise InvalidParameterValueError(f"The function {registered.name} is durable.")
        _, event = await read_event(payload)
        return registered, event

    # --- what a running invocation calls ---

    async def checkpoint(
        self, arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str | None = None
    ) -> CheckpointResult:
        """Record ``updates``, all or none; see ``machine.checkpoint``.

        :param updates: their members have the types, lengths and ranges of the service model; those of a request over
            HTTP are checked before
        :raises InvalidParameterValueError: also for an unknown execution, which the model gives no other error
        """
        execution = await self._find.invoked_execution(arn)
        call = Checkpoint(token, updates, client_token)
        return await self._commands.command(execution, partial(machine.checkpoint, execution, call, self._registry))

    async def get_state(self, arn: str, token: str, marker: str | None = None, max_items: int = 0) -> ExecutionState:
        """Return a page of the record; see ``machine.state_page``.

        :param max_items: 0 to 1000; 0: 100
        :raises InvalidParameterValueError: as :meth:`checkpoint`, or the marker is not good
        """
        execution = await self._find.invoked_execution(arn)
        stored = await self._commands.stored(execution.id) or execution
        return machine.state_page(stored, token, marker, page_length(max_items), self._settings.limits)

    # --- what operators call ---

    async def stop(self, arn: str, error: ErrorObject | None = None) -> datetime:
        """Close an execution as STOPPED, and return when it was closed. One that is closed already stays as it is."""
        execution = await self._find.execution(arn)
        ended_ms = await self._commands.command(execution, lambda at: machine.stop(execution, error, at))
        return time_of(ended_ms * 1000)

    async def pause(self, arn: str, *, reason: str | None = None, timeout_paused: bool = True) -> None:
        """Let no handler of the execution be invoked until it is resumed.

        :param timeout_paused: True: the execution's timeout grows by the length of the pause. False: it stays
        :raises ApiError: ResourceConflict (it is closed, or paused already), InvalidParameterValue (the reason is too
            long)
        """
        execution = await self._find.execution(arn)
        await self._commands.command(
            execution, lambda at: machine.pause(execution, reason, at, timeout_paused=timeout_paused)
        )

    async def resume(self, arn: str, *, reason: str | None = None) -> None:
        """End a pause.

        :raises ApiError: ResourceConflict (the execution is not paused), InvalidParameterValue (the reason is too long)
        """
        execution = await self._find.execution(arn)
        await self._commands.command(execution, lambda at: machine.resume(execution, reason, at))

    async def cancel(self, arn: str, *, reason: str | None = None) -> None:
        """Ask the workflow to end; see ``machine.cancel``. AWS has no such operation.

        :raises ApiError: ResourceConflict (the execution is closed), InvalidParameterValue (the reason is too long)
        """
        execution = await self._find.execution(arn)
        await self._commands.command(execution, lambda at: machine.cancel(execution, reason, at))

    async def redrive(self, arn: str, *, start: str | None = None) -> datetime:
        """Let a closed execution continue from what succeeded, and return the time; see ``machine.redrive``. AWS has no
        such operation.

        :param start: name or id of the operation from which to run again; None: the operations that failed
        :raises ApiError: ResourceConflict (the execution is open or succeeded), InvalidParameterValue (``start``)
        """
        found = await self._find.execution(arn)
        execution = await self._commands.stored(found.id) or found  # its end must be told before it is taken back
        await self._commands.command(execution, lambda at: machine.redrive(execution, start, at))
        return time_of(self._settings.now_ms() * 1000)

    async def delete(self, arn: str) -> datetime:
        """Delete an execution that is closed, or damaged, and return the time. Its name is free at once.

        :raises ResourceConflictError: it is not closed
        """
        try:
            execution = await self._commands.stored((await self._find.execution(arn)).id)
        except DamagedExecutionError as damaged:  # whatever its status is, it cannot continue
            await self._runner.delete(damaged.execution_id)
        else:
            if execution is not None:  # otherwise another call has deleted it
                if execution.open:
                    raise ResourceConflictError(
                        f"The execution is {execution.status} and cannot be deleted. Stop it first."
                    )
                await self._runner.delete(execution.id)
        return time_of(self._settings.now_ms() * 1000)

    # --- what external systems call ---

    async def callback_succeeded(self, callback_id: str, result: bytes) -> None:
        """End a callback with a result.

        :param result: UTF-8; empty: no result
        :raises ApiError: InvalidParameterValue (malformed, completed already, too large, or not what the workflow can
            read; then the callback stays open), ResourceNotFound, CallbackTimeout
        """
        execution = await self._find.waiting_execution(callback_id)
        schema = machine.answer_schema(execution, callback_id)
        if schema is not None:
            await check_answer(result, schema)
        await self._commands.command(
            execution, lambda at: machine.callback_succeeded(execution, callback_id, result, at)
        )

    async def callback_failed(self, callback_id: str, error: ErrorObject | None = None) -> None:
        """End a callback with an error.

        :raises ApiError: as :meth:`callback_succeeded`
        """
        execution = await self._find.waiting_execution(callback_id)
        await self._commands.command(
            execution, lambda at: machine.callback_failed(execution, callback_id, error or {}, at)
        )

    async def callback_heartbeat(self, callback_id: str) -> None:
        """Restart the heartbeat timer of a callback.

        :raises ApiError: as :meth:`callback_succeeded`
        """
        execution = await self._find.waiting_execution(callback_id)
        await self._commands.command(execution, lambda at: machine.callback_heartbeat(execution, callback_id, at))

    # --- queries ---

    async def get_execution(self, arn: str, *, wait_seconds: float = 0) -> ExecutionDescription:
        """Return the execution as it is stored now.

        :param wait_seconds: more than 0: if it is open, wait up to this long for its end. 0: do not wait
        """
        if wait_seconds and not self.passive:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._runner.closed(await self._find.execution(arn))
        now = await self._described(arn)
        while True:
            before = now
            await self._store.barrier()
            now = await self._described(arn)
            if now == before:  # otherwise something could not be stored, and has not happened
                return now

    async def _described(self, arn: str) -> ExecutionDescription:
        return ExecutionDescription.of(await self._find.execution(arn), self._settings.retention_days)

    async def get_history(
        self,
        arn: str,
        *,
        marker: str | None = None,
        max_items: int = 0,
        reverse: bool = False,
        page_bytes: int | None = HISTORY_PAGE_BYTES,
        wait_seconds: float = 0,
    ) -> Page[HistoryEvent]:
        """Return a page of the history.

        :param marker: of the page before; None or empty: the first page
        :param max_items: 0 to 1000; 0: 100
        :param reverse: True: newest first. False: oldest first
        :param page_bytes: the maximum size of the page, except that it has at least one event; None: any size
        :param wait_seconds: more than 0: if the page would be empty, wait up to this long for its first event; and the
            last page of an open execution has a marker too, of the events that are still to come. 0: do not wait. A
            passive service does not wait, since it does not hear of what another process writes
        """
        execution = await self._find.execution(arn)
        count, first = page_length(max_items), page_start(marker)
        if wait_seconds and not reverse and not self.passive:
            return await self._histories.awaited_page(execution, first or 1, count, page_bytes, wait_seconds)
        if first is None:
            first = execution.event_count if reverse else 1
        return await self._histories.page(execution, first, count, page_bytes, reverse=reverse)

    def events(self, arn: str, *, after: int = 0) -> AsyncGenerator[HistoryEvent]:
        """Yield the events of an execution while they happen, until the execution is closed.

        :param after: the id of the last event that is not wanted; 0: all are wanted
        :raises ServiceClosedError: the service ends before
        """
        return self._histories.events(arn, after)

    async def list_executions(
        self,
        function_name: str | None = None,
        *,
        qualifier: str | None = None,
        reverse: bool = False,
        marker: str | None = None,
        max_items: int = 0,
        **filters: Unpack[Filters],
    ) -> Page[ExecutionSummary]:
        """Return a page of the executions of a function, or of all functions.

        :param function_name: a registered function, or one that has stored executions; None: all of them
        :param reverse: True: oldest first. False: newest first. This is the opposite of what it means for a history
        :param marker: of the page before; None or empty: the first page
        :param max_items: 0 to 1000; 0: 100
        :param filters: which executions; see :class:`~durable_async.service.Filters`
        :raises ApiError: ResourceNotFound (the function), InvalidParameterValue
        """
        query = await self._find.query(function_name, qualifier, filters)
        return await self._lists.page(paged(query, marker, max_items, oldest_first=reverse), include_waiting_for=False)

    async def watch_executions(
        self,
        function_name: str | None = None,
        *,
        qualifier: str | None = None,
        reverse: bool = False,
        marker: str | None = None,
        max_items: int = 0,
        include_waiting_for: bool = False,
        wait_seconds: float = 0,
        known_digest: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page[ExecutionSummary]:
        """Do the same as :meth:`list_executions` for callers that follow what happens. AWS has no such operation.

        :param include_waiting_for: True: open executions have ``details``, for which their operations are read. False:
            they have none
        :param wait_seconds: more than 0: the page has a digest, and is returned as soon as that is another one than
            ``known_digest``, or after this time. 0: do not wait. A passive service does not wait, since it does not
            hear of what another process writes
        :param known_digest: of the page that the caller has; None: it has none
        """
        query = paged(
            await self._find.query(function_name, qualifier, filters), marker, max_items, oldest_first=reverse
        )
        if not wait_seconds or self.passive:
            return await self._lists.page(query, include_waiting_for=include_waiting_for)
        return await self._lists.changed(query, known_digest, wait_seconds, include_waiting_for=include_waiting_for)

    async def count_executions(
        self, function_name: str | None = None, *, qualifier: str | None = None, **filters: Unpack[Filters]
    ) -> Counts:
        """Return how many executions each function has in each status, as :meth:`list_executions` would list them. A
        function without any is left out.
        """
        return await self._lists.counts(await self._find.query(function_name, qualifier, filters))

    async def list_callbacks(self, arn: str) -> list[OpenCallback]:
        """Return the open callbacks of an execution, in the order in which they began. AWS has no such operation."""
        return open_callbacks(await self._find.execution(arn))

    async def list_functions(self) -> list[FunctionDescription]:
        """Return the functions that are registered or that have stored executions, ordered by name."""
        return [
            FunctionDescription(name, self._registry.arn(name), timeout, self._settings.retention_days)
            for name, timeout in sorted((await self._find.functions(self._default_execution_timeout)).items())
        ]
