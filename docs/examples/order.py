"""An order, from reservation to parcel: an at-most-once step, a retried step, two concurrent steps and a wait.

durable-async run docs/examples/order.py:fulfil --input docs/examples/order.json --history
"""

import asyncio
from datetime import timedelta

import attrs

from durable_async import (
    DurableContext,
    RetryStrategy,
    StepConfig,
    StepSemantics,
    current_step,
    durable_execution,
)


@attrs.frozen
class Order:
    id: str
    items: list[str]
    cents: int


class CarrierBusyError(Exception):
    """The carrier can be asked again later."""


async def reserve(items: list[str]) -> int:
    return len(items)


async def charge(cents: int) -> str:
    # A real charge would send current_step().idempotency_key to the payment service.
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
