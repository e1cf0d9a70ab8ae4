"""Replays a record in another process, whose sets of strings have another order, and whose memory is empty."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import attrs

from durable_async.handler import AnyHandler


@attrs.frozen
class Place:
    """:ivar module: a dotted name, or the path of a file"""

    module: str
    name: str


def importable(handler: AnyHandler) -> Place | None:
    """Return where another process finds ``handler``; None if it cannot."""
    name = str(getattr(handler, "__qualname__", ""))
    module = sys.modules.get(str(getattr(handler, "__module__", "")))
    file = getattr(module, "__file__", None)
    if module is None or file is None or getattr(module, name, None) is not handler:
        return None
    return Place(file if module.__name__ == "__main__" else module.__name__, name)


async def replay_with_seed(place: Place, histories: Sequence[object], seed: int) -> str | None:
    """Replay ``histories`` in a process with this hash seed.

    :return: None if the code replays all of them there; otherwise what it does with the first that it does not
    :raises RuntimeError: the process did not come to an answer
    """
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"from {__name__} import main; main()", place.module, place.name]
    process = await asyncio.to_thread(
        subprocess.run,
        command,
        input=json.dumps(histories),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"the replay with PYTHONHASHSEED={seed} failed:\n{process.stderr}")
    answer: str | None = json.loads(process.stdout)
    return answer


def main() -> None:
    """Answer for :func:`replay_with_seed`: the histories come on stdin, the answer goes to stdout."""
    from contextlib import redirect_stdout

    from durable_async.replay import ReplayReport, replay
    from durable_async.service.functions.modules import load_module
    from durable_async.testing.virtual_time import VirtualTime

    async def at_once(handler: AnyHandler, history: object) -> ReplayReport:
        with VirtualTime():
            return await replay(handler, history)

    module, name = sys.argv[1:]
    answer: str | None = None
    with redirect_stdout(sys.stderr):  # what the workflow prints
        handler = getattr(load_module(module), name)
        for history in json.load(sys.stdin):
            report = asyncio.run(at_once(handler, history))
            if not report.passed:
                answer = str(report)
                break
    sys.stdout.write(json.dumps(answer))
