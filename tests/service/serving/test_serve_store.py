"""``durable-async serve --store``: what a server leaves, the next one goes on with."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from durable_async.cli.exits import Exit
from tests.service.serving.serve_support import FOLDER, ended, finished, invoke, serving, start, status

PATH = os.pathsep.join([str(FOLDER), str(FOLDER.parents[2])])
WORKFLOWS = [f"--function={name}=workflows_for_serve:{name}" for name in ("fulfil", "pay", "slow")]


PLACES = pytest.mark.parametrize("place", [{}, {"in_process": True}], ids=["workers", "in process"])


@contextmanager
def client_of(folder, *arguments, functions=WORKFLOWS, in_process=False, **options):
    """A server on the store in ``folder``, and a client of it."""
    where = {"log": folder / "log"}
    if in_process:
        arguments = ["--in-process", *arguments]
        where = {}
    with serving(
        *functions, "--store", "orders.db", *arguments, folder=folder, PYTHONPATH=PATH, **where | options
    ) as server:
        client = server.client()
        yield server, client
        client.close()


def events_of(client, arn):
    pages = client.get_paginator("get_durable_execution_history").paginate(DurableExecutionArn=arn)
    return [event["EventType"] for page in pages for event in page["Events"]]


def noted(file):
    return file.read_text().split() if file.exists() else []


@pytest.mark.parametrize(
    ("arguments", "place"),
    [([], {}), (["--durability", "normal"], {}), ([], {"in_process": True})],
    ids=["full", "normal", "in process"],
)
def test_after_a_restart_everything_goes_on(tmp_path, arguments, place):
    with client_of(tmp_path, *arguments, **place) as (server, client):
        done = start(client, "fulfil", 1, DurableExecutionName="first")
        finished(client, done)
        waits = start(client, "pay", 7)
        server.until(lambda: events_of(client, waits)[-1] == "InvocationCompleted")
        history = client.get_durable_execution_history(DurableExecutionArn=waits)["Events"]
    with client_of(tmp_path, *arguments, **place) as (server, client):
        assert client.get_durable_execution_history(DurableExecutionArn=waits)["Events"] == history
        assert json.loads(client.get_durable_execution(DurableExecutionArn=done)["Result"]) == 45
        assert start(client, "fulfil", 1, DurableExecutionName="first") == done
        (started,) = [event for event in history if event["EventType"] == "CallbackStarted"]
        callback = started["CallbackStartedDetails"]["CallbackId"]
        client.send_durable_execution_callback_success(CallbackId=callback, Result=b"seven")
        assert json.loads(finished(client, waits)["Result"]) == "paid: seven"
    assert (tmp_path / "payments").read_text() == "asked 7\n"
    assert place or (tmp_path / "log").read_text() == ""  # nobody but the functions writes there


def test_executions_survive_a_server_that_is_killed_again_and_again(tmp_path):
    orders = range(1, 7)
    files = [tmp_path / f"order-{order}" for order in orders]
    with client_of(tmp_path, "--workers", "3", ending=signal.SIGKILL) as (server, client):
        arns = [start(client, "fulfil", order, DurableExecutionName=f"order-{order}") for order in orders]
        server.until(lambda: sum(len(noted(file)) for file in files) >= 10)
    for more in (10, 10, 5):  # in the second half they wait, too
        before = sum(len(noted(file)) for file in files)
        with client_of(tmp_path, "--workers", "3", ending=signal.SIGKILL) as (server, _):
            server.until(lambda before=before, more=more: sum(map(len, map(noted, files))) >= min(before + more, 60))
    with client_of(tmp_path, "--workers", "3") as (_, client):
        results = [json.loads(finished(client, arn)["Result"]) for arn in arns]
        assert results == [45 * order for order in orders]
        for arn, file in zip(arns, files, strict=True):
            assert {*noted(file)} == {*map(str, range(10))}
            # Each kill may repeat the step that ran and those that were not yet recorded, and no other.
            assert len(noted(file)) <= 10 + 4 * 2, noted(file)
            types = events_of(client, arn)
            assert types.count("StepSucceeded") == 10
            assert types[-1] == "ExecutionSucceeded"


def _refuses(client):
    """New executions: the server is about to end."""
    try:
        start(client, "pay", 0)
    except ClientError as refused:
        return refused.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    return False


@PLACES
def test_what_runs_when_a_signal_comes_may_end_within_the_grace(tmp_path, place):
    with ThreadPoolExecutor(1) as callers, client_of(tmp_path, "--grace", "60", **place) as (server, client):
        call = callers.submit(invoke, client, "slow", 5)
        server.until(lambda: noted(tmp_path / "packing"))
        server.process.terminate()
        server.until(lambda: _refuses(client))
        (tmp_path / "go").touch()
        packed = json.load(call.result(timeout=20)["Payload"])
        server.process.wait(20)
    assert packed
    assert noted(tmp_path / "packing") == noted(tmp_path / "packed") == ["5"]


@PLACES
def test_a_second_signal_ends_it_at_once_and_the_next_server_repeats_what_ran(tmp_path, place):
    with client_of(tmp_path, "--grace", "600", ending=signal.SIGINT, **place) as (server, client):
        arn = start(client, "slow", 5)
        server.until(lambda: noted(tmp_path / "packing"))
        server.process.terminate()
        server.until(lambda: _refuses(client))
    assert noted(tmp_path / "packed") == []
    (tmp_path / "go").touch()
    with client_of(tmp_path) as (_, client):
        finished(client, arn)
        history = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    types = [event["EventType"] for event in history if event["EventType"] != "StepStarted"]
    assert types == [
        *("ExecutionStarted", "InvocationCompleted", "StepSucceeded", "InvocationCompleted", "ExecutionSucceeded"),
    ]
    completed = [event["InvocationCompletedDetails"] for event in history if event["EventType"] == types[1]]
    assert not any("Error" in each for each in completed)  # it was nobody's failure
    assert noted(tmp_path / "packed") == ["5"]


def test_a_function_that_is_not_served_any_more_is_named_and_its_executions_wait(tmp_path):
    with client_of(tmp_path) as (server, client):
        arns = [start(client, "pay", number) for number in range(2)]
        for arn in arns:
            server.until(lambda arn=arn: events_of(client, arn)[-1] == "InvocationCompleted")
    warning = r"[^\n]* WARNING [^\n]*: 2 executions of 'pay' are open, but this function is not served. They wait until it is\n"
    with client_of(tmp_path, functions=WORKFLOWS[:1], errors=warning) as (_, client):
        assert [status(client, arn) for arn in arns] == ["RUNNING"] * 2
    with client_of(tmp_path) as (_, client):
        for arn in arns:
            client.stop_durable_execution(DurableExecutionArn=arn)
        assert [status(client, arn) for arn in arns] == ["STOPPED"] * 2


def test_a_store_that_another_server_has_is_refused(tmp_path):
    with client_of(tmp_path) as (server, _):
        other = ended(*WORKFLOWS, "--store", "orders.db", folder=tmp_path, PYTHONPATH=PATH)
        pid = server.process.pid
    assert other.returncode == Exit.UNREACHABLE
    assert other.stderr.count("\n") == 1
    assert f"process {pid}" in other.stderr


@pytest.mark.parametrize("content", [b"no database at all " * 100, b"SQLite format 3\0" + b"\xff" * 2000])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path, content):
    file = tmp_path / "orders.db"
    file.write_bytes(content)
    server = ended(*WORKFLOWS, "--store", "orders.db", folder=tmp_path, PYTHONPATH=PATH)
    assert server.returncode == Exit.UNREACHABLE
    assert server.stderr.startswith("Error: ")
    assert server.stderr.count("\n") == 1
    assert str(file) in server.stderr
    assert file.read_bytes() == content


def test_a_store_in_a_folder_that_is_not_there_is_refused(tmp_path):
    server = ended(*WORKFLOWS, "--store", "no/such/orders.db", folder=tmp_path, PYTHONPATH=PATH)
    assert (server.returncode, server.stderr.count("\n")) == (Exit.UNREACHABLE, 1)
    assert "does not exist" in server.stderr


def test_workers_see_the_store_as_no_business_of_theirs(tmp_path):
    """What a function's process inherits must not hold the file, or the lock, when the server is killed."""
    with client_of(tmp_path, ending=signal.SIGKILL) as (server, client):
        start(client, "slow", 1)
        server.until(lambda: noted(tmp_path / "packing"))
        pids = [int(each) for each in _children(server.process.pid)]
        opened = {str(link.readlink()) for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert pids
    assert not [name for name in opened if "orders.db" in name]


def _children(pid):
    return [word for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]


def test_executions_in_a_store_may_wait_as_long_as_those_of_the_embedded_service(tmp_path):
    with client_of(tmp_path) as (_, client):
        arn = start(client, "pay", 1)
        (started, *_) = client.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    assert started["ExecutionStartedDetails"]["ExecutionTimeout"] == 366 * 24 * 60 * 60


def test_a_second_server_stands_by_and_takes_over(tmp_path):
    with client_of(tmp_path, "--takeover", "60") as (first, client):
        arn = start(client, "pay", 7)
        first.until(lambda: events_of(client, arn)[-1] == "InvocationCompleted")
        standby = {"log": tmp_path / "second log", "errors": ".*Standing by: .*is in use by process.*Took over.*"}
        with client_of(tmp_path, "--takeover", "60", **standby) as (_, other):
            assert events_of(other, arn) == events_of(client, arn)
            first.process.send_signal(signal.SIGTERM)
            first.process.wait(timeout=20)
            assert status(other, arn) == "RUNNING"
            assert finished(other, start(other, "fulfil", 1))["Status"] == "SUCCEEDED"
