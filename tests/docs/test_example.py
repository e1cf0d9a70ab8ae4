"""The README's first command, as a user runs it."""

import os
import subprocess
import sys

from .pages import ROOT, blocks

COMMAND = ".venv/bin/durable-async "


def test_the_order_goes_through_with_its_history(tmp_path):
    line = next(block.text for block in blocks(ROOT / "README.md") if COMMAND in block.text)
    arguments = line.partition(COMMAND)[2].split()
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    process = subprocess.run(
        [sys.executable, "-W", "error", "-m", "durable_async.cli", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == '"parcel 1017 for 4.50"\n'
    assert (tmp_path / "orders.db").exists()
    header, *table, last = process.stderr.splitlines()
    assert header.split() == ["ID", "TIME", "EVENT", "NAME", "ABOUT"]
    assert last.startswith("SUCCEEDED after ")
    events = [" ".join(line.split()[2:]) for line in table]
    assert sorted(events[5:9]) == [  # two steps at once: which ends first is open
        "StepFailed quote north attempt 1, next in 1s, CarrierBusyError: ask again",
        "StepStarted quote north",
        "StepStarted quote south",
        "StepSucceeded quote south 600",
    ]
    assert events[9].startswith("InvocationCompleted took ")
    assert [event.partition(" took")[0] for event in events[:5] + events[9:]] == [
        'ExecutionStarted {"id": "1017", "items": ["lamp", "bulb"], "cents": 4250}',
        "StepStarted reserve",
        "StepSucceeded reserve 2",
        "StepStarted charge",
        'StepSucceeded charge "paid 42.50"',
        "InvocationCompleted",
        "StepStarted quote north",
        "StepSucceeded quote north attempt 2, 450",
        "WaitStarted cooling off 1s",
        "InvocationCompleted",
        "WaitSucceeded cooling off 1s",
        "StepStarted ship",
        'StepSucceeded ship "parcel 1017 for 4.50"',
        "InvocationCompleted",
        'ExecutionSucceeded "parcel 1017 for 4.50"',
    ]
