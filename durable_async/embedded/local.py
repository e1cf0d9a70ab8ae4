"""The durable service in the same process: a checkpoint is a method call."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, overload

import attrs

from durable_async._wire.limits import STATE_PAGE_ITEMS
from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate
from durable_async.embedded.cache import ExecutionCache
from durable_async.errors import ServiceCallError
from durable_async.handler import AnyHandler
from durable_async.service.functions.base import InProcessFunction, InvocationRequest, LambdaContext
from durable_async.service.model.errors import ApiError
from durable_async.service.runtime.api import LambdaApi
from durable_async.transport.base import DurableServiceClient

T = TypeVar("T")


@attrs.frozen
class InProcessClient:
    """Implements :class:`~durable_async.transport.base.DurableServiceClient` by calling ``service``."""

    service: LambdaApi

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        return await _refusals_as_errors(
            "CheckpointDurableExecution", self.service.checkpoint(execution_arn, token, updates, client_token)
        )

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        return await _refusals_as_errors(
            "GetDurableExecutionState", self.service.get_state(execution_arn, token, marker, STATE_PAGE_ITEMS)
        )


async def _refusals_as_errors(operation: str, call: Coroutine[object, object, T]) -> T:
    try:
        return await call
    except ApiError as refused:
        raise ServiceCallError(operation, refused.message, refused.code, refused.status) from refused


class Runs(Protocol):
    """The methods of a handler that :func:`in_process_handler` needs without a cache."""

    async def run(
        self, event: object, /, *, client: DurableServiceClient, lambda_context: object = None
    ) -> Mapping[str, object]: ...


@overload
def in_process_handler(handler: Runs, service: LambdaApi) -> InProcessFunction: ...
@overload
def in_process_handler(
    handler: AnyHandler, service: LambdaApi, *, cache: ExecutionCache | None
) -> InProcessFunction: ...
def in_process_handler(handler: Any, service: LambdaApi, *, cache: ExecutionCache | None = None) -> InProcessFunction:
    """Return a durable function that runs ``handler`` in this process, to be registered with ``service``.

    An exception of the handler is a failed invocation.

    :param cache: keeps its executions in memory while they wait; None: each invocation replays
    """
    client = InProcessClient(service)
    run = handler.run if cache is None else partial(cache.run, handler)

    async def call(event: object, request: InvocationRequest) -> object:
        return await run(event, client=client, lambda_context=LambdaContext.of(request))

    return InProcessFunction(call, durable=True, memory=cache)
