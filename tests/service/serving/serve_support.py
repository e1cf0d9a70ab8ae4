"""``durable-async serve`` as its users run it: a process, a URL, a log file, a signal."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import attrs
import boto3
from botocore.config import Config

FOLDER = Path(__file__).parents[1] / "functions"
COMMAND = [sys.executable, "-m", "durable_async.cli", "serve"]


@attrs.frozen
class Serving:
    process: subprocess.Popen
    url: str
    line: str
    log: Path

    def client(self, key="any"):
        return boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
        )

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def until(self, condition):
        deadline = time.monotonic() + 30
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log and self.log.read_text()
            time.sleep(0.02)
        return found


@contextmanager
def serving(*arguments, log=None, ending=signal.SIGTERM, errors="", folder=FOLDER, **environment):
    """A server in ``folder``, until ``ending`` comes to its end, or it ended before.

    :param log: where its functions' lines go; None: nowhere, for there are no workers
    :param errors: matches what it writes to standard error
    """
    if log is not None:
        arguments = ("--log-json", str(log), *arguments)
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *map(str, arguments)],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, process.communicate(timeout=20)
        yield Serving(process, found[0], line, log)
        process.send_signal(ending)
        rest, written = process.communicate(timeout=20)
        assert (process.returncode, rest) == (-ending if ending == signal.SIGKILL else 0, ""), written
        assert re.fullmatch(errors, written, re.DOTALL), written
    finally:
        process.kill()
        process.communicate()


def ended(*arguments, folder=FOLDER, **environment):
    """A server that could not be started."""
    return subprocess.run(
        [*COMMAND, "--port", "0", *map(str, arguments)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def invoke(client, function, event=None, **options):
    return client.invoke(FunctionName=function, Qualifier="$LATEST", Payload=json.dumps(event).encode(), **options)


def start(client, function, event=None, **options):
    """The ARN of a new execution."""
    return invoke(client, function, event, InvocationType="Event", **options)["DurableExecutionArn"]


def status(client, arn):
    return client.get_durable_execution(DurableExecutionArn=arn)["Status"]


def finished(client, arn):
    """The execution, once it is closed."""
    deadline = time.monotonic() + 60
    while (execution := client.get_durable_execution(DurableExecutionArn=arn))["Status"] == "RUNNING":
        assert time.monotonic() < deadline, client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
        time.sleep(0.02)
    return execution
