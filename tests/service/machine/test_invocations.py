"""When the handler is invoked again, and what its answer means. See protocol.md, "Answer of the handler",
"Invoking the handler" and "Failed invocations".
"""

from __future__ import annotations

import pytest

from durable_async.service import machine
from durable_async.service.machine import InvocationRetryPolicy, Limits, Parent
from tests.service.machine.machine_driver import START_MS, Driver, callback, context, invoke, step, wait

INVALID = "InvalidParameterValueException"


def error_of(driver: Driver) -> tuple[str | None, str | None]:
    error = driver.execution.error or {}
    return error.get("ErrorType"), error.get("ErrorMessage")


@pytest.mark.parametrize(
    ("output", "status", "result", "error"),
    [
        ({"Status": "SUCCEEDED", "Result": "1"}, "SUCCEEDED", "1", None),
        ({"Status": "SUCCEEDED", "Result": ""}, "SUCCEEDED", "", None),
        ({"Status": "SUCCEEDED"}, "SUCCEEDED", None, None),
        ({"Status": "SUCCEEDED", "Error": None, "More": 1}, "SUCCEEDED", None, None),
        ({"Status": "FAILED", "Error": {"ErrorType": "E"}}, "FAILED", None, {"ErrorType": "E"}),
        ({"Status": "FAILED"}, "FAILED", None, None),
    ],
    ids=str,
)
def test_an_answer_closes_the_execution(output, status, result, error):
    driver = Driver()
    driver.answer(output)
    execution = driver.execution
    assert (driver.status, execution.result, execution.error) == (status, result, error)
    assert driver.closings == 1


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "Invalid invocation output: not a JSON object."),
        ("SUCCEEDED", "Invalid invocation output: not a JSON object."),
        ({}, "Invalid invocation output: unknown Status None."),
        ({"Status": "DONE"}, "Invalid invocation output: unknown Status 'DONE'."),
        ({"Status": ["PENDING"]}, "Invalid invocation output: unknown Status ['PENDING']."),
        ({"Status": "FAILED", "Error": "no"}, "Invalid invocation output: Error is not an object."),
        ({"Status": "SUCCEEDED", "Result": {"a": 1}}, "Invalid invocation output: Result is not a string."),
        ({"Status": "FAILED", "Result": ""}, "Cannot provide a Result for FAILED status."),
        ({"Status": "SUCCEEDED", "Error": {}}, "Cannot provide an Error for SUCCEEDED status."),
    ],
    ids=str,
)
def test_an_invalid_answer_fails_the_execution(output, message):
    driver = Driver()
    driver.answer(output)
    assert driver.status == "FAILED"
    assert error_of(driver) == (INVALID, message)
    assert len(driver.invocations) == 1


def test_the_third_idle_pending_in_a_row_fails_the_execution():
    driver = Driver()
    driver.checkpoint(step("START"), context("START"))
    driver.suspend()
    driver.suspend()
    assert (driver.status, len(driver.invocations)) == ("RUNNING", 3)
    driver.suspend()
    assert error_of(driver) == (INVALID, "Cannot return PENDING status with no pending operations.")


@pytest.mark.parametrize(
    ("pending", "end"),
    [
        pytest.param(wait(1), lambda d: d.advance(1), id="wait"),
        pytest.param(step("RETRY", delay=1), lambda d: d.advance(1), id="retry"),
        pytest.param(callback(), lambda d: d.callback_succeeds("c"), id="callback"),
        pytest.param(invoke(), lambda d: d.chained_ends("i"), id="invoke"),
    ],
)
def test_nothing_is_waited_for_after_its_end(pending, end):
    driver = Driver()
    driver.checkpoint(pending)
    driver.suspend()
    end(driver)
    for invocations in (3, 4):
        driver.suspend()
        assert (driver.status, len(driver.invocations)) == ("RUNNING", invocations)
    driver.suspend()
    assert error_of(driver) == (INVALID, "Cannot return PENDING status with no pending operations.")


def test_a_pending_that_is_right_starts_the_count_anew():
    driver = Driver()
    driver.suspend()
    driver.suspend()
    driver.checkpoint(wait(1))
    driver.suspend()
    driver.advance(1)
    driver.suspend()
    driver.suspend()
    assert driver.status == "RUNNING"


@pytest.mark.parametrize(
    "pending", [wait(5), callback(), invoke(), step("RETRY", delay=5)], ids=["wait", "callback", "invoke", "retry"]
)
def test_pending_with_something_pending_waits(pending):
    driver = Driver()
    driver.checkpoint(pending)
    driver.suspend()
    assert (driver.status, len(driver.invocations)) == ("RUNNING", 1)


def test_a_chained_execution_may_not_answer_more_than_its_parent_can_take():
    driver = Driver(limits=Limits(child_execution_bytes=3), parent=Parent("p", "i"))
    driver.succeed("1234")
    assert error_of(driver) == (None, "Execution output payload size must be less than or equal to 3 bytes.")


@pytest.mark.parametrize(
    ("parent", "result"),
    [
        pytest.param(Parent("p", "i"), "123", id="just as much"),
        pytest.param(Parent("p", "i"), None, id="nothing"),
        pytest.param(None, "1234", id="it has no parent"),
    ],
)
def test_what_an_execution_may_answer(parent, result):
    driver = Driver(limits=Limits(child_execution_bytes=3), parent=parent)
    driver.succeed(result)
    assert (driver.status, driver.execution.result) == ("SUCCEEDED", result)


def test_waits_due_together_give_one_invocation():
    driver = Driver()
    driver.checkpoint(wait(2, "a"), wait(2, "b"), wait(3, "c"))
    driver.suspend()
    driver.advance(2)
    assert len(driver.invocations) == 2
    assert driver.invocations[-1].event["UpdatedOperationIds"] == ["a", "b"]


def test_timers_fire_in_the_order_of_their_times():
    driver = Driver()
    driver.checkpoint(wait(3, "late"), wait(1, "early"))
    driver.suspend()
    driver.advance(5)
    assert [event.operation_id for event in driver.events[-2:]] == ["early", "late"]


def test_a_change_that_the_running_handler_saw_does_not_invoke_it_again():
    driver = Driver()
    driver.checkpoint(wait(1), callback())
    driver.advance(1)
    driver.checkpoint()
    driver.suspend()
    assert len(driver.invocations) == 1


def test_a_change_that_the_running_handler_did_not_see_does():
    driver = Driver()
    driver.checkpoint(wait(1), callback())
    driver.advance(1)
    assert len(driver.invocations) == 1
    driver.suspend()
    assert len(driver.invocations) == 2
    assert driver.invocations[-1].event["UpdatedOperationIds"] == ["w"]


def test_what_the_handler_does_itself_does_not_invoke_it():
    driver = Driver()
    driver.checkpoint(callback(), step("SUCCEED"), context("SUCCEED"))
    driver.suspend()
    driver.heartbeat("c")
    assert len(driver.invocations) == 1


def test_each_invocation_has_an_identity_of_its_own():
    driver = Driver()
    driver.crash()
    first, second = driver.invocations
    assert first.request_id != second.request_id
    machine.invocation_answered(driver.execution, first.request_id, {"Status": "SUCCEEDED"}, driver.at)
    assert driver.status == "RUNNING"


def retry_times(driver: Driver, kinds: list[str]) -> list[float]:
    """Crash again and again; the seconds after which each retry came."""
    times = []
    for kind in kinds:
        count, failed_at = len(driver.invocations), driver.now_ms
        driver.crash(kind)
        if len(driver.invocations) == count:
            driver.advance((driver.execution.invoke_at_ms - driver.now_ms) / 1000)
        assert len(driver.invocations) == count + 1
        times.append((driver.now_ms - failed_at) / 1000)
    return times


@pytest.mark.parametrize(
    ("kinds", "seconds"),
    [
        pytest.param(["ValueError"] * 8, [1, 2, 4, 8, 16, 32, 60, 60], id="raised"),
        pytest.param(["Sandbox.Timedout"] * 3, [1, 2, 4], id="ran too long"),
        pytest.param(["Runtime.ExitError"] * 6, [0, 0, 0, 1, 2, 4], id="crashed"),
        pytest.param(["Extension.Crash", "ValueError"], [0, 2], id="both"),
    ],
)
def test_when_a_failed_invocation_is_repeated(kinds, seconds):
    assert retry_times(Driver(), kinds) == seconds


def test_an_answer_starts_the_count_of_failures_anew():
    driver = Driver()
    driver.checkpoint(callback())
    retry_times(driver, ["ValueError"] * 3)
    driver.suspend()
    driver.callback_succeeds("c")
    assert retry_times(driver, ["ValueError"]) == [1]


def test_the_budget_of_failures_ends_the_execution_with_the_last_error():
    driver = Driver(retries=InvocationRetryPolicy(max_failures=2))
    driver.crash()
    driver.crash("Runtime.OutOfMemory")
    assert driver.status == "FAILED"
    assert error_of(driver) == ("Runtime.OutOfMemory", "gone")


def test_a_timer_does_not_bring_a_waiting_retry_forward():
    driver = Driver()
    driver.checkpoint(wait(1))
    retry_times(driver, ["ValueError"])
    driver.crash("ValueError")
    driver.advance(1)
    assert (driver.statuses(), len(driver.invocations)) == ({"w": "SUCCEEDED"}, 2)
    driver.advance(1)
    assert len(driver.invocations) == 3


def test_a_change_does_not_bring_a_waiting_retry_forward():
    driver = Driver()
    driver.checkpoint(callback())
    driver.crash("ValueError")
    driver.callback_succeeds("c")
    assert len(driver.invocations) == 1
    driver.advance(1)
    assert driver.invocations[-1].event["UpdatedOperationIds"] == ["c"]


def test_the_execution_timeout_wins():
    driver = Driver(timeout=10)
    driver.checkpoint(wait(10), callback(timeout=3))
    driver.advance(10)
    assert driver.status == "TIMED_OUT"
    assert driver.execution.error == {"ErrorMessage": "Execution timed out after 10 seconds."}
    assert driver.statuses() == {"w": "STARTED", "c": "STARTED"}


CLOSINGS = {
    "succeeded": lambda d: d.succeed(),
    "stopped": lambda d: d.do(machine.stop, None),
    "timed out": lambda d: d.advance(86_400),
}


@pytest.mark.parametrize("close", [pytest.param(close, id=name) for name, close in CLOSINGS.items()])
def test_a_closed_execution_keeps_open_operations_as_they_are_and_does_nothing_more(close):
    driver = Driver()
    driver.checkpoint(wait(100_000), step("RETRY", delay=100_000), invoke(), callback())
    driver.crash("ValueError")
    driver.advance(1)
    close(driver)
    statuses, events, invocations = driver.statuses(), len(driver.events), len(driver.invocations)
    assert statuses == {"w": "STARTED", "s": "PENDING", "i": "STARTED", "c": "STARTED"}
    driver.advance(200_000)
    driver.chained_ends("i")
    driver.do(machine.stop, {"ErrorType": "Late"})
    assert (driver.statuses(), len(driver.events), len(driver.invocations)) == (statuses, events, invocations)
    assert driver.execution.next_due_ms() is None
    assert driver.execution.timers == []
    assert driver.execution.operations[0].end_us // 1000 == driver.execution.ended_ms


def test_a_redrive_invokes_at_once_although_a_retry_was_waiting_when_the_execution_closed():
    driver = Driver()
    driver.crash("ValueError")
    driver.do(machine.stop, None)
    driver.do(machine.redrive, None)
    assert len(driver.invocations) == 2


def test_only_a_target_that_has_not_ended_is_asked_again():
    driver = Driver()
    driver.checkpoint(invoke(operation_id="ended"), invoke(operation_id="open"))
    driver.suspend()
    assert driver.execution.active
    driver.chained_ends("ended")
    driver.do(machine.stop, None)
    driver.do(machine.redrive, None)
    assert [request.operation_id for request in driver.chained] == ["ended", "open", "open"]
    driver.suspend()
    driver.chained_ends("open")
    driver.checkpoint(callback())
    driver.suspend()
    assert not driver.execution.active


def interrupt(driver: Driver) -> None:
    driver.do(machine.invocation_interrupted, driver.invocations[-1].request_id)


ENDS = {
    "succeeds": lambda d: d.succeed(),
    "fails": lambda d: d.fail(),
    "suspends": lambda d: d.suspend(),
    "crashes": lambda d: d.crash(),
    "raises": lambda d: d.crash("ValueError"),
    "is interrupted": interrupt,
}


@pytest.mark.parametrize("end", [pytest.param(end, id=name) for name, end in ENDS.items()])
def test_a_handler_that_outlives_its_execution_completes_and_its_answer_is_ignored(end):
    driver = Driver()
    driver.do(machine.stop, {"ErrorType": "Enough"})
    end(driver)
    assert driver.status == "STOPPED"
    assert driver.execution.error == {"ErrorType": "Enough"}
    assert [event.type for event in driver.events] == ["ExecutionStarted", "ExecutionStopped", "InvocationCompleted"]
    assert len(driver.invocations) == 1
    assert not driver.execution.active
    snapshot = driver.snapshot()
    end(driver)
    assert driver.snapshot() == snapshot


def test_only_the_current_invocation_of_an_open_execution_gets_an_event():
    driver = Driver()
    first = driver.invocations[0].request_id

    def event(request_id):
        return machine.invocation_event(driver.execution, request_id, driver.limits, whole=True)

    driver.crash()
    second = driver.invocations[1].request_id
    assert event(first) is None
    assert event(second) is not None
    driver.do(machine.stop, None)
    assert event(second) is None
    driver.succeed()
    assert event(second) is None


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        pytest.param("Runtime.ExitError", None, id="at once, by the next service"),
        pytest.param("ValueError", 1, id="after its delay"),
    ],
)
def test_what_fails_while_the_service_ends_is_not_repeated_by_it(kind, seconds):
    driver = Driver()
    driver.do(machine.invocation_failed, driver.invocations[0].request_id, {"ErrorType": kind}, ending=True)
    assert len(driver.invocations) == 1
    assert driver.execution.active == (seconds is None)
    driver.do(machine.continued, None, alone=True)
    assert len(driver.invocations) == (2 if seconds is None else 1)
    driver.advance(seconds or 0)
    assert (len(driver.invocations), driver.execution.crashes) == (2, int(seconds is None))


@pytest.mark.parametrize(
    "end", [pytest.param(ENDS[name], id=name) for name in ("suspends", "raises", "is interrupted")]
)
def test_what_was_held_from_an_invocation_is_recorded_when_it_ends(end):
    driver = Driver()
    driver.checkpoint(invoke())
    driver.chained_ends("i")
    assert driver.statuses() == {"i": "STARTED"}
    end(driver)
    assert driver.statuses() == {"i": "SUCCEEDED"}
    assert [event.type for event in driver.events[-2:]] == ["InvocationCompleted", "ChainedInvokeSucceeded"]


def test_a_passive_service_leaves_the_invocation_to_the_next_one():
    driver = Driver()
    driver.checkpoint(callback())
    driver.suspend()
    passive = machine.Moment(driver.now_ms * 1000, lambda: "id", driver.limits, driver.retries, passive=True)
    machine.callback_succeeded(driver.execution, driver.callback_id("c"), b"1", passive)
    driver._absorb()
    assert (len(driver.invocations), driver.execution.active) == (1, True)
    driver.do(machine.continued, None, alone=True)
    assert len(driver.invocations) == 2


def test_a_pending_for_a_change_that_it_has_not_seen_is_none_that_waits_for_nothing():
    driver = Driver()
    for number in range(5):
        driver.checkpoint(callback(f"c{number}"))
        driver.callback_succeeds(f"c{number}")
        driver.suspend()
    assert (driver.status, len(driver.invocations)) == ("RUNNING", 6)


def test_a_stop_without_an_error_says_that_a_user_asked():
    driver = Driver()
    driver.do(machine.stop, None)
    assert driver.execution.error == {"ErrorMessage": "Execution stopped by user request"}


def test_an_invocation_event_has_its_times():
    driver = Driver()
    driver.now_ms += 1500
    driver.crash()
    event = driver.events[-1]
    assert event.details == {
        "StartTimestamp": START_MS,
        "EndTimestamp": START_MS + 1500,
        "RequestId": driver.invocations[0].request_id,
        "Error": {"ErrorType": "Runtime.ExitError", "ErrorMessage": "gone"},
    }
