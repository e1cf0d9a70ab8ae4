"""The matching rules, and that each of them finds what breaks it."""

import random
from datetime import UTC, datetime

import pytest

from .callbacks import Switchboard, UnansweredCallbackError
from .case import ABSENT, CallbackAction, CallbackOperation, draw_variables, load_cases, parse_case
from .logs import LogRecord, match_logs, records_of
from .matching import compare, fill, match_history, match_result, name_parts_of_wait_for_callback
from .sources import NONE_THERE, folders
from .suites import HANDLER_MODULES

WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def event(number, kind="StepStarted", **fields):
    return {"EventId": number, "EventType": kind, **fields}


def differences(expected, actual, **names):
    return list(compare(expected, actual, names))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param("a", "a", id="equal text"),
        pytest.param(1, 1.0, id="equal numbers"),
        pytest.param(None, None, id="null is null"),
        pytest.param("*", "anything", id="star: text"),
        pytest.param("*", None, id="star: null"),
        pytest.param({}, {"a": 1}, id="empty object: any object"),
        pytest.param({}, "text", id="empty object: any value"),
        pytest.param({"a": {}}, {"a": None}, id="the key is there, whatever it holds"),
        pytest.param({"a": 1}, {"a": 1, "b": 2}, id="unexpected keys are ignored"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, id="and so within lists"),
        pytest.param([1, "*"], [1, 2], id="lists: item by item"),
        pytest.param([], [], id="empty lists"),
        pytest.param("${/Error$/}", "package.TransientError", id="regex: a search"),
        pytest.param("${/^2026-01-02T/}", WHEN, id="regex: a time in ISO format"),
        pytest.param("${/^true$/}", True, id="regex: a boolean as JSON"),
        pytest.param("${/^a{2}$/}", "aa", id="regex: braces"),
        pytest.param("${KNOWN}", "value", id="a known name"),
        pytest.param('"${KNOWN}"', '"value"', id="a known name within text"),
        pytest.param("${/^${KNOWN}$/}", "value", id="a known name within a regex"),
        pytest.param("${NEW}", {"any": 1}, id="a new name binds whatever stands there"),
        pytest.param({"a": "${NEW}", "b": "${NEW}"}, {"a": 7, "b": 7}, id="a bound name is equal again"),
        pytest.param({"a": "${ONE}", "b": "${TWO}"}, {"a": 7, "b": 7}, id="two names, one value"),
        pytest.param("x${UNKNOWN}", "x${UNKNOWN}", id="an unknown name within text stays"),
    ],
)
def test_what_matches(expected, actual):
    assert differences(expected, actual, KNOWN="value") == []


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        pytest.param("a", "b", id="other text"),
        pytest.param("1", 1, id="text is no number"),
        pytest.param(1, True, id="true is no number"),
        pytest.param('{"a":1}', '{"a": 1}', id="blanks within JSON text"),
        pytest.param('"a"', "a", id="JSON text has its quotes"),
        pytest.param({"a": {}}, {}, id="empty object: the key must be there"),
        pytest.param({"a": "*"}, {}, id="star: the key must be there"),
        pytest.param({"a": "${NEW}"}, {}, id="a new name: the key must be there"),
        pytest.param({"a": {"b": 1}}, {"a": "text"}, id="no object"),
        pytest.param({"a": {"b": 1}}, {"a": None}, id="null is no object"),
        pytest.param([1], [1, 2], id="a longer list"),
        pytest.param([1, 2], [1], id="a shorter list"),
        pytest.param([1, 2, 2], [1, 2, 1], id="another item"),
        pytest.param([1], "1", id="no list"),
        pytest.param("${/^Error/}", "TransientError", id="regex: not found"),
        pytest.param("${KNOWN}", "other", id="a known name with another value"),
        pytest.param('"${KNOWN}"', '"other"', id="within text"),
        pytest.param("${/^.alue$/}", "other", id="regex without it"),
        pytest.param("${/^${DOT}$/}", "x", id="a name in a regex is literal"),
        pytest.param({"a": "${NEW}", "b": "${NEW}"}, {"a": 7, "b": 8}, id="a bound name with another value"),
    ],
)
def test_what_does_not(expected, actual):
    assert len(differences(expected, actual, KNOWN="value", DOT=".")) == 1


def test_every_difference_is_named_by_its_place():
    found = differences({"a": {"b": 1}, "c": [1, 2], "d": 3}, {"a": {"b": 2}, "c": [1, 3], "d": 3})
    assert found == [".a.b: expected 1, found 2", ".c[1]: expected 2, found 3"]


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        pytest.param("${A}", "x", id="whole"),
        pytest.param("Hello, ${A}!", "Hello, x!", id="within text"),
        pytest.param(["${A}", {"k": "${N}"}], ["x", {"k": 1}], id="within lists and objects, with its type"),
        pytest.param("n=${N}", "n=1", id="a number within text"),
        pytest.param("${OTHER}", "${OTHER}", id="unknown"),
        pytest.param(None, None, id="null"),
    ],
)
def test_names_are_filled_in(template, filled):
    assert fill(template, {"A": "x", "N": 1}) == filled


def test_generated_variables_have_their_length_and_alphabet():
    drawn = draw_variables({"A": "${GEN_STR:8}", "B": "a literal"}, random.Random(1))
    assert drawn["B"] == "a literal"
    assert len(drawn["A"]) == 8
    assert set(drawn["A"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789")


HISTORY = [event(1, "ExecutionStarted"), event(2, Id="a"), event(3, "StepSucceeded", Id="a"), event(4, "StepStarted")]


@pytest.mark.parametrize(
    ("expected", "count"),
    [
        pytest.param([event(2, Id="${ID}"), event(3, "StepSucceeded", Id="${ID}")], 0, id="as it was"),
        pytest.param([event(4)], 0, id="a gap: anything may stand there"),
        pytest.param([], 0, id="nothing expected"),
        pytest.param([event(3, "StepSucceeded", Id="${ID}"), event(2, Id="${ID}")], 0, id="paired by id, not by place"),
        pytest.param([event(3, Id="a")], 1, id="an extra event before shifts it"),
        pytest.param([event(5)], 1, id="missing"),
        pytest.param([event(2, ParentId="*")], 1, id="a parent is expected"),
        pytest.param([event(2, "WaitStarted", Id="b")], 2, id="both differences"),
    ],
)
def test_histories(expected, count):
    assert len(match_history(expected, HISTORY, {})) == count


def test_a_history_binds_names_for_the_logs():
    names = {}
    match_history([event(2, Id="${ID}")], HISTORY, names)
    assert names == {"ID": "a"}


@pytest.mark.parametrize(
    ("expected", "status", "result", "count"),
    [
        pytest.param("x", "SUCCEEDED", '"x"', 0, id="equal"),
        pytest.param("Hello, ${A}", "SUCCEEDED", '"Hello, v"', 0, id="variables are filled in"),
        pytest.param({"n": 1}, "SUCCEEDED", '{"n":1}', 0, id="decoded, so blanks don't matter"),
        pytest.param(ABSENT, "SUCCEEDED", '"anything"', 0, id="not given: any"),
        pytest.param(None, "SUCCEEDED", "null", 0, id="null"),
        pytest.param(None, "SUCCEEDED", None, 0, id="null: absent"),
        pytest.param(None, "SUCCEEDED", '""', 1, id="null: not empty text"),
        pytest.param("x", "SUCCEEDED", "x", 1, id="not JSON"),
        pytest.param("x", "SUCCEEDED", '"\\"x\\""', 1, id="decoded once"),
        pytest.param({"n": 1}, "SUCCEEDED", '{"n": 1, "m": 2}', 1, id="no key is ignored"),
        pytest.param("*", "SUCCEEDED", '"x"', 1, id="no wildcards"),
        pytest.param("${/x/}", "SUCCEEDED", '"x"', 1, id="no regexes"),
        pytest.param(1, "SUCCEEDED", "true", 1, id="true is no number"),
        pytest.param("x", "FAILED", '"x"', 1, id="another status"),
    ],
)
def test_results(expected, status, result, count):
    assert len(match_result("SUCCEEDED", expected, status, result, {"A": "v"})) == count


def test_the_result_of_a_failed_execution_is_not_looked_at():
    assert match_result("FAILED", "x", "FAILED", None, {}) == []


def test_nameless_parts_of_a_wait_for_callback_have_their_parents_name():
    events = [
        event(2, "ContextStarted", SubType="WaitForCallback", Id="p", Name="approval"),
        event(3, "CallbackStarted", Id="c", ParentId="p"),
        event(4, "StepStarted", Id="s", ParentId="p", Name="own"),
        event(5, "StepFailed", Id="s", ParentId="p"),
        event(6, "StepStarted", Id="t", ParentId="other"),
    ]
    assert [named.get("Name") for named in name_parts_of_wait_for_callback(events)] == [
        "approval", "approval", "own", None, None,
    ]  # fmt: skip


# --- callbacks ---


def action(name, operation=CallbackOperation.SUCCESS):
    return CallbackAction(name, operation, payload=ABSENT, delay=0)


def callback(number, name):
    return event(number, "CallbackStarted", Id=f"id-{name}", Name=name, CallbackStartedDetails={"CallbackId": name})


def test_a_callback_takes_the_first_unused_action_that_fits():
    board = Switchboard([action("${/^b/}"), action("${A}"), action("*")], {"A": "a"})
    first = list(board.due([callback(2, "a"), callback(3, "b")]))
    assert [(name, taken.name) for name, taken in first] == [("a", "${A}"), ("b", "${/^b/}")]
    later = [callback(2, "a"), callback(3, "b"), callback(4, "c")]
    assert [name for name, _ in board.due(later)] == ["c"]


def test_a_heartbeat_leaves_its_callback_open_for_the_next_action():
    board = Switchboard([action("a", CallbackOperation.HEARTBEAT), action("a")], {})
    events = [callback(2, "a")]
    assert [taken.operation for _, taken in board.due(events)] == [CallbackOperation.HEARTBEAT]
    assert [taken.operation for _, taken in board.due(events)] == [CallbackOperation.SUCCESS]
    assert list(board.due(events)) == []


def test_a_callback_that_has_ended_asks_for_nothing():
    board = Switchboard([action("*")], {})
    assert list(board.due([callback(2, "a"), event(3, "CallbackTimedOut", Id="id-a")])) == []


def test_a_callback_that_finds_no_action_is_a_failure():
    board = Switchboard([action("b")], {})
    with pytest.raises(UnansweredCallbackError, match="'a'"):
        list(board.due([callback(2, "a")]))


def test_without_any_action_callbacks_stay_open():
    assert list(Switchboard([], {}).due([callback(2, "a")])) == []


# --- logs ---

ARN = "arn:1"
RECORDS = [
    LogRecord(10, {"hook": "start", "n": 1, "first": True, "message": "one"}),
    LogRecord(10, {"hook": "end", "n": 1, "id": "id-7", "message": " two \n"}),
    LogRecord(20, {"hook": "end", "n": 2, "error": "", "message": "Hello, v!"}),
]


def expectation(**content):
    text = {"description": "", "Input": None, "ExpectedLogs": [content]}
    return parse_case("suite", "1-1", text).logs


@pytest.mark.parametrize(
    ("content", "count"),
    [
        pytest.param({"match": {"hook": "end"}}, 0, id="at least one"),
        pytest.param({"match": {"hook": "other"}}, 1, id="none"),
        pytest.param({"match": {"hook": "end"}, "count": 2}, 0, id="count"),
        pytest.param({"match": {"hook": "end"}, "count": 1}, 1, id="too many"),
        pytest.param({"match": {"hook": "end"}, "count": 3}, 1, id="too few"),
        pytest.param({"match": {"hook": "end"}, "count": 0}, 1, id="none wanted"),
        pytest.param({"match": {"hook": "other"}, "count": 0}, 0, id="none wanted, none there"),
        pytest.param({"match": {"hook": "end"}, "min_count": 3}, 1, id="below the minimum"),
        pytest.param({"match": {"hook": "end"}, "max_count": 1}, 1, id="above the maximum"),
        pytest.param({"match": {"hook": "other"}, "max_count": 1}, 0, id="a maximum alone allows none"),
        pytest.param({"match": {"hook": "end", "n": 2}, "count": 1}, 0, id="all fields must fit"),
        pytest.param({"match": {"message": "two"}, "count": 1}, 0, id="text is equal without its blanks"),
        pytest.param({"match": {"message": "Hello"}, "count": 0}, 0, id="text is equal, not found within"),
        pytest.param({"match": {"message": "/Hello, ${A}/"}, "count": 1}, 0, id="regex: a search, with names"),
        pytest.param({"match": {"n": "/^[1-9]$/"}, "count": 3}, 0, id="regex: in a number"),
        pytest.param({"match": {"error": "/.*/"}, "count": 1}, 0, id="regex: the field must be there"),
        pytest.param({"match": {"first": True}, "count": 1}, 0, id="a boolean"),
        pytest.param({"match": {"n": True}, "count": 0}, 0, id="1 is not true"),
        pytest.param({"match": {"n": 1.0}, "count": 2}, 0, id="numbers by value"),
        pytest.param({"match": {"id": "${ID}"}, "count": 1}, 0, id="a name that the history bound"),
        pytest.param({"match": {"hook": "end"}, "after": {"hook": "start"}}, 0, id="after, in the same millisecond"),
        pytest.param({"match": {"n": 2}, "after": [{"hook": "start"}, {"id": "id-7"}]}, 0, id="after several"),
        pytest.param({"match": {"hook": "end"}, "after": {"n": 2}}, 1, id="not every one is after"),
        pytest.param({"match": {"hook": "start"}, "after": {"hook": "end"}}, 1, id="not after every anchor"),
        pytest.param({"match": {"hook": "start"}, "before": {"hook": "end"}}, 0, id="before"),
        pytest.param({"match": {"hook": "end"}, "before": {"hook": "start"}}, 1, id="not before"),
        pytest.param({"match": {"n": 2}, "after": {"n": 3}}, 1, id="the anchor is not there"),
    ],
)
def test_logs(content, count):
    assert len(match_logs(expectation(**content), RECORDS, {"A": "v", "ID": "id-7"})) == count


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        pytest.param('{"timestamp": 1, "message": "{\\"executionArn\\": \\"arn:1\\"}"}', True, id="a logger's record"),
        pytest.param('{"timestamp": 1, "message": "{\\"durableExecutionArn\\": \\"arn:1\\"}"}', True, id="a plugin's"),
        pytest.param('{"timestamp": 1, "message": "{\\"executionArn\\": \\"arn:2\\"}"}', False, id="another execution"),
        pytest.param(
            '{"timestamp": 1, "message": "{\\"x\\": {\\"executionArn\\": \\"arn:1\\"}}"}', False, id="not on top"
        ),
        pytest.param('{"timestamp": 1, "message": "arn:1"}', False, id="plain text"),
        pytest.param('{"timestamp": 1, "message": "[\\"arn:1\\"]"}', False, id="no object"),
        pytest.param('{"timestamp": 1, "mess', False, id="a line half written"),
    ],
)
def test_which_lines_are_records(line, seen):
    assert bool(records_of(ARN, [line])) is seen


# --- the cases themselves ---


@pytest.mark.skipif(not folders(), reason=NONE_THERE)
def test_every_suite_is_either_built_or_skipped_with_a_reason():
    suites = {case.suite for case in load_cases(folders())}
    assert {suite.partition("-")[0] for suite in suites} <= set(HANDLER_MODULES)


def test_cases_come_in_order_and_from_the_first_folder_that_has_them(tmp_path):
    for folder, case, description in (
        ("first", "2-10", "ten"),
        ("first", "2-4", "four"),
        ("second", "2-4", "another"),
        ("second", "2-11", "eleven"),
    ):
        suite = tmp_path / folder / "wait"
        suite.mkdir(parents=True, exist_ok=True)
        (suite / f"{case}.yaml").write_text(f"description: {description}\nInput:\n")
    cases = load_cases([tmp_path / "first", tmp_path / "second"])
    assert [(case.id, case.description) for case in cases] == [("2-4", "four"), ("2-10", "ten"), ("2-11", "eleven")]


def test_a_case_whose_callbacks_nobody_can_answer_is_refused():
    content = {"description": "", "Input": None, "CallbackActions": [{"CallbackName": "*", "Operation": "success"}]}
    with pytest.raises(ValueError, match="AsyncInvoke"):
        parse_case("suite", "1-1", content)
