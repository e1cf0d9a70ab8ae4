"""Each row of a step's replay arms."""

import pytest

from durable_async._operations.step_rules import Interrupted, Raise, Return, Run, Start, Wait, next_action
from durable_async.config import StepSemantics

LEAST, MOST = StepSemantics.AT_LEAST_ONCE_PER_RETRY, StepSemantics.AT_MOST_ONCE_PER_RETRY


def step(status, **details):
    return {"Id": "1", "Type": "STEP", "Status": status, "StepDetails": details}


@pytest.mark.parametrize(
    ("record", "semantics", "action"),
    [
        pytest.param(None, LEAST, Run(1, Start.POSTED), id="fresh"),
        pytest.param(None, MOST, Run(1, Start.COMMITTED), id="fresh, at most once"),
        pytest.param(step("STARTED"), LEAST, Run(1, Start.ON_RECORD), id="interrupted: run again, no second START"),
        pytest.param(step("STARTED", Attempt=2), LEAST, Run(3, Start.ON_RECORD), id="interrupted in attempt 3"),
        pytest.param(step("STARTED", Attempt=0), MOST, Interrupted(1), id="interrupted, at most once"),
        pytest.param(step("STARTED", Attempt=1), MOST, Interrupted(2), id="interrupted in attempt 2, at most once"),
        pytest.param(step("READY", Attempt=1), LEAST, Run(2, Start.POSTED), id="retry due"),
        pytest.param(step("READY", Attempt=1), MOST, Run(2, Start.COMMITTED), id="retry due, at most once"),
        pytest.param(step("PENDING", Attempt=1, NextAttemptTimestamp=1.7e9), LEAST, Wait(1.7e9), id="retry scheduled"),
        pytest.param(step("PENDING", Attempt=1, NextAttemptTimestamp=1.7e12), MOST, Wait(1.7e9), id="in milliseconds"),
        pytest.param(step("PENDING", Attempt=1), LEAST, Wait(None), id="retry scheduled, time unknown"),
        pytest.param(step("SUCCEEDED", Attempt=1, Result="1"), LEAST, Return("1"), id="succeeded"),
        pytest.param(step("SUCCEEDED", Attempt=1), MOST, Return(None), id="succeeded without a result"),
        pytest.param(step("FAILED", Attempt=1, Error={"ErrorType": "E"}), MOST, Raise({"ErrorType": "E"}), id="failed"),
        pytest.param(step("FAILED"), LEAST, Raise({}), id="failed without an error"),
        pytest.param(step("STOPPED"), LEAST, Raise({}), id="a terminal status that steps do not have"),
        pytest.param(step("SHELVED"), LEAST, Raise({}), id="a status that nobody knows"),
    ],
)
def test_each_row(record, semantics, action):
    assert next_action(record, semantics) == action


def test_details_may_be_missing():
    assert next_action({"Id": "1", "Type": "STEP", "Status": "STARTED"}, LEAST) == Run(1, Start.ON_RECORD)
