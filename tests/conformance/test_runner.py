"""What the runner sends, when it stops, and that it finds what is wrong, over HTTP against a scripted service."""

import json

import attrs
import pytest

from .case import parse_case
from .fake_service import ARN, Script, playing
from .runner import Pace, Runner, connect

PACE = Pace(poll=0.01, quiet=30, logs_settle=0, logs_within=0)
IMPATIENT = attrs.evolve(PACE, quiet=0.05)


def event(number, kind, **fields):
    return {"EventId": number, "EventType": kind, "EventTimestamp": 0, **fields}


def callback(number, name):
    return event(number, "CallbackStarted", Id=name, Name=name, CallbackStartedDetails={"CallbackId": f"{name}ID"})


STARTED = event(1, "ExecutionStarted")
STEP = [STARTED, *(event(n, "StepStarted", Id=f"s{n}", StepStartedDetails={}) for n in range(2, 15))]


def case(**content):
    return parse_case("suite", "1-1", {"description": "", "Input": None, **content})


def run(script, case, log_file=None, pace=PACE):
    with playing(script) as url:
        client = connect(url)
        try:
            return Runner(client, log_file, pace).run(case)
        finally:
            client.close()


def sent(script, end):
    return [body for path, body in script.requests if path.endswith(end)]


def test_a_synchronous_case_conforms_over_several_pages():
    script = Script([("SUCCEEDED", STEP)], result='"Hello, x"')
    expected = [{"EventId": 2, "EventType": "StepStarted", "Id": "${A}"}, {"EventId": 14, "EventType": "StepStarted"}]
    outcome = run(
        script,
        case(
            Input={"name": "${V}"},
            Variables={"V": "x"},
            ExpectedResult={"ExecutionStatus": "SUCCEEDED", "Result": "Hello, ${V}"},
            ExpectedExecutionHistory=expected,
        ),
    )
    assert outcome.differences == ()
    assert outcome.execution_arn == ARN
    assert sent(script, "/1-1/invocations") == ['{"name": "x"}']
    assert len(sent(script, "/history")) == 3


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param({"ExpectedResult": {"ExecutionStatus": "FAILED"}}, "status", id="status"),
        pytest.param({"ExpectedResult": {"ExecutionStatus": "SUCCEEDED", "Result": 1}}, "result", id="result"),
        pytest.param({"ExpectedExecutionHistory": [{"EventId": 99, "EventType": "X"}]}, "event 99", id="history"),
    ],
)
def test_each_comparison_is_made(content, found):
    outcome = run(Script([("SUCCEEDED", STEP)], result='"x"'), case(**content))
    assert not outcome.conforms
    assert outcome.differences[0].startswith(found)
    assert found in outcome.report()


def test_a_synchronous_invoke_that_returns_too_early_is_found():
    outcome = run(Script([("RUNNING", STEP)]), case())
    assert outcome.differences == ("the invoke has returned, and the execution is RUNNING",)


def test_an_asynchronous_case_without_a_result_ends_when_its_history_matches():
    waiting = [STARTED, event(2, "WaitStarted", Id="w", WaitStartedDetails={"Duration": 60})]
    expected = [{"EventId": 2, "EventType": "WaitStarted", "WaitStartedDetails": {"Duration": 60}}]
    script = Script([("RUNNING", [STARTED]), ("RUNNING", waiting)])
    assert run(script, case(AsyncInvoke=True, ExpectedExecutionHistory=expected)).differences == ()


def test_an_asynchronous_case_fails_when_nothing_more_happens():
    ended = case(AsyncInvoke=True, ExpectedResult={"ExecutionStatus": "SUCCEEDED"})
    outcome = run(Script([("RUNNING", STEP)]), ended, pace=IMPATIENT)
    assert outcome.differences == ("no new event for 0.05 s, and the execution is RUNNING",)


def test_callbacks_are_answered_in_the_order_of_the_history():
    both = [STARTED, callback(2, "a"), callback(3, "b")]
    script = Script([("RUNNING", both), ("RUNNING", both), ("RUNNING", both), ("SUCCEEDED", both)])
    outcome = run(
        script,
        case(
            AsyncInvoke=True,
            Variables={"P": "yes"},
            ExpectedResult={"ExecutionStatus": "SUCCEEDED"},
            CallbackActions=[
                {"CallbackName": "b", "Operation": "failure", "Payload": {"ErrorType": "Rejected"}},
                {"CallbackName": "a", "Operation": "heartbeat"},
                {"CallbackName": "a", "Operation": "success", "Payload": {"answer": "${P}"}},
            ],
        ),
    )
    assert outcome.differences == ()
    paths = [path.rpartition("callbacks/")[2] for path, _ in script.requests if "callbacks" in path]
    assert paths == ["aID/heartbeat", "bID/fail", "aID/succeed"]
    assert json.loads(sent(script, "/fail")[0]) == {"ErrorType": "Rejected"}
    assert sent(script, "/succeed") == ['{"answer": "yes"}']


def test_a_success_without_payload_sends_nothing():
    script = Script([("RUNNING", [STARTED, callback(2, "a")]), ("SUCCEEDED", [STARTED])])
    actions = [{"CallbackName": "*", "Operation": "success"}]
    run(script, case(AsyncInvoke=True, CallbackActions=actions, ExpectedResult={"ExecutionStatus": "SUCCEEDED"}))
    assert sent(script, "/succeed") == [""]


def test_a_callback_without_an_action_fails_the_case():
    script = Script([("RUNNING", [STARTED, callback(2, "a")])])
    actions = [{"CallbackName": "b", "Operation": "success"}]
    outcome = run(
        script,
        case(AsyncInvoke=True, CallbackActions=actions, ExpectedResult={"ExecutionStatus": "SUCCEEDED"}),
    )
    assert outcome.differences == ("event 2: no action for callback 'a'",)


def test_logs_are_read_from_the_services_file(tmp_path):
    log_file = tmp_path / "log"
    message = json.dumps({"executionArn": ARN, "message": "ran s2"})
    log_file.write_text(json.dumps({"timestamp": 1, "function": "1-1", "message": message}) + "\n")
    history = [{"EventId": 2, "EventType": "StepStarted", "Id": "${ID}"}]
    logged = case(ExpectedExecutionHistory=history, ExpectedLogs=[{"match": {"message": "/^ran ${ID}$/"}, "count": 1}])
    assert run(Script([("SUCCEEDED", STEP)]), logged, log_file).differences == ()
    log_file.write_text("")
    assert len(run(Script([("SUCCEEDED", STEP)]), logged, log_file).differences) == 1
    assert run(Script([("SUCCEEDED", STEP)]), logged).not_compared == ("logs",)


def test_a_refused_call_fails_the_case():
    client = connect("http://127.0.0.1:9")
    outcome = Runner(client, pace=PACE).run(case())
    client.close()
    assert outcome.differences[0].startswith("EndpointConnectionError")
