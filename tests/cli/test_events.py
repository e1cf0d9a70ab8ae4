"""Events as rows, and the operations that they tell of."""

import io

import pytest

from durable_async.cli.history import History, about, print_history
from durable_async.cli.operations import Operations
from durable_async.cli.progress import choose
from durable_async.service.model.history import EventType


def event(kind, number=1, *, at=1_700_000_000.0, place=None, **details):
    return {"EventType": kind, "EventId": number, "EventTimestamp": at, **(place or {}), f"{kind}Details": details}


@pytest.mark.parametrize(
    ("kind", "details", "said"),
    [
        ("ExecutionStarted", {"Input": {"Payload": '{"id": 1}'}, "ExecutionTimeout": 9}, '{"id": 1}'),
        ("ExecutionStarted", {"Input": {"Truncated": True}}, ""),
        ("StepStarted", {}, ""),
        ("StepSucceeded", {"Result": {"Payload": "4"}, "RetryDetails": {"CurrentAttempt": 1}}, "4"),
        ("StepSucceeded", {"Result": {"Payload": "4"}, "RetryDetails": {"CurrentAttempt": 3}}, "attempt 3, 4"),
        (
            "StepSucceeded",
            {"Result": {"Payload": "4"}, "RetryDetails": {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 60}},
            "attempt 1, next in 1m00s, 4",
        ),
        (
            "StepFailed",
            {
                "Error": {"Payload": {"ErrorType": "a.Busy", "ErrorMessage": "later"}},
                "RetryDetails": {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 1},
            },
            "attempt 2, next in 1s, Busy: later",
        ),
        ("WaitStarted", {"Duration": 5, "ScheduledEndTimestamp": 1_700_000_005}, "5s"),
        (
            "CallbackStarted",
            {"CallbackId": "aWQ=", "Timeout": 3600, "HeartbeatTimeout": 60},
            "aWQ=, times out after 1h00m, heartbeats every 1m00s",
        ),
        ("CallbackFailed", {"Error": {"Payload": {"ErrorData": "x"}}}, '{"ErrorData": "x"}'),
        ("ChainedInvokeStarted", {"FunctionName": "pay:1", "Input": {"Payload": "{}"}}, "pay:1, {}"),
        ("ExecutionPaused", {"PauseRequestTimestamp": 1, "Reason": {"Payload": "strike"}}, "strike"),
        ("InvocationCompleted", {"RequestId": "r", "StartTimestamp": 10.0, "EndTimestamp": 12.5}, "took 2.5s"),
    ],
)
def test_what_an_event_says(kind, details, said):
    assert about(event(kind, **details)) == said


@pytest.mark.parametrize("kind", EventType)
def test_every_event_has_a_row(kind):
    assert History(io.StringIO()).row(event(kind, 7))[2] == kind


def test_an_event_of_a_later_service_has_one_too():
    unheard = {"EventType": "DreamRecorded", "EventId": 3, "EventTimestamp": 1.0, "Id": "x"}
    assert History(io.StringIO()).row(unheard)[2:] == ("DreamRecorded", "", "")
    operations = Operations()
    operations.take(unheard)
    assert not len(operations)


def test_lines_are_aligned_and_nested():
    out = io.StringIO()
    events = [
        event("ContextStarted", 1, place={"Id": "c", "Name": "outer\n"}),
        event("StepStarted", 2, place={"Id": "s", "ParentId": "c", "Name": "inner"}),
        event("StepSucceeded", 3, place={"Id": "s", "ParentId": "c", "Name": "inner"}, Result={"Payload": "x" * 500}),
    ]
    print_history(events, out)
    title, first, second, third = out.getvalue().splitlines()
    assert title.index("NAME") == first.index("outer") == second.index("inner") - 2
    assert "outer\\n" in first
    assert third.endswith("x…")
    assert len(third) < 220


def history():
    yield event("ExecutionStarted", 1, at=100.0, place={"Id": "e", "Name": "order"})
    yield event("ContextStarted", 2, at=100.0, place={"Id": "c", "Name": "group", "SubType": "RunInChildContext"})
    yield event("StepStarted", 3, at=101.0, place={"Id": "s", "ParentId": "c", "Name": "charge", "SubType": "Step"})
    yield event("WaitStarted", 4, at=101.0, place={"Id": "w", "SubType": "Wait"}, Duration=5)
    yield event(
        "StepFailed",
        5,
        at=102.0,
        place={"Id": "s", "ParentId": "c", "Name": "charge", "SubType": "Step"},
        RetryDetails={"CurrentAttempt": 1, "NextAttemptDelaySeconds": 2},
        Error={"Payload": {"ErrorMessage": "busy"}},
    )
    yield event("StepStarted", 6, at=104.0, place={"Id": "s", "ParentId": "c", "Name": "charge"})
    yield event("WaitSucceeded", 7, at=106.0, place={"Id": "w"}, Duration=5)
    yield event(
        "StepSucceeded", 8, at=107.0, place={"Id": "s"}, RetryDetails={"CurrentAttempt": 2}, Result={"Payload": "1"}
    )


def rows_after(events, now):
    operations = Operations()
    for each in list(history())[:events]:
        operations.take(each)
    return [operation.row(now) for operation in operations]


@pytest.mark.parametrize(
    ("events", "charge"),
    [
        (4, ("  charge", "Step", "STARTED", "1", "1s", "")),
        (5, ("  charge", "Step", "PENDING", "1", "1s", "attempt 1, next in 2s, busy")),
        (6, ("  charge", "Step", "STARTED", "2", "1s", "")),
        (8, ("  charge", "Step", "SUCCEEDED", "2", "6s", "attempt 2, 1")),
    ],
)
def test_the_life_of_a_step(events, charge):
    assert rows_after(events, now=102.0)[1] == charge


def test_operations_stand_under_their_contexts_in_the_order_of_their_starts():
    rows = rows_after(8, now=110.0)
    assert [row[0] for row in rows] == ["group", "  charge", "Wait"]
    assert [row[2] for row in rows] == ["STARTED", "SUCCEEDED", "SUCCEEDED"]


def test_on_a_small_screen_stands_what_is_open_and_what_ended_last():
    operations = Operations()
    for number in range(10):
        place = {"Id": str(number), "Name": str(number), "SubType": "Step"}
        operations.take(event("StepStarted", at=100.0 + number, place=place))
        if number != 2:
            operations.take(event("StepSucceeded", at=200.0 + number, place=place))
    assert [operation.name for operation in choose([*operations], 4)] == ["2", "7", "8", "9"]
    assert len(choose([*operations], 10)) == 10
    assert [operation.name for operation in choose([*operations], -3)] == ["2"]
