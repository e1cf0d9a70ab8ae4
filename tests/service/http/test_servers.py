"""Who may call, what happens when a caller goes away, and how a server ends: the same over aiohttp and over ASGI."""

import json
import socket
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from durable_async.service.http import asgi_app, bind, url_of
from tests.service.http.http_support import LIST, execution_path, running_server

SHELLS = pytest.mark.parametrize("shell", ["aiohttp", "mounted"])
HOLD = b'{"do": "hold"}'


def ask_and_leave_open(server, function, event):
    """Sends a synchronous Invoke. Returns the connection, on which the answer will come."""
    url = urlsplit(server.url)
    connection = socket.create_connection((url.hostname, url.port), timeout=20)
    head = (
        f"POST {url.path}/2015-03-31/functions/{function}/invocations HTTP/1.1\r\n"
        f"Host: {url.netloc}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Length: {len(event)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + event)
    return connection


def read_to_the_end(connection):
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


# --- access ---


@SHELLS
def test_a_token_is_asked_of_every_caller(shell):
    with running_server("s3cret", shell=shell) as server:
        client = server.client(key="s3cret")
        response = client.invoke(FunctionName="durable", Qualifier="$LATEST", Payload=b"5")
        assert json.load(response["Payload"]) == 5
        client.close()
        stranger = server.client(key="guessed")
        with pytest.raises(ClientError) as refused:
            stranger.invoke(FunctionName="durable", Qualifier="$LATEST", Payload=b"5")
        stranger.close()
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        token = {"Authorization": "Bearer s3cret"}
        assert server.send("GET", LIST, headers=token)[0] == 200
        assert server.send("GET", LIST, headers={"Host": "orders.example", **token})[0] == 200
        assert server.send("GET", LIST)[0] == 403


def test_a_web_page_cannot_call(server):
    assert server.send("GET", LIST)[0] == 200
    origin = server.url.removesuffix("/durable")
    assert server.send("GET", LIST, headers={"Origin": origin})[0] == 200
    assert server.send("GET", LIST, headers={"Origin": "https://evil.example"})[0] == 403
    assert server.send("GET", LIST, headers={"Host": "evil.example"})[0] == 403


def test_the_body_of_a_stranger_is_not_read(server):
    """The answer comes although the body never does."""
    url = urlsplit(server.url)
    head = f"POST {url.path}{LIST} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1"])
def test_only_a_token_opens_the_service_to_other_machines(host):
    with pytest.raises(ValueError, match="token"):
        bind(host)


@pytest.mark.parametrize("token", ["", "white space", "slash/", "x" * 129])
def test_a_token_is_one_that_clients_can_present(server, token):
    with pytest.raises(ValueError, match="letters"):
        bind("0.0.0.0", token=token)
    with pytest.raises(ValueError, match="letters"):
        asgi_app(server.service, token=token)


def test_a_bound_port_refuses_connections_until_it_is_served():
    with bind() as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname(), timeout=5)
    with bind("::1") as listener:
        assert url_of(listener).startswith("http://[::1]:")


# --- callers that go away ---


def test_nobody_waits_for_a_caller_that_has_gone_and_the_execution_goes_on(server):
    with ask_and_leave_open(server, "durable:$LATEST", HOLD):
        server.until(lambda: server.service.waiting == 1)
        (arn,) = server.functions.held
        assert server.portal.call(server.service.get_execution, arn).status == "RUNNING"
    server.until(lambda: server.service.waiting == 0)
    assert server.portal.call(server.service.get_execution, arn).status == "RUNNING"
    assert server.send("POST", execution_path(arn, "stop"))[0] == 200


def test_an_ordinary_function_runs_to_its_end_though_its_caller_has_gone(server):
    with ask_and_leave_open(server, "gated", b'"left alone"'):
        server.until(lambda: ["begun", "left alone"] in server.functions.ran)
    for _ in range(20):
        assert server.send("GET", LIST)[0] == 200  # by now the server has seen the caller go
    assert server.functions.cancelled == []
    server.portal.call(server.functions.gate.set)
    server.until(lambda: ["ended", "left alone"] in server.functions.ran)


# --- the end ---


@SHELLS
def test_who_waits_when_the_service_ends_is_told_to_come_again(shell):
    with running_server("s3cret", shell=shell) as server:
        waiting = [
            ask_and_leave_open(server, "durable:$LATEST", HOLD),
            ask_and_leave_open(server, "gated", b"1"),
        ]
        server.until(lambda: server.service.waiting == 1 and server.functions.ran)
        server.portal.call(server.service.aclose)
        for connection in waiting:
            head, _, body = read_to_the_end(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503")
            assert b"x-amzn-errortype: serviceexception" in head.lower()
            assert json.loads(body) == {"Type": "Service", "Message": "The service is shutting down."}
        assert server.functions.cancelled == [1]
        for function in ("durable:$LATEST", "plain"):
            for kind in ("RequestResponse", "Event"):
                path, headers = f"/2015-03-31/functions/{function}/invocations", {"X-Amz-Invocation-Type": kind}
                headers["Authorization"] = "Bearer s3cret"
                assert server.send("POST", path, b"1", headers)[0] == 503
        again = ask_and_leave_open(server, "durable:$LATEST", HOLD)
        assert read_to_the_end(again).startswith(b"HTTP/1.1 503")


def test_who_waits_when_the_server_ends_is_told_to_come_again():
    with running_server("s3cret") as server:
        connection = ask_and_leave_open(server, "durable:$LATEST", HOLD)
        server.until(lambda: server.service.waiting == 1)
    answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"The service is shutting down." in answer
    assert server.service.waiting == 0


def test_a_server_that_limits_its_goodbye_cuts_off_who_waits():
    with running_server("s3cret", shell="mounted") as server:
        connection = ask_and_leave_open(server, "durable:$LATEST", HOLD)
        server.until(lambda: server.service.waiting == 1)
    assert b" 200 " not in read_to_the_end(connection)
    assert server.service.waiting == 0


@SHELLS
def test_an_invocation_that_nobody_waits_for_ends_with_the_service(shell):
    with running_server(shell=shell) as server:
        path, kind = "/2015-03-31/functions/gated/invocations", {"X-Amz-Invocation-Type": "Event"}
        assert server.send("POST", path, b'"alone"', kind)[0] == 202
        server.until(lambda: server.functions.ran)
        assert server.functions.cancelled == []
    assert server.functions.cancelled == ["alone"]
