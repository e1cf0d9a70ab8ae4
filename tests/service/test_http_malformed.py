"""Requests that no client would send: a refusal each, and nothing changes."""

import json
import socket
from urllib.parse import quote, urlencode, urlsplit

import pytest
from http_support import execution_path, running_server
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Held:
    """A running execution, whose record must stay as it is."""

    def __init__(self, server):
        self.server = server
        path = "/2015-03-31/functions/durable:$LATEST/invocations"
        _, headers, _ = server.send("POST", path, b'{"do": "hold"}', {"X-Amz-Invocation-Type": "Event"})
        self.arn = headers["X-Amz-Durable-Execution-Arn"]
        self.token = server.until(lambda: server.functions.held.get(self.arn))["CheckpointToken"]
        self.record = self.read()

    def read(self):
        listed = "/2025-12-01/functions/durable/durable-executions"
        paths = (
            execution_path(self.arn),
            execution_path(self.arn, "history"),
            execution_path(self.arn, f"state?CheckpointToken={quote(self.token, safe='')}"),
            listed,
        )
        answers = [self.server.send("GET", path) for path in paths]
        assert [status for status, _, _ in answers] == [200] * len(paths)
        return [json.loads(body) for _, _, body in answers]

    def refuses(self, method, path, body=b"", headers=None):
        status, answer_headers, answer = self.server.send(method, path, body, headers)
        assert 400 <= status < 500, (status, answer)
        assert answer_headers["x-amzn-ErrorType"]
        assert {"Type", "message"} >= {name.lower() if name == "Message" else name for name in json.loads(answer)}
        assert self.read() == self.record


@pytest.fixture(scope="module")
def held():
    with running_server() as server:
        yield Held(server)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
segments = st.text(min_size=1).map(lambda text: quote(text, safe="", errors="replace"))


@SETTINGS
@given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]), st.lists(segments, max_size=6), st.binary())
def test_unknown_paths(held, method, path, body):
    held.refuses(method, "/" + "/".join(path), body)


@SETTINGS
@given(st.binary(min_size=1))
@example(b"\xff")
@example(b"[" * 100_000)
@example(b"1" * 5000)
def test_random_bytes_as_a_body(held, body):
    for verb in ("checkpoint", "stop", "pause"):
        try:
            json.loads(body.decode())
        except (ValueError, RecursionError):
            held.refuses("POST", execution_path(held.arn, verb), body)
    held.refuses("POST", execution_path(held.arn, "checkpoint"), body)


@SETTINGS
@given(json_values)
def test_any_json_as_a_checkpoint(held, value):
    held.refuses("POST", execution_path(held.arn, "checkpoint"), json.dumps(value).encode())


UPDATE = {
    "Id": "1",
    "Type": "STEP",
    "Action": "START",
    "ParentId": "2",
    "Name": "name",
    "SubType": "Step",
    "Payload": "5",
    "Error": {"ErrorType": "T", "ErrorMessage": "m", "ErrorData": "d", "StackTrace": ["s"]},
    "StepOptions": {"NextAttemptDelaySeconds": 5},
    "WaitOptions": {"WaitSeconds": 5},
    "CallbackOptions": {"TimeoutSeconds": 5, "HeartbeatTimeoutSeconds": 5},
    "ContextOptions": {"ReplayChildren": True},
    "ChainedInvokeOptions": {"FunctionName": "plain", "TenantId": "t"},
}
WRONG = st.sampled_from([5, -1, 0, 1.5, True, "", "\x00", "é" * 300, "x" * 2000, [], [5], {}, {"a": 5}, 10**30])
REFUSED = {"Id": "z", "Type": "WAIT", "Action": "CANCEL"}  # of nothing: it makes the whole batch a refused one


@settings(SETTINGS, max_examples=300)
@given(
    st.sampled_from(["EXECUTION", "CONTEXT", "STEP", "WAIT", "CALLBACK", "CHAINED_INVOKE", "OTHER"]),
    st.sampled_from(["START", "SUCCEED", "FAIL", "RETRY", "CANCEL", "OTHER"]),
    st.sets(st.sampled_from(sorted(UPDATE)), max_size=6),
    st.dictionaries(st.sampled_from(sorted(UPDATE)), WRONG, max_size=3),
)
def test_updates_with_wrong_members(held, kind, action, chosen, wrong):
    update = {name: UPDATE[name] for name in chosen} | {"Type": kind, "Action": action} | wrong
    body = {"CheckpointToken": held.token, "Updates": [update, REFUSED]}
    held.refuses("POST", execution_path(held.arn, "checkpoint"), json.dumps(body).encode())


@SETTINGS
@given(st.text(min_size=1) | st.just("bm9uZQ=="), st.lists(st.just({"Id": "1", "Type": "STEP", "Action": "START"})))
def test_wrong_tokens(held, token, updates):
    body = json.dumps({"CheckpointToken": token, "Updates": updates}).encode()
    held.refuses("POST", execution_path(held.arn, "checkpoint"), body)
    query = urlencode({"CheckpointToken": token}, errors="replace")
    held.refuses("GET", execution_path(held.arn, f"state?{query}"))


@SETTINGS
@given(
    segments, st.sampled_from([("GET", ""), ("GET", "history"), ("POST", "stop"), ("POST", "pause"), ("DELETE", "")])
)
def test_wrong_arns(held, arn, call):
    method, verb = call
    held.refuses(method, f"/2025-12-01/durable-executions/{arn}" + (verb and f"/{verb}"))


@SETTINGS
@given(segments, st.sampled_from(["succeed", "fail", "heartbeat"]))
def test_wrong_callback_ids(held, callback_id, verb):
    held.refuses("POST", f"/2025-12-01/durable-execution-callbacks/{callback_id}/{verb}")


@pytest.mark.parametrize(
    "query",
    [
        "MaxItems=x",
        "MaxItems=-1",
        "MaxItems=1001",
        "MaxItems=" + "9" * 5000,
        "Marker=x",
        "Marker=%FF",
        "Marker=-1",
        "ReverseOrder=2",
    ],
    ids=lambda query: query[:20],
)
@pytest.mark.parametrize("path", ["history", "list"])
def test_wrong_queries(held, path, query):
    listed = "/2025-12-01/functions/durable/durable-executions"
    where = listed if path == "list" else execution_path(held.arn, path)
    held.refuses("GET", f"{where}?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "Statuses=OPEN",
        "Statuses=RUNNING&Statuses=",
        "StartedAfter=yesterday",
        "StartedBefore=1",
    ],
)
def test_wrong_filters(held, query):
    held.refuses("GET", f"/2025-12-01/functions/durable/durable-executions?{query}")


@SETTINGS
@given(st.binary(min_size=1, max_size=100))
def test_wrong_events(held, body):
    try:
        if body.strip():
            json.loads(body.decode())
            return
    except ValueError:
        held.refuses("POST", "/2015-03-31/functions/durable:$LATEST/invocations", body)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amz-Invocation-Type": "Later"},
        {"X-Amz-Durable-Execution-Name": "a b"},
        {"X-Amz-Durable-Execution-Name": "x" * 65},
        {"X-Amz-Durable-Execution-Name": b"\xff"},
        {"X-Amz-Tenant-Id": b"\xff"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
    ],
    ids=str,
)
def test_wrong_headers(held, headers):
    held.refuses("POST", "/2015-03-31/functions/durable:$LATEST/invocations", b'{"a": 1}', headers)


def test_a_body_that_is_too_large(held):
    held.refuses("POST", execution_path(held.arn, "checkpoint"), b" " * 38 * 1024 * 1024)


@pytest.mark.parametrize("result", [b"\xff", b"x" * (1024 * 1024 + 1)], ids=["not UTF-8", "too large"])
def test_wrong_callback_results(held, result):
    server = held.server
    path = "/2015-03-31/functions/durable:$LATEST/invocations"
    _, headers, _ = server.send("POST", path, b'{"do": "call back"}', {"X-Amz-Invocation-Type": "Event"})
    history = execution_path(headers["X-Amz-Durable-Execution-Arn"], "history")

    def callback_id():
        events = json.loads(server.send("GET", history)[2])["Events"]
        return len(events) == 3 and events[1]["CallbackStartedDetails"]["CallbackId"]

    where = f"/2025-12-01/durable-execution-callbacks/{quote(server.until(callback_id), safe='')}/succeed"
    held.record = held.read()
    held.refuses("POST", where, result)
    assert len(json.loads(server.send("GET", history)[2])["Events"]) == 3


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\xff\xfe\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET //x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /%FF%00?%FF HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
    ids=lambda request: repr(request[:30]),
)
def test_what_is_no_http(held, request_bytes):
    address = urlsplit(held.server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer == b"" or answer.split()[1].startswith(b"4"), answer[:200]
    assert held.read() == held.record
