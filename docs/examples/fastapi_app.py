"""Durable workflows inside a FastAPI application.

    pip install . fastapi uvicorn                        # in a clone of the repository
    uvicorn --app-dir docs/examples fastapi_app:app --workers 2

    curl -X PUT localhost:8000/orders/17 -H 'content-type: application/json' -d '{"cents": 4250}'
    curl localhost:8000/orders/17                       # {"status": "RUNNING"}
    curl -N localhost:8000/orders/17/events &           # prints the events of the order while they happen
    curl -X POST localhost:8000/orders/17/approval -d '' # answers the callback that the workflow waits for
    curl localhost:8000/orders/17                       # {"status": "SUCCEEDED", "receipt": "parcel for 42.50"}

Kill a worker at any point, or kill the server and start it again: each order continues where it stopped. The
application also serves Lambda's API under ``/durable``. Without a token it answers only callers on this machine:

    aws lambda list-durable-executions-by-function --function-name fulfil --endpoint-url http://localhost:8000/durable
"""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse

from durable_async import (
    DurableContext,
    ExecutionError,
    RetryStrategy,
    StepConfig,
    durable_execution,
)
from durable_async.embedded import DurableService
from durable_async.service import ApiError, asgi_app
from durable_async.service.http import event_json


@dataclass
class Order:
    id: int
    cents: int


async def charge(order: Order) -> str:
    """A real application would call its payment service here, with ``current_step().idempotency_key``."""
    return f"payment of order {order.id}"


async def refund(payment: str) -> None:
    """Likewise."""


async def ship(order: Order) -> str:
    return f"parcel for {order.cents / 100:.2f}"


PATIENT = StepConfig(
    timeout=timedelta(seconds=30), retry_strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=5)
)


@durable_execution
async def fulfil(order: Order, ctx: DurableContext) -> str:
    async with ctx.compensations() as undo:
        payment = await ctx.step(charge, order, config=PATIENT)
        undo.add(refund, payment)
        approval = await ctx.create_callback(name="approval", timeout=timedelta(days=3))
        await approval.result()
        return await ctx.step(ship, order)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    takeover = timedelta(seconds=30)  # other workers stand by, and send what they are asked to the one with the file
    async with DurableService(os.environ.get("ORDERS_DB", "orders.db"), takeover=takeover) as service:
        service.register(fulfil)
        app.state.service = service
        app.mount("/durable", asgi_app(service.api))
        yield


app = FastAPI(lifespan=lifespan)


def service() -> DurableService:
    found: DurableService = app.state.service
    return found


@app.put("/orders/{order_id}", status_code=202)
async def place(order_id: int, body: dict[str, int]) -> dict[str, str]:
    try:
        execution = await service().start(fulfil, Order(order_id, body["cents"]), name=f"order-{order_id}")
    except ApiError as refused:  # the name is taken by an order with other content
        raise HTTPException(refused.status, refused.message) from None
    return {"execution": execution.arn}


@app.get("/orders/{order_id}")
async def status(order_id: int) -> dict[str, str]:
    execution = await service().find(fulfil, f"order-{order_id}")
    if execution is None:
        raise HTTPException(404)
    status = await execution.status()
    if status in ("RUNNING", "PAUSING", "PAUSED"):
        return {"status": status}
    try:
        return {"status": status, "receipt": await execution.result()}
    except ExecutionError as failed:
        return {"status": status, "error": failed.message}


@app.get("/orders/{order_id}/events")
async def events(order_id: int) -> StreamingResponse:
    """Stream the history as server-sent events until the execution is closed."""
    execution = await service().find(fulfil, f"order-{order_id}")
    if execution is None:
        raise HTTPException(404)
    lines = (f"id: {event.id}\ndata: {json.dumps(event_json(event))}\n\n" async for event in execution.events())
    return StreamingResponse(lines, media_type="text/event-stream")


@app.post("/orders/{order_id}/approval", status_code=204)
async def approve(order_id: int) -> None:
    execution = await service().find(fulfil, f"order-{order_id}")
    open_callbacks = [] if execution is None else await execution.callbacks()
    if not open_callbacks:
        raise HTTPException(404, "no approval is open for this order")
    try:
        await service().succeed_callback(open_callbacks[0].id)
    except ApiError as refused:  # it was answered meanwhile, or has timed out
        raise HTTPException(409, refused.message) from None
