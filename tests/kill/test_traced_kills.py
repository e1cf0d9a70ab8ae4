"""Workers are killed in the middle of steps, and the trace has each operation once.

``DURABLE_ASYNC_TRACED_KILLS`` (4) is the number of kills in each view. Each of them costs the start of a process.
"""

import os
from collections import Counter

import pytest

from .traced import NAMES, OPERATIONS, run

KILLS = int(os.environ.get("DURABLE_ASYNC_TRACED_KILLS", "4"))
ROOT = "DurableExecutionRoot"

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("view", ["invocation", "execution"])
def test_no_operation_is_missing_in_the_trace_and_none_is_there_twice(view, tmp_path):
    arns, spans = run(tmp_path, view, KILLS)
    assert len(arns) == len(set(arns)) == -(-KILLS // 4)
    exported = Counter((span["trace_id"], span["span_id"]) for span in spans if span["name"] != ROOT)
    assert {key: times for key, times in exported.items() if times > 1} == {}
    for arn in arns:
        of_it = [span for span in spans if span["attributes"].get("durable.execution.arn") == arn]
        assert len({span["trace_id"] for span in of_it}) == 1
        ended = [span["name"] for span in of_it if span["attributes"].get("durable.operation.status") == "SUCCEEDED"]
        assert sorted(ended) == sorted(NAMES)
        assert len(ended) == OPERATIONS
        attempts = [span["name"] for span in of_it if span["attributes"].get("durable.attempt.outcome") == "SUCCEEDED"]
        assert sorted(attempts) == sorted(f"{name} attempt 1" for name in NAMES if not name.startswith("child"))
        assert [span["name"] for span in of_it].count("Workflow") == 1
        assert [span["name"] for span in of_it].count("Invocation") == 1  # those that died export nothing of themselves
