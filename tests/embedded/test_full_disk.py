"""The disk is full for a while: nobody is told what is not so, nothing is lost, and everything goes on afterwards."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_full_disk_stops_the_service_and_room_lets_it_go_on(tmp_path):
    file = tmp_path / "w.db"
    command = [sys.executable, "-m", "tests.embedded.full_disk", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert lines["refused"].startswith("503 ")
    assert lines["reading"] == "works RUNNING"
    assert lines["finished"] == "True"
    assert lines["not"] == "started None"
    assert "xxxx" not in done.stdout + done.stderr  # no payload is shown
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
