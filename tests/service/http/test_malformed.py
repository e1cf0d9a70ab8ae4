"""Requests that no client would send, over real servers: none is a fault of the service, and nothing changes."""

import json
import re
import socket
from contextlib import suppress
from urllib.parse import quote, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from durable_async.service.http.dispatch import BODY_BYTES
from tests.property_runs import examples
from tests.service.http.http_support import INVOKE, LIST, STORES, execution_path, running_server

LISTS = re.compile(
    r"/(2015-03-31/functions|2025-12-01/durable-executions|2025-12-01/durable-execution-counts)/*([?#]|$)"
)
SETTINGS = settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def callback_path(callback_id, verb):
    return f"/2025-12-01/durable-execution-callbacks/{quote(callback_id, safe='')}/{verb}"


class Bystanders:
    """Three executions, whose records must stay as they are: one that runs, one that waits, one that is closed."""

    def __init__(self, server):
        self.server = server
        self.held, self.waiting, self.closed = (
            server.send("POST", INVOKE, json.dumps(event).encode(), {"X-Amz-Invocation-Type": "Event"})[1][
                "X-Amz-Durable-Execution-Arn"
            ]
            for event in ({"do": "hold"}, {"do": "call back"}, {"order": 17})
        )
        self.token = server.until(lambda: server.functions.held.get(self.held))["CheckpointToken"]
        self.callback_id = server.until(self._find_callback_id)
        server.until(lambda: server.portal.call(self._status_of_the_closed_one) == "SUCCEEDED")
        self.record = server.portal.call(self.read)

    def _find_callback_id(self):
        events = json.loads(self.server.send("GET", execution_path(self.waiting, "history"))[2])["Events"]
        return len(events) == 3 and events[1]["CallbackStartedDetails"]["CallbackId"]

    async def _status_of_the_closed_one(self):
        return (await self.server.service.get_execution(self.closed)).status

    async def read(self):
        """All that can be seen. The token shows itself still good."""
        api, functions = self.server.service, self.server.functions
        arns = (self.held, self.waiting, self.closed)
        return {
            "executions": [await api.get_execution(arn) for arn in arns],
            "histories": [await api.get_history(arn, max_items=1000) for arn in arns],
            "state": await api.get_state(self.held, self.token),
            "list": await api.list_executions("durable", max_items=1000),
            "due": api.next_due(),
            "ran": [*functions.ran],
            "running": sorted(functions.held),
        }

    def unchanged(self):
        return self.server.portal.call(self.read) == self.record

    def refuses(self, method, path, body=b"", headers=None):
        status, answer_headers, answer = self.server.send(method, path, body, headers)
        assert 400 <= status < 500, (status, answer)
        assert answer_headers["x-amzn-ErrorType"]
        if method != "HEAD":
            told = json.loads(answer)
            assert {name.lower() for name in told} == {"type", "message"}
            assert "Traceback" not in answer.decode()
            assert not re.search(r'File "[^"]*", line \d', " ".join(map(str, told.values())))
        assert self.unchanged()

    def survives(self, method, path, body=b"", headers=None):
        """It may be a sensible question, by chance."""
        status, _, answer = self.server.send(method, path, body, headers)
        assert status < 500, (status, answer)
        assert self.unchanged()

    def answer_to_bytes(self, sent, *, ends=True):
        address = urlsplit(self.server.url)
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            with suppress(ConnectionError):  # the server need not listen to the end
                connection.sendall(sent)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                return b"".join(iter(lambda: connection.recv(65536), b""))
        return b""


@pytest.fixture(scope="module", params=[("aiohttp", "memory"), ("asgi", "memory"), ("aiohttp", "sqlite")], ids="-".join)
def bystanders(request, tmp_path_factory):
    """What a mount makes of paths is the framework's affair; here nothing is before the API."""
    shell, store = request.param
    with running_server(shell=shell, store=STORES[store](tmp_path_factory)) as server:
        yield Bystanders(server)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
segments = st.text(min_size=1).map(lambda text: quote(text, safe="", errors="replace"))
targets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)


# --- paths and methods ---


@SETTINGS
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    st.lists(segments, max_size=6),
    st.binary(),
)
def test_unknown_paths(bystanders, method, path, body):
    bystanders.refuses(method, "/" + "/".join(path), body)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "post"])
@pytest.mark.parametrize("verb", ["checkpoint", "stop", "succeed"])
def test_unknown_methods(bystanders, method, verb):
    path = execution_path(bystanders.held, verb)
    if verb == "succeed":
        path = callback_path(bystanders.callback_id, verb)
    request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
    assert bystanders.answer_to_bytes(request.encode(), ends=False).split()[1].startswith(b"4")
    assert bystanders.unchanged()


@SETTINGS
@given(
    st.sampled_from(
        ["/", "/2025-12-01/durable-executions/", "/2015-03-31/functions/", "/2025-12-01/durable-execution-callbacks/"]
    ),
    targets,
    st.sampled_from(["", "/history", "/checkpoint", "/stop", "/invocations", "/succeed"]),
)
@example("/2025-12-01/durable-executions/", "%", "/stop")
@example("/2025-12-01/durable-executions/", "%zz%f", "/stop")
@example("/2025-12-01/durable-executions/", "%00", "/stop")
@example("/2025-12-01/durable-executions/", "%ED%A0%80", "/stop")
@example("/2025-12-01/durable-executions/", "?Marker=%ED%A0%80", "")
@example("/2025-12-01/durable-executions/", "#", "")
@example("/2025-12-01/durable-execution-callbacks/", "bm9uZS41LjU=", "/succeed")
def test_targets_as_they_come(bystanders, prefix, target, suffix):
    for method in ("GET", "POST"):
        request = f"{method} {prefix}{target}{suffix} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        status = bystanders.answer_to_bytes(request.encode(), ends=False).split()[1]
        assert status.startswith(b"4") or (method == "GET" and LISTS.match(prefix + target + suffix))
    assert bystanders.unchanged()


@SETTINGS
@given(
    segments,
    st.sampled_from(
        [("GET", ""), ("GET", "history"), ("GET", "state"), ("POST", "stop"), ("POST", "pause"), ("DELETE", "")]
    ),
)
def test_wrong_arns(bystanders, arn, call):
    method, verb = call
    bystanders.refuses(method, f"/2025-12-01/durable-executions/{arn}" + (verb and f"/{verb}"))


@pytest.mark.parametrize(
    "change",
    [
        lambda arn: arn.upper(),
        lambda arn: arn + "/",
        lambda arn: arn + "\n",
        lambda arn: arn + "\0",
        lambda arn: arn.replace("$LATEST", "1"),
        lambda arn: arn.replace("000000000000", "000000000001"),
        lambda arn: arn.replace("durable:", "plain:"),
        lambda arn: arn[:-1],
        lambda arn: quote(arn, safe=""),
        lambda arn: arn * 20,
    ],
)
def test_arns_that_are_nearly_right(bystanders, change):
    for verb in ("checkpoint", "stop", "pause", "resume"):
        bystanders.refuses("POST", execution_path(change(bystanders.held), verb), b"{}")
    bystanders.refuses("DELETE", execution_path(change(bystanders.closed)))


@SETTINGS
@given(segments, st.sampled_from(["succeed", "fail", "heartbeat"]))
def test_wrong_callback_ids(bystanders, callback_id, verb):
    bystanders.refuses("POST", f"/2025-12-01/durable-execution-callbacks/{callback_id}/{verb}")


# --- bodies ---


def refused_as_a_body(bystanders, body):
    for verb in ("checkpoint", "stop", "pause"):
        bystanders.refuses("POST", execution_path(bystanders.held, verb), body)
    bystanders.refuses("POST", callback_path(bystanders.callback_id, "fail"), body)
    for kind in ("RequestResponse", "Event", "DryRun"):
        bystanders.refuses("POST", INVOKE, body, {"X-Amz-Invocation-Type": kind})
    bystanders.refuses("POST", INVOKE.replace("durable:", "plain:"), body, {"X-Amz-Invocation-Type": "Event"})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"Reason": ' + b"[" * 300 + b"]" * 300 + b"}",
        b"1" * 5000,
        b'{"Reason": %s}' % (b"9" * 5000),
        rb'{"Reason": "\ud800"}',
        rb'{"\udfff": 1}',
        b'{"Reason": NaN}',
        b'{"Reason": -Infinity}',
        b'{"Reason": "\x00"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_bodies_that_are_no_json(bystanders, body):
    refused_as_a_body(bystanders, body)


@SETTINGS
@given(st.binary(min_size=1, max_size=100).filter(bytes.strip))
def test_random_bytes_as_a_body(bystanders, body):
    try:
        json.loads(body.decode())
    except ValueError:
        refused_as_a_body(bystanders, body)
    bystanders.refuses("POST", execution_path(bystanders.held, "checkpoint"), body)


@SETTINGS
@given(json_values)
def test_any_json_as_a_checkpoint(bystanders, value):
    bystanders.refuses("POST", execution_path(bystanders.held, "checkpoint"), json.dumps(value).encode())


ERROR = {"ErrorType": "T", "ErrorMessage": "m", "ErrorData": "d", "StackTrace": ["s"]}
UPDATE = {
    "Id": "1",
    "Type": "STEP",
    "Action": "START",
    "ParentId": "2",
    "Name": "name",
    "SubType": "Step",
    "Payload": "5",
    "Error": ERROR,
    "StepOptions": {"NextAttemptDelaySeconds": 5},
    "WaitOptions": {"WaitSeconds": 5},
    "CallbackOptions": {"TimeoutSeconds": 5, "HeartbeatTimeoutSeconds": 5},
    "ContextOptions": {"ReplayChildren": True},
    "ChainedInvokeOptions": {"FunctionName": "plain", "TenantId": "t"},
}
WRONG = [5, -1, 0, 1.5, True, "", "\x00", "é" * 300, "x" * 2000, [], [5], {}, {"a": 5}, 10**30, 2**63]
REFUSED = {"Id": "z", "Type": "WAIT", "Action": "CANCEL"}  # of nothing: it makes the whole batch a refused one


@settings(SETTINGS, max_examples=examples(300))
@given(
    st.sampled_from(["EXECUTION", "CONTEXT", "STEP", "WAIT", "CALLBACK", "CHAINED_INVOKE", "OTHER"]),
    st.sampled_from(["START", "SUCCEED", "FAIL", "RETRY", "CANCEL", "OTHER"]),
    st.sets(st.sampled_from(sorted(UPDATE)), max_size=6),
    st.dictionaries(st.sampled_from(sorted(UPDATE)), st.sampled_from(WRONG), max_size=3),
)
def test_updates_with_wrong_members(bystanders, kind, action, chosen, wrong):
    update = {name: UPDATE[name] for name in chosen} | {"Type": kind, "Action": action} | wrong
    body = {"CheckpointToken": bystanders.token, "Updates": [update, REFUSED]}
    bystanders.refuses("POST", execution_path(bystanders.held, "checkpoint"), json.dumps(body).encode())


# The members of each structure, and values of another type for each.
NO_TEXT = [5, 1.5, True, [], ["a"], {}, {"a": "b"}, 10**400]
NO_LIST = [5, "a", True, {}, [5], [None], [[]], [{}]]
NO_FLAG = [5, 1, "yes", [], {}]
NO_COUNT = [0, -1, 1.5, "5", True, [], {}, 10**30, 2**63, 10**400]
NO_STRUCTURE = [5, "a", True, [], [{}]]
IN_AN_UPDATE = {
    **dict.fromkeys(["Id", "Type", "Action", "ParentId", "Name", "SubType", "Payload"], NO_TEXT),
    **dict.fromkeys(["Error", "StepOptions", "ContextOptions", "ChainedInvokeOptions"], NO_STRUCTURE),
}
IN_OPTIONS = {
    ("STEP", "RETRY", "StepOptions", "NextAttemptDelaySeconds"): NO_COUNT,
    ("WAIT", "START", "WaitOptions", "WaitSeconds"): NO_COUNT,
    ("CALLBACK", "START", "CallbackOptions", "TimeoutSeconds"): NO_COUNT[1:],
    ("CALLBACK", "START", "CallbackOptions", "HeartbeatTimeoutSeconds"): NO_COUNT[1:],
    ("CONTEXT", "START", "ContextOptions", "ReplayChildren"): NO_FLAG,
    ("CHAINED_INVOKE", "START", "ChainedInvokeOptions", "FunctionName"): NO_TEXT,
    ("CHAINED_INVOKE", "START", "ChainedInvokeOptions", "TenantId"): NO_TEXT,
    **{("STEP", "FAIL", "Error", member): NO_LIST if member == "StackTrace" else NO_TEXT for member in ERROR},
}


@pytest.mark.parametrize(("member", "wrong"), [(name, each) for name, wrong in IN_AN_UPDATE.items() for each in wrong])
def test_a_member_of_the_wrong_type_in_an_update(bystanders, member, wrong):
    update = {"Id": "1", "Type": "STEP", "Action": "START", member: wrong}
    body = {"CheckpointToken": bystanders.token, "Updates": [update]}
    bystanders.refuses("POST", execution_path(bystanders.held, "checkpoint"), json.dumps(body).encode())


@pytest.mark.parametrize(("place", "wrong"), [(place, each) for place, wrong in IN_OPTIONS.items() for each in wrong])
def test_a_member_of_the_wrong_type_in_an_updates_structures(bystanders, place, wrong):
    kind, action, structure, member = place
    update = {"Id": "1", "Type": kind, "Action": action, structure: {member: wrong}}
    body = {"CheckpointToken": bystanders.token, "Updates": [update]}
    bystanders.refuses("POST", execution_path(bystanders.held, "checkpoint"), json.dumps(body).encode())


@pytest.mark.parametrize(
    ("verb", "member", "wrong"),
    [
        *(("stop", member, wrong) for member in ERROR for wrong in (NO_LIST if member == "StackTrace" else NO_TEXT)),
        *(("fail", member, wrong) for member in ERROR for wrong in (NO_LIST if member == "StackTrace" else NO_TEXT)),
        *(("pause", "Reason", wrong) for wrong in NO_TEXT),
        *(("pause", "ExecutionTimeoutPaused", wrong) for wrong in NO_FLAG),
        *(("resume", "Reason", wrong) for wrong in NO_TEXT),
        *(("checkpoint", "CheckpointToken", wrong) for wrong in NO_TEXT),
        *(("checkpoint", "ClientToken", wrong) for wrong in NO_TEXT),
        *(("checkpoint", "Updates", wrong) for wrong in NO_LIST),
    ],
)
def test_a_member_of_the_wrong_type(bystanders, verb, member, wrong):
    body = {member: wrong}
    if verb == "checkpoint":
        body = {"CheckpointToken": bystanders.token, "Updates": [], **body}
    path = execution_path(bystanders.held, verb)
    if verb == "fail":
        path = callback_path(bystanders.callback_id, verb)
    bystanders.refuses("POST", path, json.dumps(body).encode())


@SETTINGS
@given(st.text(min_size=1) | st.just("bm9uZQ=="), st.lists(st.just({"Id": "1", "Type": "STEP", "Action": "START"})))
def test_wrong_tokens(bystanders, token, updates):
    body = json.dumps({"CheckpointToken": token, "Updates": updates}).encode()
    bystanders.refuses("POST", execution_path(bystanders.held, "checkpoint"), body)
    query = urlencode({"CheckpointToken": token}, errors="replace")
    bystanders.refuses("GET", execution_path(bystanders.held, f"state?{query}"))


@pytest.mark.parametrize("result", [b"\xff", b"x" * (1024 * 1024 + 1)], ids=["not UTF-8", "too large"])
def test_wrong_callback_results(bystanders, result):
    bystanders.refuses("POST", callback_path(bystanders.callback_id, "succeed"), result)


def test_a_body_that_is_too_large(bystanders):
    body = b" " * (BODY_BYTES + 1)
    status, headers, _ = bystanders.server.send("POST", execution_path(bystanders.held, "checkpoint"), body)
    assert (status, headers["x-amzn-ErrorType"]) == (413, "RequestTooLargeException")
    assert bystanders.unchanged()


def test_a_body_without_an_end(bystanders):
    """More than the limit, in pieces whose number nobody tells."""
    path = execution_path(bystanders.held, "stop")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = bystanders.answer_to_bytes(head.encode() + piece * (BODY_BYTES // 0x100000 + 2) + b"0\r\n\r\n", ends=False)
    assert answer == b"" or answer.split()[1] == b"413"
    assert bystanders.unchanged()


def test_a_body_that_ends_early(bystanders):
    path = execution_path(bystanders.held, "stop")
    for framing in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n"
        answer = bystanders.answer_to_bytes(head.encode() + b"{}")
        assert answer == b"" or answer.split()[1].startswith(b"4")
        assert bystanders.unchanged()


# --- queries and headers ---

MARKERS = [
    *["x", "-1", "+1", " 1", "1.0", "1e3", "0x1", "1_0", "1,2", "\0", "é", "٣"],
    *[str(2**63), str(2**64), "9" * 19, "9" * 5000, "%"],
]


@pytest.mark.parametrize("marker", MARKERS, ids=lambda marker: repr(marker[:20]))
@pytest.mark.parametrize("path", ["history", "list", "state"])
def test_wrong_markers(bystanders, path, marker):
    where = {
        "history": f"{execution_path(bystanders.held, 'history')}?",
        "state": f"{execution_path(bystanders.held, 'state')}?CheckpointToken={quote(bystanders.token, safe='')}&",
        "list": f"{LIST}?",
    }[path]
    bystanders.refuses("GET", f"{where}Marker={quote(marker)}")


@pytest.mark.parametrize(
    "query",
    [
        "MaxItems=x",
        "MaxItems=-1",
        "MaxItems=1001",
        "MaxItems=",
        "MaxItems=" + "9" * 5000,
        "Marker=%FF",
        "Marker=%ED%A0%80",
        "%FF=1",
        "ReverseOrder=2",
        "ReverseOrder=",
    ],
    ids=lambda query: query[:20],
)
@pytest.mark.parametrize("path", ["history", "list"])
def test_wrong_queries(bystanders, path, query):
    where = LIST if path == "list" else execution_path(bystanders.held, path)
    bystanders.refuses("GET", f"{where}?{query}")


@pytest.mark.parametrize(
    "query",
    [
        "Statuses=OPEN",
        "Statuses=RUNNING&Statuses=",
        "StartedAfter=yesterday",
        "StartedBefore=1",
        "StartedBefore=-0001-01-01",
        "StartedBefore=99999-01-01T00:00:00Z",
        "StartedBefore=2026-01-01T00:00:00%2B99:00",
        "Qualifier=%00",
        "Qualifier=%FF",
    ],
)
def test_wrong_filters(bystanders, query):
    name = "durable" if "Qualifier" not in query else "durable:$LATEST"
    bystanders.refuses("GET", f"{LIST.replace('durable/', f'{name}/', 1)}?{query}")


@SETTINGS
@given(
    st.dictionaries(
        st.sampled_from(
            [
                *["MaxItems", "Marker", "ReverseOrder", "IncludeExecutionData", "CheckpointToken", "Qualifier"],
                *["DurableExecutionName", "Statuses", "StartedAfter", "StartedBefore"],
            ]
        ),
        st.text() | st.integers() | st.datetimes() | st.sampled_from(["true", "RUNNING", "0001-01-01T00:00:00"]),
    )
)
@example({"DurableExecutionName": "\0"})
@example({"Marker": "9" * 18})
@example({"StartedAfter": "0001-01-01T00:00:00+23:59", "StartedBefore": "9999-12-31T23:59:59-23:59"})
def test_any_query(bystanders, query):
    text = urlencode(query, errors="replace")
    for path in (LIST, *(execution_path(bystanders.held, verb) for verb in ("", "history", "state"))):
        bystanders.survives("GET", f"{path}?{text}")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Amz-Invocation-Type": "Later"},
        {"X-Amz-Durable-Execution-Name": "a b"},
        {"X-Amz-Durable-Execution-Name": "x" * 65},
        {"X-Amz-Durable-Execution-Name": b"\xff"},
        {"X-Amz-Durable-Execution-Name": b"\xed\xa0\x80"},
        {"X-Amz-Tenant-Id": b"\xff"},
        {"X-Amz-Tenant-Id": b"a\tb"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
    ],
    ids=str,
)
def test_wrong_headers(bystanders, headers):
    for kind in ("RequestResponse", "Event"):
        bystanders.refuses("POST", INVOKE, b'{"a": \x01}', {"X-Amz-Invocation-Type": kind, **headers})
    if "Content-Encoding" not in headers:
        bystanders.refuses("POST", INVOKE, b'{"a": 1}', headers)


# --- what is no HTTP ---


@SETTINGS
@given(st.binary(min_size=1))
@example(b"\x00\xff\xfe\r\n\r\n")
@example(b"GET / HTTP/9.9\r\n\r\n")
@example(b"GET  HTTP/1.1\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
@example(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
@example(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
@example(b"GET http://[ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
@example(b"GET //x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
@example(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
@example(b"GET /%FF%00?%FF HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
@example(b"GET /\xff?\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
@example(b"GET " + LIST.encode() + b"?Marker=\xff HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
def test_what_is_no_http(bystanders, sent):
    answer = bystanders.answer_to_bytes(sent)
    assert answer == b"" or answer.split()[1].startswith(b"4"), answer[:200]
    assert bystanders.unchanged()
