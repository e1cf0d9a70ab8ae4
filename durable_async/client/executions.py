"""What a program does with executions, whichever service keeps them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from typing import Any, Never, TypeGuard, TypeVar, overload

from durable_async._callables import name_of_callable
from durable_async._raised import message_of
from durable_async._wire.operations import ErrorObject
from durable_async.client.api import DurableApi
from durable_async.client.execution import ExecutionHandle, as_json, fork_options
from durable_async.handler import AnyHandler, DurableHandler
from durable_async.serializers import NO_TYPE
from durable_async.service.model import arns
from durable_async.service.runtime.views import ExecutionSummary

EventT = TypeVar("EventT")
ResultT = TypeVar("ResultT")


class Executions(ABC):
    """Starts, finds and lists executions, and answers callbacks.

    ``DurableService`` does so in this process and :class:`~durable_async.client.DurableClient` elsewhere. A function
    that takes ``Executions`` works with both.
    """

    @abstractmethod
    def _api(self) -> DurableApi:
        """Return the service's operations.

        :raises RuntimeError: it cannot be called now
        """

    @abstractmethod
    def _place_of(self, function: AnyHandler | str) -> tuple[str, int | None]:
        """Return the name by which the service knows the function, and the version with which its executions begin;
        None: that in the name, or ``$LATEST``.

        :raises TypeError: the function is not a durable handler
        :raises LookupError: the service does not know the handler
        """

    def _trace_header(self) -> str | None:
        """Return the X-Ray trace header for an execution that is started now; None: no trace."""
        return None

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
        self, function: str, event: object, *, name: str | None = None, tags: Mapping[str, str] | None = None
    ) -> ExecutionHandle[Any]: ...
    async def start(
        self,
        function: DurableHandler[EventT, object] | str,
        event: EventT,
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ExecutionHandle[object]:
        """Start an execution, or find the one that was started under ``name`` with the same event.

        When this returns, the execution is recorded: it will run, whatever happens to this process.

        :param function: a handler, or the name of a function, also with a version: ``"fulfil:2"``
        :param event: of the type that the handler's first parameter declares
        :param name: 1 to 64 letters, digits, hyphens and underscores; None: a new one
        :param tags: up to 50, by which :meth:`executions` finds it. An execution that is found keeps its own. AWS
            Lambda has no tags
        :raises RuntimeError: the service was not entered
        :raises TypeError: the function is not a durable handler
        :raises LookupError: the handler is not registered
        :raises SerializationError: the event cannot be written
        :raises ApiError: ``DurableExecutionAlreadyStartedException``: the name is taken by an execution with another
            event; others as :meth:`LambdaApi.invoke <durable_async.service.LambdaApi.invoke>`
        """
        qualified = _qualified(*self._place_of(function))
        if isinstance(function, str):
            payload = as_json(event, "the execution's input")
        else:
            payload = function.encode_event(event).encode("utf-8", "surrogatepass")
        started = await self._api().invoke(
            qualified,
            payload,
            execution_name=name,
            trace_header=self._trace_header(),
            tags=tags,
        )
        return self._handle(function, started.execution_arn)

    @overload
    async def find(self, function: DurableHandler[Never, ResultT], name: str) -> ExecutionHandle[ResultT] | None: ...
    @overload
    async def find(self, function: str, name: str) -> ExecutionHandle[Any] | None: ...
    async def find(self, function: AnyHandler | str, name: str) -> ExecutionHandle[object] | None:
        """Return the execution of ``function`` that was started under ``name``; None if there is none."""
        found = await self._api().list_executions(self._place_of(function)[0], execution_name=name, max_items=1)
        return self._handle(function, found.items[0].arn) if found.items else None

    async def fork_history(
        self,
        function: DurableHandler[Never, ResultT] | str,
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
        options = fork_options(before, name, event, replace, tags)
        started = await self._api().fork_history(self._place_of(function)[0], history, **options)
        return self._handle(function, started.execution_arn)

    @overload
    def execution(self, arn: str) -> ExecutionHandle[Any]: ...
    @overload
    def execution(self, arn: str, function: DurableHandler[Never, ResultT]) -> ExecutionHandle[ResultT]: ...
    def execution(self, arn: str, function: AnyHandler | None = None) -> ExecutionHandle[object]:
        """Return the execution with this ARN, without asking whether there is one.

        :param function: its handler, as whose declared type the result comes. None: the result comes as JSON values
        """
        return self._handle(function or "", arn)

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

        :param function: None: of all functions, which AWS Lambda does not offer
        :param statuses: only these; none: all
        :param name_prefix: only those whose name begins with it; not on AWS Lambda
        :param tags: only those with all of these tags
        :param started_after: inclusive, and aware of its time zone, as ``started_before``
        :raises ApiError: ``InvalidParameterValueException``: a status is unknown
        """
        marker: str | None = ""
        while marker is not None:
            page = await self._api().list_executions(
                None if function is None else self._place_of(function)[0],
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

    async def succeed_callback(self, callback_id: str, result: object = None) -> None:
        """Complete a callback.

        :param result: written as JSON, which a workflow that says ``returns=`` reads; one that does not say so gets
            the text. ``bytes`` are sent as they are
        :raises ApiError: ``ResourceNotFoundException``, ``CallbackTimeoutException``,
            ``InvalidParameterValueException``: it is completed already, or the result is too large
        """
        answer = result if isinstance(result, bytes) else as_json(result, "the callback's result")
        await self._api().callback_succeeded(callback_id, answer)

    async def fail_callback(self, callback_id: str, error: ErrorObject | BaseException) -> None:
        """Fail a callback; the workflow that waits for it gets a ``CallbackFailedError``.

        :param error: an exception's class name and text are sent, or the members of an error object
        :raises ApiError: as :meth:`succeed_callback`
        """
        if isinstance(error, BaseException):
            error = {"ErrorType": type(error).__name__, "ErrorMessage": message_of(error)}
        await self._api().callback_failed(callback_id, error)

    async def heartbeat_callback(self, callback_id: str) -> None:
        """Report that somebody still works on it: its heartbeat timeout begins again.

        :raises ApiError: as :meth:`succeed_callback`
        """
        await self._api().callback_heartbeat(callback_id)

    def _handle(self, function: AnyHandler | str, arn: str) -> ExecutionHandle[Any]:
        return ExecutionHandle(arn, self._api, _as_json if isinstance(function, str) else function.decode_result)


def check_durable(function: object) -> TypeGuard[AnyHandler]:
    """Return True.

    :raises TypeError: it is not a durable handler
    """
    if isinstance(function, DurableHandler):
        return True
    raise TypeError(f"{name_of_callable(function)} is not a durable handler. Put @durable_execution above it")


def _qualified(function: str, version: int | None) -> str:
    """Return the function with its version, or with ``$LATEST``, unless it has a version or an alias already: Lambda
    starts no execution without one.
    """
    parsed = arns.parse_function(function)
    has_one = parsed is None or parsed.qualifier is not None
    return function if has_one else f"{function}:{version or arns.LATEST}"


async def _as_json(_arn: str, text: str) -> object:
    return json.loads(text)
