"""The example application, as its reader would run it: a server process that is killed and started again."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Server:
    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "docs/examples"), "fastapi_app:app"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--log-level", "warning"],
            cwd=ROOT,
            env=os.environ | {"ORDERS_DB": str(self.folder / "orders.db")},
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                return self.call("GET", "/openapi.json")
            except ConnectionError:
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None

    def until(self, path, wanted):
        deadline = time.monotonic() + 20
        while (answer := self.call("GET", path)[1]) != wanted:
            assert time.monotonic() < deadline, answer
            time.sleep(0.02)

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(timeout=20)


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    yield server
    server.end(signal.SIGKILL)


def test_an_order_lives_through_the_death_of_its_server(server):
    assert server.call("PUT", "/orders/17", {"cents": 4250})[0] == 202
    assert server.call("PUT", "/orders/17", {"cents": 4250})[0] == 202  # the same order again
    assert server.call("PUT", "/orders/17", {"cents": 1})[0] == 409
    server.until("/orders/17", {"status": "RUNNING"})
    while server.call("POST", "/orders/17/approval")[0] == 404:
        server.end(signal.SIGKILL)
        server.start()
    server.until("/orders/17", {"status": "SUCCEEDED", "receipt": "parcel for 42.50"})
    assert server.call("POST", "/orders/17/approval")[0] == 404
    assert server.call("GET", "/orders/18")[0] == 404
    server.end(signal.SIGTERM)
    server.start()
    server.until("/orders/17", {"status": "SUCCEEDED", "receipt": "parcel for 42.50"})


def test_what_happens_to_an_order_is_streamed_as_server_sent_events(server):
    server.call("PUT", "/orders/17", {"cents": 4250})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/orders/17/events")
    response = connection.getresponse()
    assert response.getheader("content-type").startswith("text/event-stream")
    kinds = []
    while line := response.readline().decode():
        if line.startswith("data: "):
            kinds.append(json.loads(line.removeprefix("data: "))["EventType"])
            if kinds[-1] == "CallbackStarted":
                server.call("POST", "/orders/17/approval")
    connection.close()
    assert kinds[0] == "ExecutionStarted"
    assert kinds[-1] == "ExecutionSucceeded"
    assert server.call("GET", "/orders/18/events")[0] == 404
