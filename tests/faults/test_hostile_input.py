"""What strangers send, and what functions do, costs nobody else anything."""

import asyncio
import io
import json
import logging
import os
import resource
import socket
import sys
import threading
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from durable_async.cli.connect import Target as cli_target
from durable_async.service import parsing
from durable_async.service.functions.base import InvocationFailed, InvocationRequest
from durable_async.service.functions.output import BoundedOutput
from durable_async.service.functions.worker_process import ANSWER_BYTES, Target
from durable_async.service.functions.workers import WorkerPool, worker_environment
from durable_async.service.http import asgi_app
from durable_async.service.http.access import Access
from durable_async.service.http.answer import BusyError, RequestTimeoutError
from durable_async.service.http.bodies import Bodies
from durable_async.service.model.errors import ApiError

sys.path.append(str(Path(__file__).parent.parent / "service"))  # where servers for tests are
from tests.service.http.http_support import INVOKE, LIST, running_server
from tests.service.serving.serve_support import ended, invoke, serving

HERE = Path(__file__).parent
ODD_REQUESTS = sorted((HERE / "odd_requests").glob("*.txt"))
MIB = 1024 * 1024


# --- odd requests ---


@pytest.fixture(scope="module", params=["aiohttp", "asgi"])
def server(request):
    with running_server(shell=request.param) as server:
        yield server


def sent_to(server, data):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


def raw(file):
    text = file.read_text(encoding="ascii").replace("\n", "\r\n")
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


@pytest.mark.parametrize("file", ODD_REQUESTS, ids=lambda file: file.stem)
def test_no_odd_request_is_a_fault_of_the_service(server, file, caplog):
    answer = sent_to(server, raw(file))
    statuses = [line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    assert not [status for status in statuses if status.startswith(b"5")], answer[:300]
    assert server.send("GET", LIST)[0] == 200
    assert "s3cret" not in caplog.text
    assert "Traceback" not in caplog.text


def test_what_is_not_http_is_one_line_without_its_content(caplog):
    with running_server() as server:
        sent_to(server, b"GET /?token=s3cret BROKEN LINE\r\nAuthorization: Bearer s3cret\r\n\r\n")
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith("A connection sent what is not HTTP")
    assert record.exc_info is None
    assert "s3cret" not in caplog.text


# --- who may call ---

HOST = {"host": "127.0.0.1:8700"}
BROWSER = {**HOST, "user-agent": "Mozilla/5.0 (X11; Linux x86_64)"}


@pytest.mark.parametrize(
    ("headers", "peer", "allowed"),
    [
        pytest.param(HOST, "127.0.0.1", True, id="loopback"),
        pytest.param(HOST, "::1", True, id="loopback in IPv6"),
        pytest.param(HOST, "::ffff:127.0.0.1", True, id="loopback as a socket for both sees it"),
        pytest.param(HOST, None, True, id="a Unix socket"),
        pytest.param(HOST, "203.0.113.9", False, id="another machine that names this one"),
        pytest.param(HOST, "::ffff:203.0.113.9", False, id="another machine, mapped"),
        pytest.param(HOST, "", False, id="no address"),
        pytest.param(HOST, "testclient", False, id="what is no address"),
        pytest.param({**HOST, "x-forwarded-for": "127.0.0.1"}, "127.0.0.1", False, id="behind a proxy"),
        pytest.param({**HOST, "forwarded": "for=127.0.0.1"}, "127.0.0.1", False, id="behind a newer proxy"),
        pytest.param({**HOST, "user-agent": "curl/8.5.0", "accept": "*/*"}, "127.0.0.1", True, id="curl"),
        pytest.param({**HOST, "user-agent": "Boto3/1.40"}, "127.0.0.1", True, id="boto3, unsigned"),
        pytest.param({**BROWSER, "sec-fetch-site": "cross-site"}, "127.0.0.1", False, id="a script tag elsewhere"),
        pytest.param({**BROWSER, "sec-fetch-site": "same-site"}, "127.0.0.1", False, id="another port"),
        pytest.param({**BROWSER, "sec-fetch-site": "none"}, "127.0.0.1", False, id="the address bar"),
        pytest.param({**BROWSER, "sec-fetch-site": "same-origin"}, "127.0.0.1", True, id="a page of this origin"),
        pytest.param(BROWSER, "127.0.0.1", False, id="an old browser, which says nothing of the site"),
        pytest.param({**BROWSER, "content-type": "text/plain"}, "127.0.0.1", False, id="a form of an old browser"),
        pytest.param(
            {**BROWSER, "x-amz-date": "20260101T000000Z"}, "127.0.0.1", True, id="an SDK in a browser's shell"
        ),
        pytest.param(
            {**BROWSER, "authorization": "x", "origin": "null"}, "127.0.0.1", False, id="a frame in a sandbox"
        ),
        pytest.param({"host": "evil.example"}, "127.0.0.1", False, id="a name that points here"),
    ],
)
def test_without_a_token_the_peer_decides_and_no_page_may_call(headers, peer, allowed):
    assert (Access().refusal(headers, peer) is None) == allowed
    assert Access(authenticated=True).refusal(headers, peer) is None
    assert Access("t").refusal({**headers, "authorization": "Bearer t"}, peer) is None


@pytest.mark.parametrize(
    ("client", "server", "status"),
    [
        (("127.0.0.1", 5), ("127.0.0.1", 80), 404),
        (("203.0.113.9", 5), ("127.0.0.1", 80), 403),
        (None, ("/run/orders.sock", None), 404),
        (None, ("127.0.0.1", 80), 403),
        (None, None, 403),
    ],
)
async def test_a_mount_asks_the_server_for_the_address(client, server, status):
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/nothing",
        "headers": [(b"host", b"localhost")],
        "client": client,
        "server": server,
    }
    for options, expected in (({}, status), ({"authenticated": True}, 404)):
        sent = []

        async def receive():
            await asyncio.Event().wait()

        async def send(message, sent=sent):
            sent.append(message)

        await asgi_app(None, **options)(scope, receive, send)
        assert sent[0]["status"] == expected


def test_a_token_and_authenticated_exclude_each_other():
    with pytest.raises(ValueError, match="one of both"):
        asgi_app(None, token="t", authenticated=True)


@pytest.mark.parametrize("path", [LIST, INVOKE])
def test_a_script_tag_reads_and_starts_nothing(server, path):
    browser = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    for method in ("GET", "POST"):
        assert server.send(method, path, b"{}", browser)[0] == 403


# --- bodies ---


class Steps:
    """Counts the work of parsing: the calls that the parser in Python makes."""

    def __init__(self):
        self.calls = 0

    def __call__(self, _frame, event, _argument):
        if event == "call":
            self.calls += 1

    def of(self, body):
        self.calls = 0
        sys.setprofile(self)
        try:
            with suppress(parsing.NotReadable):
                parsing.loads(body)
        finally:
            sys.setprofile(None)
        return self.calls


ODD_BODIES = {
    "opened and not closed": lambda n: b"[" * n,
    "objects opened and not closed": lambda n: b'{"a":' * (n // 5),
    "199 deep, many times": lambda n: b"[" + (b"[" * 198 + b"]" * 198 + b",") * (n // 397) + b"0]",
    "interleaved": lambda n: b"[" + b'{"a":[{}]},' * (n // 11) + b"0]",
    "closed wrongly": lambda n: b"[{" * (n // 4) + b"]}" * (n // 4),
    "pairs": lambda n: b"[" + b'["k",1],' * (n // 8) + b"0]",
    "empty lists": lambda n: b"[" + b"[]," * (n // 3) + b"0]",
    "numbers": lambda n: b"[" + b"1," * (n // 2) + b"0]",
    "digits": lambda n: b"1" * n,
    "escapes": lambda n: b'"' + b"\\\\" * (n // 2) + b'"',
    "spaces": lambda n: b" " * n + b"1",
}


@pytest.mark.parametrize("make", ODD_BODIES.values(), ids=ODD_BODIES)
def test_the_work_for_a_body_grows_no_faster_than_the_body(make):
    steps = Steps()
    short, long = steps.of(make(100_000)), steps.of(make(400_000))
    assert long <= 4.2 * short + 100


@pytest.mark.parametrize("make", ODD_BODIES.values(), ids=ODD_BODIES)
def test_what_the_parser_in_c_reads_at_once_is_bounded(make):
    """It cannot be interrupted. Strings and spaces are read at memory speed and do not count."""
    body = make(2 * MIB)
    structural = sum(body.count(mark) for mark in (b"[", b"]", b"{", b"}", b",", b":"))
    assert parsing.is_light(body) == (structural <= parsing.LIGHT)


async def test_others_go_on_while_a_large_body_is_read():
    """The text is read in a thread, to whose end nobody waits: the loop turns again and again before it."""
    turns = 0
    reading = asyncio.ensure_future(parsing.read(parsing.loads, ODD_BODIES["numbers"](2 * MIB)))
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(reading.result()) == MIB + 1
    assert turns > 10


async def test_a_reader_that_is_cancelled_leaves_nothing_behind():
    reading = asyncio.ensure_future(parsing.read(parsing.loads, ODD_BODIES["numbers"](200_000)))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await parsing.read(parsing.loads, b"[1]") == [1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" + b"[]," * (parsing.CONTAINERS + 1) + b"0]", "arrays and objects"),
        (b"[" * 201 + b"]" * 201, "deeper"),
        (b"[" * 201 + b"]" * 201 + b"," * 50_000, "deeper"),
        # up to Python 3.13 the parser of the standard library reads these digits
        ("[1٣".encode() + b",1" * 50_000 + b"]", "digit that JSON does not have|Expecting ',' delimiter"),
        (rb'["\ud800"' + b",1" * 50_000 + b"]", "UTF-8"),
        (b"[NaN" + b",1" * 50_000 + b"]", "NaN"),
        (b"[" + b"9" * 5000 + b",1" * 50_000 + b"]", "digits"),
    ],
    ids=["containers", "depth", "depth in a large body", "odd digits", "surrogate", "NaN", "digits"],
)
def test_both_parsers_refuse_the_same(body, reason):
    with pytest.raises(parsing.NotReadable, match=reason):
        parsing.loads(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(json_values, st.booleans())
def test_both_parsers_read_the_same(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parsing._Interruptible().decode(text) == parsing.loads(text.encode("utf-8", "surrogatepass")) == value


@pytest.mark.parametrize(("path", "most"), [(INVOKE, 6 * MIB), (f"{LIST}x", None)])
def test_a_body_that_announces_too_much_is_refused_before_it_comes(server, path, most):
    url = urlsplit(server.url)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {40 * MIB}\r\n\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536)
    assert answer.split()[1] == (b"404" if most is None else b"413")


async def _chunks(*chunks, then=None):
    for chunk in chunks:
        yield chunk
    if then is not None:
        await then.wait()


async def test_a_body_that_does_not_come_ends_in_time():
    bodies = Bodies(seconds=0.001)
    with pytest.raises(RequestTimeoutError, match="within"):
        await bodies.read(_chunks(b"{", then=asyncio.Event()), "5", 10)


async def test_unfinished_bodies_have_a_bound_together_and_small_ones_always_pass():
    bodies, held = Bodies(max_total_bytes=4 * MIB), asyncio.Event()
    unfinished = [asyncio.ensure_future(bodies.read(_chunks(b" " * MIB, then=held), None, 2 * MIB)) for _ in range(40)]
    await asyncio.sleep(0)
    refused = [each for each in unfinished if each.done() and isinstance(each.exception(), BusyError)]
    assert len(refused) == 36
    assert await bodies.read(_chunks(b"{}"), "2", 10) == b"{}"
    held.set()
    assert sorted(
        {len(body) for body in await asyncio.gather(*unfinished, return_exceptions=True) if isinstance(body, bytes)}
    ) == [MIB]
    assert await bodies.read(_chunks(b" " * (4 * MIB)), None, 4 * MIB)  # all of it is free again


@pytest.mark.parametrize("announced", ["9" * 400, "11", "-1", "x", "٣"])
async def test_a_length_of_any_kind_is_no_fault(announced):
    with suppress(ApiError):
        assert await Bodies().read(_chunks(b"{}"), announced, 10) == b"{}"


# --- connections ---


def test_idle_connections_make_room_for_new_ones(tmp_path):
    """More of them than the server has descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))  # which the server inherits
    try:
        context = serving("--functions", "functions_that_misbehave", log=tmp_path / "log", folder=HERE)
        server = context.__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ExitStack() as stack:
        stack.push(context.__exit__)
        address = urlsplit(server.url)
        for _ in range(250):
            idle = socket.create_connection((address.hostname, address.port), timeout=20)
            stack.callback(idle.close)
        client = server.client()
        stack.callback(client.close)
        assert json.load(invoke(client, "answer", {"bytes": 3})["Payload"]) == "xxx"


# --- functions ---


@pytest.fixture
async def pool(monkeypatch):
    monkeypatch.chdir(HERE)
    async with WorkerPool(
        worker_environment("http://127.0.0.1:9", os.environ), max_workers=1, sink=lambda *_: None
    ) as pool:
        yield pool


async def run(pool, attribute, event):
    request = InvocationRequest("request-1", attribute, "arn")
    return await pool.invoke(Target("functions_that_misbehave", attribute), event, request)


async def error_of(pool, attribute, event):
    with pytest.raises(InvocationFailed) as failed:
        await run(pool, attribute, event)
    return failed.value.error


async def test_an_answer_over_the_limit_is_the_functions_own_failure(pool):
    error = await error_of(pool, "answer", {"bytes": ANSWER_BYTES + 2000})
    assert error["ErrorType"] == "Function.ResponseSizeTooLarge"
    assert str(ANSWER_BYTES) in error["ErrorMessage"]
    assert len(await run(pool, "answer", {"bytes": 6 * MIB})) == 6 * MIB


async def test_an_answer_that_announces_gigabytes_is_not_read(pool):
    error = await error_of(pool, "forge", {})
    assert error["ErrorType"] == "Function.ResponseSizeTooLarge"
    assert await run(pool, "answer", {"bytes": 1}) == "x"  # by another worker


@pytest.mark.parametrize(
    ("options", "event", "pids"),
    [
        ({"max_invocations": 2}, {"bytes": 0}, 2),
        ({"max_memory": 200 * MIB}, {"bytes": 300 * MIB}, 4),
        ({"max_memory": 10_000 * MIB, "max_invocations": 5}, {"bytes": 0}, 1),
    ],
    ids=["by invocations", "by memory", "within both"],
)
async def test_a_worker_is_replaced_by_what_it_took(monkeypatch, options, event, pids):
    monkeypatch.chdir(HERE)
    async with WorkerPool(worker_environment("http://127.0.0.1:9", os.environ), max_workers=1, **options) as pool:
        assert len({(await run(pool, "take", event))[0] for _ in range(4)}) == pids


def test_a_function_that_talks_does_not_stop_a_server_whose_output_nobody_reads():
    with serving("--functions", "functions_that_misbehave", folder=HERE, errors="(x{99}\n)+.*") as server:
        client = server.client()
        assert json.load(invoke(client, "talk", {"lines": 5000})["Payload"])
        assert json.load(invoke(client, "answer", {"bytes": 3})["Payload"]) == "xxx"
        client.close()


def test_what_nobody_reads_is_dropped_and_counted():
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as reader, os.fdopen(write_end, "w") as stream:
        output = BoundedOutput(stream, max_characters=200_000)
        for number in range(5000):
            output.write(f"{number} {'x' * 95}\n")
        read = []
        reading = threading.Thread(target=lambda: read.extend(reader))
        reading.start()
        output.close(seconds=20)
        stream.close()
        reading.join()
    lines = [int(line.split()[0]) for line in read if "dropped" not in line]
    dropped = [int(line.strip("[").split()[0]) for line in read if "dropped" in line]
    assert lines == sorted(lines)
    assert dropped
    assert len(lines) + sum(dropped) == 5000


def test_a_reader_that_has_gone_is_no_fault():
    stream = io.StringIO()
    stream.close()
    output = BoundedOutput(stream)
    output.write("to nobody\n")
    output.close(seconds=20)


# --- tokens ---


@pytest.mark.parametrize("source", ["environment", "file"])
def test_a_token_comes_from_where_nobody_else_can_read_it(tmp_path, source):
    (file := tmp_path / "token").write_text("s3cret\n")
    arguments = [] if source == "environment" else ["--token-file", file]
    environment = {"DURABLE_ASYNC_TOKEN": "s3cret"} if source == "environment" else {}
    with serving(
        "--functions", "functions_that_misbehave", *arguments, log=tmp_path / "l", folder=HERE, **environment
    ) as server:
        assert b"s3cret" not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        for key, allowed in (("s3cret", True), ("other", False)):
            client = server.client(key)
            with suppress(ClientError) if not allowed else nullcontext():
                invoke(client, "answer", {"bytes": 1})
                assert allowed
            client.close()


def test_a_token_on_the_command_line_is_warned_of(tmp_path):
    with serving(
        "--functions",
        "functions_that_misbehave",
        "--token",
        "s3cret",
        log=tmp_path / "l",
        folder=HERE,
        errors="Warning: other users of this machine can see a token on the command line.*",
    ):
        pass
    (file := tmp_path / "token").write_text("s3cret")
    both = ended("--token", "s3cret", "--token-file", file)
    assert "exclude each other" in both.stderr
    assert both.returncode == 2


def test_a_token_is_in_no_representation():
    assert "s3cret" not in repr(Access("s3cret"))
    assert "s3cret" not in repr(cli_target(token="s3cret"))
