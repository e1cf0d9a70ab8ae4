"""A service elsewhere gives and takes what the embedded one does. Only checked, never run: each ``type: ignore`` asserts
an error."""

from dataclasses import dataclass
from typing import Any, assert_type

from durable_async import DurableContext, durable_execution
from durable_async.client import DurableClient, ExecutionHandle, Executions
from durable_async.embedded import DurableService
from durable_async.replay import replay_open


@dataclass
class Order:
    id: int


@durable_execution
async def fulfil(order: Order, ctx: DurableContext) -> str:
    return str(order.id)


async def place(executions: Executions) -> None:
    execution = await executions.start(fulfil, Order(1), name="order-1")
    assert_type(execution, ExecutionHandle[str])
    assert_type(executions.execution(execution.arn, fulfil), ExecutionHandle[str])
    assert_type(executions.execution(execution.arn), ExecutionHandle[Any])
    await executions.start(fulfil, 1)  # type: ignore[misc]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def places_anywhere(service: DurableService) -> None:
    async with DurableClient(functions={fulfil: "fulfil:live"}) as client:
        assert_type(client, DurableClient)
        await place(client)
        await replay_open(client, {"fulfil": fulfil})
    await place(service)
    await replay_open(service, {"fulfil": fulfil})
