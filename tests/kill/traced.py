"""Executions of 30 operations whose spans are exported as they end, and the kills in the middle of their steps."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tests.otlp_receiver import receiving, spans_in

ROOT = Path(__file__).parents[2]
SERVICE = "traced-kills"
FOLDER = "DURABLE_ASYNC_TRACED_KILLS_FOLDER"
STEPS, CHILDREN, IN_CHILD = 24, 2, 2
OPERATIONS = STEPS + CHILDREN * (1 + IN_CHILD)
NAMES = [f"step {n}" for n in range(STEPS)] + [
    name for n in range(CHILDREN) for name in (f"child {n}", *(f"inner {n} {m}" for m in range(IN_CHILD)))
]
KILLED_AT_MOST = 4  # of one execution: more in a row and the service would take it for a crash loop
PATIENCE = 300  # seconds; ends a run in which something hangs


class Victims:
    """In whose bodies a process is to die. A body that is one says so and waits for its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def choose(self, execution: str, names: list[str]) -> None:
        for name in names:
            (self.folder / f"{execution} {name}.chosen").touch()

    async def die_if_chosen(self, execution: str, name: str) -> None:
        chosen = self.folder / f"{execution} {name}.chosen"
        if chosen.exists():
            chosen.rename(chosen.with_suffix(f".{os.getpid()}"))
            await asyncio.sleep(PATIENCE)

    def waiting(self) -> list[tuple[Path, int]]:
        return [(file, int(file.suffix[1:])) for file in self.folder.iterdir() if file.suffix[1:].isdigit()]

    def left(self) -> bool:
        return any(self.folder.iterdir())


def run(folder: Path, view: str, kills: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Kill workers in the middle of the steps of as many executions as it takes.

    :return: the ARNs of the executions, and all spans that came
    """
    victims = Victims(folder / "victims")
    victims.folder.mkdir()
    spans = folder / "spans"
    spans.touch()
    with receiving(spans) as receiver, _serving(victims.folder, receiver) as client:
        arns = []
        for number in range(-(-kills // KILLED_AT_MOST)):
            name = f"{view}-{number}"
            steps = [each for each in NAMES if not each.startswith("child")]
            victims.choose(name, random.sample(steps, min(KILLED_AT_MOST, kills - number * KILLED_AT_MOST)))
            started = client.invoke(
                FunctionName=view, Qualifier="$LATEST", InvocationType="Event", DurableExecutionName=name
            )
            arns.append(started["DurableExecutionArn"])
        _kill_all(victims)
        _await_ends(client, arns)
    return arns, spans_in(spans)


def _kill_all(victims: Victims) -> None:
    deadline = time.monotonic() + PATIENCE
    while victims.left():
        assert time.monotonic() < deadline, "a chosen body was not reached"
        for file, pid in victims.waiting():
            time.sleep(random.uniform(0, 0.02))
            os.kill(pid, signal.SIGKILL)
            file.unlink()
        time.sleep(0.005)


def _await_ends(client: Any, arns: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    for arn in arns:
        while (status := client.get_durable_execution(DurableExecutionArn=arn)["Status"]) == "RUNNING":
            assert time.monotonic() < deadline, f"{arn} hangs"
            time.sleep(0.05)
        assert status == "SUCCEEDED", (arn, status)


@contextmanager
def _serving(victims: Path, receiver: str) -> Iterator[Any]:
    command = [sys.executable, "-m", "durable_async.cli", "serve", "--port", "0", "--workers", "4"]
    command += ["--functions", "tests.kill.traced_workflows"]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver, "OTEL_SERVICE_NAME": SERVICE, FOLDER: str(victims)}
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            client = boto3.client(
                "lambda",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="any",
                aws_secret_access_key="any",
                config=Config(retries={"total_max_attempts": 1}),
            )
            yield client
            client.close()
        finally:
            process.terminate()
