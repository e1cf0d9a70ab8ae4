"""``durable-async serve`` as its users run it: a process, a URL, a log file, a signal."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

HERE = Path(__file__).parent
COMMAND = [sys.executable, "-m", "durable_async.cli", "serve"]
FUNCTIONS = ["--functions", "functions_for_serve"]
FUNCTIONS += [f"--function={name}=functions_for_serve:{name}" for name in ("environment", "count", "hang", "durable")]


@attrs.frozen
class Serving:
    process: subprocess.Popen
    url: str
    line: str
    log: Path

    def client(self, key="any"):
        return boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
        )

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def until(self, condition):
        deadline = time.monotonic() + 20
        while not (found := condition()):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return found


@contextmanager
def serving(log, *arguments, ending=signal.SIGTERM, **environment):
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--log-json", str(log), *FUNCTIONS, *arguments],
        cwd=HERE,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, process.communicate(timeout=20)
        yield Serving(process, found[0], line, log)
        process.send_signal(ending)
        rest, errors = process.communicate(timeout=20)
        assert (process.returncode, rest, errors) == (-ending if ending == signal.SIGKILL else 0, "", "")
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("serve") / "log.jsonl"
    with serving(
        log, "--execution-timeout", "1-2=60", OTEL_SERVICE_NAME="orders", AWS_LAMBDA_FUNCTION_NAME="x"
    ) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    client = server.client()
    yield client
    client.close()


def invoke(client, function, event=None, **options):
    return client.invoke(FunctionName=function, Qualifier="$LATEST", Payload=json.dumps(event).encode(), **options)


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
    arns = [invoke(client, "1-2", number, InvocationType="Event")["DurableExecutionArn"] for number in range(30)]
    for number, arn in enumerate(arns):
        while (execution := client.get_durable_execution(DurableExecutionArn=arn))["Status"] == "RUNNING":
            time.sleep(0.02)
        assert json.loads(execution["Result"]) == number


@pytest.mark.parametrize("kind", ["Event", "RequestResponse"])
@pytest.mark.parametrize("function", ["hang", "hang-durably"])
def test_a_signal_ends_it_while_a_function_runs(tmp_path, function, kind):
    with ThreadPoolExecutor(1) as callers, serving(tmp_path / "log", ending=signal.SIGINT) as server:
        client = server.client()
        call = callers.submit(invoke, client, function, InvocationType=kind)
        server.until(server.lines)
    with suppress(HTTPClientError):  # who waited is cut off
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
    with serving(tmp_path / "log", "--workers", "1", ending=signal.SIGKILL) as server:
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
    with serving(tmp_path / "log", DURABLE_ASYNC_TOKEN="s3cret") as server:
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
        (["--functions", "no_such_module"], "Unable to import module 'no_such_module'"),
        (["--functions", "functions_for_serve:NOTHING"], "There is no functions_for_serve:NOTHING"),
        (["--functions", "functions_for_serve:MIXED"], "['bad'] is no function"),
        (["--function", "f=functions_for_serve:nothing"], "There is no functions_for_serve:nothing"),
        (["--function", "f=module_that_raises:f"], "ValueError: wrong configuration"),
        (["--function", "f=module_that_exits:f"], "exit status 5"),
        (["--function", "1-1=functions_for_serve:echo", *FUNCTIONS], "'1-1' is given twice"),
        (["--function", "a b=functions_for_serve:echo"], "a b"),
        (["--function", "functions_for_serve:echo"], "NAME=MODULE:ATTRIBUTE"),
        (["--functions", ":HANDLERS"], "MODULE[:MAPPING]"),
        (["--execution-timeout", "0"], "[NAME=]SECONDS"),
        (["--execution-timeout", "f=5"], "'f', which is no function"),
        (["--host", "0.0.0.0"], "set a token"),
        (["--host", "192.0.2.1", "--token", "t"], "cannot listen on 192.0.2.1"),
        (["--token", "a b"], "a token is"),
        (["--log-json", "/no/such/folder/log"], "cannot write the log"),
        (["--store", "file"], "not supported yet"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_it_cannot_serve_ends_it_with_a_reason(arguments, message):
    ended = subprocess.run(
        [*COMMAND, "--port", "0", *arguments], cwd=HERE, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode in (1, 2)
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr or "module_that_raises" in str(arguments)
    assert "http://" not in ended.stdout


def test_a_port_in_use_ends_it_with_a_reason(server):
    port = server.url.rpartition(":")[2]
    ended = subprocess.run(
        [*COMMAND, "--port", port], cwd=HERE, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_without_click_the_command_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['click'] = None\n")
    path = os.pathsep.join([str(tmp_path), str(HERE.parents[1])])
    environment = os.environ | {"PYTHONPATH": path}
    ended = subprocess.run(COMMAND, cwd=HERE, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "pip install 'durable-async[cli]'" in ended.stderr
    assert "Traceback" not in ended.stderr
