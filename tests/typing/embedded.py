"""What the embedded service returns and takes. Only checked, never run: each ``type: ignore`` asserts an error."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_type

from durable_async import DurableContext, durable_execution
from durable_async.embedded import DurableService, ExecutionHandle, ExecutionSummary


@dataclass
class Order:
    id: int


@dataclass
class Receipt:
    order: Order


@durable_execution
async def fulfil(order: Order, ctx: DurableContext) -> Receipt:
    return Receipt(order)


def postage(event: Any, context: Any) -> int:
    return 1


async def starts(service: DurableService) -> None:
    service.register(fulfil, max_concurrency=3)
    service.register(postage, name="post")
    execution = await service.start(fulfil, Order(1), name="order-1")
    assert_type(execution, ExecutionHandle[Receipt])
    assert_type(await execution.result(timeout=timedelta(seconds=1)), Receipt)
    await service.start(fulfil, 1)  # type: ignore[misc]  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert_type(await service.start("fulfil", {"id": 1}), ExecutionHandle[Any])


async def finds(service: DurableService) -> None:
    assert_type(await service.find(fulfil, "order-1"), ExecutionHandle[Receipt] | None)
    assert_type(await service.find("fulfil", "order-1"), ExecutionHandle[Any] | None)
    assert_type(service.execution("arn"), ExecutionHandle[Any])
    listed = service.executions(fulfil, statuses=["RUNNING"], started_after=datetime.now())
    assert_type(listed, AsyncGenerator[ExecutionSummary, None])


async def enters(path: str) -> None:
    async with DurableService(path, durability="normal") as service:
        assert_type(service, DurableService)
    DurableService(path, durability="off")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
