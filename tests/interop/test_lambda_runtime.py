"""Handlers of both SDKs as Lambda's runtime calls them, on both services."""

from __future__ import annotations

import json
from pathlib import Path

from durable_async.service import LambdaApi
from durable_async.service.functions.remote import RemoteFunctions
from durable_async.service.http import serve

from .lambda_runtime import FUNCTION, lambda_runtime
from .services import OfficialEmulator

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
ENDED = ["InvocationCompleted", "ExecutionSucceeded"]
SURVIVED = {
    "died": "durable_async.errors.StepInterruptedError",
    "attempts": 3,
    "same process": False,
}
SURVIVOR = [
    *["ExecutionStarted", "StepStarted", "StepSucceeded", "StepStarted", "InvocationCompleted", "StepFailed"],
    *["StepStarted", "StepFailed", "InvocationCompleted"] * 2,
    *["StepStarted", "StepSucceeded", "StepStarted", "StepSucceeded", *ENDED],
]


async def test_our_handler_whose_process_dies_on_the_official_emulator(runtime, official, tmp_path):
    async with (
        OfficialEmulator.running(tmp_path / "emulator") as emulator,
        lambda_runtime(
            "tests.interop.our_functions.survivor", ROOT, endpoint=emulator.url, log=tmp_path / "runtime"
        ) as url,
    ):
        closed = await emulator.caller.closed(await emulator.start(FUNCTION, {}, LambdaEndpoint=url))
    assert closed.status == "SUCCEEDED", closed
    assert closed.result == SURVIVED
    emulators = [*SURVIVOR]
    emulators.remove("InvocationCompleted")  # it has no event of an invocation that failed
    assert closed.types == emulators


async def run(service: LambdaApi, url: str, remote: RemoteFunctions, event) -> tuple[object, list[str]]:
    service.register(FUNCTION, remote.function(url))
    started = await service.invoke(f"{FUNCTION}:$LATEST", json.dumps(event).encode())
    closed = await service.wait(started.execution_arn)
    history = await service.get_history(started.execution_arn)
    assert closed.status == "SUCCEEDED", closed
    return json.loads(closed.result), [str(event.type) for event in history.items]


async def test_our_handler_whose_process_dies_on_our_service(runtime, tmp_path):
    async with (
        RemoteFunctions() as remote,
        LambdaApi() as service,
        serve(service) as endpoint,
        lambda_runtime("tests.interop.our_functions.survivor", ROOT, endpoint=endpoint, log=tmp_path / "log") as url,
    ):
        result, types = await run(service, url, remote, {})
    assert result == SURVIVED
    assert types == SURVIVOR


async def test_the_official_sdks_handler_on_our_service(runtime, official, tmp_path):
    async with (
        RemoteFunctions() as remote,
        LambdaApi() as service,
        serve(service) as endpoint,
        lambda_runtime(
            *("official_functions.child_context", PEERS),
            endpoint=endpoint,
            log=tmp_path / "log",
            python=official.python,
        ) as url,
    ):
        result, types = await run(service, url, remote, {"items": ["a"], "wait": 1})
    assert result == 1
    assert types == [
        *["ExecutionStarted", "ContextStarted", "StepStarted", "StepSucceeded", "WaitStarted", "InvocationCompleted"],
        *["WaitSucceeded", "StepStarted", "StepSucceeded", "ContextSucceeded", *ENDED],
    ]
