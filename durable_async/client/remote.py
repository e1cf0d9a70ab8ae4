"""The operations of Lambda's durable API over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager
from typing import Unpack
from urllib.parse import urlencode
from uuid import uuid4

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import JsonObject
from durable_async.client import reading
from durable_async.client.calls import Calls
from durable_async.errors import HistoryError, ServiceCallError
from durable_async.service.http.rendering import event_json
from durable_async.service.machine import ExecutionStatus
from durable_async.service.model.errors import InvalidParameterValueError, refusal
from durable_async.service.model.exported import read_event, read_history
from durable_async.service.model.history import HistoryEvent
from durable_async.service.runtime.filters import Filters
from durable_async.service.runtime.inputs import ForkOptions
from durable_async.service.runtime.views import (
    Closed,
    ExecutionDescription,
    ExecutionSummary,
    OpenCallback,
    Page,
    Started,
)
from durable_async.transport.base import MISCONFIGURED, NO_SERVICE

_NOT_ON_AWS = frozenset({ExecutionStatus.PAUSING, ExecutionStatus.PAUSED})


@attrs.frozen
class RemoteApi:
    """Implements :class:`~durable_async.client.api.DurableApi` by calling a service.

    Every method raises :class:`~durable_async.service.ApiError` if the service refuses the call, and
    :class:`~durable_async.ServiceCallError` if no answer comes or no request can be made.
    """

    calls: Calls

    async def invoke(
        self,
        function_name: str,
        payload: bytes,
        *,
        execution_name: str | None = None,
        trace_header: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Started:
        """Start an execution, or find the one that was started under ``execution_name`` with this payload.

        :raises InvalidParameterValueError: the function is not durable; it was invoked
        """
        self._not_on_aws(tags=tags)
        answer = await self._call(
            "Invoke",
            FunctionName=function_name,
            InvocationType="Event",
            DurableExecutionName=execution_name or str(uuid4()),  # so that a repeated request does not start two
            TraceHeader=trace_header,
            Tags=urlencode(tags) if tags else None,
            Payload=payload,
        )
        if not answer.get("DurableExecutionArn"):
            raise InvalidParameterValueError(f"{function_name} is not durable, and was only invoked.")
        return Started(answer["DurableExecutionArn"], answer.get("ExecutedVersion") or "")

    async def wait(self, execution_arn: str) -> Closed:
        """Return how the execution ended, once it has."""
        with _refusals():
            return reading.closed(await self.calls.closed(execution_arn))

    async def get_execution(self, arn: str) -> ExecutionDescription:
        """Return the execution as it is stored now."""
        with _refusals():
            return reading.description(await self.calls.execution(arn))

    async def get_history(self, arn: str, *, marker: str | None = None, max_items: int = 0) -> Page[HistoryEvent]:
        """Return a page of the history, oldest first.

        :param marker: of the page before; None or empty: the first page
        :param max_items: 0 to 1000; 0: as many as the service chooses
        """
        operation = "GetDurableExecutionHistory"
        answer = await self._call(
            operation,
            DurableExecutionArn=arn,
            IncludeExecutionData=True,
            Marker=marker or None,
            MaxItems=max_items or None,
        )
        events = self.calls.required(answer, "Events", operation)
        return Page([read_event(event) for event in events], answer.get("NextMarker") or None)

    async def events(self, arn: str, *, after: int = 0) -> AsyncGenerator[HistoryEvent]:
        """Yield the events of an execution while they happen, until the execution is closed.

        :param after: the id of the last event that is not wanted; 0: all are wanted
        """
        with _refusals():
            async for event in self.calls.follow(arn, after=after):
                yield read_event(event)

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

        :param function_name: a name or an ARN; None: all functions, which AWS does not offer
        :param reverse: True: oldest first. False: newest first
        :param filters: which executions; see :class:`~durable_async.service.Filters`
        """
        self._not_on_aws(
            tags=filters.get("tags"),
            name_prefix=filters.get("name_prefix"),
            executions_of_all_functions=function_name is None,
        )
        operation = "ListDurableExecutions" if function_name is None else "ListDurableExecutionsByFunction"
        statuses = filters.get("statuses", ())
        known = [status for status in statuses if not (self.calls.on_aws and status in _NOT_ON_AWS)]
        if statuses and not known:
            return Page([])
        answer = await self._call(
            operation,
            FunctionName=function_name,
            Qualifier=qualifier,
            DurableExecutionName=filters.get("execution_name"),
            NamePrefix=filters.get("name_prefix") or None,
            Statuses=known or None,
            Tags=[f"{key}={value}" for key, value in (filters.get("tags") or {}).items()] or None,
            StartedAfter=filters.get("started_after"),
            StartedBefore=filters.get("started_before"),
            ReverseOrder=reverse or None,
            Marker=marker or None,
            MaxItems=max_items or None,
        )
        found = self.calls.required(answer, "DurableExecutions", operation)
        return Page([reading.summary(each) for each in found], answer.get("NextMarker") or None)

    async def list_callbacks(self, arn: str) -> list[OpenCallback]:
        """Return the open callbacks of an execution, in the order in which they began. AWS has no such operation."""
        operation = "ListDurableExecutionCallbacks"
        answer = await self._call(operation, DurableExecutionArn=arn)
        return [reading.callback(each) for each in self.calls.required(answer, "Callbacks", operation)]

    async def stop(self, arn: str, error: ErrorObject | None = None) -> None:
        """Close an execution as STOPPED. One that is closed already stays as it is."""
        await self._call("StopDurableExecution", DurableExecutionArn=arn, **(error or {}))

    async def pause(self, arn: str, *, reason: str | None = None) -> None:
        """Let no handler of the execution be invoked until it is resumed."""
        await self._call("PauseDurableExecution", DurableExecutionArn=arn, Reason=reason)

    async def resume(self, arn: str, *, reason: str | None = None) -> None:
        """End a pause."""
        await self._call("ResumeDurableExecution", DurableExecutionArn=arn, Reason=reason)

    async def cancel(self, arn: str, *, reason: str | None = None) -> None:
        """Ask the workflow to end. AWS has no such operation."""
        await self._call("CancelDurableExecution", DurableExecutionArn=arn, Reason=reason)

    async def redrive(self, arn: str, *, start: str | None = None) -> None:
        """Let a closed execution continue from what succeeded. AWS has no such operation."""
        await self._call("RedriveDurableExecution", DurableExecutionArn=arn, From=start)

    async def fork(self, arn: str, **options: Unpack[ForkOptions]) -> Started:
        """Start an execution with the record of another up to an operation. AWS has no such operation."""
        answer = await self._call("ForkDurableExecution", DurableExecutionArn=arn, **_fork(options))
        return Started(answer["DurableExecutionArn"], "")

    async def fork_history(self, function_name: str, history: object, **options: Unpack[ForkOptions]) -> Started:
        """Do the same as :meth:`fork` from an exported history.

        :raises InvalidParameterValueError: also: it is not a history, or not complete
        """
        try:
            events = [event_json(event) for event in read_history(history).events]
        except HistoryError as error:
            raise InvalidParameterValueError(str(error)) from None
        asked = _fork(options)
        answer = await self._call("ForkDurableExecutionHistory", FunctionName=function_name, History=events, **asked)
        return Started(answer["DurableExecutionArn"], "")

    async def delete(self, arn: str) -> None:
        """Delete a closed execution."""
        await self._call("DeleteDurableExecution", DurableExecutionArn=arn)

    async def callback_succeeded(self, callback_id: str, result: bytes) -> None:
        """Complete a callback."""
        await self._call("SendDurableExecutionCallbackSuccess", CallbackId=callback_id, Result=result)

    async def callback_failed(self, callback_id: str, error: ErrorObject | None = None) -> None:
        """Fail a callback."""
        await self._call("SendDurableExecutionCallbackFailure", CallbackId=callback_id, **(error or {}))

    async def callback_heartbeat(self, callback_id: str) -> None:
        """Let the heartbeat timeout of a callback begin again."""
        await self._call("SendDurableExecutionCallbackHeartbeat", CallbackId=callback_id)

    def _not_on_aws(self, **given: object) -> None:
        """Refuse what AWS would ignore."""
        if self.calls.on_aws and (asked := [name.replace("_", " ") for name, value in given.items() if value]):
            raise InvalidParameterValueError(f"AWS Lambda does not offer this: {', '.join(asked)}.")

    async def _call(self, operation: str, **parameters: object) -> JsonObject:
        with _refusals():
            return await self.calls.call(operation, **parameters)


def _fork(options: ForkOptions) -> JsonObject:
    """Return the parameters that both ways to fork have."""
    payload = options.get("payload")
    return {
        "Before": options.get("before"),
        # With a name, a repeated request does not start two.
        "DurableExecutionName": options.get("execution_name") or str(uuid4()),
        "Input": None if payload is None else payload.decode("utf-8", "surrogatepass"),
        "Replace": {**(options.get("replace") or {})},
        "Tags": {**(options.get("tags") or {})},
    }


_NOT_TWICE = frozenset(
    {
        "CancelDurableExecution",
        "ForkDurableExecution",
        "ForkDurableExecutionHistory",
        "PauseDurableExecution",
        "RedriveDurableExecution",
        "ResumeDurableExecution",
        "SendDurableExecutionCallbackFailure",
        "SendDurableExecutionCallbackSuccess",
    }
)
"""Operations that the service refuses when it has done them already."""


@contextmanager
def _refusals() -> Generator[None]:
    """Raise what a service refused as the error that the embedded service raises."""
    try:
        yield
    except ServiceCallError as error:
        if error.code is None or error.status is None or error.code in {MISCONFIGURED, NO_SERVICE}:
            raise
        if error.repeated and error.status < 500 and error.operation in _NOT_TWICE:
            lost = "the answer was lost, and the request, which may have been done, was refused when it was repeated"
            raise ServiceCallError(error.operation, f"{lost}: {error.message}") from None
        raise refusal(error.code, error.status, error.message) from None
