"""The whole histories of some executions. See protocol.md, "History"."""

from __future__ import annotations

import pytest

from durable_async.service.http.rendering import event_json
from durable_async.service.machine import ChainedOutcome
from tests.service.machine.machine_driver import Driver, callback, context, invoke, step, wait

ERROR = {"ErrorType": "Boom", "ErrorMessage": "no"}


def brief(event) -> str:
    """``StepFailed s{1, delay 2}``: an event in one line."""
    shown = event_json(event, include_data=True)
    details = shown[f"{event.type}Details"]
    said = []
    if retry := details.get("RetryDetails"):
        said.append(str(retry["CurrentAttempt"]))
        if delay := retry.get("NextAttemptDelaySeconds"):
            said.append(f"delay {delay}")
    if event.type.startswith("Wait"):
        said.append(f"{details['Duration']} s")
    if error := details.get("Error", {}).get("Payload"):
        said.append(error.get("ErrorType", "?"))
    if event.type.endswith("Succeeded") and "Result" in details:
        said.append(details["Result"].get("Payload", "nothing"))
    named = "" if event.operation_id in (None, "e1") else f" {event.operation_id}"
    return f"{event.type}{named}" + (f"{{{', '.join(said)}}}" if said else "")


def step_succeeds(d: Driver) -> None:
    d.checkpoint(step("START"))
    d.checkpoint(step("SUCCEED", Payload="1"))
    d.succeed()


def step_fails_once(d: Driver) -> None:
    d.checkpoint(step("START"))
    d.checkpoint(step("RETRY", delay=1, Error=ERROR))
    d.suspend()
    d.advance(1)
    d.checkpoint(step("START"), step("SUCCEED", Payload="1"))
    d.succeed()


def step_exhausts_four_attempts(d: Driver) -> None:
    for _ in range(3):
        d.checkpoint(step("START"), step("RETRY", delay=1, Error=ERROR))
        d.suspend()
        d.advance(1)
    d.checkpoint(step("START"), step("FAIL", Error=ERROR))
    d.fail()


def at_most_once_crash_without_retry(d: Driver) -> None:
    d.checkpoint(step("START"))
    d.crash()
    d.checkpoint(step("FAIL", Error=ERROR))
    d.fail()


def at_most_once_crash_with_retry(d: Driver) -> None:
    d.checkpoint(step("START"))
    d.crash()
    d.checkpoint(step("RETRY", delay=1, Error=ERROR))
    d.suspend()
    d.advance(1)
    d.checkpoint(step("START"), step("SUCCEED", Payload="1"))
    d.succeed()


def at_least_once_crash_in_a_context(d: Driver) -> None:
    d.checkpoint(context("START"), step("START", ParentId="x"))
    d.crash()
    d.checkpoint(step("SUCCEED", ParentId="x", Payload="1"))
    d.checkpoint(context("SUCCEED", Payload="2"))
    d.succeed()


def a_wait(d: Driver) -> None:
    d.checkpoint(wait(2))
    d.suspend()
    d.advance(2)
    d.succeed()


def callback_succeeds(d: Driver) -> None:
    d.checkpoint(callback())
    d.suspend()
    d.callback_succeeds("c", b'"yes"')
    d.succeed()


def callback_fails(d: Driver) -> None:
    d.checkpoint(callback())
    d.suspend()
    d.callback_fails("c", {"ErrorType": "Rejected"})
    d.fail()


def callback_times_out(d: Driver) -> None:
    d.checkpoint(callback(timeout=5, heartbeat=3))
    d.suspend()
    d.advance(2)
    d.heartbeat("c")
    d.advance(2.5)
    d.heartbeat("c")
    d.advance(0.5)
    d.fail()


def callback_misses_a_heartbeat(d: Driver) -> None:
    d.checkpoint(callback(heartbeat=3))
    d.suspend()
    d.advance(2)
    d.heartbeat("c")
    d.advance(3)
    d.fail()


def callback_during_a_wait(d: Driver) -> None:
    d.checkpoint(callback())
    d.checkpoint(wait(5))
    d.suspend()
    d.advance(1)
    d.callback_succeeds("c")
    d.suspend()
    d.advance(4)
    d.succeed()


def chained_invoke(d: Driver) -> None:
    d.checkpoint(invoke(Payload="1"))
    d.chained_ends("i")
    d.suspend()
    d.succeed()


def chained_invoke_fails(d: Driver) -> None:
    d.checkpoint(invoke(Payload="1"))
    d.suspend()
    d.chained_ends("i", ChainedOutcome("FAILED", error=ERROR))
    d.fail()


def wait_for_condition(d: Driver) -> None:
    for state in ("1", "2"):
        d.checkpoint(step("START"), step("RETRY", delay=1, Payload=state))
        d.suspend()
        d.advance(1)
    d.checkpoint(step("START"), step("SUCCEED", Payload="3"))
    d.succeed()


def wait_for_callback(d: Driver) -> None:
    d.checkpoint(context("START"), callback(ParentId="x"))
    d.checkpoint(step("START", ParentId="x"), step("SUCCEED", ParentId="x"))
    d.suspend()
    d.callback_succeeds("c", b"ok")
    d.checkpoint(context("SUCCEED", Payload="ok"))
    d.succeed()


def wait_for_callback_submitter_fails(d: Driver) -> None:
    d.checkpoint(context("START"), callback(ParentId="x"))
    d.checkpoint(step("START", ParentId="x"), step("RETRY", ParentId="x", delay=1, Error=ERROR))
    d.suspend()
    d.advance(1)
    d.checkpoint(step("START", ParentId="x"), step("FAIL", ParentId="x", Error=ERROR))
    d.checkpoint(context("FAIL", Error=ERROR))
    d.fail()


def parallel_with_a_failed_branch(d: Driver) -> None:
    d.checkpoint(context("START", "p", SubType="Parallel"))
    d.checkpoint(context("START", "b1", ParentId="p"), step("START", "s1", ParentId="b1"))
    d.checkpoint(step("FAIL", "s1", ParentId="b1", Error=ERROR), context("FAIL", "b1", ParentId="p", Error=ERROR))
    d.checkpoint(context("START", "b2", ParentId="p"), context("SUCCEED", "b2", ParentId="p", Payload="2"))
    d.checkpoint(context("SUCCEED", "p", Payload="[]"))
    d.succeed()


def large_result(d: Driver) -> None:
    d.checkpoint({"Id": "execution-result-1", "Type": "EXECUTION", "Action": "SUCCEED", "Payload": '"big"'})
    d.succeed("")


def missing_target(d: Driver) -> None:
    d.checkpoint(invoke("nobody", Payload="1"))
    d.fail()


DONE = ["InvocationCompleted", 'ExecutionSucceeded{"done"}']
FAILED = ["InvocationCompleted", "ExecutionFailed{ValueError}"]
CRASHED = "InvocationCompleted{Runtime.ExitError}"

WORKED = [
    (step_succeeds, ["StepStarted s", "StepSucceeded s{1, 1}", *DONE]),
    (
        step_fails_once,
        [
            "StepStarted s",
            "StepFailed s{1, delay 1, Boom}",
            "InvocationCompleted",
            "StepStarted s",
            "StepSucceeded s{2, 1}",
            *DONE,
        ],
    ),
    (
        step_exhausts_four_attempts,
        [
            *("StepStarted s", "StepFailed s{1, delay 1, Boom}", "InvocationCompleted"),
            *("StepStarted s", "StepFailed s{2, delay 1, Boom}", "InvocationCompleted"),
            *("StepStarted s", "StepFailed s{3, delay 1, Boom}", "InvocationCompleted"),
            *("StepStarted s", "StepFailed s{4, Boom}", *FAILED),
        ],
    ),
    (at_most_once_crash_without_retry, ["StepStarted s", CRASHED, "StepFailed s{1, Boom}", *FAILED]),
    (
        at_most_once_crash_with_retry,
        [
            "StepStarted s",
            CRASHED,
            "StepFailed s{1, delay 1, Boom}",
            "InvocationCompleted",
            "StepStarted s",
            "StepSucceeded s{2, 1}",
            *DONE,
        ],
    ),
    (
        at_least_once_crash_in_a_context,
        ["ContextStarted x", "StepStarted s", CRASHED, "StepSucceeded s{1, 1}", "ContextSucceeded x{2}", *DONE],
    ),
    (a_wait, ["WaitStarted w{2 s}", "InvocationCompleted", "WaitSucceeded w{2 s}", *DONE]),
    (callback_succeeds, ["CallbackStarted c", "InvocationCompleted", 'CallbackSucceeded c{"yes"}', *DONE]),
    (callback_fails, ["CallbackStarted c", "InvocationCompleted", "CallbackFailed c{Rejected}", *FAILED]),
    (callback_times_out, ["CallbackStarted c", "InvocationCompleted", "CallbackTimedOut c{Callback.Timeout}", *FAILED]),
    (
        callback_misses_a_heartbeat,
        ["CallbackStarted c", "InvocationCompleted", "CallbackTimedOut c{Callback.Heartbeat}", *FAILED],
    ),
    (
        callback_during_a_wait,
        [
            *("CallbackStarted c", "WaitStarted w{5 s}", "InvocationCompleted"),
            *('CallbackSucceeded c{"yes"}', "InvocationCompleted", "WaitSucceeded w{5 s}", *DONE),
        ],
    ),
    (chained_invoke, ["ChainedInvokeStarted i", "InvocationCompleted", 'ChainedInvokeSucceeded i{"echo"}', *DONE]),
    (chained_invoke_fails, ["ChainedInvokeStarted i", "InvocationCompleted", "ChainedInvokeFailed i{Boom}", *FAILED]),
    (
        wait_for_condition,
        [
            *("StepStarted s", "StepSucceeded s{1, delay 1, 1}", "InvocationCompleted"),
            *("StepStarted s", "StepSucceeded s{2, delay 1, 2}", "InvocationCompleted"),
            *("StepStarted s", "StepSucceeded s{3, 3}", *DONE),
        ],
    ),
    (
        wait_for_callback,
        [
            *("ContextStarted x", "CallbackStarted c", "StepStarted s", "StepSucceeded s{1, nothing}"),
            *("InvocationCompleted", "CallbackSucceeded c{ok}", "ContextSucceeded x{ok}", *DONE),
        ],
    ),
    (
        wait_for_callback_submitter_fails,
        [
            *("ContextStarted x", "CallbackStarted c", "StepStarted s", "StepFailed s{1, delay 1, Boom}"),
            *("InvocationCompleted", "StepStarted s", "StepFailed s{2, Boom}", "ContextFailed x{Boom}", *FAILED),
        ],
    ),
    (
        parallel_with_a_failed_branch,
        [
            *("ContextStarted p", "ContextStarted b1", "StepStarted s1", "StepFailed s1{1, Boom}"),
            *("ContextFailed b1{Boom}", "ContextStarted b2", "ContextSucceeded b2{2}", "ContextSucceeded p{[]}", *DONE),
        ],
    ),
    (large_result, ['ExecutionSucceeded{"big"}', "InvocationCompleted"]),
    (missing_target, ["ChainedInvokeStarted i", "ChainedInvokeFailed i{ResourceNotFoundException}", *FAILED]),
]


@pytest.mark.parametrize(("script", "expected"), [pytest.param(*row, id=row[0].__name__) for row in WORKED])
def test_a_worked_history(script, expected):
    driver = Driver()
    script(driver)
    assert [brief(event) for event in driver.events] == ["ExecutionStarted", *expected]
    assert [event.id for event in driver.events] == list(range(1, len(expected) + 2))
    assert driver.closings == 1


def test_a_chained_invoke_tells_what_it_invokes():
    driver = Driver()
    target = {"FunctionName": "flow:$LATEST", "TenantId": "t1"}
    driver.checkpoint({**invoke("flow:$LATEST", Name="n"), "ChainedInvokeOptions": target})
    shown = event_json(driver.events[-1], include_data=True)
    child = driver.chained[0].child
    assert shown["ChainedInvokeStartedDetails"] == {
        "FunctionName": "flow:$LATEST",
        "TenantId": "t1",
        "Input": {"Truncated": False},
        "ExecutedVersion": "$LATEST",
        "DurableExecutionArn": child.arn,
    }
    assert shown["Name"] == "n"
    assert driver.chained[0].payload == "{}"
