"""An order, from reservation to parcel: one workflow over several invocations, and its history as it grows.

The service, its HTTP API and the handler share this process, but they talk as they would on AWS: the caller and the
handler reach the service through aiobotocore alone. Run it: ``python docs/examples/order.py``
"""

import asyncio
import json
import os
from datetime import timedelta

import attrs
from aiobotocore.session import get_session

from durable_async import (
    DurableContext,
    RetryStrategy,
    StepConfig,
    StepSemantics,
    current_step,
    durable_execution,
)
from durable_async.service import DurableService, LocalFunction
from durable_async.service.http import serve
from durable_async.transport.aws import AwsClient

# --- the workflow ---


@attrs.frozen
class Order:
    id: str
    items: list[str]
    cents: int


class CarrierBusyError(Exception):
    """Passes."""


async def reserve(items: list[str]) -> int:
    return len(items)


async def charge(cents: int) -> str:
    # The payment service would get current_step().idempotency_key.
    return f"paid {cents / 100:.2f}"


def quote(carrier: str) -> int:  # a sync function runs in a worker thread
    if carrier == "north" and current_step().attempt == 1:
        raise CarrierBusyError("ask again")
    return {"north": 450, "south": 600}[carrier]


async def ship(order_id: str, cents: int) -> str:
    return f"parcel {order_id} for {cents / 100:.2f}"


PATIENT = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=1), retry_on=CarrierBusyError))
ONCE = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)


@durable_execution
async def fulfil(order: Order, ctx: DurableContext) -> str:
    await ctx.step(reserve, order.items)
    await ctx.step(charge, order.cents, config=ONCE)
    quotes = await asyncio.gather(
        *(ctx.step(quote, carrier, name=f"quote {carrier}", config=PATIENT) for carrier in ("north", "south"))
    )
    await ctx.wait(timedelta(seconds=1), name="cooling off")
    return await ctx.step(ship, order.id, min(quotes))


# --- the service, and a caller ---

LOCAL = {  # nobody checks these on a loopback address
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "no_proxy": "127.0.0.1",
}


async def main() -> None:
    os.environ |= LOCAL
    async with DurableService() as service, serve(service) as url, AwsClient(endpoint_url=url) as transport:

        async def invoke(event, _request):
            return await fulfil.run(event, client=transport)

        service.register("fulfil", LocalFunction(invoke, durable=True))
        async with get_session().create_client("lambda", endpoint_url=url) as client:
            await order(client, url)


async def order(client, url: str) -> None:
    event = attrs.asdict(Order(id="1017", items=["lamp", "bulb"], cents=4250))
    started = await client.invoke(
        FunctionName="fulfil",
        Qualifier="$LATEST",
        InvocationType="Event",
        DurableExecutionName=f"order-{event['id']}",
        Payload=json.dumps(event),
    )
    arn = started["DurableExecutionArn"]
    print(f"fulfil runs on {url}\n")
    async for line in history(client, arn):
        print(line)
    execution = await client.get_durable_execution(DurableExecutionArn=arn)
    print(f"\n{execution['Status']}: {execution['Result']}")


async def history(client, arn: str):
    """The lines of the table, as the events come. An empty line is a pause in which nothing runs."""
    seen, start, suspended = 0, None, False
    while True:
        answer = await client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True)
        for event in answer["Events"][seen:]:
            kind = event["EventType"]
            if suspended and not kind.startswith("Execution"):
                yield ""
            suspended = kind == "InvocationCompleted"
            start = start or event["EventTimestamp"]
            seconds = (event["EventTimestamp"] - start).total_seconds()
            about = detail(kind, event[f"{kind}Details"])
            yield f"{seconds:6.2f} s  {kind:<19}  {event.get('Name', ''):<11}  {about}".rstrip()
            if kind in ("ExecutionSucceeded", "ExecutionFailed"):
                return
        seen = len(answer["Events"])
        await asyncio.sleep(0.05)


def detail(kind: str, details) -> str:
    match kind, details:
        case "StepFailed", {"Error": {"Payload": error}, "RetryDetails": retry}:
            name = error["ErrorType"].rpartition(".")[2]
            delay = retry.get("NextAttemptDelaySeconds")
            again = f"; next in {delay} s" if delay else ""
            return f"attempt {retry['CurrentAttempt']}: {name}: {error['ErrorMessage']}{again}"
        case "StepSucceeded", {"Result": {"Payload": result}, "RetryDetails": {"CurrentAttempt": attempt}}:
            return f"attempt {attempt}: {result}" if attempt > 1 else result
        case "WaitStarted", {"Duration": seconds}:
            return f"{seconds} s"
        case _:
            return ""


if __name__ == "__main__":
    asyncio.run(main())
