"""What becomes of an operation, as its handler is shown it."""

from __future__ import annotations

import pytest

from durable_async.service import machine
from durable_async.service.machine import ChainedOutcome, Limits
from durable_async.service.model.errors import (
    CallbackTimedOutError,
    InvalidParameterValueError,
    ResourceNotFoundError,
)
from tests.service.machine.machine_driver import START_MS, Driver, callback, context, invoke, step, update, wait

ERROR = {"ErrorType": "Boom", "ErrorMessage": "no"}
NOW = START_MS / 1000


def shown(driver: Driver, operation_id: str) -> dict:
    """The operation in the answer of a refreshing checkpoint, or as the last answer left it."""
    return driver.execution.by_id[operation_id].in_seconds()


def test_a_step_that_started():
    operations = Driver().write(step("START", Name="charge", SubType="Step"))
    assert operations["s"] == {
        "Id": "s",
        "Type": "STEP",
        "Status": "STARTED",
        "Name": "charge",
        "SubType": "Step",
        "StartTimestamp": NOW + 0.000_001,
        "StepDetails": {"Attempt": 0},
    }


@pytest.mark.parametrize(
    ("ending", "status", "details"),
    [
        pytest.param(step("SUCCEED", Payload="1"), "SUCCEEDED", {"Attempt": 1, "Result": "1"}, id="succeed"),
        pytest.param(step("SUCCEED"), "SUCCEEDED", {"Attempt": 1}, id="succeed with nothing"),
        pytest.param(step("SUCCEED", Payload=""), "SUCCEEDED", {"Attempt": 1, "Result": ""}, id="succeed with ''"),
        pytest.param(step("FAIL", Error=ERROR), "FAILED", {"Attempt": 1, "Error": ERROR}, id="fail"),
        pytest.param(step("FAIL"), "FAILED", {"Attempt": 1}, id="fail with nothing"),
        pytest.param(
            step("RETRY", delay=5, Error=ERROR),
            "PENDING",
            {"Attempt": 1, "Error": ERROR, "NextAttemptTimestamp": NOW + 5},
            id="retry after an error",
        ),
        pytest.param(
            step("RETRY", delay=5, Payload="7"),
            "PENDING",
            {"Attempt": 1, "Result": "7", "NextAttemptTimestamp": NOW + 5},
            id="retry with a state",
        ),
    ],
)
@pytest.mark.parametrize("started", [True, False], ids=["started", "implicit start"])
def test_the_end_of_an_attempt(ending, status, details, started):
    driver = Driver()
    operation = driver.write(*([step("START")] if started else []), ending)["s"]
    assert (operation["Status"], operation["StepDetails"]) == (status, details)
    assert ("EndTimestamp" in operation) == (status != "PENDING")
    failed = status == "FAILED" or "Error" in details
    assert driver.events[-1].type == ("StepFailed" if failed else "StepSucceeded")


def test_a_due_retry_is_ready_and_keeps_what_the_attempt_left():
    driver = Driver()
    driver.checkpoint(step("RETRY", delay=5, Payload="7"))
    driver.suspend()
    driver.advance(5)
    assert shown(driver, "s")["StepDetails"] == {"Attempt": 1, "Result": "7"}
    assert driver.statuses() == {"s": "READY"}


def test_the_next_attempt_drops_the_error_and_keeps_the_state():
    driver = Driver()
    driver.checkpoint(step("RETRY", "a", delay=1, Payload="7"), step("RETRY", "b", delay=1, Error=ERROR))
    driver.advance(1)
    operations = driver.write(step("START", "a"), step("START", "b"))
    assert operations["a"]["StepDetails"] == {"Attempt": 1, "Result": "7"}
    assert operations["b"]["StepDetails"] == {"Attempt": 1}


@pytest.mark.parametrize(
    ("ending", "status", "details"),
    [
        pytest.param(context("SUCCEED", Payload="1"), "SUCCEEDED", {"Result": "1"}, id="succeed"),
        pytest.param(
            context("SUCCEED", Payload="", ContextOptions={"ReplayChildren": True}),
            "SUCCEEDED",
            {"Result": "", "ReplayChildren": True},
            id="replay its children",
        ),
        pytest.param(context("FAIL", Error=ERROR), "FAILED", {"Error": ERROR}, id="fail"),
    ],
)
def test_the_end_of_a_context(ending, status, details):
    driver = Driver()
    driver.checkpoint(context("START"))
    operation = driver.write(ending)["x"]
    assert (operation["Status"], operation["ContextDetails"]) == (status, details)


def test_a_wait_keeps_its_scheduled_end():
    driver = Driver()
    assert driver.write(wait(2))["w"]["WaitDetails"] == {"ScheduledEndTimestamp": NOW + 2}
    driver.advance(2)
    assert shown(driver, "w")["Status"] == "SUCCEEDED"
    assert shown(driver, "w")["EndTimestamp"] == NOW + 2


def test_a_cancelled_wait_never_fires():
    driver = Driver()
    driver.checkpoint(wait(2), callback())
    assert driver.write(update("w", "WAIT", "CANCEL", Error=ERROR))["w"]["Status"] == "CANCELLED"
    driver.suspend()
    driver.advance(3)
    assert driver.statuses()["w"] == "CANCELLED"
    assert len(driver.invocations) == 1
    assert (driver.events[-2].type, driver.events[-2].details) == ("WaitCancelled", {"Error": ERROR})


@pytest.mark.parametrize(
    ("act", "status", "details"),
    [
        pytest.param(lambda d: d.callback_succeeds("c", b"raw"), "SUCCEEDED", {"Result": "raw"}, id="success"),
        pytest.param(lambda d: d.callback_succeeds("c", b""), "SUCCEEDED", {}, id="success with nothing"),
        pytest.param(lambda d: d.callback_fails("c", ERROR), "FAILED", {"Error": ERROR}, id="failure"),
        pytest.param(lambda d: d.callback_fails("c"), "FAILED", {"Error": {}}, id="failure with nothing"),
        pytest.param(
            lambda d: d.advance(9),
            "TIMED_OUT",
            {"Error": {"ErrorType": "Callback.Timeout", "ErrorMessage": "Callback timed out"}},
            id="timeout",
        ),
        pytest.param(
            lambda d: d.advance(5),
            "TIMED_OUT",
            {"Error": {"ErrorType": "Callback.Heartbeat", "ErrorMessage": "Callback timed out on heartbeat"}},
            id="no heartbeat",
        ),
    ],
)
def test_the_end_of_a_callback(act, status, details):
    driver = Driver()
    callback_id = driver.write(callback(timeout=9, heartbeat=5))["c"]["CallbackDetails"]["CallbackId"]
    act(driver)
    operation = driver.write()["c"]
    assert operation["Status"] == status
    assert operation["CallbackDetails"] == {"CallbackId": callback_id, **details}


@pytest.mark.parametrize(
    ("before", "refusal"),
    [
        pytest.param(lambda d: d.callback_succeeds("c"), InvalidParameterValueError, id="completed"),
        pytest.param(lambda d: d.callback_fails("c"), InvalidParameterValueError, id="failed"),
        pytest.param(lambda d: d.advance(9), CallbackTimedOutError, id="timed out"),
        pytest.param(lambda d: d.succeed(), InvalidParameterValueError, id="execution closed"),
    ],
)
@pytest.mark.parametrize("late", ["callback_succeeds", "callback_fails", "heartbeat"])
def test_a_call_for_a_callback_that_is_no_longer_open_is_refused(before, refusal, late):
    driver = Driver()
    driver.checkpoint(callback(timeout=9))
    before(driver)
    snapshot = driver.snapshot()
    with pytest.raises(refusal):
        getattr(driver, late)("c")
    assert driver.snapshot() == snapshot


@pytest.mark.parametrize("late", ["callback_succeeds", "callback_fails", "heartbeat"])
def test_a_call_comes_too_late_although_the_timer_has_not_fired_yet(late):
    driver = Driver()
    driver.checkpoint(callback(timeout=9))
    driver.now_ms += 9000
    with pytest.raises(CallbackTimedOutError):
        getattr(driver, late)("c")
    assert driver.statuses() == {"c": "TIMED_OUT"}


def test_a_heartbeat_of_a_callback_that_needs_none_changes_nothing():
    driver = Driver()
    driver.checkpoint(callback(timeout=9))
    driver.suspend()
    snapshot = driver.snapshot()
    driver.heartbeat("c")
    assert driver.snapshot() == snapshot


@pytest.mark.parametrize("forged", ["ZTEuMS54", "ZTEuOTkueA==", "ZTEuMC54", "ZTEuLTkueA==", "e1", "", "ä"])
def test_an_id_that_is_no_callbacks_is_not_found(forged):
    driver = Driver()
    driver.checkpoint(callback())
    with pytest.raises(ResourceNotFoundError):
        driver.do(machine.callback_succeeded, forged, b"1")


def test_the_schema_of_a_callback_is_that_of_its_answer_until_it_ends_or_a_redrive_clears_it():
    driver = Driver()
    driver.checkpoint(update("c", "CALLBACK", "START", CallbackOptions={"AnswerSchema": '{"type": "string"}'}))
    callback_id = driver.callback_id("c")
    assert machine.answer_schema(driver.execution, callback_id) == '{"type": "string"}'
    ended = Driver()
    ended.checkpoint(update("c", "CALLBACK", "START", CallbackOptions={"AnswerSchema": '{"type": "string"}'}))
    ended.callback_succeeds("c")
    assert machine.answer_schema(ended.execution, ended.callback_id("c")) is None
    driver.do(machine.stop, None)
    driver.do(machine.redrive, "c")
    assert machine.answer_schema(driver.execution, callback_id) is None


def test_an_answer_too_large_or_not_text_leaves_the_callback_open():
    driver = Driver(limits=Limits(payload_bytes=3))
    driver.checkpoint(callback())
    for bad in (b"1234", b"\xff"):
        with pytest.raises(InvalidParameterValueError):
            driver.callback_succeeds("c", bad)
    with pytest.raises(InvalidParameterValueError):
        driver.callback_fails("c", ERROR)
    assert driver.statuses() == {"c": "STARTED"}
    driver.callback_succeeds("c", b"123")
    assert driver.statuses() == {"c": "SUCCEEDED"}


def test_a_heartbeat_is_due_that_long_after_the_start_and_after_each_heartbeat():
    driver = Driver()
    driver.checkpoint(callback(heartbeat=10))
    for _ in range(2):
        driver.advance(9.999)
        assert driver.statuses() == {"c": "STARTED"}
        driver.heartbeat("c")
    driver.advance(10)
    assert driver.statuses() == {"c": "TIMED_OUT"}
    late = Driver()
    late.checkpoint(callback(heartbeat=10))
    late.advance(10)
    assert late.statuses() == {"c": "TIMED_OUT"}


def test_many_heartbeats_cost_one_timer():
    driver = Driver()
    driver.checkpoint(callback(heartbeat=10))
    for _ in range(50):
        driver.advance(9)
        driver.heartbeat("c")
    assert driver.statuses() == {"c": "STARTED"}
    assert len(driver.execution.timers) == 1
    driver.advance(10)
    assert driver.statuses() == {"c": "TIMED_OUT"}


@pytest.mark.parametrize(
    ("outcome", "details"),
    [
        pytest.param(ChainedOutcome("SUCCEEDED", "1"), {"Result": "1"}, id="succeeded"),
        pytest.param(ChainedOutcome("SUCCEEDED"), {}, id="succeeded with nothing"),
        pytest.param(ChainedOutcome("FAILED", error=ERROR), {"Error": ERROR}, id="failed"),
        pytest.param(ChainedOutcome("TIMED_OUT", error=ERROR), {"Error": ERROR}, id="timed out"),
        pytest.param(ChainedOutcome("STOPPED", error=ERROR), {"Error": ERROR}, id="stopped"),
    ],
)
def test_the_end_of_a_chained_invoke(outcome, details):
    driver = Driver()
    driver.checkpoint(invoke())
    driver.suspend()
    driver.chained_ends("i", outcome)
    assert shown(driver, "i")["Status"] == outcome.status
    assert shown(driver, "i")["ChainedInvokeDetails"] == details
    words = outcome.status.title().replace("_", "")
    assert driver.events[-1].type == f"ChainedInvoke{words}"


def test_a_chained_result_too_large_is_a_failure():
    driver = Driver(limits=Limits(payload_bytes=3))
    driver.checkpoint(invoke())
    driver.suspend()
    driver.chained_ends("i", ChainedOutcome("SUCCEEDED", "1234"))
    assert shown(driver, "i")["ChainedInvokeDetails"] == {
        "Error": {"ErrorMessage": "CHAINED_INVOKE output payload size must be less than or equal to 3 bytes."}
    }
    driver.checkpoint(invoke(operation_id="j"))
    driver.suspend()
    driver.chained_ends("j", ChainedOutcome("SUCCEEDED", "123"))
    assert shown(driver, "j")["ChainedInvokeDetails"] == {"Result": "123"}


def test_a_chained_outcome_is_held_from_a_running_invocation_for_a_second_at_most():
    driver = Driver()
    driver.checkpoint(invoke())
    driver.chained_ends("i")
    driver.chained_ends("i", ChainedOutcome("FAILED"))  # told twice: the first counts
    driver.advance(0.999)
    assert "i" not in driver.write()
    driver.advance(0.001)
    assert driver.write()["i"]["Status"] == "SUCCEEDED"
    driver.suspend()
    assert [event.type for event in driver.events[-2:]] == ["ChainedInvokeSucceeded", "InvocationCompleted"]


def test_a_chained_outcome_that_took_a_second_is_held_no_more():
    driver = Driver()
    driver.checkpoint(invoke())
    driver.advance(1)
    driver.chained_ends("i")
    assert driver.statuses() == {"i": "SUCCEEDED"}
    driver.suspend()
    assert [event.type for event in driver.events[-2:]] == ["ChainedInvokeSucceeded", "InvocationCompleted"]


def test_a_chained_outcome_that_is_held_is_handed_over_to_the_store():
    driver = Driver()
    driver.checkpoint(invoke())
    machine.chained_invoke_ended(driver.execution, "i", ChainedOutcome("SUCCEEDED", "1"), driver.at)
    changes = driver.execution.take_changes()
    assert (changes.operations.keys(), changes.events) == ({"i"}, [])


def test_a_missing_target_fails_in_the_same_answer():
    driver = Driver()
    operation = driver.write(invoke("nobody", Payload="secret"))["i"]
    assert operation["Status"] == "FAILED"
    assert operation["ChainedInvokeDetails"]["Error"]["ErrorType"] == "ResourceNotFoundException"
    assert driver.chained == []
    assert driver.events[1].details == {"FunctionName": "nobody"}
    assert driver.execution.awaited == 0


def test_an_envelope_has_milliseconds():
    driver = Driver()
    driver.checkpoint(wait(2), step("RETRY", delay=1))
    driver.suspend()
    driver.advance(1)
    operations = {o["Id"]: o for o in driver.invocations[-1].event["InitialExecutionState"]["Operations"]}
    assert operations["e1"] == {
        "Id": "e1",
        "Type": "EXECUTION",
        "Status": "STARTED",
        "Name": "order-1",
        "StartTimestamp": START_MS,
        "ExecutionDetails": {"InputPayload": "{}"},
    }
    assert operations["w"]["WaitDetails"] == {"ScheduledEndTimestamp": START_MS + 2000}
    assert driver.invocations[-1].event["UpdatedOperationIds"] == ["s"]
