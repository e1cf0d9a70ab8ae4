"""The service that every contender talks to: checkpoints over HTTP, kept in memory.

A stub on purpose. Its time is part of every contender's wall time, and a store that costs more than the SDKs would make
them all look alike; so it does what the protocol asks for and nothing else. It chains tokens, counts calls, and
answers a checkpoint with the operations that it changed. An envelope holds the whole record, so nobody asks for
pages. A wait has a due time and never ends, for none is measured so long. It is started as a process:
``python -m benchmarks.service`` prints its port and ends with its standard input.

Beside the service's own paths it has three for whoever measures:

- ``POST /executions`` with ``{"input": ..., "completed": n}``: a new execution, n of its steps already done
- ``POST /executions/NAME``: begins an invocation, answers ``{"envelope": ...}``
- ``GET /executions/NAME``: ``{"calls": checkpoints, "updates": in them, "received": bytes of their bodies}``
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from hashlib import blake2b
from itertools import count
from typing import Any
from urllib.parse import unquote

import attrs

STEP = "work"  # the name of every step, which an SDK may compare on replay
_API = "/2025-12-01/durable-executions/"
_STATUS = {"START": "STARTED", "SUCCEED": "SUCCEEDED", "FAIL": "FAILED"}
_DETAILS = {"STEP": "StepDetails", "CONTEXT": "ContextDetails", "WAIT": "WaitDetails"}


@attrs.define
class Execution:
    name: str
    operations: dict[str, dict[str, Any]]
    token: str = ""
    calls: int = 0
    updates: int = 0
    received: int = 0

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:us-east-1:123456789012:function:bench:1/durable-execution/{self.name}/{self.name}"

    def begin(self) -> dict[str, Any]:
        """The envelope of a further invocation. The tokens of the one before are void."""
        self.token = next(_tokens)
        operations = [_with_milliseconds(operation) for operation in self.operations.values()]
        return {
            "DurableExecutionArn": self.arn,
            "CheckpointToken": self.token,
            "InitialExecutionState": {"Operations": operations, "NextMarker": ""},
            "UpdatedOperationIds": [],
        }

    def checkpoint(self, token: str, updates: list[dict[str, Any]]) -> dict[str, Any]:
        """:raises ValueError: the token is not the current one"""
        if token != self.token:
            raise ValueError("Invalid checkpoint token")
        self.token = next(_tokens)
        self.calls += 1
        self.updates += len(updates)
        changed = {update["Id"]: self._apply(update) for update in updates}
        state = {"Operations": list(changed.values()), "NextMarker": None}
        return {"CheckpointToken": self.token, "NewExecutionState": state}

    def _apply(self, update: dict[str, Any]) -> dict[str, Any]:
        now = time.time()
        operation = self.operations.get(update["Id"])
        if operation is None:
            operation = {key: update[key] for key in ("Id", "ParentId", "Type", "SubType", "Name") if key in update}
            operation["StartTimestamp"] = now
            self.operations[update["Id"]] = operation
        operation["Status"] = _STATUS[update["Action"]]
        details = operation.setdefault(_DETAILS[update["Type"]], {"Attempt": 1} if update["Type"] == "STEP" else {})
        if update["Type"] == "WAIT":
            details["ScheduledEndTimestamp"] = now + update["WaitOptions"]["WaitSeconds"]
        if update["Action"] != "START":
            operation["EndTimestamp"] = now
            details |= {ours: update[theirs] for ours, theirs in _OUTCOME if theirs in update}
            details |= update.get("ContextOptions") or {}  # whether to replay the children
        return operation


_OUTCOME = (("Result", "Payload"), ("Error", "Error"))
_tokens = (f"{number:012d}" for number in count(1))
_executions: dict[str, Execution] = {}


_TIMES = ("StartTimestamp", "EndTimestamp", "ScheduledEndTimestamp")


def _with_milliseconds(operation: dict[str, Any]) -> dict[str, Any]:
    """Envelopes count milliseconds, the API's answers seconds."""
    converted = operation | {key: int(operation[key] * 1000) for key in _TIMES if key in operation}
    if "WaitDetails" in operation:
        converted["WaitDetails"] = _with_milliseconds(operation["WaitDetails"])
    return converted


def new_execution(input_: Any, completed: int) -> Execution:
    name = f"run{len(_executions)}"
    now = time.time()
    begun = {"Id": name, "Type": "EXECUTION", "Status": "STARTED", "StartTimestamp": now, "Name": name}
    begun["ExecutionDetails"] = {"InputPayload": json.dumps(input_)}
    execution = Execution(name, {name: begun})
    for number in range(completed):
        step = _completed_step(number, now)
        execution.operations[step["Id"]] = step
    _executions[name] = execution
    return execution


def _completed_step(number: int, now: float) -> dict[str, Any]:
    """What ``work(number)``, the workflow's step at that place, leaves behind. All contenders give it the same id."""
    return {
        "Id": blake2b(str(number + 1).encode()).hexdigest()[:64],
        "Type": "STEP",
        "SubType": "Step",
        "Name": STEP,
        "Status": "SUCCEEDED",
        "StartTimestamp": now,
        "EndTimestamp": now,
        "StepDetails": {"Attempt": 1, "Result": str(number)},
    }


def answer(method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    if path.startswith(_API):
        arn, _, call = unquote(path.removeprefix(_API)).rpartition("/")
        if call != "checkpoint":
            return 404, {"message": f"the stub has no {call}"}
        execution = _executions[arn.rpartition("/")[2]]
        execution.received += len(body)
        request = json.loads(body)
        try:
            return 200, execution.checkpoint(request["CheckpointToken"], request.get("Updates") or [])
        except ValueError as error:
            return 400, {"Type": "User", "message": str(error)}
    if path == "/executions":
        request = json.loads(body)
        return 200, {"name": new_execution(request["input"], request["completed"]).name}
    execution = _executions[path.rpartition("/")[2]]
    if method == "POST":
        return 200, {"envelope": execution.begin()}
    return 200, {"calls": execution.calls, "updates": execution.updates, "received": execution.received}


async def _serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            _, found, length = head.lower().partition("\r\ncontent-length:")
            body = await reader.readexactly(int(length.split("\r\n", 1)[0])) if found else b""
            status, document = answer(method, path, body)
            payload = json.dumps(document).encode()
            error = "x-amzn-errortype: InvalidParameterValueException\r\n" if status == 400 else ""
            lines = f"content-type: application/json\r\n{error}content-length: {len(payload)}\r\n\r\n"
            writer.write(f"HTTP/1.1 {status} -\r\n{lines}".encode() + payload)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the contender has left
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(_serve_connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
