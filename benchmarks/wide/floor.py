"""The fewest and fullest checkpoints that such a map can do with, and one plain task for each branch."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from hashlib import blake2b
from typing import Any

from benchmarks.adapters import stopwatch
from benchmarks.adapters.floor import measure, trimmed_client, work

MAX_UPDATES = 250  # in one checkpoint


class Checkpoints:
    """Updates leave in order, one request at a time, each with all that has gathered."""

    def __init__(self, envelope: dict[str, Any], open_client) -> None:
        self._arn, self._token = envelope["DurableExecutionArn"], envelope["CheckpointToken"]
        self._open_client = open_client
        self._outbox: deque[tuple[dict[str, Any], asyncio.Future[None]]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def add(self, operation: dict[str, Any], action: str, **fields: Any) -> asyncio.Future[None]:
        """:return: done when the update is recorded"""
        loop = asyncio.get_running_loop()
        recorded = loop.create_future()
        self._outbox.append((operation | {"Action": action} | fields, recorded))
        if self._sending is None:
            self._sending = loop.create_task(self._send())
        return recorded

    async def _send(self) -> None:
        client = await self._open_client()
        while self._outbox:
            batch = [self._outbox.popleft() for _ in range(min(MAX_UPDATES, len(self._outbox)))]
            answer = await client.checkpoint_durable_execution(
                DurableExecutionArn=self._arn,
                CheckpointToken=self._token,
                Updates=[update for update, _ in batch],
            )
            self._token = answer["CheckpointToken"]
            for _, recorded in batch:
                recorded.set_result(None)
            await asyncio.sleep(0)  # those just woken have more to record
        self._sending = None


async def run_map(envelope: dict[str, Any], open_client) -> dict[str, Any]:
    [begun] = envelope["InitialExecutionState"]["Operations"]
    event = json.loads(begun["ExecutionDetails"]["InputPayload"])
    checkpoints = Checkpoints(envelope, open_client)
    whole = _operation("CONTEXT", "Map", "one_step", "1")
    checkpoints.add(whole, "START")
    run_branch = _one_step if event["workflow"] == "map" else _one_wait
    branches = [
        _operation("CONTEXT", "MapIteration", f"map-item-{n}", f"{n + 1}", whole) for n in range(event["steps"])
    ]
    tasks = (run_branch(checkpoints, branch, n, event["body_seconds"]) for n, branch in enumerate(branches))
    results = await asyncio.gather(*tasks)
    if event["workflow"] == "waits":
        return {"Status": "PENDING"}
    await checkpoints.add(whole, "SUCCEED", Payload=json.dumps(results))
    return {"Status": "SUCCEEDED", "Result": json.dumps(sum(results))}


async def _one_step(checkpoints: Checkpoints, branch: dict[str, Any], number: int, seconds: float) -> int:
    checkpoints.add(branch, "START")
    step = _operation("STEP", "Step", "work", "1", branch)
    checkpoints.add(step, "START")
    result = await work(number, seconds)
    await checkpoints.add(step, "SUCCEED", Payload=json.dumps(result))
    await checkpoints.add(branch, "SUCCEED", Payload=json.dumps(result))
    return result


async def _one_wait(checkpoints: Checkpoints, branch: dict[str, Any], _number: int, _seconds: float) -> None:
    stopwatch.body_ran()
    checkpoints.add(branch, "START")
    wait = _operation("WAIT", "Wait", "wait", "1", branch)
    await checkpoints.add(wait, "START", WaitOptions={"WaitSeconds": 3600})


def _operation(kind: str, subtype: str, name: str, place: str, parent: dict[str, Any] | None = None) -> dict[str, Any]:
    path = place if parent is None else f"{parent['Id']}-{place}"
    operation = {"Id": blake2b(path.encode()).hexdigest()[:64], "Type": kind, "SubType": subtype, "Name": name}
    return operation if parent is None else operation | {"ParentId": parent["Id"]}


if __name__ == "__main__":
    measure(trimmed_client, run_map)
