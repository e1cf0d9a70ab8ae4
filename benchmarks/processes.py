"""The processes of a measurement: the service for all of it, and one for each run of a contender."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import attrs

from benchmarks.gathered.workflow import CRASHED

ROOT = Path(__file__).parents[1]


@attrs.frozen
class Service:
    url: str

    def new_execution(self, input_: Any, *, completed: int = 0) -> str:
        return self._ask("POST", "/executions", {"input": input_, "completed": completed})["name"]

    def envelope(self, execution: str) -> dict[str, Any]:
        return self._ask("POST", f"/executions/{execution}")["envelope"]

    def counts(self, execution: str) -> dict[str, int]:
        """``calls``: how many checkpoints it has had; ``updates``: in them."""
        return self._ask("GET", f"/executions/{execution}")

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        with urlopen(Request(self.url + path, method=method, data=body)) as answer:
            return json.load(answer)


@contextmanager
def serving() -> Iterator[Service]:
    command = [sys.executable, "-m", "benchmarks.service"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Service(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.stdin.close()  # upon which it ends


def run_module(
    python: str, module: str, task: dict[str, Any], service: Service | None = None, *, timeout: float = 300.0
) -> dict[str, Any] | None:
    """Run ``module`` with ``task`` on its standard input.

    :return: the JSON that it printed, None if it crashed as told to
    :raises RuntimeError: it ended in another way, or not within ``timeout`` seconds
    """
    command = [python, "-m", module]
    try:
        ended = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=_environment(service),
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{module} did not end within {timeout:.0f} s\n{error.stderr!r}") from None
    if ended.returncode == CRASHED:
        return None
    if ended.returncode != 0 or not ended.stdout:
        raise RuntimeError(f"{module} ended with status {ended.returncode}\n{ended.stderr}")
    printed: dict[str, Any] = json.loads(ended.stdout)
    return printed


def _environment(service: Service | None) -> dict[str, str]:
    """As in a sandbox of Lambda's: credentials and region in variables, and no files of the user's."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith(("AWS_", "HTTP"))}
    ours |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true"}
    ours |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)  # or this package is compiled at each start, and the installed peers not
    ours |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    if service is not None:
        ours["AWS_ENDPOINT_URL_LAMBDA"] = service.url
    return ours
