"""The operations of Lambda's durable API that callers use, with Python values.

``LambdaApi`` of the embedded service implements them in this process, :class:`~durable_async.client.remote.RemoteApi`
over HTTP. Handles and the methods of :class:`~durable_async.client.Executions` call nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, Unpack

from durable_async._wire.operations import ErrorObject
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


class DurableApi(Protocol):
    """Every method raises :class:`~durable_async.service.ApiError` if the service refuses the call."""

    async def invoke(
        self,
        function_name: str,
        payload: bytes,
        *,
        execution_name: str | None = None,
        trace_header: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Started:
        """Start an execution, or find the one that was started under ``execution_name`` with this payload."""
        ...

    async def wait(self, execution_arn: str) -> Closed:
        """Return how the execution ended, once it has."""
        ...

    async def get_execution(self, arn: str) -> ExecutionDescription: ...

    async def get_history(self, arn: str, *, marker: str | None = None, max_items: int = 0) -> Page[HistoryEvent]: ...

    def events(self, arn: str, *, after: int = 0) -> AsyncGenerator[HistoryEvent]:
        """Yield the events after the one with the id ``after`` while they happen, until the execution is closed."""
        ...

    async def list_executions(
        self,
        function_name: str | None = None,
        *,
        qualifier: str | None = None,
        reverse: bool = False,
        marker: str | None = None,
        max_items: int = 0,
        **filters: Unpack[Filters],
    ) -> Page[ExecutionSummary]: ...

    async def list_callbacks(self, arn: str) -> list[OpenCallback]: ...

    async def stop(self, arn: str, error: ErrorObject | None = None) -> object: ...

    async def pause(self, arn: str, *, reason: str | None = None) -> None: ...

    async def resume(self, arn: str, *, reason: str | None = None) -> None: ...

    async def cancel(self, arn: str, *, reason: str | None = None) -> None: ...

    async def redrive(self, arn: str, *, start: str | None = None) -> object: ...

    async def fork(self, arn: str, **options: Unpack[ForkOptions]) -> Started: ...

    async def fork_history(self, function_name: str, history: object, **options: Unpack[ForkOptions]) -> Started: ...

    async def delete(self, arn: str) -> object: ...

    async def callback_succeeded(self, callback_id: str, result: bytes) -> None: ...

    async def callback_failed(self, callback_id: str, error: ErrorObject | None = None) -> None: ...

    async def callback_heartbeat(self, callback_id: str) -> None: ...
