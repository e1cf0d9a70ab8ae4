"""What the contenders' processes have in common: bodies that take random times, a crash in the n-th, and a log.

The log is a file to which both processes append what the program saw, so that a driver can compare them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.gathered.workflow import CRASHED, read_task, task
from benchmarks.ordered.programs import PROGRAMS

NAP = 0.02  # seconds at most
_bodies = itertools.count(1)

__all__ = ["body", "read_task", "run_program", "task"]


async def body(label: str) -> str:
    """The work of a step. What it returns says whose result it is."""
    number = next(_bodies)
    await asyncio.sleep(random.uniform(0, NAP))
    if number == task["crash_in"]:
        os._exit(CRASHED)
    return label


async def run_program(step: Callable[[str], Awaitable[str]]) -> None:
    """Run the program of the task. What it saw is in the task's log, one line each; a step that had another one's
    result is there too."""
    log = Path(task["log"]).open("a", buffering=1)  # noqa: ASYNC230, SIM115 - until the process ends

    async def checked(label: str) -> str:
        got = await step(label)
        if got != label:
            log.write(json.dumps(["swapped", label, got]) + "\n")
        return got

    def saw(*what: object) -> None:
        log.write(json.dumps(what) + "\n")

    await PROGRAMS[task["program"]](checked, saw)
