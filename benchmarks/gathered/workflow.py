"""What the contenders' workflows have in common: random pauses between steps, and a crash in the n-th body."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
from typing import Any

BRANCHES, STEPS = 3, 3
PAUSE = 0.02  # seconds at most
CRASHED = 77  # the exit status that says so

task: dict[str, Any] = {}
_bodies = itertools.count(1)


def read_task() -> dict[str, Any]:
    """``{"crash_in": number of a body or null, ...}``, from standard input."""
    task.update(json.load(sys.stdin))
    return task


async def pause() -> None:
    """Between two steps, in the workflow: what the network, the scheduler or a library makes of it."""
    await asyncio.sleep(random.uniform(0, PAUSE))


def body(branch: int, number: int) -> str:
    """The work of a step. What it returns says whose result it is."""
    if next(_bodies) == task["crash_in"]:
        os._exit(CRASHED)
    return f"{branch}-{number}"


def report(result: Any, error: str | None = None) -> None:
    print(json.dumps({"result": result, "error": error}), flush=True)


def report_output(output: dict[str, Any]) -> None:
    """Of an invocation."""
    if output["Status"] == "SUCCEEDED":
        report(json.loads(output["Result"]))
    else:
        report(None, f"{output['Status']} {output.get('Error', {}).get('ErrorType', '')}")
