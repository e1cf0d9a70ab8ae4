"""How an event is shown. See protocol.md, "History"."""

from __future__ import annotations

import pytest

from durable_async.service.http.rendering import event_json
from durable_async.service.model.history import EventType, HistoryEvent


def shown(kind, *, include_data=True, **details):
    return event_json(HistoryEvent(2, kind, 1_500, details), include_data=include_data)[f"{kind}Details"]


def test_an_event_has_its_place_and_seconds():
    event = HistoryEvent(7, EventType.STEP_STARTED, 1_500_001, {}, "s", "charge", "Step", "x")
    assert event_json(event, include_data=True) == {
        "EventType": "StepStarted",
        "EventId": 7,
        "EventTimestamp": 1.500001,
        "Id": "s",
        "Name": "charge",
        "SubType": "Step",
        "ParentId": "x",
        "StepStartedDetails": {},
    }


def test_what_an_operation_does_not_have_is_left_out():
    event = HistoryEvent(7, EventType.INVOCATION_COMPLETED, 1_500_000, {"RequestId": "r", "StartTimestamp": 1_000})
    assert event_json(event, include_data=True) == {
        "EventType": "InvocationCompleted",
        "EventId": 7,
        "EventTimestamp": 1.5,
        "InvocationCompletedDetails": {"RequestId": "r", "StartTimestamp": 1.0},
    }


@pytest.mark.parametrize(
    ("kind", "member", "value"),
    [
        (EventType.EXECUTION_STARTED, "Input", "{}"),
        (EventType.EXECUTION_SUCCEEDED, "Result", "1"),
        (EventType.EXECUTION_FAILED, "Error", {"ErrorType": "E"}),
        (EventType.CALLBACK_FAILED, "Error", {}),
        (EventType.EXECUTION_PAUSED, "Reason", "lunch"),
        (EventType.STEP_SUCCEEDED, "Result", ""),
    ],
    ids=str,
)
def test_a_payload_is_shown_only_with_the_data(kind, member, value):
    assert shown(kind, **{member: value}) == {member: {"Payload": value, "Truncated": False}}
    assert shown(kind, include_data=False, **{member: value}) == {member: {"Truncated": True}}


def test_a_payload_that_was_not_given_leaves_its_member():
    assert shown(EventType.STEP_SUCCEEDED, Result=None) == {"Result": {"Truncated": False}}


def test_other_members_do_not_depend_on_the_data():
    details = {"Duration": 2, "ScheduledEndTimestamp": 3_500}
    expected = {"Duration": 2, "ScheduledEndTimestamp": 3.5}
    assert shown(EventType.WAIT_STARTED, **details) == expected
    assert shown(EventType.WAIT_STARTED, include_data=False, **details) == expected


def test_a_size_counts_payloads():
    small, large = (HistoryEvent(1, EventType.STEP_SUCCEEDED, 0, {"Result": "x" * n}) for n in (0, 5_000))
    assert large.size - small.size == 5_000
