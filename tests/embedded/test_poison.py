"""An execution that ends the whole process each time it runs is put away, and nobody else is blamed for it."""

import subprocess
import sys
from pathlib import Path

from durable_async.embedded import DurableService

from .poison import CRASHES, INNOCENT, innocent, poison

ROOT = Path(__file__).parents[2]


def run(file):
    command = [sys.executable, "-m", "tests.embedded.poison", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


async def test_what_ends_the_process_is_put_in_quarantine_and_the_others_finish(tmp_path):
    file = tmp_path / "w.db"
    runs = []
    while not runs or runs[-1].returncode != 0:
        runs.append(run(file))
        assert len(runs) <= CRASHES + 1, runs[-1].stderr
    assert runs[-1].stdout.startswith(f"PAUSED Quarantined: the handler crashed {CRASHES} times in a row")
    assert "Quarantined" in runs[-1].stderr  # it is logged, too
    async with DurableService(file) as service:
        service.register(innocent)
        service.register(poison)
        names = [summary.name async for summary in service.executions(innocent, statuses=["SUCCEEDED"])]
        assert len(names) == INNOCENT
        for name in names:
            execution = await service.find(innocent, name)
            assert all(event.type != "ExecutionPaused" for event in await execution.history())
