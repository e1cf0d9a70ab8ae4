"""The handler: an invocation's envelope in, its answer out."""

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
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from durable_async._arguments import awaitable, check_config, check_context_function
from durable_async._callables import target_of
from durable_async._engine.branches import root_scope
from durable_async._engine.error_objects import error_object
from durable_async._engine.invocation import Invocation
from durable_async._engine.outcomes import Broken, Exited, Failed, Outcome, Returned, Superseded, Suspended
from durable_async._wire.envelope import Envelope, Output, read_envelope
from durable_async._wire.limits import RESPONSE_BYTES
from durable_async._wire.operations import Action, OperationType, OperationUpdate
from durable_async._wire.text import utf8_size
from durable_async.config import StepConfig
from durable_async.context import DurableContext
from durable_async.errors import NotDurableError
from durable_async.serializers import (
    JsonSerializer,
    Serializer,
    SerializerContext,
    deserialize,
    parameter_type,
    resolve_locals,
    return_type,
    serialize,
)
from durable_async.serializers._json.serializer import FOREIGN_JSON
from durable_async.transport.base import DurableServiceClient

if TYPE_CHECKING:
    from durable_async._threads import Threads
    from durable_async.embedded.cache import ExecutionCache
    from durable_async.plugins import PluginSource
    from durable_async.transport.aws import AwsClient

logger: logging.Logger = logging.getLogger("durable_async")

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")

_DEFAULT_STEP = StepConfig()


class DurableHandler(Generic[EventT, ResultT]):
    """A workflow as a function that a durable service invokes. Made by :func:`durable_execution`.

    Called, it is a Lambda handler: it runs each invocation to its end on an event loop that the thread keeps, with a
    client that the process keeps. Embedded in an asyncio program, ``await handler.run(...)`` does the same on the
    running loop.
    """

    durable = True

    def __init__(
        self,
        workflow: Callable[[EventT, DurableContext], Awaitable[ResultT]],
        *,
        serializer: Serializer | None = None,
        step: StepConfig | None = None,
        max_inline_wait: timedelta = timedelta(0),
        plugins: Iterable[PluginSource] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_context_function(workflow, ("event", "ctx"), "@durable_execution")
        self.workflow = workflow
        self._serializer = serializer
        self._step_config = check_config(step, _DEFAULT_STEP, "step=StepConfig(retry_strategy=...)")
        self._max_inline_wait = max_inline_wait.total_seconds()
        self._plugins = _checked(plugins)
        self._clock = clock
        update_wrapper(self, workflow if hasattr(workflow, "__name__") else target_of(workflow).callable)
        self.__wrapped__ = workflow
        if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            from durable_async.transport.aws import preload

            preload()  # in the init phase, which the first invocation does not wait for

    def __repr__(self) -> str:
        return f"<DurableHandler {self._name}>"

    @property
    def _name(self) -> str:
        workflow = target_of(self.workflow).callable
        return f"{workflow.__module__}.{getattr(workflow, '__qualname__', type(workflow).__qualname__)}"

    @cached_property
    def _event_type(self) -> Any:
        return parameter_type(self.workflow)  # not before it is needed: the module may define the class later

    @cached_property
    def _result_type(self) -> Any:
        return return_type(self.workflow)

    def on_clock(self, clock: Callable[[], float]) -> DurableHandler[EventT, ResultT]:
        """The same handler on another clock, as for a test that jumps over waits.

        :param clock: the time in epoch seconds
        """
        handler = copy.copy(self)
        handler._clock = clock  # noqa: SLF001 - of our own kind
        return handler

    def __call__(self, event: Any, lambda_context: Any = None) -> Output:
        """Handle one invocation on an event loop that this thread keeps. This is what the Lambda runtime calls.

        :raises RuntimeError: called while an event loop runs in this thread; await :meth:`run` there
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "a durable handler was called where an event loop runs, which it would block; "
                "use 'await handler.run(event)' there"
            )
        return _own_runner().run(self.run(event, lambda_context=lambda_context), context=contextvars.copy_context())

    def encode_event(self, event: EventT) -> str:
        """The JSON text with which an execution of this handler is started.

        :raises SerializationError: the event cannot be written so that the workflow reads it back
        """
        return JsonSerializer().serialize(event, SerializerContext("", "", "the execution's input", self._event_type))

    async def decode_result(self, execution_arn: str, text: str) -> ResultT:
        """What an execution of this handler returned.

        :param text: as the service keeps it
        :raises SerializationError: the text is not what the handler's serializer reads
        """
        where = SerializerContext(execution_arn, "", "the execution's result", self._result_type)
        result: ResultT = await deserialize(self._serializer, text, where)
        return result

    async def run(
        self,
        event: Any,
        *,
        client: DurableServiceClient | None = None,
        lambda_context: Any = None,
        cache: ExecutionCache | None = None,
        threads: Threads | None = None,
    ) -> Output:
        """Handle one invocation on the running event loop.

        :param event: the envelope that a durable service sends, as plain JSON values
        :param client: how to reach that service; without one, Lambda's endpoint in the environment, through a client
            that is kept for this loop
        :param cache: where the workflow stays in memory when it suspends, and goes on from. Not with plugins
        :param threads: in which sync steps run; None: 64 for all handlers on this event loop
        :return: ``{"Status": "SUCCEEDED" | "FAILED" | "PENDING", ...}``, as plain JSON values
        :raises NotDurableError: the event is no envelope
        :raises ServiceCallError: the service did not answer; the invocation is to be repeated, as Lambda does
        """
        envelope = read_envelope(event)
        if envelope is None:
            raise NotDurableError
        client = client or _aws_client()
        if cache is None:
            return await self._answered(self._invocation(envelope, client, lambda_context, threads=threads), envelope)
        invocation = await cache.take(envelope)
        if invocation is None:
            options = {"may_park": cache.is_open, "threads": threads}
            invocation = self._invocation(envelope, client, lambda_context, **options)
        else:
            invocation.resume(envelope, client, lambda_context)
        with cache.running(invocation):
            return await self._answered(invocation, envelope)

    def _invocation(
        self, envelope: Envelope, client: DurableServiceClient, lambda_context: Any, **options: Any
    ) -> Invocation:
        return Invocation(
            envelope,
            client,
            max_inline_wait=self._max_inline_wait,
            clock=self._clock,
            lambda_context=lambda_context,
            **options,
        )

    async def _answered(self, invocation: Invocation, envelope: Envelope) -> Output:
        async with invocation:
            if self._plugins:
                from durable_async._engine.instrumentation import Instrumentation

                request_id: str | None = getattr(invocation.lambda_context, "aws_request_id", None)
                plugins = Instrumentation(self._plugins, invocation, request_id, envelope.updated_ids)
                outcome = await plugins.observe(lambda: self.outcome(invocation))
            else:
                outcome = await self.outcome(invocation)
        match outcome:
            case Returned(text):
                return Output(Status="SUCCEEDED", Result=text)
            case Failed(error):
                logger.error("%s failed", envelope.execution_arn, exc_info=error)
                return Output(Status="FAILED", Error=error_object(error, of="the execution"))
            case Suspended() | Superseded():
                return Output(Status="PENDING")
            case Broken(error) | Exited(error):
                raise error

    async def outcome(self, invocation: Invocation) -> Outcome:
        """Run the workflow in an invocation, whoever made that. If the workflow returned: the text to answer with."""
        outcome = await invocation.run(lambda payload: self._answer(payload, invocation))
        if not isinstance(outcome, Returned) or utf8_size(json.dumps(outcome.value)) <= RESPONSE_BYTES:
            return outcome
        last = OperationUpdate(
            Id=f"execution-result-{int(self._clock() * 1000)}",
            Type=OperationType.EXECUTION,
            Action=Action.SUCCEED,
            Payload=outcome.value,
        )
        return await invocation.write_last(last) or Returned("")

    async def _answer(self, payload: str | None, invocation: Invocation) -> str:
        context = DurableContext(invocation, self._step_config)
        invocation.workflow.context = context
        where = SerializerContext(context.execution_arn, "", "the execution's input", self._event_type)
        event = FOREIGN_JSON.deserialize(payload if payload and payload.strip() else "{}", where)
        try:
            with root_scope(invocation.workflow):
                result = await awaitable(self.workflow(event, context), "the workflow")
        except (SystemExit, KeyboardInterrupt) as error:
            await invocation.exit(error)
        where = SerializerContext(context.execution_arn, "", "the execution's result", self._result_type)
        return await serialize(self._serializer, result, where)


def _checked(sources: Iterable[PluginSource]) -> tuple[PluginSource, ...]:
    sources = tuple(sources)
    if sources:
        from durable_async._engine.plugin_sources import check_source

        for source in sources:
            check_source(source)
    return sources


@overload
def durable_execution(
    workflow: Callable[[EventT, DurableContext], Coroutine[Any, Any, ResultT]], /
) -> DurableHandler[EventT, ResultT]: ...
@overload
def durable_execution(
    *,
    serializer: Serializer | None = None,
    step: StepConfig | None = None,
    max_inline_wait: timedelta = ...,
    plugins: Iterable[PluginSource] = ...,
) -> Callable[[Callable[[EventT, DurableContext], Coroutine[Any, Any, ResultT]]], DurableHandler[EventT, ResultT]]: ...
def durable_execution(
    workflow: Callable[[EventT, DurableContext], Coroutine[Any, Any, ResultT]] | None = None,
    /,
    *,
    serializer: Serializer | None = None,
    step: StepConfig | None = None,
    max_inline_wait: timedelta = timedelta(0),
    plugins: Iterable[PluginSource] = (),
) -> Any:
    """Make a durable handler of ``async def workflow(event, ctx)``.

    The event is read as the type of the first parameter's annotation: an attrs class, a dataclass, a TypedDict, a
    plain ``dict``. With ``from __future__ import annotations`` too; if the name cannot be found, a warning is logged at
    the first use, and the event is plain JSON.

    :param serializer: writes the workflow's result; JSON without one
    :param step: how those steps are done that are called without a config; None: ``StepConfig()``, which attempts once
    :param max_inline_wait: when nothing can progress and a timer is due within this time, wait for it
        instead of ending the invocation. Zero, the default, always ends it
    :param plugins: told what happens, in this order: objects derived from
        :class:`~durable_async.plugins.DurablePlugin`, each for all invocations, or what makes one for each, such as
        its class
    :raises TypeError: ``workflow`` is no coroutine function of an event and a context, ``step`` is no StepConfig, or
        something among ``plugins`` is neither
    """

    def make(
        workflow: Callable[[EventT, DurableContext], Coroutine[Any, Any, ResultT]], callers: int = 1
    ) -> DurableHandler[EventT, ResultT]:
        handler = DurableHandler(
            workflow, serializer=serializer, step=step, max_inline_wait=max_inline_wait, plugins=plugins
        )
        frame = sys._getframe(callers)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
        resolve_locals(workflow, frame.f_locals)
        return handler

    return make if workflow is None else make(workflow, 2)


class _OwnLoop:
    """An event loop that a thread keeps, for the client's connections belong to it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.runner = asyncio.Runner()
        self._ends_with_the_process = threading.current_thread() is threading.main_thread()

    def close(self) -> None:
        if _aws_client.cache_info().currsize:
            self.runner.run(_aws_client().aclose())
        self.runner.close()

    def __del__(self) -> None:
        if not self._ends_with_the_process and self.pid == os.getpid():
            self.close()


class _Kept(threading.local):
    loop: _OwnLoop | None = None


_kept = _Kept()


def _own_runner() -> asyncio.Runner:
    """Of this thread: two that call handlers at once do not wait for each other. A fork gets its own."""
    if _kept.loop is None or _kept.loop.pid != os.getpid():
        _kept.loop = _OwnLoop()
    return _kept.loop.runner


@cache
def _aws_client() -> AwsClient:
    """The client of this process. It keeps connections for each event loop that uses it."""
    from durable_async.transport.aws import AwsClient

    return AwsClient()
