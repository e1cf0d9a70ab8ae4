"""What a history says of an execution, and in which forms it may come. That it says the same as the machine itself is
tested in ``test_machine_stateful``."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest

from durable_async.errors import HistoryError
from durable_async.service import machine
from durable_async.service.http.rendering import event_json
from durable_async.service.machine.derive import derive
from durable_async.service.model.exported import read_history
from tests.service.machine.machine_driver import START_MS, Driver, callback, context, invoke, step, update, wait


def driven(*batches, end=True) -> Driver:
    """An execution whose handler wrote each batch, and then returned."""
    driver = Driver(payload='{"order": 1}')
    for batch in batches:
        driver.checkpoint(*batch)
    if end:
        driver.succeed('"done"')
    return driver


def derived(driver: Driver):
    return derive(driver.events)


def operation(driver: Driver, operation_id: str):
    return next(each for each in derived(driver).operations if each.id == operation_id)


# --- the execution ---


def test_an_execution_that_succeeded():
    execution = derived(driven([step("START")], [step("SUCCEED", Payload="1")]))
    assert (execution.id, execution.name, execution.input) == ("e1", "order-1", '{"order": 1}')
    assert (execution.status, execution.result, execution.error) == ("SUCCEEDED", '"done"', None)
    assert (execution.started_ms, execution.ended_ms, execution.latest_us) == (START_MS, START_MS, START_MS * 1000 + 4)
    assert execution.timeout_seconds == 86_400
    assert [each.type for each in execution.operations] == ["EXECUTION", "STEP"]
    assert execution.operations[0].status == "SUCCEEDED"


def test_operations_are_found_by_id_without_a_look_at_all_of_them():
    """A fork of an execution with thousands of operations asks thousands of times."""
    execution = derived(driven([step("SUCCEED", Payload="1")]))
    assert execution.by_id is execution.by_id
    assert [*execution.by_id.values()] == execution.operations


def close_by_answer(driver):
    driver.fail("Boom")


def close_by_checkpoint(driver):
    driver.checkpoint(update("end", "EXECUTION", "FAIL", Error={"ErrorType": "Boom"}))


def close_by_checkpoint_after_a_failed_step(driver):
    driver.checkpoint(step("FAIL", Error={"ErrorType": "Boom"}))
    close_by_checkpoint(driver)


def succeed_by_checkpoint_after_a_crash(driver):
    driver.crash()
    driver.checkpoint(update("end", "EXECUTION", "SUCCEED", Payload="1"))


def close_by_crashes(driver):
    driver.retries = attrs.evolve(driver.retries, max_failures=1)
    driver.crash()


def close_by_time(driver):
    driver.advance(86_400)


def stop(driver):
    driver.do(machine.stop, None)


@pytest.mark.parametrize(
    ("close", "status", "answered"),
    [
        (close_by_answer, "FAILED", True),
        (close_by_checkpoint, "FAILED", True),
        (close_by_checkpoint_after_a_failed_step, "FAILED", True),
        (succeed_by_checkpoint_after_a_crash, "SUCCEEDED", True),
        (close_by_crashes, "FAILED", False),
        (close_by_time, "TIMED_OUT", False),
        (stop, "STOPPED", False),
    ],
)
def test_who_closed_it(close, status, answered):
    driver = Driver()
    close(driver)
    execution = derived(driver)
    assert (execution.status, execution.answered) == (status, answered)
    assert execution.error == driver.execution.error
    assert (execution.error is None) == (status == "SUCCEEDED")


def test_one_that_is_open():
    execution = derived(driven([wait()], end=False))
    assert (execution.status, execution.ended_ms, execution.answered) == ("RUNNING", None, False)


def test_a_pause_and_its_end():
    driver = driven([wait()], end=False)
    driver.suspend()
    driver.do(machine.pause, "hold it", timeout_paused=True)
    assert derived(driver).status == "PAUSED"
    driver.do(machine.resume, None)
    assert derived(driver).status == "RUNNING"


# --- its operations ---


def test_a_step_between_two_attempts():
    driver = driven([step("RETRY", delay=5, Error={"ErrorType": "Busy"}, Name="charge")], end=False)
    between = operation(driver, "s")
    assert (between.status, between.attempts, between.error) == ("PENDING", 1, {"ErrorType": "Busy"})
    assert (between.due_ms, between.end_us, between.name) == (START_MS + 5000, None, "charge")
    driver.suspend()
    driver.advance(5)
    driver.checkpoint(step("START"))
    again = operation(driver, "s")
    assert (again.status, again.attempts, again.error, again.due_ms) == ("STARTED", 1, None, None)


def test_the_state_of_a_condition_outlives_the_beginning_of_its_next_check():
    driver = driven([step("RETRY", delay=1, Payload="7")], end=False)
    driver.suspend()
    driver.advance(1)
    driver.checkpoint(step("START"))
    assert operation(driver, "s").result == "7"


def test_attempts_are_counted_where_a_history_does_not_number_them():
    driver = driven([step("RETRY", delay=1, Error={"ErrorType": "Boom"})], end=False)
    driver.advance(1)
    driver.checkpoint(step("START"), step("SUCCEED", Payload="1"))
    retries = [event.details.get("RetryDetails") for event in driver.events]
    for details in filter(None, retries):
        del details["CurrentAttempt"]
    assert operation(driver, "s").attempts == 2
    for event in driver.events:
        event.details.pop("RetryDetails", None)
    assert operation(driver, "s").attempts == 2


def test_a_step_that_has_ended_is_due_no_more():
    driver = driven([step("RETRY", delay=1)], end=False)
    driver.advance(1)
    driver.checkpoint(step("SUCCEED", Payload="1"))
    assert (operation(driver, "s").status, operation(driver, "s").due_ms) == ("SUCCEEDED", None)


def test_a_callback_with_its_timers():
    options = {"TimeoutSeconds": 60, "HeartbeatTimeoutSeconds": 10, "AnswerSchema": "{}"}
    driver = driven([update("c", "CALLBACK", "START", CallbackOptions=options)], end=False)
    made = operation(driver, "c")
    assert made.callback_id == driver.callback_id("c")
    assert (made.due_ms, made.heartbeat_due_ms) == (START_MS + 60_000, START_MS + 10_000)
    assert made.answer_schema == "{}"


def test_a_chained_invoke_that_could_not_be():
    failed = operation(driven([invoke("nobody")]), "i")
    assert failed.status == "FAILED" and failed.error["ErrorType"] == "ResourceNotFoundException"


def test_operations_in_a_context():
    driver = driven([context("START", SubType="Map"), step("START", ParentId="x")], end=False)
    assert (operation(driver, "s").parent_id, operation(driver, "x").sub_type) == ("x", "Map")


@pytest.mark.parametrize(
    ("sub_type", "result", "replays_children"),
    [
        pytest.param("RunInChildContext", '{"a": 1}', False, id="a result"),
        pytest.param("RunInChildContext", "null", False, id="None"),
        pytest.param("RunInChildContext", None, True, id="no result, as of a deadline"),
        pytest.param("RunInChildContext", "", True, id="an empty summary"),
        pytest.param("MapIteration", "3 orders", True, id="a summary of the user's"),
        pytest.param("Map", '{"all": [], "completionReason": "ALL_COMPLETED"}', False, id="a batch"),
        pytest.param("Map", '{"type": "MapResult", "totalCount": 3}', True, id="a summary of a batch"),
        pytest.param("Parallel", "gz:1234", False, id="a batch through a serializer"),
        pytest.param("Parallel", "[1]", False, id="another one"),
        pytest.param("WaitForCallback", "yes", False, id="an answer that is no JSON"),
        pytest.param("WaitForCallback", None, False, id="an answer without a result"),
    ],
)
def test_what_a_result_says_of_the_children(sub_type, result, replays_children):
    payload = {} if result is None else {"Payload": result}
    driver = driven([context("START", SubType=sub_type)], [context("SUCCEED", **payload)])
    assert operation(driver, "x").replay_children is replays_children


# --- what is no history ---


def test_the_beginning_is_needed():
    events = driven().events
    with pytest.raises(HistoryError, match="does not begin"):
        derive(events[1:])
    with pytest.raises(HistoryError, match="does not begin"):
        derive([])


def test_every_event_is_needed():
    events = driven([step("START")]).events
    with pytest.raises(HistoryError, match="event 2 is missing"):
        derive([events[0], *events[2:]])


def test_an_operation_stays_what_it_is():
    events = driven([step("START", "a")], [context("START", "b")]).events
    events[2] = attrs.evolve(events[2], operation_id="a")
    with pytest.raises(HistoryError, match="event 3, ContextStarted, belongs to an operation of the type STEP"):
        derive(events)


# --- as it is exported ---


def rich_history():
    driver = driven(
        [step("RETRY", delay=1, Error={"ErrorType": "Busy", "StackTrace": ["line"]}), wait(1), callback(timeout=5)],
        [invoke(Payload='"é\\n"'), context("START", Name="x"), context("SUCCEED", Payload=None)],
        end=False,
    )
    driver.suspend()
    driver.advance(1.234)
    driver.crash()
    driver.callback_fails("c")
    driver.do(machine.pause, "hold it", timeout_paused=False)
    driver.do(machine.resume, None)
    driver.do(machine.stop, {})
    return driver.events


EVENTS = rich_history()
SHOWN = [event_json(event, include_data=True) for event in EVENTS]


def times(value, how):
    """The history with its epoch seconds as another client leaves them."""
    if isinstance(value, dict):
        return {
            member: how(each) if member.endswith("Timestamp") else times(each, how) for member, each in value.items()
        }
    return value


def east_of_greenwich(seconds):
    return datetime.fromtimestamp(seconds, timezone(timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize(
    "exported",
    [
        pytest.param(SHOWN, id="events"),
        pytest.param({"Events": SHOWN}, id="an answer"),
        pytest.param({"Events": SHOWN[::-1], "NextMarker": None}, id="newest first"),
        pytest.param([{"Events": SHOWN[:4], "NextMarker": "5"}, {"Events": SHOWN[4:]}], id="pages"),
        pytest.param(json.loads(json.dumps(SHOWN)), id="JSON"),
        pytest.param([times(e, lambda s: datetime.fromtimestamp(s, UTC)) for e in SHOWN], id="botocore"),
        pytest.param([times(e, lambda s: east_of_greenwich(s).isoformat()) for e in SHOWN], id="AWS CLI"),
        pytest.param(
            [times(e, lambda s: datetime.fromtimestamp(s, UTC).isoformat().replace("+00:00", "Z")) for e in SHOWN],
            id="ISO with Z",
        ),
        pytest.param(iter(SHOWN), id="any iterable"),
    ],
)
def test_every_form_reads_as_the_same_events(exported):
    assert list(read_history(exported).events) == EVENTS


def test_an_export_may_say_whose_it_is():
    assert read_history({"DurableExecutionArn": "arn:1", "Events": SHOWN}).execution_arn == "arn:1"
    assert read_history(SHOWN).execution_arn is None


def test_payloads_that_say_nothing_of_the_state_may_be_missing():
    shown = [
        event_json(
            event, include_data=event.type not in ("ChainedInvokeStarted", "InvocationCompleted", "ExecutionPaused")
        )
        for event in EVENTS
    ]
    derive(read_history(shown).events)


def changed(event_type, **members):
    """The history with other members in the first event of a type."""
    place = next(n for n, event in enumerate(SHOWN) if event["EventType"] == event_type)
    return [*SHOWN[:place], SHOWN[place] | members, *SHOWN[place + 1 :]]


@pytest.mark.parametrize(
    ("exported", "message"),
    [
        pytest.param({"Events": SHOWN, "NextMarker": "99"}, "longer than what was exported", id="not all pages"),
        pytest.param(
            {"Events": SHOWN, "NextToken": "99"}, "longer than what was exported", id="not all pages, by the AWS CLI"
        ),
        pytest.param(
            [event_json(event, include_data=False) for event in EVENTS],
            "event 1, ExecutionStarted 'order-1', has no data: export the history with IncludeExecutionData",
            id="without data",
        ),
        pytest.param(changed("WaitStarted", EventType="WaitBegun"), "unknown type: 'WaitBegun'", id="unknown event"),
        pytest.param(changed("WaitStarted", EventType=None), "unknown type: None", id="no type"),
        pytest.param(changed("WaitStarted", EventId="third"), "malformed: ValueError", id="no number"),
        pytest.param(changed("WaitStarted", EventTimestamp="2026-01-01T00:00:00"), "has no offset", id="a local time"),
        pytest.param(changed("WaitStarted", EventTimestamp=None), "malformed: TypeError", id="no time"),
        pytest.param(changed("WaitStarted", WaitStartedDetails={}), "event 3, WaitStarted, has no D", id="no details"),
        pytest.param(changed("WaitStarted", WaitStartedDetails=7), "malformed: AttributeError", id="odd details"),
        pytest.param(changed("StepFailed", StepFailedDetails={"Error": 7}), "malformed", id="odd payload"),
        pytest.param("a history", "not a list of JSON objects", id="a text"),
        pytest.param(7, "not a list of JSON objects", id="a number"),
        pytest.param([1, 2], "not a list of JSON objects", id="numbers"),
        pytest.param({"Event": []}, "Events is not a list of JSON objects", id="another answer"),
        pytest.param([], "does not begin", id="nothing"),
    ],
)
def test_what_cannot_be_read_is_told(exported, message):
    with pytest.raises(HistoryError, match=message):
        derive(read_history(exported).events)
