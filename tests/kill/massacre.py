"""``durable-async serve`` with executions in flight, whose worker processes are killed one after another."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import boto3
from botocore.config import Config

ROOT = Path(__file__).parents[2]
PATIENCE = 600  # seconds; nothing is expected to take that long, it ends a run in which something hangs
IN_FLIGHT = 12  # executions; some of them wait for their next attempt
WORKERS = 4
LIVES_ON = 0.12  # seconds at most that a process has after it was seen in a body, which takes 0.1 to 0.2
ANY_PROCESS = 0.1  # of the kills: not only of those that are in a charge


@attrs.frozen
class Line:
    """What the body of a step noted. ``what`` is ``begin``, ``effect`` or ``end``."""

    what: str
    execution: str
    step: str
    attempt: int
    pid: int
    at: float  # epoch seconds
    value: str

    @property
    def of(self) -> Attempt:
        return self.execution, self.step, self.attempt

    @classmethod
    def read(cls, text: str) -> Line:
        what, execution, step, attempt, pid, at, value = text.split()
        return cls(what, execution, step, int(attempt), int(pid), float(at), value)


Attempt = tuple[str, str, int]
"""Execution, step, and the number of the attempt."""


@attrs.define
class Journal:
    """What happened so far, and the bodies that each process has begun and not ended."""

    file: Path
    lines: list[Line] = attrs.field(factory=list)
    _open: defaultdict[int, set[Attempt]] = attrs.field(factory=lambda: defaultdict(set))
    _read: int = 0

    def catch_up(self) -> None:
        with self.file.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        self._read += len(new)
        for text in new.decode().splitlines():
            line = Line.read(text)
            self.lines.append(line)
            match line.what:
                case "begin":
                    self._open[line.pid].add(line.of)
                case "end":
                    self._open[line.pid].discard(line.of)

    def victim(self, killed: set[int]) -> int | None:
        """A process in the body of a charge, if there is one; now and then any other instead, whatever it does."""
        alive = [pid for pid in self._open if pid not in killed]
        charging = [pid for pid in alive if self._charges(pid)]
        return random.choice(alive if random.random() < ANY_PROCESS else charging) if charging else None

    def died_charging(self, killed: set[int]) -> list[int]:
        return [pid for pid in killed if self._charges(pid)]

    def interrupted(self, killed: set[int]) -> list[Attempt]:
        return [attempt for pid in killed for attempt in self._open[pid]]

    def _charges(self, pid: int) -> bool:
        return any(step.startswith("charge") for _, step, _ in self._open[pid])


@attrs.frozen
class Execution:
    """How one ended, and its history."""

    arn: str
    status: str
    result: Any
    error: dict[str, Any] | None
    events: list[dict[str, Any]]

    def of_step(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("Name") == name]


@attrs.frozen
class Aftermath:
    """
    :ivar interrupted: in which body each kill hit; one may have hit two, side by side, and another none
    """

    executions: dict[str, Execution]
    lines: list[Line]
    interrupted: list[Attempt]
    parcels: list[str]  # their statuses


def massacre(journal_file: Path, kills: int) -> Aftermath:
    """Kill workers until ``kills`` of them died in the body of a charge; then wait until no execution is open."""
    journal_file.touch()
    journal = Journal(journal_file)
    killed: set[int] = set()
    with _serving(journal_file) as client:
        started = _Started(client)
        deadline = time.monotonic() + PATIENCE
        while (hits := len(journal.died_charging(killed))) < kills:
            assert time.monotonic() < deadline, f"{hits} of {kills} kills"
            started.top_up()
            if victim := journal.victim(killed):
                time.sleep(random.uniform(0, LIVES_ON))
                os.kill(victim, signal.SIGKILL)
                killed.add(victim)
            time.sleep(0.005)
            journal.catch_up()
        while running := started.running():
            assert time.monotonic() < deadline, f"these hang: {running}"
            time.sleep(0.2)
        journal.catch_up()
        executions = {arn: _read(client, arn) for arn in started.arns}
        return Aftermath(executions, journal.lines, journal.interrupted(killed), _statuses(client, "parcel"))


@attrs.define
class _Started:
    """The executions. There are always some in flight."""

    client: Any
    arns: list[str] = attrs.field(factory=list)
    _looked: float = 0.0

    def top_up(self) -> None:
        if time.monotonic() - self._looked < 0.2:
            return
        self._looked = time.monotonic()
        for _ in range(IN_FLIGHT - len(self.running())):
            response = self.client.invoke(FunctionName="order", Qualifier="$LATEST", InvocationType="Event")
            self.arns.append(response["DurableExecutionArn"])

    def running(self) -> list[str]:
        answer = self.client.list_durable_executions_by_function(FunctionName="order", Statuses=["RUNNING"])
        return [each["DurableExecutionArn"] for each in answer["DurableExecutions"]]


@contextmanager
def _serving(journal: Path) -> Iterator[Any]:
    command = [sys.executable, "-m", "durable_async.cli", "serve", "--port", "0", "--workers", str(WORKERS)]
    log = journal.with_suffix(".log")
    process = subprocess.Popen(
        [*command, "--functions", "tests.kill.workflows", "--execution-timeout", str(PATIENCE), "--log-json", str(log)],
        cwd=ROOT,
        env=os.environ | {"DURABLE_ASYNC_JOURNAL": str(journal)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server did not start"
        client = boto3.client(
            "lambda",
            endpoint_url=found[0],
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(read_timeout=60, retries={"total_max_attempts": 1}),
        )
        yield client
        client.close()
        process.terminate()
        process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def _statuses(client: Any, function: str) -> list[str]:
    pages = client.get_paginator("list_durable_executions_by_function").paginate(FunctionName=function)
    return [each["Status"] for page in pages for each in page["DurableExecutions"]]


def _read(client: Any, arn: str) -> Execution:
    execution = client.get_durable_execution(DurableExecutionArn=arn)
    history = client.get_durable_execution_history(DurableExecutionArn=arn, IncludeExecutionData=True, MaxItems=1000)
    assert not history.get("NextMarker")
    result = json.loads(execution["Result"]) if "Result" in execution else None
    return Execution(arn, execution["Status"], result, execution.get("Error"), history["Events"])
