"""A web application for two uvicorn workers on one file: ``uvicorn tests.kill.shop:app --workers 2``."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, HTTPException

from durable_async import DurableContext, RetryStrategy, StepConfig, StepSemantics, current_step, durable_execution
from durable_async.embedded import DurableService
from durable_async.service import ApiError, asgi_app

SOON = RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=1000)
ONCE = StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY, retry_strategy=SOON)
PAUSE = timedelta(seconds=1)


def note(what: str) -> None:
    """Write one line to the journal, which survives the process. Appending a short line is atomic."""
    step = current_step()
    execution = step.execution_arn.split("/")[-2]
    line = f"{what} {execution} {step.name} {step.attempt} {os.getpid()} {time.time():.6f} -\n"
    journal = os.open(os.environ["SHOP_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


async def work(value: int) -> int:
    note("begin")
    await asyncio.sleep(0.005)
    note("end")
    return value


@durable_execution
async def fulfil(number: int, ctx: DurableContext) -> list[Any]:
    reserved = await ctx.step(work, number, name="reserve")
    charged = await ctx.step(work, number + 1, name="charge", config=ONCE)
    await ctx.wait(PAUSE, name="cooling-off")
    approval = await ctx.create_callback(name="approval", returns=str)
    answer = await approval.result()
    return [reserved, charged, answer, await ctx.step(work, number + 2, name="ship", config=ONCE)]


def expected(number: int) -> list[Any]:
    return [number, number + 1, "yes", number + 2]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with DurableService(os.environ["SHOP_DB"], takeover=timedelta(seconds=30)) as service:
        service.register(fulfil)
        app.state.service = service
        app.mount("/durable", asgi_app(service.api))
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/worker")
async def worker() -> dict[str, Any]:
    return {"pid": os.getpid(), "stands_by": app.state.service.api.owner is not None}


@app.put("/orders/{number}", status_code=202)
async def place(number: int) -> str:
    try:
        return (await app.state.service.start(fulfil, number, name=f"order-{number}")).arn
    except ApiError as refused:
        raise HTTPException(refused.status, refused.message) from None


@app.get("/orders/{number}")
async def receipt(number: int) -> list[Any]:
    """Wait for the end of the order."""
    try:
        found = await app.state.service.find(fulfil, f"order-{number}")
        if found is None:
            raise HTTPException(404)
        result: list[Any] = await found.result()
    except ApiError as refused:
        raise HTTPException(refused.status, refused.message) from None
    return result


@app.post("/orders/{number}/approval", status_code=204)
async def approve(number: int) -> None:
    try:
        found = await app.state.service.find(fulfil, f"order-{number}")
        if found is None:
            raise HTTPException(404)
        async for event in found.events():
            if event.type == "CallbackStarted":
                await app.state.service.succeed_callback(event.details["CallbackId"], "yes")
                return
    except ApiError as refused:
        if refused.code != "InvalidParameterValueException":  # it is approved already
            raise HTTPException(refused.status, refused.message) from None
