"""The example of the README's first command, as a user runs it."""

import os
import subprocess
import sys

from .pages import EXAMPLES, ROOT


def test_the_order_goes_through_with_its_history():
    process = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "order.py")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    first, *table, last = process.stdout.splitlines()
    assert first.startswith("fulfil runs on http://127.0.0.1:")
    assert last == 'SUCCEEDED: "parcel 1017 for 4.50"'
    events = [" ".join(line[10:].split()) for line in table if line]
    assert sorted(events[5:10]) == [  # two steps at once: which ends first is open
        "InvocationCompleted",
        "StepFailed quote north attempt 1: CarrierBusyError: ask again; next in 1 s",
        "StepStarted quote north",
        "StepStarted quote south",
        "StepSucceeded quote south 600",
    ]
    assert events[:5] + events[10:] == [
        "ExecutionStarted order-1017",
        "StepStarted reserve",
        "StepSucceeded reserve 2",
        "StepStarted charge",
        'StepSucceeded charge "paid 42.50"',
        "StepStarted quote north",
        "StepSucceeded quote north attempt 2: 450",
        "WaitStarted cooling off 1 s",
        "InvocationCompleted",
        "WaitSucceeded cooling off",
        "StepStarted ship",
        'StepSucceeded ship "parcel 1017 for 4.50"',
        "InvocationCompleted",
        "ExecutionSucceeded order-1017",
    ]
