"""Executions whose code does not fit their record: paused until there is code that does."""

import pytest

from durable_async.errors import NonDeterminismError, OperationLabel
from durable_async.service import machine
from durable_async.service.machine import InvocationRetryPolicy
from tests.service.machine.machine_driver import Driver, invoke, step, wait

MISMATCH = NonDeterminismError(
    "1ced8f", OperationLabel("STEP", "Step", "charge"), OperationLabel("STEP", "Step", "pay")
)
FRAME = '  File "/app/shop/orders.py", line {}, in fulfil\n    await ctx.step(charge)\n'
ADVICE = " Roll back or correct the code. The execution is tried again when its function is registered, or on resume."


def mismatch(*trace):
    return {
        "ErrorType": "durable_async.errors.NonDeterminismError",
        "ErrorMessage": str(MISMATCH),
        "StackTrace": [*trace],
    }


def answer(driver, error, *, parks=True):
    machine.invocation_answered(
        driver.execution,
        driver.invocations[-1].request_id,
        {"Status": "FAILED", "Error": error},
        driver.at,
        parks=parks,
    )
    driver._absorb()


def begun():
    driver = Driver()
    driver.checkpoint(step("START"), step("SUCCEED", Payload="1"))
    return driver


def test_a_mismatch_pauses_the_execution_with_the_operations_and_the_line_as_the_reason():
    driver = begun()
    answer(driver, mismatch(FRAME.format(12), FRAME.format(41), "raised while handling ValueError\n", FRAME.format(7)))
    assert (driver.status, driver.closings) == ("PAUSED", 0)
    event = driver.events[-1]
    assert event.type == "ExecutionPaused"
    assert event.details["Reason"] == (
        "Parked: expected Step 'charge', which is recorded as operation 1ced8f, but the workflow now calls Step "
        "'pay' (orders.py:41)." + ADVICE
    )


def test_what_was_held_from_the_invocation_is_recorded_before_it_parks():
    driver = begun()
    driver.checkpoint(invoke())
    driver.chained_ends("i")
    answer(driver, mismatch())
    assert driver.statuses()["i"] == "SUCCEEDED"
    assert [event.type for event in driver.events[-2:]] == ["ChainedInvokeSucceeded", "ExecutionPaused"]


def test_without_the_policy_it_fails_as_on_aws():
    driver = begun()
    answer(driver, mismatch(), parks=False)
    assert driver.status == "FAILED"


def test_the_reason_is_never_longer_than_a_pause_may_have():
    driver = begun()
    answer(driver, {**mismatch(), "ErrorMessage": "x" * 5000})
    assert len(driver.events[-1].details["Reason"]) == 1024
    machine.resume(driver.execution, driver.events[-1].details["Reason"], driver.at)


def test_the_mismatch_of_an_invoked_function_is_a_failure_of_the_one_that_invoked_it():
    driver = begun()
    answer(driver, mismatch("InvokeFailedError: operation 'child', id 2d3e\n", FRAME.format(41)))
    assert driver.status == "FAILED"


def test_an_event_that_was_read_before_parks_and_one_that_never_was_fails():
    unreadable = {
        "ErrorType": "durable_async.errors.EventError",
        "ErrorMessage": "the execution's input: $.total",
        "StackTrace": [FRAME.format(12)],
    }
    driver = begun()
    answer(driver, unreadable)
    assert driver.status == "PAUSED"
    assert driver.events[-1].details["Reason"] == "Parked: the execution's input: $.total." + ADVICE
    driver = Driver()
    answer(driver, unreadable)
    assert driver.status == "FAILED"


@pytest.mark.parametrize("kind", ["ValueError", "durable_async.errors.SerializationError", None])
def test_other_failures_are_failures(kind):
    driver = begun()
    answer(driver, {"ErrorType": kind, "ErrorMessage": "no"})
    assert driver.status == "FAILED"


def test_a_function_that_cannot_be_loaded_is_tried_some_times_and_then_parks():
    driver = Driver(retries=InvocationRetryPolicy(immediate=3))
    error = {"ErrorType": "Runtime.ImportModuleError", "ErrorMessage": "Unable to import module 'orders': no pay"}
    for attempt in range(1, 5):
        assert driver.status == "RUNNING", attempt
        request_id = driver.invocations[-1].request_id
        machine.invocation_failed(driver.execution, request_id, error, driver.at, parks=True)
        driver._absorb()
    assert driver.status == "PAUSED"
    assert driver.events[-1].details["Reason"] == "Parked: Unable to import module 'orders': no pay." + ADVICE


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(
            {"ErrorType": "Runtime.HandlerNotFound"}, "Parked: Runtime.HandlerNotFound." + ADVICE, id="no text"
        ),
        pytest.param({"ErrorType": "ValueError", "ErrorMessage": "no"}, None, id="a function that is there"),
        pytest.param({"ErrorMessage": "no"}, None, id="of an unknown kind"),
    ],
)
def test_only_a_function_that_cannot_be_loaded_is_parked_after_failures(error, reason):
    driver = Driver(retries=InvocationRetryPolicy(immediate=0))
    driver.do(machine.invocation_failed, driver.invocations[0].request_id, error, parks=True)
    assert driver.status == ("RUNNING" if reason is None else "PAUSED")
    assert driver.events[-1].details.get("Reason") == reason


def test_an_answer_without_an_error_is_no_mismatch():
    driver = begun()
    answer(driver, None)
    assert driver.status == "FAILED"


def test_a_service_that_starts_tries_a_parked_execution_again_and_a_paused_one_not():
    driver = begun()
    answer(driver, mismatch())
    assert driver.execution.active
    invocations = len(driver.invocations)
    machine.continued(driver.execution, None, driver.at, alone=False)
    driver._absorb()
    assert (driver.status, len(driver.invocations)) == ("RUNNING", invocations + 1)
    assert driver.events[-1].type == "ExecutionResumed"
    assert driver.events[-1].details["Reason"] == "The function was registered again."

    driver = begun()
    driver.checkpoint(wait())
    driver.suspend()
    driver.do(machine.pause, "a strike", timeout_paused=True)
    assert not driver.execution.active
    machine.continued(driver.execution, None, driver.at, alone=False)
    assert driver.status == "PAUSED"


def test_timers_go_on_meanwhile_and_the_timeout_waits():
    driver = begun()
    driver.checkpoint(wait(2))
    answer(driver, mismatch())
    driver.advance(86_400 * 3)  # three times its timeout
    assert driver.statuses()["w"] == "SUCCEEDED"
    assert driver.status == "PAUSED"
    driver.do(machine.resume, None)
    assert driver.status == "RUNNING"
    assert {operation["Id"] for operation in driver.invocations[-1].event["InitialExecutionState"]["Operations"]} >= {
        "s",
        "w",
    }


def test_a_pause_that_somebody_asked_for_keeps_its_reason():
    driver = begun()
    driver.do(machine.pause, "a strike", timeout_paused=False)
    assert driver.status == "PAUSING"
    answer(driver, mismatch())
    assert driver.status == "PAUSED"
    assert driver.events[-1].details["Reason"] == "a strike"
    driver.do(machine.resume, None)
    answer(driver, mismatch())
    assert driver.execution.pause.parked
