"""The commands on a whole execution, at their limits. See protocol.md, "Cancel" and "Pause and resume"."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from durable_async._wire.cancellation import CANCELLATION, ERROR_TYPE
from durable_async._wire.limits import REASON_LENGTH
from durable_async.service import machine
from durable_async.service.machine import Limits
from durable_async.service.model.errors import InvalidParameterValueError, ResourceConflictError
from tests.service.machine.machine_driver import START_MS, Driver, callback, invoke, step, wait


def pause(driver: Driver, reason: str | None = None) -> None:
    driver.do(machine.pause, reason, timeout_paused=False)


def cancel(driver: Driver, reason: str | None = None) -> None:
    driver.do(machine.cancel, reason)


def resume(driver: Driver, reason: str | None = None) -> None:
    driver.do(machine.resume, reason)


def test_an_execution_begins_with_its_input_and_an_invocation_that_gets_it():
    driver = Driver(timeout=60, payload='{"order": 1}')
    root = {
        "Id": "e1",
        "Type": "EXECUTION",
        "Status": "STARTED",
        "Name": "order-1",
        "StartTimestamp": START_MS,
        "ExecutionDetails": {"InputPayload": '{"order": 1}'},
    }
    assert driver.invocations[0].event["InitialExecutionState"]["Operations"] == [root]
    assert driver.invocations[0].event["UpdatedOperationIds"] == []
    assert [(event.type, event.details) for event in driver.events] == [
        ("ExecutionStarted", {"Input": '{"order": 1}', "ExecutionTimeout": 60})
    ]


def test_a_stop_returns_when_the_execution_was_closed():
    driver = Driver()
    driver.now_ms += 1000
    assert machine.stop(driver.execution, None, driver.at) == START_MS + 1000
    driver.now_ms += 1000
    assert machine.stop(driver.execution, None, driver.at) == START_MS + 1000


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        pytest.param(lambda d: d.do(machine.stop, None), False, id="stop"),
        pytest.param(cancel, True, id="cancel"),
        pytest.param(pause, True, id="pause"),
        pytest.param(resume, True, id="resume"),
    ],
)
def test_a_command_comes_too_late_although_the_timeout_has_not_fired_yet(command, refused):
    driver = Driver(timeout=9)
    driver.checkpoint(callback())
    driver.suspend()
    if command is resume:
        pause(driver)
    driver.now_ms += 9000
    with pytest.raises(ResourceConflictError, match="The execution is TIMED_OUT") if refused else nullcontext():
        command(driver)
    assert driver.status == "TIMED_OUT"
    assert len(driver.invocations) == 1


@pytest.mark.parametrize("command", [cancel, pause, resume])
def test_a_reason_has_a_limit(command):
    driver = Driver()
    driver.checkpoint(callback())
    driver.suspend()
    if command is resume:
        pause(driver)
    snapshot = driver.snapshot()
    with pytest.raises(InvalidParameterValueError, match=f"less than or equal to {REASON_LENGTH}$"):
        command(driver, "x" * (REASON_LENGTH + 1))
    assert driver.snapshot() == snapshot
    command(driver, "x" * REASON_LENGTH)
    assert driver.snapshot() != snapshot


def test_the_error_of_a_stop_has_a_limit():
    driver = Driver(limits=Limits(payload_bytes=30))
    with pytest.raises(InvalidParameterValueError):
        driver.do(machine.stop, {"ErrorMessage": "x" * 30})
    assert driver.status == "RUNNING"


def test_a_cancellation_invokes_the_handler_once_with_the_reason():
    driver = Driver()
    driver.checkpoint(wait(60))
    driver.suspend()
    cancel(driver, "sold out")
    assert len(driver.invocations) == 2
    cancel(driver, "sold out again")
    assert len(driver.invocations) == 2
    assert driver.invocations[-1].event["UpdatedOperationIds"] == [CANCELLATION]
    assert [event.details for event in driver.events if event.operation_id == CANCELLATION] == [{"Reason": "sold out"}]
    driver.checkpoint(step("SUCCEED", CANCELLATION, Payload='{"Reason": "sold out", "At": "w"}'))
    with pytest.raises(ResourceConflictError, match="cancelled before, and its code continued"):
        cancel(driver)
    driver.succeed()
    with pytest.raises(ResourceConflictError, match="The execution is SUCCEEDED and cannot be cancelled"):
        cancel(driver)


def test_the_cancellation_before_a_timeout_waits_for_its_time_whatever_else_is_due():
    driver = Driver(timeout=60, cancel_before=10)
    driver.checkpoint(wait(1), callback())
    driver.suspend()
    driver.advance(49.999)
    assert driver.statuses() == {"w": "SUCCEEDED", "c": "STARTED"}
    driver.advance(0.001)
    assert driver.events[-1].details == {"Reason": "The execution times out 60 seconds after its start."}
    driver.fail(ERROR_TYPE)
    assert driver.status == "TIMED_OUT"


def parent(*ends) -> Driver:
    driver = Driver()
    for end in ends:
        end(driver)
    return driver


@pytest.mark.parametrize(
    ("of_parent", "reason"),
    [
        pytest.param(Driver, None, id="it runs"),
        pytest.param(lambda: parent(cancel), "was cancelled", id="it was cancelled"),
        pytest.param(lambda: None, "was cancelled", id="it was deleted"),
        pytest.param(lambda: parent(Driver.succeed), "ended SUCCEEDED", id="it succeeded"),
        pytest.param(lambda: parent(cancel, Driver.fail), "ended FAILED", id="it was cancelled and failed"),
    ],
)
def test_a_child_follows_its_parent(of_parent, reason):
    around = of_parent()
    driver = Driver()
    for _ in range(2):  # told twice: once is enough
        driver.do(machine.follow_parent, None if around is None else around.execution)
    requests = [event.details["Reason"] for event in driver.events if event.operation_id == CANCELLATION]
    assert requests == ([] if reason is None else [f"The execution that invoked it {reason}."])


def test_a_child_that_was_cancelled_before_and_continues_is_left():
    driver = Driver()
    cancel(driver)
    driver.checkpoint(step("SUCCEED", CANCELLATION, Payload='{"Reason": null, "At": "w"}'))
    snapshot = driver.snapshot()
    driver.do(machine.follow_parent, None)
    assert driver.snapshot() == snapshot


def test_the_end_of_a_target_comes_too_late_although_the_timeout_has_not_fired_yet():
    driver = Driver(timeout=9)
    driver.checkpoint(invoke())
    driver.suspend()
    driver.now_ms += 9000
    driver.chained_ends("i")
    assert (driver.status, driver.statuses()) == ("TIMED_OUT", {"i": "STARTED"})


def test_a_child_that_has_ended_follows_nobody():
    driver = Driver()
    driver.succeed()
    snapshot = driver.snapshot()
    driver.do(machine.follow_parent, None)
    assert driver.snapshot() == snapshot
