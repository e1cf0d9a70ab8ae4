"""Paths, bodies, queries and headers, without a server."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_async.service.http import shapes
from durable_async.service.http.access import Access, is_loopback
from durable_async.service.http.routes import Operation, Route, route
from durable_async.service.model.errors import InvalidParameterValueError

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/n/i"
ENCODED = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af%3A%24LATEST%2Fdurable-execution%2Fn%2Fi"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/2015-03-31/functions/f/invocations", Route(Operation.INVOKE, "f")),
        ("GET", "/2025-12-01/functions/f%3A1/durable-executions", Route(Operation.LIST, "f:1")),
        ("GET", f"/2025-12-01/durable-executions/{ENCODED}", Route(Operation.GET, ARN)),
        ("DELETE", f"/2025-12-01/durable-executions/{ENCODED}", Route(Operation.DELETE, ARN)),
        ("POST", f"/2025-12-01/durable-executions/{ENCODED}/checkpoint", Route(Operation.CHECKPOINT, ARN)),
        ("GET", f"/2025-12-01/durable-executions/{ENCODED}/state", Route(Operation.GET_STATE, ARN)),
        ("GET", f"/2025-12-01/durable-executions/{ENCODED}/history", Route(Operation.GET_HISTORY, ARN)),
        ("POST", f"/2025-12-01/durable-executions/{ENCODED}/stop", Route(Operation.STOP, ARN)),
        (
            "POST",
            "/2025-12-01/durable-execution-callbacks/a%2Bb%2F%3D/fail",
            Route(Operation.CALLBACK_FAILURE, "a+b/="),
        ),
        ("GET", f"/2025-12-01/durable-executions/{ENCODED}/checkpoint", None),
        ("GET", f"/2025-12-01/durable-executions/{ARN}", Route(Operation.GET, ARN)),
        ("POST", f"/2025-12-01/durable-executions/{ARN}/checkpoint", Route(Operation.CHECKPOINT, ARN)),
        ("POST", "/2025-12-01/durable-execution-callbacks/a+b/=/fail", Route(Operation.CALLBACK_FAILURE, "a+b/=")),
        ("POST", "/2025-12-01/durable-execution-callbacks/fail/fail", Route(Operation.CALLBACK_FAILURE, "fail")),
        ("POST", "/2025-12-01/durable-execution-callbacks/fail", None),
        ("GET", "/2025-12-01/durable-executions/", Route(Operation.LIST_ALL, "")),
        ("GET", "/2025-12-01/durable-executions", Route(Operation.LIST_ALL, "")),
        ("GET", "/2025-12-01/durable-executions/%FF", None),
        ("GET", f"x/2025-12-01/durable-executions/{ENCODED}", None),
        ("GET", f"/2025-12-01/durable-executions/{ENCODED}/", Route(Operation.GET, ARN)),
        ("POST", f"/2025-12-01/durable-executions/{ENCODED}/stop/x", None),
        ("GET", "/", None),
        ("GET", "", None),
    ],
)
def test_routes(method, path, expected):
    assert route(method, path) == expected


@given(st.text(), st.text())
def test_any_path_is_a_route_or_none(method, path):
    assert route(method, path) is None


@given(st.binary())
def test_any_bytes_are_read_or_refused(body):
    for read in (shapes.checkpoint, shapes.error_object, shapes.members):
        with pytest.raises(InvalidParameterValueError):
            read(body)
            raise InvalidParameterValueError("read")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"NaN",
        b"[-Infinity]",
        rb'"\ud800"',
        rb'{"\uDFFF": 1}',
        b"1" * 5000,
        b"[" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_json_or_cannot_be_kept_is_refused(body):
    with pytest.raises(InvalidParameterValueError):
        shapes.json_value(body)


@pytest.mark.parametrize(
    "body",
    [
        rb'"\ud83d\ude00"',
        b'[{"a":"\\\\","b":"' + b"[" * 500 + b'"}]',
        b"[" + b"[],{}," * 1000 + b"0]",
        b"[" * 200 + b"]" * 200,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_looks_odd_and_is_json_is_read(body):
    shapes.json_value(body)


def test_a_null_member_is_an_absent_member():
    update = b'{"Id": "1", "Type": "STEP", "Action": "FAIL", "Name": null, "Error": {"ErrorData": null}}'
    body = b'{"CheckpointToken": "t", "ClientToken": null, "Updates": [%s]}' % update
    read = {"Id": "1", "Type": "STEP", "Action": "FAIL", "Error": {}}
    assert shapes.checkpoint(body) == shapes.Checkpoint("t", [read], None)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"CheckpointToken": ""}',
        b'{"CheckpointToken": 5}',
        b'{"CheckpointToken": "t", "Updates": {}}',
        b'{"CheckpointToken": "t", "Updates": [5]}',
        b'{"CheckpointToken": "t", "ClientToken": []}',
    ],
)
def test_checkpoints_that_are_none(body):
    with pytest.raises(InvalidParameterValueError):
        shapes.checkpoint(body)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", None),
        (b"{}", None),
        (b'{"Unknown": 1}', None),
        (b'{"ErrorType": ""}', {"ErrorType": ""}),
        (b'{"ErrorType": "T", "StackTrace": ["a"]}', {"ErrorType": "T", "StackTrace": ["a"]}),
    ],
)
def test_error_objects(body, error):
    assert shapes.error_object(body) == error


@pytest.mark.parametrize("body", [b"5", b'{"ErrorType": 5}', b'{"StackTrace": "a"}', b'{"StackTrace": [5]}'])
def test_error_objects_that_are_none(body):
    with pytest.raises(InvalidParameterValueError):
        shapes.error_object(body)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600.0),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600.0),
        ("2026-01-01T00:00:00", 1_767_225_600.0),
        (None, None),
    ],
)
def test_timestamps(text, seconds):
    expected = None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    assert shapes.timestamp({} if text is None else {"t": text}, "t") == expected


@pytest.mark.parametrize(
    ("read", "value"),
    [
        *((shapes.number, value) for value in ("", "x", "1.5", "1_0", "٣", "9" * 30)),
        *((shapes.timestamp, value) for value in ("", "yesterday", "1767225600", "2026-13-01")),
        *((lambda query, name: shapes.truth(query, name, default=True), value) for value in ("", "1", "yes")),
    ],
)
def test_query_values_that_are_none(read, value):
    with pytest.raises(InvalidParameterValueError):
        read({"name": value}, "name")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("a=1&b=%2F&a=2", [("a", "1"), ("b", "/"), ("a", "2")]),
        ("a=&b", [("a", ""), ("b", "")]),
        ("a=x+y%20z", [("a", "x y z")]),
        ("a=%zz%", [("a", "%zz%")]),
        ("%C3%A9=%C3%A9", [("é", "é")]),
    ],
)
def test_queries(text, pairs):
    assert shapes.query(text) == pairs


@pytest.mark.parametrize("text", ["a=%FF", "%FF", "a=%ED%A0%80", "a=é", "a=\udcff"])
def test_queries_that_are_none(text):
    with pytest.raises(InvalidParameterValueError):
        shapes.query(text)


SIGNED = "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=00"


@pytest.mark.parametrize(
    ("token", "headers", "allowed"),
    [
        ("t", {"authorization": "Bearer t"}, True),
        ("t", {"authorization": SIGNED.format("t")}, True),
        ("t", {"authorization": SIGNED.format("other")}, False),
        ("t", {"authorization": "Bearer \udcff"}, False),
        ("t", {"authorization": "Bearer"}, False),
        ("t", {}, False),
        (None, {"host": "127.0.0.1:8700"}, True),
        (None, {"host": "localhost"}, True),
        (None, {"host": "[::1]:8700"}, True),
        (None, {"host": "evil.example:8700"}, False),
        (None, {"host": "[::1"}, False),
        (None, {}, False),
        (None, {"host": "localhost:1", "origin": "http://localhost:1"}, True),
        (None, {"host": "localhost:1", "origin": "http://localhost:2"}, False),
        (None, {"host": "localhost:1", "origin": "null"}, False),
    ],
)
def test_access(token, headers, allowed):
    assert (Access(token).refusal(headers, "127.0.0.1") is None) == allowed


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("", False),
        ("example.com", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback(host, loopback):
    assert is_loopback(host) == loopback
