"""Handlers: they read the envelope of an invocation, run the workflow and return the answer."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from functools import cache, cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Generic, Never, TypeAlias, TypeVar, overload

import durable_async  # names in annotations: the package imports what it is asked for
from durable_async._arguments import awaitable, check_config, check_context_function
from durable_async._callables import name_of_callable, target_of
from durable_async._engine.calling import root_scope
from durable_async._engine.invocation import Invocation
from durable_async._engine.limits import DEFAULT_LIMITS, EngineLimits
from durable_async._engine.outcomes import Broken, Exited, Failed, Outcome, Returned, Superseded, Suspended
from durable_async._lazy import LazyModule
from durable_async._wire.envelope import Envelope, Output, read_envelope
from durable_async._wire.limits import RESPONSE_BYTES
from durable_async._wire.operations import Action, OperationType, OperationUpdate
from durable_async.config import StepConfig
from durable_async.context import DurableContext
from durable_async.errors import EventError, NotDurableError, SerializationError
from durable_async.logs import log_failure, log_on_lambda
from durable_async.serializers import JsonSerializer, Serializer, SerializerContext
from durable_async.serializers._json.annotations import parameter_type, resolve_locals, return_type
from durable_async.serializers._json.serializer import FOREIGN_JSON, deserialize, serialize

if TYPE_CHECKING:
    from durable_async import _threads, transport
else:
    _threads, transport = LazyModule("durable_async._threads"), LazyModule("durable_async.transport")

logger: logging.Logger = logging.getLogger("durable_async")

EventT = TypeVar("EventT")
EventT_contra = TypeVar("EventT_contra", contravariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

_Workflow: TypeAlias = Callable[[EventT, DurableContext], Coroutine[Any, Any, ResultT]]

_DEFAULT_STEP = StepConfig()


class DurableHandler(Generic[EventT_contra, ResultT_co]):
    """A workflow as a function that a durable service invokes. Made by :func:`durable_execution`.

    Lambda calls it: it runs each invocation to its end on an event loop that the thread keeps, with a client that the
    process keeps. In an asyncio program, ``await handler.run(...)`` does the same on the running loop.
    """

    durable = True

    def __init__(
        self,
        workflow: Callable[[EventT_contra, DurableContext], Awaitable[ResultT_co]],
        *,
        serializer: Serializer | None = None,
        step: StepConfig | None = None,
        max_inline_wait: timedelta = timedelta(0),
        plugins: Iterable[durable_async.PluginSource] = (),
        limits: EngineLimits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_context_function(workflow, ("event", "ctx"), "@durable_execution")
        if type(limits) is not EngineLimits:
            raise TypeError(f"limits must be EngineLimits(...), not {limits!r}")
        self.workflow = workflow
        self._serializer = serializer
        self._step_config = check_config(step, _DEFAULT_STEP, "step=StepConfig(retry_strategy=...)")
        self._max_inline_wait = max_inline_wait.total_seconds()
        self._plugins = _checked(plugins)
        self._limits = limits
        self._clock = clock
        update_wrapper(self, workflow if hasattr(workflow, "__name__") else target_of(workflow).callable)
        self.__wrapped__ = workflow
        if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            transport.preload()  # in the init phase, which the first invocation does not wait for
            log_on_lambda(os.environ)

    def __repr__(self) -> str:
        return f"<DurableHandler {self._name}>"

    @property
    def _name(self) -> str:
        workflow = target_of(self.workflow).callable
        return f"{workflow.__module__}.{getattr(workflow, '__qualname__', type(workflow).__qualname__)}"

    @cached_property
    def _event_type(self) -> object:
        return parameter_type(self.workflow)  # not before it is needed: the module may define the class later

    @cached_property
    def _result_type(self) -> object:
        return return_type(self.workflow)

    def on_clock(self, clock: Callable[[], float]) -> DurableHandler[EventT_contra, ResultT_co]:
        """Return the same handler on another clock, for example for a test that skips waits.

        :param clock: returns the time in epoch seconds
        """
        handler = copy.copy(self)
        handler._clock = clock  # noqa: SLF001 - of the same class
        return handler

    def with_plugin(self, source: durable_async.PluginSource) -> DurableHandler[EventT_contra, ResultT_co]:
        """Return the same handler with a further plugin, unless it has one of this type already."""
        handler = copy.copy(self)
        if not any(type(each) is type(source) for each in self._plugins):
            handler._plugins = _checked((*self._plugins, source))  # noqa: SLF001 - of the same class
        return handler

    def __call__(self, event: object, lambda_context: object = None) -> Output:
        """Handle one invocation on an event loop that this thread keeps. This is what the Lambda runtime calls.

        :raises RuntimeError: called while an event loop runs in this thread; await :meth:`run` there
        """
        if running_loop() is not None:
            raise RuntimeError(
                f"the durable handler {name_of_callable(self)} was called where an event loop runs, which it would "
                "block. To start an execution, call service.start(handler, event) or, in a workflow, ctx.invoke(name, "
                "event); to handle an invocation of a service, await handler.run(event)"
            )
        own = _own_loop()
        try:
            return own.runner.run(self.run(event, lambda_context=lambda_context), context=contextvars.copy_context())
        except (SystemExit, KeyboardInterrupt):
            # Or the process would wait for ever for threads that wait for a task of this loop to end.
            own.wind_down(self._limits.clean_up)
            raise

    def encode_event(self, event: EventT_contra) -> str:
        """Return the JSON text with which an execution of this handler is started.

        :raises SerializationError: the event cannot be written so that the workflow reads it back
        """
        return JsonSerializer().serialize(event, SerializerContext("", "", "the execution's input", self._event_type))

    async def decode_result(self, execution_arn: str, text: str) -> ResultT_co:
        """Return the result of an execution of this handler.

        :param text: the result as the service keeps it
        :raises SerializationError: the text is not what the handler's serializer reads
        """
        where = SerializerContext(execution_arn, "", "the execution's result", self._result_type)
        result: ResultT_co = await deserialize(self._serializer, text, where)
        return result

    async def run(
        self,
        event: object,
        *,
        client: transport.DurableServiceClient | None = None,
        lambda_context: object = None,
    ) -> Output:
        """Handle one invocation on the running event loop.

        :param event: the envelope that a durable service sends, as plain JSON values
        :param client: calls that service. None: a client of Lambda's endpoint in the environment, which this process
            keeps
        :return: ``{"Status": "SUCCEEDED" | "FAILED" | "PENDING", ...}``, as plain JSON values
        :raises NotDurableError: the event is not an envelope
        :raises ServiceCallError: the service did not answer, so the invocation must be repeated. Lambda does so
        """
        envelope = envelope_of(event)
        return await self.answer(self.invocation(envelope, client or _aws_client(), lambda_context), envelope)

    # --- for this package's own services, which keep invocations in memory ---

    def invocation(
        self,
        envelope: Envelope,
        client: transport.DurableServiceClient,
        lambda_context: object,
        *,
        may_cache: Callable[[], bool] = lambda: False,
        threads: _threads.Threads | None = None,
    ) -> Invocation:
        """Return an invocation of the workflow that replays the record in ``envelope``.

        :param may_cache: whether the workflow may stay in memory when nothing can continue
        :param threads: in which sync steps run; None: 64 for all handlers on this event loop
        """
        return Invocation(
            envelope,
            client,
            max_inline_wait=self._max_inline_wait,
            clock=self._clock,
            lambda_context=lambda_context,
            may_cache=may_cache,
            threads=threads,
            limits=self._limits,
        )

    async def answer(self, invocation: Invocation, envelope: Envelope) -> Output:
        """Run the workflow in ``invocation``, new or resumed, and return what :meth:`run` returns."""
        async with invocation:
            if self._plugins:
                from durable_async._engine.instrumentation import Instrumentation

                plugins = Instrumentation(self._plugins, invocation, envelope.updated_ids)
                outcome = await plugins.observe(lambda: self.outcome(invocation))
            else:
                outcome = await self.outcome(invocation)
        match outcome:
            case Returned(text):
                return Output(Status="SUCCEEDED", Result=text)
            case Failed(error):
                from durable_async._engine.error_objects import error_object  # most invocations record no error

                log_failure(envelope.execution_arn, error)
                return Output(Status="FAILED", Error=error_object(error, of="the execution"))
            case Suspended() | Superseded():
                return Output(Status="PENDING")
            case Broken(error) | Exited(error):
                raise error

    async def outcome(self, invocation: Invocation) -> Outcome:
        """Run the workflow in ``invocation`` and return how it ended. The value of ``Returned`` is the text of the
        answer."""
        outcome = await invocation.run(lambda payload: self._answer(payload, invocation))
        if not isinstance(outcome, Returned) or _fits(outcome.value):
            return outcome
        last = OperationUpdate(
            Id=f"execution-result-{int(self._clock() * 1000)}",
            Type=OperationType.EXECUTION,
            Action=Action.SUCCEED,
            Payload=outcome.value,
        )
        return await invocation.write_last(last) or Returned("")

    async def _answer(self, payload: str | None, invocation: Invocation) -> str:
        context = DurableContext(invocation.journal, self._step_config)
        invocation.journal.workflow.context = context
        where = SerializerContext(context.execution_arn, "", "the execution's input", self._event_type)
        try:
            event = FOREIGN_JSON.deserialize(payload if payload and payload.strip() else "{}", where)
        except SerializationError as error:
            raise EventError(error.operation, error.reason) from error.__cause__
        try:
            with root_scope(invocation.journal.workflow):
                result = await awaitable(self.workflow(event, context), "the workflow")
        except (SystemExit, KeyboardInterrupt) as error:
            await invocation.journal.exit(error)
        where = SerializerContext(context.execution_arn, "", "the execution's result", self._result_type)
        return await serialize(self._serializer, result, where)


def _fits(text: str) -> bool:
    """Return whether an answer may hold the text, as JSON within JSON, in which a character takes up to 12 bytes."""
    return len(text) * 12 <= RESPONSE_BYTES or len(json.dumps(text)) <= RESPONSE_BYTES


AnyHandler: TypeAlias = DurableHandler[Never, object]
"""A handler of any event and any result."""


def envelope_of(event: object) -> Envelope:
    """Return the envelope in ``event``.

    :raises NotDurableError: the event is not an envelope
    """
    envelope = read_envelope(event)
    if envelope is None:
        raise NotDurableError
    return envelope


def _checked(sources: Iterable[durable_async.PluginSource]) -> tuple[durable_async.PluginSource, ...]:
    sources = tuple(sources)
    if sources:
        from durable_async._engine.plugin_sources import check_sources

        check_sources(sources)
    return sources


@overload
def durable_execution(workflow: _Workflow[EventT, ResultT], /) -> DurableHandler[EventT, ResultT]: ...
@overload
def durable_execution(
    *,
    serializer: Serializer | None = None,
    step: StepConfig | None = None,
    max_inline_wait: timedelta = ...,
    plugins: Iterable[durable_async.PluginSource] = ...,
    limits: EngineLimits = ...,
) -> Callable[[_Workflow[EventT, ResultT]], DurableHandler[EventT, ResultT]]: ...
def durable_execution(
    workflow: _Workflow[EventT, ResultT] | None = None,
    /,
    *,
    serializer: Serializer | None = None,
    step: StepConfig | None = None,
    max_inline_wait: timedelta = timedelta(0),
    plugins: Iterable[durable_async.PluginSource] = (),
    limits: EngineLimits = DEFAULT_LIMITS,
) -> object:
    """Make ``async def workflow(event, ctx)`` a durable handler.

    The event is read as the type of the first parameter's annotation: an attrs class, a dataclass, a TypedDict or a
    plain ``dict``. This works with ``from __future__ import annotations`` too. If the name cannot be found, the first
    use logs a warning, and the event is plain JSON.

    :param serializer: writes the workflow's result. None: JSON
    :param step: the config of steps that are called without one. None: ``StepConfig()``, which attempts once
    :param max_inline_wait: if no task can continue and a timer is due within this time, wait for it instead of ending
        the invocation. Zero, the default, always ends the invocation
    :param plugins: notified in this order. An entry is an object derived from
        :class:`~durable_async.plugins.DurablePlugin`, which serves all invocations, or a function that makes one for
        each invocation, such as the class
    :param limits: how long an invocation waits, and how often it tries again
    :raises TypeError: ``workflow`` is not a coroutine function of an event and a context, ``step`` is not a StepConfig,
        ``limits`` is not EngineLimits, or an entry of ``plugins`` is neither a plugin nor callable
    """

    def make(workflow: _Workflow[EventT, ResultT], callers: int = 1) -> DurableHandler[EventT, ResultT]:
        handler = DurableHandler(
            workflow, serializer=serializer, step=step, max_inline_wait=max_inline_wait, plugins=plugins, limits=limits
        )
        frame = sys._getframe(callers)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
        resolve_locals(workflow, frame.f_locals)
        return handler

    return make if workflow is None else make(workflow, 2)


class _OwnLoop:
    """An event loop that a thread keeps, because the client's connections belong to it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.runner = asyncio.Runner()
        self._ends_with_the_process = threading.current_thread() is threading.main_thread()

    def close(self) -> None:
        if _aws_client.cache_info().currsize:
            self.runner.run(_aws_client().aclose())
        self.runner.close()

    def wind_down(self, seconds: float) -> None:
        """Cancel the tasks that an exception left when it stopped the loop, and wait until they and what waits for
        their end, such as idle worker threads, have ended, or ``seconds`` are over. The loop can be used again."""
        loop = self.runner.get_loop()
        while True:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            try:
                loop.run_until_complete(asyncio.wait(tasks, timeout=seconds) if tasks else asyncio.sleep(0))
            except (SystemExit, KeyboardInterrupt):
                continue  # a task that ends with one of these stops the loop again
            return

    def __del__(self) -> None:
        if not self._ends_with_the_process and self.pid == os.getpid():
            self.close()


class _Kept(threading.local):
    loop: _OwnLoop | None = None


_kept = _Kept()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _own_loop() -> _OwnLoop:
    """Return the loop of this thread: threads that call handlers do not wait for each other. A fork gets its own."""
    if _kept.loop is None or _kept.loop.pid != os.getpid():
        _kept.loop = _OwnLoop()
    return _kept.loop


@cache
def _aws_client() -> transport.AwsClient:
    """Return the client of this process. It keeps connections for each event loop that uses it."""
    return transport.AwsClient()
