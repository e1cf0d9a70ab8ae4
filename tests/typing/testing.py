"""What tests of workflows get and give. Only checked, never run: each ``type: ignore`` asserts an error."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Never, assert_type

from durable_async import DurableContext, DurableHandler, durable_execution
from durable_async.handler import AnyHandler
from durable_async.testing import Exploration, FinishedExecution, TestExecution, TestService, explore, run
from durable_async.testing.plugin import MakeTestService


@dataclass
class Order:
    id: int


@durable_execution
async def fulfil(order: Order, ctx: DurableContext) -> str:
    return str(order.id)


@durable_execution
async def audit(event: dict[str, object], ctx: DurableContext) -> None: ...


def postage(event: Any, context: Any) -> int:
    return 1


def prepare(service: TestService[Order, str]) -> None:
    service.replace("charge", returns="receipt")


def prepare_any(service: TestService[Never, object]) -> None:
    service.replace("charge", calls=postage)


async def drives(service: TestService[Order, str]) -> None:
    execution = await service.start(Order(1))
    assert_type(await execution.finish(), str)
    event: dict[str, object] = {"id": 1}
    audited = await service.start_other(audit, event)
    assert_type(audited, TestExecution[None])
    assert_type(service.follow(execution.handle).handler, DurableHandler[Never, str])
    await service.start(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def makes(durable_test_service: MakeTestService) -> None:
    async with durable_test_service(fulfil, audit, postage, seed=3, patience=timedelta(0)) as service:
        assert_type(service, TestService[Order, str])
    durable_test_service(fulfil, patient=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def explores() -> None:
    assert_type(await explore(fulfil, Order(1), audit, postage, prepare=prepare, seed=1), Exploration)
    await explore(fulfil, Order(1), prepare=prepare_any, execution_timeout=timedelta(days=1))
    await explore(fulfil, Order(1), max_crashes=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await explore(fulfil, 1)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]


def runs() -> None:
    done = run(fulfil, Order(1), audit, prepare=prepare, replay_each_invocation=False)
    assert_type(done, FinishedExecution[str])
    assert_type(done.result, str)


def accepts_each_handler() -> None:
    handlers: list[AnyHandler] = [fulfil, audit]
    general: DurableHandler[Order, object] = fulfil
    wrong: DurableHandler[int, str] = fulfil  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(handlers, general, wrong)
