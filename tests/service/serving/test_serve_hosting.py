"""``durable-async serve``: functions in its own process, and functions of other servers."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.service.serving.serve_support import FOLDER, finished, invoke, serving, start

PATH = os.pathsep.join([str(FOLDER), str(FOLDER.parents[2])])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hosting")


@pytest.fixture(scope="module")
def server(folder):
    functions = [
        f"--function={name}=workflows_for_serve:{name}" for name in ("fulfil", "talk", "where", "leave_a_note")
    ]
    logged = ".* INFO durable_async.workflow: talking\n.*"
    with serving("--in-process", *functions, folder=folder, PYTHONPATH=PATH, errors=logged) as server:
        yield server


@pytest.fixture
def client(server):
    client = server.client()
    yield client
    client.close()


def test_an_ordinary_function_runs_in_the_server(server, client):
    answer = json.load(invoke(client, "where", {"a": 1})["Payload"])
    assert answer == {"pid": server.process.pid, "event": {"a": 1}}


def test_a_workflow_runs_in_the_server_and_stays_in_memory_while_it_waits(server, client):
    answer = json.load(invoke(client, "talk", "hello")["Payload"])
    assert answer == {"pid": server.process.pid, "begun": 1, "event": "hello"}


def test_many_workflows_run_at_the_same_time(client):
    arns = [start(client, "fulfil", order) for order in range(20)]
    assert [json.loads(finished(client, arn)["Result"]) for arn in arns] == [45 * order for order in range(20)]


def test_a_failure_is_the_functions_own(client):
    response = invoke(client, "leave_a_note", {"text": "a"})
    assert json.load(response["Payload"])["errorType"] == "TypeError"


class Container(BaseHTTPRequestHandler):
    """A function of another language, which makes words loud; durable or not."""

    running = 0
    most = 0
    gate = threading.Event()

    def do_POST(self):
        Container.running += 1
        Container.most = max(Container.most, Container.running)
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if isinstance(event, dict):
            (execution, *_) = event["InitialExecutionState"]["Operations"]
            word = json.loads(execution["ExecutionDetails"]["InputPayload"])
            answer = {"Status": "SUCCEEDED", "Result": json.dumps(word.upper())}
        else:
            if event == "hold":
                Container.gate.wait(20)
            answer = event.upper()
        body = json.dumps(answer).encode()
        Container.running -= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def container():
    with ThreadingHTTPServer(("127.0.0.1", 0), Container) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_functions_of_a_container_one_invocation_at_a_time(tmp_path):
    with (
        container() as url,
        serving(f"--remote=shout={url}", f"--remote-plain=echo={url}", log=tmp_path / "log") as server,
        ThreadPoolExecutor(8) as callers,
    ):
        assert server.line == f"Serving 2 functions at {server.url}\n"
        client = server.client()
        plain = [callers.submit(invoke, client, "echo", f"a{number}") for number in range(8)]
        arns = [start(client, "shout", f"b{number}") for number in range(8)]
        assert [json.load(each.result()["Payload"]) for each in plain] == [f"A{number}" for number in range(8)]
        assert [json.loads(finished(client, arn)["Result"]) for arn in arns] == [f"B{number}" for number in range(8)]
        client.close()
    assert Container.most == 1


def test_who_waits_for_a_container_stands_in_nobodys_way(tmp_path):
    arguments = ["--in-process", "--function=where=workflows_for_serve:where", "--max-concurrency", "2"]
    with (
        container() as url,
        ThreadPoolExecutor(3) as callers,
        serving(*arguments, f"--remote-plain=echo={url}", folder=tmp_path, PYTHONPATH=PATH) as server,
    ):
        client = server.client()
        held = [callers.submit(invoke, client, "echo", "hold") for _ in range(3)]
        server.until(lambda: Container.running)
        assert json.load(invoke(client, "where", 1)["Payload"])["event"] == 1
        assert not any(each.done() for each in held)
        Container.gate.set()
        assert [json.load(each.result()["Payload"]) for each in held] == ["HOLD"] * 3
        client.close()
