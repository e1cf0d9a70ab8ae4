"""Handlers that crash: how often they are tried, and what is done about them."""

import pytest

from durable_async.service import machine
from durable_async.service.machine import InvocationRetryPolicy
from tests.service.machine.machine_driver import Driver


def crash_until_paused(driver, most=100):
    for crashes in range(1, most):
        driver.crash()
        if driver.status == "PAUSED":
            return crashes
        driver.advance(3600)
    raise AssertionError("never")


def quarantining(after):
    return Driver(retries=InvocationRetryPolicy(quarantine_after=after), timeout=300 * 86_400)


@pytest.mark.parametrize("after", [1, 3, 10])
def test_so_many_crashes_in_a_row_pause_the_execution(after):
    driver = quarantining(after)
    assert crash_until_paused(driver) == after
    assert driver.quarantines == 1
    event = driver.events[-1]
    assert event.type == "ExecutionPaused"
    assert event.details["Reason"] == (
        f"Quarantined: the handler crashed {after} times in a row, last with Runtime.ExitError. "
        "Correct the handler, then resume the execution."
    )


def test_without_a_limit_it_is_tried_for_ever():
    driver = quarantining(None)
    for _ in range(50):
        driver.crash()
        driver.advance(3600)
    assert driver.status == "RUNNING"


@pytest.mark.parametrize("kind", ["ValueError", "Sandbox.Timedout"])
def test_what_a_handler_raises_is_no_crash_and_begins_the_count_anew(kind):
    driver = quarantining(3)
    for error in ("Runtime.ExitError", "Runtime.ExitError", kind, "Runtime.ExitError", "Runtime.ExitError"):
        driver.crash(error)
        driver.advance(3600)
    assert driver.status == "RUNNING"
    driver.crash()
    assert driver.status == "PAUSED"


def test_a_function_that_cannot_be_imported_counts_as_crashing():
    driver = quarantining(1)
    driver.crash("Runtime.ImportModuleError")
    assert driver.status == "PAUSED"


def test_an_answer_begins_the_count_anew():
    driver = quarantining(2)
    driver.crash()
    driver.write({"Id": "w", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 1}})
    driver.suspend()
    driver.advance(1)
    driver.crash()
    assert driver.status == "RUNNING"


def test_a_crash_after_a_step_that_succeeded_leads_to_no_quarantine():
    driver = quarantining(3)
    for number in range(20):
        driver.write({"Id": f"step {number}", "Type": "STEP", "Action": "SUCCEED", "Payload": "1"})
        driver.crash()
        driver.advance(3600)
        assert driver.status == "RUNNING"
    driver.crash()
    assert driver.status == "PAUSED"


def test_a_crash_after_a_step_that_failed_leads_to_quarantine():
    driver = quarantining(3)
    for number in range(3):
        driver.write({"Id": f"step {number}", "Type": "STEP", "Action": "FAIL", "Error": {"ErrorType": "Lost"}})
        driver.crash()
        driver.advance(3600)
    assert driver.status == "PAUSED"


def test_a_resumed_one_is_invoked_and_counted_anew():
    driver = quarantining(2)
    crash_until_paused(driver)
    invocations = len(driver.invocations)
    machine.resume(driver.execution, None, driver.at)
    driver._absorb()
    assert (driver.status, len(driver.invocations)) == ("RUNNING", invocations + 1)
    driver.crash()
    assert driver.status == "RUNNING"
    driver.advance(3600)
    driver.succeed()
    assert driver.status == "SUCCEEDED"


def test_quarantine_takes_nothing_from_the_execution_s_time():
    driver = Driver(retries=InvocationRetryPolicy(quarantine_after=1), timeout=60)
    driver.crash()
    driver.advance(86_400)
    assert driver.status == "PAUSED"
    machine.resume(driver.execution, None, driver.at)
    driver._absorb()
    assert driver.execution.timeout_ms == driver.now_ms + 60_000


def test_nothing_is_invoked_while_it_is_in_quarantine():
    driver = quarantining(1)
    driver.write({"Id": "c", "Type": "CALLBACK", "Action": "START"})
    driver.crash()
    invocations = len(driver.invocations)
    driver.do(machine.callback_succeeded, driver.callback_id("c"), b"1")
    driver.advance(86_400)
    assert len(driver.invocations) == invocations


# --- a service that starts ---


def take_up(driver, *, alone=True):
    invocation = driver.execution.invocation
    left = None if invocation is None else invocation.request_id
    machine.continued(driver.execution, left, driver.at, alone=alone)
    driver._absorb()


def test_an_invocation_lost_with_its_service_counts_as_a_crash():
    driver = quarantining(2)
    take_up(driver)
    assert driver.execution.crashes == 1
    assert len(driver.invocations) == 2
    take_up(driver)
    assert driver.status == "PAUSED"


def test_one_that_only_waited_its_turn_is_not_suspected():
    driver = quarantining(5)
    for _ in range(3):
        driver.crash()
    for invocations in range(4, 7):
        request_id = driver.invocations[-1].request_id
        assert len(driver.invocations) == invocations
        assert machine.is_waiting(driver.execution, request_id)
        assert not machine.is_waiting(driver.execution, driver.invocations[-2].request_id)
        machine.invocation_begun(driver.execution, driver.invocations[-2].request_id)  # it has ended
        take_up(driver)
    assert driver.execution.crashes == 3
    request_id = driver.invocations[-1].request_id
    machine.invocation_begun(driver.execution, request_id)
    assert not machine.is_waiting(driver.execution, request_id)
    take_up(driver)
    assert driver.execution.crashes == 4


@pytest.mark.parametrize("crashes", [1, 2])
def test_what_was_in_two_crashes_need_not_wait(crashes):
    driver = quarantining(10)
    for _ in range(crashes):
        take_up(driver, alone=False)
    assert not driver.execution.invocation.waiting


def test_crashes_that_others_shared_count_and_lead_to_no_quarantine():
    driver = quarantining(2)
    for crashes in range(1, 4):
        take_up(driver, alone=False)
        assert (driver.status, driver.execution.crashes) == ("RUNNING", crashes)
        machine.invocation_begun(driver.execution, driver.invocations[-1].request_id)
    driver.advance(60)
    machine.invocation_begun(driver.execution, driver.invocations[-1].request_id)
    take_up(driver, alone=True)
    assert driver.status == "PAUSED"


def test_an_invocation_that_the_service_has_begun_itself_is_not_taken_for_one_that_was_left():
    driver = quarantining(2)
    machine.continued(driver.execution, "left before", driver.at, alone=True)
    assert (driver.execution.crashes, len(driver.invocations)) == (0, 1)


def test_an_interrupted_invocation_is_repeated_and_nobody_s_failure():
    driver = Driver()
    request_id = driver.invocations[0].request_id
    machine.invocation_interrupted(driver.execution, request_id, driver.at)
    driver._absorb()
    assert driver.execution.active
    assert driver.execution.failures == 0
    take_up(driver)
    assert len(driver.invocations) == 2
    machine.invocation_interrupted(driver.execution, request_id, driver.at)  # it is the current one no more
    assert driver.execution.invocation is not None


def test_what_only_waits_is_left_alone():
    driver = Driver()
    driver.write({"Id": "w", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 60}})
    driver.suspend()
    assert not driver.execution.active
    take_up(driver)
    assert len(driver.invocations) == 1


def test_who_knows_the_rest_is_told_the_news():
    driver = Driver()
    driver.write({"Id": "s", "Type": "STEP", "Action": "SUCCEED"})
    driver.write({"Id": "w", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 60}})
    driver.suspend()
    driver.now_ms += 60_000
    machine.fire_due(driver.execution, driver.at)
    (effect,) = driver.execution.take_changes().effects
    event = machine.invocation_event(driver.execution, effect.request_id, driver.limits, whole=False)
    assert [operation["Id"] for operation in event["InitialExecutionState"]["Operations"]] == ["w"]
    assert event["UpdatedOperationIds"] == ["w"]
    assert event["CheckpointToken"] == driver.execution.invocation.token
    assert machine.invocation_event(driver.execution, "another", driver.limits, whole=False) is None
