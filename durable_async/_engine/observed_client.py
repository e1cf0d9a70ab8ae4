"""Measures the checkpoints of an invocation for its plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import perf_counter

import attrs

from durable_async._wire.operations import CheckpointResult, ExecutionState, OperationUpdate
from durable_async._wire.text import wire_size
from durable_async.plugins import CheckpointInfo
from durable_async.transport.base import DurableServiceClient


@attrs.define(eq=False)
class ObservedClient:
    """Implements :class:`~durable_async.transport.base.DurableServiceClient` by another client.

    :ivar on_checkpoint: called after each checkpoint
    """

    client: DurableServiceClient
    on_checkpoint: Callable[[CheckpointInfo], object]

    async def checkpoint(
        self, execution_arn: str, token: str, updates: Sequence[OperationUpdate], client_token: str
    ) -> CheckpointResult:
        began = perf_counter()
        failed: BaseException | None = None
        try:
            return await self.client.checkpoint(execution_arn, token, updates, client_token)
        except BaseException as error:
            failed = error
            raise
        finally:
            info = CheckpointInfo(
                execution_arn=execution_arn,
                updates=len(updates),
                size=sum(map(wire_size, updates)),
                duration=timedelta(seconds=perf_counter() - began),
                error=failed,
            )
            self.on_checkpoint(info)

    async def get_state(self, execution_arn: str, token: str, marker: str) -> ExecutionState:
        return await self.client.get_state(execution_arn, token, marker)
