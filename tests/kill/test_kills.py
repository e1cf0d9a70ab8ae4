"""Worker processes are killed at any moment, and the record, the side effects and the results stay right.

There is one massacre; each test then looks at what it left behind. ``DURABLE_ASYNC_KILLS`` (100) is the number of
kills between the START and the SUCCEED of an at-most-once step. Each of them costs the start of a process.
"""

import json
import os
from collections import Counter, defaultdict

import pytest

from .massacre import massacre
from .workflows import ATTEMPTS, PARCELS, STEPS

KILLS = int(os.environ.get("DURABLE_ASYNC_KILLS", "100"))
INTERRUPTED = "durable_async.errors.StepInterruptedError"
CHARGES = [f"charge-{n}" for n in range(STEPS)]
DRAWS = [f"draw-{n}" for n in range(STEPS)]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory):
    return massacre(tmp_path_factory.mktemp("kill") / "journal", KILLS)


def types(events):
    return [event["EventType"] for event in events]


def error_of(event):
    return event["StepFailedDetails"]["Error"]["Payload"]


def test_the_kills_hit_steps_of_both_kinds_and_the_service_saw_the_processes_die(aftermath):
    hit = Counter(step.split("-")[0] for _, step, _ in aftermath.interrupted)
    assert hit["charge"] >= KILLS
    assert hit["draw"] > 0
    if KILLS >= 100:  # then there was bad luck enough for the one, and calm enough for the other
        assert {execution.status for execution in aftermath.executions.values()} == {"SUCCEEDED", "FAILED"}
    crashes = [
        event["InvocationCompletedDetails"]["Error"]["Payload"]
        for execution in aftermath.executions.values()
        for event in execution.events
        if "Error" in event.get("InvocationCompletedDetails", {})
    ]
    assert len(crashes) >= KILLS
    assert {crash["ErrorType"] for crash in crashes} == {"Runtime.ExitError"}
    assert all(crash["ErrorMessage"].endswith("signal: killed") for crash in crashes)


@pytest.mark.parametrize("what", ["begin", "effect"])
def test_at_most_once_nothing_happens_twice_in_one_attempt(aftermath, what):
    happened = Counter(line.of for line in aftermath.lines if line.what == what and line.step in CHARGES)
    assert {attempt: times for attempt, times in happened.items() if times > 1} == {}


def test_at_most_once_every_attempt_that_was_interrupted_is_on_record_as_that(aftermath):
    recorded = {
        (arn, event["Name"], event["StepFailedDetails"]["RetryDetails"]["CurrentAttempt"])
        for arn, execution in aftermath.executions.items()
        for event in execution.events
        if event["EventType"] == "StepFailed" and error_of(event)["ErrorType"] == INTERRUPTED
    }
    assert {attempt for attempt in aftermath.interrupted if attempt[1] in CHARGES} <= recorded


def test_at_most_once_every_step_ends_by_its_strategy(aftermath):
    for execution in aftermath.executions.values():
        for name in CHARGES:
            events = execution.of_step(name)
            if not events:  # an earlier charge failed for good
                assert execution.status == "FAILED"
                continue
            *failed, last = [event for event in events if event["EventType"] != "StepStarted"]
            details = [event["StepFailedDetails"] for event in failed]
            assert [each["RetryDetails"] for each in details] == [
                {"CurrentAttempt": n, "NextAttemptDelaySeconds": 1} for n in range(1, len(failed) + 1)
            ]
            ended = len(failed) + 1
            assert types(events).count("StepStarted") == ended <= ATTEMPTS
            assert last[f"{last['EventType']}Details"]["RetryDetails"] == {"CurrentAttempt": ended}
            if last["EventType"] == "StepFailed":
                assert ended == ATTEMPTS
                failed.append(last)
            assert {error_of(event)["ErrorType"] for event in failed} <= {INTERRUPTED}


def test_every_execution_ends_and_fails_only_where_a_strategy_gave_up(aftermath):
    for execution in aftermath.executions.values():
        given_up = [
            event
            for event in execution.events
            if event["EventType"] == "StepFailed"
            and "NextAttemptDelaySeconds" not in event["StepFailedDetails"]["RetryDetails"]
        ]
        if not given_up:
            assert execution.status == "SUCCEEDED", execution.error
            continue
        (event,) = given_up
        assert error_of(event)["ErrorType"] == INTERRUPTED
        assert execution.status == "FAILED"
        assert execution.error["ErrorType"] == INTERRUPTED
        assert execution.error["ErrorMessage"] == error_of(event)["ErrorMessage"]
        assert f"attempt {ATTEMPTS} of step {event['Name']} was interrupted" in execution.error["ErrorMessage"]


def test_at_least_once_every_step_is_recorded_once_with_a_result_that_one_of_its_runs_had(aftermath):
    drawn = defaultdict(set)
    for line in aftermath.lines:
        if line.what == "end" and line.step in DRAWS:
            drawn[line.execution, line.step].add(line.value)
    for arn, execution in aftermath.executions.items():
        before = None
        for name in DRAWS:  # all of them, even if the execution failed: the strands don't disturb each other
            started, succeeded = execution.of_step(name)
            assert types([started, succeeded]) == ["StepStarted", "StepSucceeded"]
            assert succeeded["StepSucceededDetails"]["RetryDetails"] == {"CurrentAttempt": 1}
            previous, number = json.loads(succeeded["StepSucceededDetails"]["Result"]["Payload"])
            assert previous == before
            assert number in drawn[arn, name]
            before = number


def test_every_chained_invoke_is_one_execution_and_ends(aftermath):
    assert aftermath.parcels == ["SUCCEEDED"] * PARCELS * len(aftermath.executions)


def test_the_result_is_made_of_what_is_on_record(aftermath):
    for execution in aftermath.executions.values():
        if execution.status == "SUCCEEDED":
            results = {
                event["Name"]: json.loads(event["StepSucceededDetails"]["Result"]["Payload"])
                for event in execution.events
                if event["EventType"] == "StepSucceeded"
            }
            assert execution.result == {
                "drawn": [results[name][1] for name in DRAWS],
                "charged": [results[name] for name in CHARGES],
                "packed": [*range(PARCELS)],
            }


def test_a_step_that_is_recorded_as_done_never_runs_again(aftermath):
    done = {
        (arn, event["Name"]): event["EventTimestamp"].timestamp()
        for arn, execution in aftermath.executions.items()
        for event in execution.events
        if event["EventType"] == "StepSucceeded"
    }
    # A body takes longer than the millisecond to which an event's time is rounded, so its own begin is always earlier.
    again = [
        line
        for line in aftermath.lines
        if line.what == "begin" and line.at > done.get((line.execution, line.step), line.at)
    ]
    assert again == []


def test_at_least_once_attempts_that_were_interrupted_did_run_again_under_their_number(aftermath):
    """Or the tests above would have had nothing to look at."""
    begun = Counter(line.of for line in aftermath.lines if line.what == "begin" and line.step in DRAWS)
    assert {attempt for _, _, attempt in begun} == {1}
    interrupted = Counter(attempt for attempt in aftermath.interrupted if attempt[1] in DRAWS)
    assert all(begun[attempt] > times for attempt, times in interrupted.items())
