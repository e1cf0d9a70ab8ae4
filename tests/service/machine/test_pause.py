"""Pausing and resuming an execution. See protocol.md, "Pause and resume"."""

from __future__ import annotations

import pytest

from durable_async.service import machine
from durable_async.service.model.errors import InvalidParameterValueError, ResourceConflictError
from tests.service.machine.machine_driver import START_MS, Driver, callback, step, wait


def pause(driver: Driver, *, timeout_paused=True, reason=None) -> None:
    driver.do(machine.pause, reason, timeout_paused=timeout_paused)


def resume(driver: Driver, reason=None) -> None:
    driver.do(machine.resume, reason)


def test_a_running_invocation_learns_of_the_pause_by_the_missing_token():
    driver = Driver()
    pause(driver)
    assert driver.status == "PAUSING"
    token = driver.token
    result = driver.checkpoint(step("SUCCEED"), callback())
    assert result == {"NewExecutionState": {"Operations": []}}
    assert (driver.status, driver.statuses()) == ("PAUSED", {"s": "SUCCEEDED", "c": "STARTED"})
    with pytest.raises(InvalidParameterValueError, match="Invalid checkpoint token"):
        driver.checkpoint(token=token)
    driver.suspend()
    assert len(driver.invocations) == 1
    resume(driver)
    assert (driver.status, len(driver.invocations)) == ("RUNNING", 2)
    assert driver.invocations[-1].event["UpdatedOperationIds"] == ["s", "c"]


def test_an_interrupted_handler_is_invoked_again_even_after_an_empty_checkpoint():
    driver = Driver()
    driver.checkpoint(callback())
    pause(driver)
    driver.checkpoint()
    driver.suspend()
    assert driver.status == "PAUSED"
    resume(driver)
    assert len(driver.invocations) == 2


def test_a_handler_that_waits_for_nothing_while_pausing_is_asked_again_after_the_pause():
    driver = Driver()
    pause(driver)
    driver.suspend()
    assert (driver.status, len(driver.invocations)) == ("PAUSED", 1)
    resume(driver)
    assert len(driver.invocations) == 2


def test_a_handler_that_ends_after_the_pause_did_waits_for_something():
    driver = Driver()
    pause(driver)
    driver.checkpoint()
    resume(driver)
    for _ in range(3):  # the first is none of the three that fail the execution
        driver.suspend()
    assert (driver.status, len(driver.invocations)) == ("RUNNING", 4)


def test_an_interrupted_invocation_makes_the_pause_effective():
    driver = Driver()
    pause(driver)
    driver.do(machine.invocation_interrupted, driver.invocations[0].request_id)
    assert driver.status == "PAUSED"
    assert [event.type for event in driver.events[1:]] == ["InvocationCompleted", "ExecutionPaused"]
    resume(driver)
    assert len(driver.invocations) == 2


def test_completions_go_on_while_paused_and_resume_invokes_once():
    driver = Driver()
    driver.checkpoint(wait(1), callback())
    driver.suspend()
    pause(driver)
    driver.advance(1)
    driver.callback_succeeds("c")
    assert driver.statuses() == {"w": "SUCCEEDED", "c": "SUCCEEDED"}
    assert len(driver.invocations) == 1
    resume(driver)
    assert len(driver.invocations) == 2


def test_resume_with_nothing_changed_keeps_waiting():
    driver = Driver()
    driver.checkpoint(callback())
    driver.suspend()
    pause(driver)
    resume(driver)
    assert (driver.status, len(driver.invocations)) == ("RUNNING", 1)


def test_a_pause_that_is_taken_back_before_it_is_effective_leaves_no_trace():
    driver = Driver()
    pause(driver)
    resume(driver)
    assert driver.checkpoint(step("START"))["CheckpointToken"]
    assert [event.type for event in driver.events] == ["ExecutionStarted", "StepStarted"]


@pytest.mark.parametrize("kind", ["Runtime.ExitError", "ValueError"])
def test_a_failed_invocation_is_repeated_after_the_pause(kind):
    driver = Driver()
    pause(driver)
    driver.crash(kind)
    driver.advance(100)
    assert (driver.status, len(driver.invocations)) == ("PAUSED", 1)
    resume(driver)
    assert len(driver.invocations) == 2


@pytest.mark.parametrize(("seconds", "invocations"), [(0.5, 1), (100, 2)])
def test_a_pause_does_not_shorten_a_retrys_delay(seconds, invocations):
    driver = Driver()
    driver.crash("ValueError")
    pause(driver)
    driver.advance(seconds)
    assert len(driver.invocations) == 1
    resume(driver)
    assert len(driver.invocations) == invocations
    driver.advance(1)
    assert len(driver.invocations) == 2


def test_no_execution_lasts_longer_than_366_days():
    driver = Driver(timeout=300 * 86_400)
    pause(driver)
    driver.advance(100 * 86_400)
    resume(driver)
    assert driver.execution.timeout_ms == START_MS + 366 * 86_400_000


def test_a_handler_that_finishes_while_pausing_closes_the_execution():
    driver = Driver()
    pause(driver)
    driver.succeed()
    assert driver.status == "SUCCEEDED"


def test_the_timeout_grows_by_the_pause():
    driver = Driver(timeout=10)
    driver.checkpoint(callback())
    driver.suspend()
    pause(driver)
    driver.advance(100)
    assert driver.status == "PAUSED"
    resume(driver)
    assert driver.execution.timeout_ms == START_MS + 110_000
    pause(driver)
    driver.advance(5)
    resume(driver)
    assert driver.execution.timeout_ms == START_MS + 115_000
    driver.advance(10)
    assert driver.status == "TIMED_OUT"


def test_or_it_does_not_if_so_asked():
    driver = Driver(timeout=10)
    pause(driver, timeout_paused=False)
    driver.advance(10)
    assert driver.status == "TIMED_OUT"


def test_events_tell_the_request_and_the_reason():
    driver = Driver()
    pause(driver, reason="lunch")
    driver.now_ms += 1000
    driver.checkpoint()
    resume(driver, "back")
    assert [(event.type, event.details) for event in driver.events[1:]] == [
        (
            "ExecutionPaused",
            {"PauseRequestTimestamp": START_MS, "ExecutionTimeoutPaused": True, "Reason": "lunch"},
        ),
        ("ExecutionResumed", {"ResumeRequestTimestamp": START_MS + 1000, "Reason": "back"}),
    ]


def test_events_without_a_reason():
    driver = Driver()
    driver.checkpoint(callback())
    driver.suspend()
    pause(driver, timeout_paused=False)
    resume(driver)
    assert [event.details for event in driver.events[-2:]] == [
        {"PauseRequestTimestamp": START_MS, "ExecutionTimeoutPaused": False},
        {"ResumeRequestTimestamp": START_MS},
    ]


def test_wrong_statuses_are_conflicts():
    driver = Driver()
    with pytest.raises(ResourceConflictError):
        resume(driver)
    pause(driver)
    with pytest.raises(ResourceConflictError):
        pause(driver)
    driver.succeed()
    with pytest.raises(ResourceConflictError):
        pause(driver)
    with pytest.raises(ResourceConflictError):
        resume(driver)
