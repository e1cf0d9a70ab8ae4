"""The command as its users run it: a process, its output, its exit code."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import boto3

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "durable_async.cli"]


def environment(**more):
    """Nothing of the caller's AWS, and no network for credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DURABLE_ASYNC_"))}
    path = os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **kept,
        "PYTHONPATH": path,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "TZ": "UTC",
        **more,
    }


@attrs.frozen
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.out.splitlines()


def durable_async(*arguments, stdin="", cwd=HERE, traced=False, **variables):
    """:param traced: an error of the user's own code is shown with its traceback"""
    ended = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert traced or "Traceback" not in ended.stderr, ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@attrs.frozen
class Service:
    """A server, the command with its address, and another client, for what a test needs before."""

    url: str
    client: Any

    def __call__(self, *arguments, **options):
        return durable_async(*arguments, DURABLE_ASYNC_ENDPOINT=self.url, **options)

    def start(self, function, name, payload="{}"):
        """The ARN of a new execution."""
        started = self.client.invoke(
            FunctionName=function,
            Qualifier="$LATEST",
            InvocationType="Event",
            DurableExecutionName=name,
            Payload=payload.encode(),
        )
        return started["DurableExecutionArn"]

    def until(self, arn, kind):
        """The first event of this kind, once it is there."""
        while True:
            events = self.client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
            for event in events:
                if event["EventType"] == kind:
                    return event
            time.sleep(0.02)


@contextmanager
def serve(*arguments, cwd=HERE, command=COMMAND):
    """``durable-async serve`` with these arguments. Yields the URL."""
    process = subprocess.Popen(
        [*command, "serve", "--port", "0", *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, process.communicate(timeout=20)
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextmanager
def serving(*arguments):
    with serve("--functions", "workflows", "--workers", "2", *arguments) as url:
        client = boto3.client(
            "lambda",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        yield Service(url, client)
        client.close()


def on_a_terminal(*arguments, columns=100, typed="", **variables):
    """Runs the command on a terminal of its own. Returns its exit code, and all that it wrote there."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=HERE,
        env=environment(TERM="xterm", COLUMNS=str(columns), LINES="30", **variables),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    os.write(ours, typed.encode())
    written, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:  # its end is closed
                break
    os.close(ours)
    return process.wait(timeout=20), written.decode()
