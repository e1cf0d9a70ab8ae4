"""``durable-async serve``: functions in workers."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.service.serving.serve_support import COMMAND, FOLDER, ended, finished, invoke, serving, start

FUNCTIONS = ["--functions", "functions_for_serve"]
FUNCTIONS += [f"--function={name}=functions_for_serve:{name}" for name in ("environment", "count", "hang", "durable")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("serve") / "log.jsonl"
    arguments = [*FUNCTIONS, "--execution-timeout", "1-2=60"]
    with serving(*arguments, log=log, OTEL_SERVICE_NAME="orders", AWS_LAMBDA_FUNCTION_NAME="x") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    client = server.client()
    yield client
    client.close()


def test_it_says_in_one_line_where_it_serves(server):
    assert server.line == f"Serving 10 functions at {server.url}\n"


def test_an_ordinary_function_runs_in_another_process(server, client):
    answer = json.load(invoke(client, "count")["Payload"])
    assert answer["pid"] not in (server.process.pid, os.getpid())


def test_a_durable_function_checkpoints_from_its_worker(server, client):
    response = invoke(client, "1-2", {"order": 17})
    assert json.load(response["Payload"]) == {"order": 17}
    arn = response["DurableExecutionArn"]
    events = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    assert [event["EventType"] for event in events] == [
        "ExecutionStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    assert events[0]["ExecutionStartedDetails"]["ExecutionTimeout"] == 60
    (line,) = [line for line in server.lines() if arn in line["message"]]  # there before the execution ended
    assert line["function"] == "1-2"
    assert json.loads(line["message"]) == {"executionArn": arn, "step": "charge"}


def test_other_functions_have_the_default_timeout(client):
    arn = invoke(client, "durable", {})["DurableExecutionArn"]
    (started, *_) = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    assert started["ExecutionStartedDetails"]["ExecutionTimeout"] == 300


def test_the_server_survives_a_crash_records_it_and_invokes_again(client):
    response = invoke(client, "1-2", "leave")
    assert json.load(response["Payload"]) == "leave"
    events = client.get_durable_execution_history(DurableExecutionArn=response["DurableExecutionArn"])["Events"]
    assert [event["EventType"] for event in events] == [
        "ExecutionStarted",
        "StepStarted",
        "InvocationCompleted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]
    error = events[2]["InvocationCompletedDetails"]["Error"]["Payload"]
    assert error["ErrorType"] == "Runtime.ExitError"
    assert error["ErrorMessage"].endswith("Error: Runtime exited with error: exit status 9")


@pytest.mark.parametrize(
    ("function", "error_type", "message"),
    [("leave", "Runtime.ExitError", "exit status 3"), ("fail", "LookupError", "no such order")],
)
def test_how_an_ordinary_function_fails(client, function, error_type, message):
    response = invoke(client, function, {})
    assert response["FunctionError"] == "Unhandled"
    answer = json.load(response["Payload"])
    assert answer["errorType"] == error_type
    assert message in answer["errorMessage"]


def test_what_functions_print_and_log_is_in_the_file(server, client):
    invoke(client, "write-lines")
    lines = [line for line in server.lines() if line["function"] == "write-lines"]
    assert lines[0].keys() == {"timestamp", "function", "message"}
    assert abs(lines[0]["timestamp"] / 1000 - time.time()) < 60
    assert [line["message"] for line in lines[:3]] == ["to stdout", "to stderr", '{"plugin": "raw"}']
    assert json.loads(lines[3]["message"])["executionArn"] == "arn:1"


def test_the_environment_of_functions(server, client):
    environment = json.load(invoke(client, "environment")["Payload"])
    assert environment["AWS_ENDPOINT_URL_LAMBDA"] == server.url
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"]
    assert environment["AWS_ACCESS_KEY_ID"]
    assert environment["OTEL_SERVICE_NAME"] == "orders"
    assert "AWS_LAMBDA_FUNCTION_NAME" not in environment


def test_many_run_at_the_same_time(client):
    arns = [start(client, "1-2", number) for number in range(30)]
    assert [json.loads(finished(client, arn)["Result"]) for arn in arns] == [*range(30)]


@pytest.mark.parametrize("kind", ["Event", "RequestResponse"])
@pytest.mark.parametrize("function", ["hang", "hang-durably"])
def test_a_signal_ends_it_while_a_function_runs(tmp_path, function, kind):
    arguments = [*FUNCTIONS, "--grace", "0.1"]
    with ThreadPoolExecutor(1) as callers, serving(*arguments, log=tmp_path / "log", ending=signal.SIGINT) as server:
        client = server.client()
        call = callers.submit(invoke, client, function, InvocationType=kind)
        server.until(server.lines)
    with suppress(ClientError):  # who waited is told to come again
        call.result(timeout=20)
    client.close()


def test_a_signal_ends_it_while_it_loads(tmp_path):
    (tmp_path / "slow_module.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    command = [*COMMAND, "--port", "0", "--functions", "slow_module"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "loading\n"
        process.terminate()
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == 0


def test_workers_end_with_a_server_that_is_killed(tmp_path):
    with serving(*FUNCTIONS, "--workers", "1", log=tmp_path / "log", ending=signal.SIGKILL) as server:
        client = server.client()
        worker = json.load(invoke(client, "count")["Payload"])["pid"]
        invoke(client, "hang", InvocationType="Event")
        server.until(server.lines)
        client.close()
        assert _runs(worker)
    server.until(lambda: not _runs(worker))


def _runs(pid):
    try:
        return "durable_async" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_with_a_token_its_functions_may_call_and_strangers_may_not(tmp_path):
    with serving(*FUNCTIONS, log=tmp_path / "log", DURABLE_ASYNC_TOKEN="s3cret") as server:
        client = server.client("s3cret")
        assert json.load(invoke(client, "1-2", 5)["Payload"]) == 5
        client.close()
        stranger = server.client("other")
        with pytest.raises(ClientError, match="AccessDenied"):
            invoke(stranger, "1-2", 5)
        stranger.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to serve: give --function NAME=MODULE:ATTRIBUTE"),
        (["--function", "f=functions_for_serve:takes_one"], "cannot be called as function(event, context)"),
        (["--in-process", "--function", "f=functions_for_serve:takes_one"], "cannot be called as function(event, con"),
        (["--functions", "no_such_module"], "Unable to import module 'no_such_module'"),
        (["--functions", "functions_for_serve:NOTHING"], "There is no functions_for_serve:NOTHING"),
        (["--functions", "functions_for_serve:MIXED"], "['bad'] is not a function"),
        (["--function", "f=functions_for_serve:nothing"], "There is no functions_for_serve:nothing"),
        (["--function", "f=module_that_raises:f"], "ValueError: wrong configuration"),
        (["--function", "f=module_that_exits:f"], "exit status 5"),
        (["--function", "1-1=functions_for_serve:echo", *FUNCTIONS], "'1-1' is given twice"),
        (["--function", "a b=functions_for_serve:echo"], "a b"),
        (["--function", "functions_for_serve:echo"], "NAME=MODULE:ATTRIBUTE"),
        (["--functions", ":HANDLERS"], "MODULE[:MAPPING]"),
        (["--execution-timeout", "0"], "[NAME=]SECONDS"),
        (["--execution-timeout", "f=5", *FUNCTIONS], "'f', which is not a function"),
        (["--host", "0.0.0.0", *FUNCTIONS], "Set a token"),
        (["--host", "192.0.2.1", "--token", "t", *FUNCTIONS], "cannot listen on 192.0.2.1"),
        (["--token", "a b", *FUNCTIONS], "a token is"),
        (["--log-json", "/no/such/folder/log", *FUNCTIONS], "cannot write the log"),
        (["--remote", "f"], "NAME=URL"),
        (["--remote", "f=localhost:9000"], "'localhost:9000' is not the URL of a server"),
        (
            ["--remote", "1-1=http://h:1", *FUNCTIONS],
            "'1-1' is given twice: functions_for_serve:HANDLERS['1-1'] and http",
        ),
        (["--in-process", "--workers", "2", *FUNCTIONS], "--in-process uses none"),
        (["--in-process", "--log-json", "file", *FUNCTIONS], "--in-process uses none"),
        (["--in-process", "--function", "f=functions_for_serve:durable"], "needs a worker"),
        (["--in-process", "--functions", "functions_for_serve:MIXED"], "['bad'] is not a function"),
        (["--in-process", "--function", "f=module_that_raises:f"], "ValueError: wrong configuration"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_it_cannot_serve_ends_it_with_a_reason(arguments, message):
    server = ended(*arguments)
    assert server.returncode in (1, 2)
    assert message in server.stderr
    assert "Traceback" not in server.stderr or "module_that_raises" in str(arguments)
    assert "http://" not in server.stdout


def test_a_port_in_use_ends_it_with_a_reason(server):
    port = server.url.rpartition(":")[2]
    other = ended("--port", port, *FUNCTIONS)
    assert other.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in other.stderr


def test_without_click_the_command_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['click'] = None\n")
    server = ended(PYTHONPATH=os.pathsep.join([str(tmp_path), str(FOLDER.parents[2])]))
    assert server.returncode == 1
    assert "pip install 'durable-async[cli]'" in server.stderr
    assert "Traceback" not in server.stderr
