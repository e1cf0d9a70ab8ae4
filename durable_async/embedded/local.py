"""The durable service in the same process: a checkpoint is a method call."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs

from durable_async._threads import Threads
from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate
from durable_async.embedded.cache import ExecutionCache
from durable_async.errors import ServiceCallError
from durable_async.handler import DurableHandler
from durable_async.service.functions.base import InProcessFunction, InvocationRequest, LambdaContext
from durable_async.service.model.errors import ApiError
from durable_async.service.runtime.api import LambdaApi

T = TypeVar("T")

_PAGE_ITEMS = 1000


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
            "GetDurableExecutionState", self.service.get_state(execution_arn, token, marker, _PAGE_ITEMS)
        )


async def _refusals_as_errors(operation: str, call: Coroutine[Any, Any, T]) -> T:
    try:
        return await call
    except ApiError as refused:
        raise ServiceCallError(operation, refused.message, refused.code, refused.status) from refused


def in_process_handler(
    handler: DurableHandler[Any, Any],
    service: LambdaApi,
    *,
    cache: ExecutionCache | None = None,
    threads: Threads | None = None,
) -> InProcessFunction:
    """A durable function of this process, to be registered with ``service``. An exception is a failed invocation.

    :param cache: where its executions stay in memory while they wait; None: nowhere
    :param threads: in which its sync steps run; None: those of the event loop
    """
    run = partial(handler.run, client=InProcessClient(service))
    if cache is not None:
        run = partial(run, cache=cache)
    if threads is not None:
        run = partial(run, threads=threads)

    async def call(event: Any, request: InvocationRequest) -> Any:
        return await run(event, lambda_context=LambdaContext.of(request))

    return InProcessFunction(call, durable=True, memory=cache)
