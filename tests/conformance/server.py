"""Starts ``durable-async serve`` as its users do: a process of its own, seen only through its URL and its log file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVICE_NAME = "durable-async-conformance"
INTERRUPTED = ("otel-invocation-15", "otel-execution-15")  # their executions time out
ROOT = Path(__file__).parents[2]
_URL = re.compile(r"https?://[\w.\[\]:-]*\w")


@contextmanager
def serving(log_file: Path, output: Path, receiver: str) -> Iterator[str]:
    """The URL of a server that has the handlers of all built cases; ended by SIGTERM at exit.

    :param output: takes what the server itself prints
    :param receiver: the URL of the OTLP receiver to which the functions export their spans
    :raises RuntimeError: if it ends before it accepts connections, or does not end with status 0
    """
    command = [sys.executable, "-m", "durable_async.cli", "serve", "--port", "0"]
    command += ["--functions", "tests.conformance.handlers", "--log-json", str(log_file)]
    for function in INTERRUPTED:
        command += ["--execution-timeout", f"{function}=5"]
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver, "OTEL_SERVICE_NAME": SERVICE_NAME}
    with output.open("w") as printed:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=printed, stderr=subprocess.STDOUT
        )
    try:
        yield _url_of(process, output)
        process.terminate()
        process.wait(timeout=20)
    finally:
        process.kill()  # nothing to do, if it has ended
        process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the server ended with status {process.returncode}:\n{output.read_text()}")


def _url_of(process: subprocess.Popen[bytes], output: Path, within: float = 20.0) -> str:
    deadline = time.monotonic() + within
    while process.poll() is None and time.monotonic() < deadline:
        if url := _URL.search(output.read_text().rpartition("\n")[0]):
            return url[0]
        time.sleep(0.05)
    raise RuntimeError(f"the server printed no URL, its status is {process.poll()}:\n{output.read_text()}")
