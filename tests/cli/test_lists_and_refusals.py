"""Finding one's way: which functions there are, what is refused and what to do then, and screens of any width."""

import json
import re

import pytest
from fastapi import FastAPI

from durable_async.cli.exits import Exit
from durable_async.cli.tables import Column, fitting, shared

from .command import durable_async, on_a_terminal
from .test_terminal import visible


def test_without_a_function_all_functions_are_listed_with_their_executions(service):
    service.until(service.start("count", "listed", "1"), "ExecutionSucceeded")
    rows = {line.split()[0]: line for line in service("list").lines[1:]}
    assert {"ask", "count", "fail", "fulfil"} <= rows.keys()
    assert "plain" not in rows  # has no executions
    assert re.search(r"count +\d+ .*SUCCEEDED", rows["count"])
    told = [json.loads(line) for line in service("list", "--json").lines]
    assert {each["FunctionName"] for each in told} == rows.keys()


def test_a_closed_execution_is_deleted_and_its_name_is_free(service):
    arn = service.start("ask", "deleted")
    service.until(arn, "CallbackStarted")
    refused = service("delete", "ask/deleted")
    assert refused.code == Exit.REFUSED
    assert "RUNNING and cannot be deleted" in refused.err
    service("stop", "ask/deleted")
    assert service("delete", "ask/deleted").lines == ["deletion requested"]
    gone = service("show", "ask/deleted")
    assert gone.code == Exit.REFUSED
    assert "'durable-async list ask' shows its executions" in gone.err
    assert service.start("ask", "deleted", '{"another": "payload"}') != arn


def test_what_is_not_there_or_taken_is_refused_with_what_to_do(service):
    unknown = service("start", "nobody")
    assert "see durable-async list and show" in unknown.err
    service.start("ask", "taken")
    taken = service("start", "ask", "--name", "taken", "--input", '{"another": 1}')
    assert "give another --name, or the input with which it was started" in taken.err
    assert (unknown.code, taken.code) == (Exit.REFUSED, Exit.REFUSED)


@pytest.mark.parametrize(
    ("variables", "missing"),
    [({}, "no AWS region found."), ({"AWS_REGION": "us-east-1"}, "no AWS credentials found.")],
)
def test_without_a_service_the_ways_to_name_one_are_told(variables, missing):
    ended = durable_async("list", "fulfil", **variables)
    assert ended.code == Exit.UNREACHABLE
    for part in (missing, "--endpoint", "--store", "DURABLE_ASYNC_ENDPOINT", "AWS_PROFILE"):
        assert part in ended.err


def test_where_nobody_listens_it_is_asked_whether_it_runs():
    ended = durable_async("list", "fulfil", "--endpoint", "http://127.0.0.1:9")
    assert ended.code == Exit.UNREACHABLE
    assert "is it running there? Try durable-async doctor" in ended.err


def test_a_wrong_path_of_the_endpoint_is_named_as_such(uvicorn_url):
    ended = durable_async("list", "fulfil", "--endpoint", uvicorn_url)
    assert ended.code == Exit.UNREACHABLE
    assert f"there is no durable API at {uvicorn_url} (status 404): is it mounted under a path" in ended.err


@pytest.fixture
def uvicorn_url():
    """Of an application that has the API nowhere."""
    import threading
    import time

    import uvicorn

    server = uvicorn.Server(uvicorn.Config(FastAPI(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
def test_no_screen_is_too_narrow_for_a_status(service, columns):
    arn = service.start("ask_twice", f"narrow-{columns}")
    service.until(arn, "InvocationCompleted")
    _, written = on_a_terminal("show", arn, "--endpoint", service.url, columns=columns)
    table = visible(written)
    title = next(at for at, line in enumerate(table) if line.startswith("OPERATION"))
    assert all("STARTED" in line for line in table[title + 1 :] if line), "\n".join(table[title:])


def test_columns_are_dropped_by_their_rank_and_the_rest_is_shared():
    columns = (Column("NAME", cut=True), Column("TYPE", dropped=2), Column("STATUS"), Column("TRY", dropped=1))
    wanted = (40, 15, 9, 3)
    assert fitting(columns, wanted, 80) == [0, 1, 2, 3]
    assert fitting(columns, wanted, 42) == [0, 1, 2]
    assert fitting(columns, wanted, 30) == [0, 2]
    assert shared(columns, wanted, 60) == [25, 15, 9, 3]
    assert shared(columns, wanted, 100) == [40, 15, 9, 3]


def test_parts_that_the_library_made_are_folded_and_quick_steps_have_no_time(service):
    arn = service.start("ask_twice", "folded")
    service.until(arn, "CallbackStarted")
    assert "submitter" not in service("show", arn).out
    counted = service.start("count", "quick", "1")
    service.until(counted, "ExecutionSucceeded")
    step = next(line for line in service("show", counted).lines if line.startswith("step 0"))
    assert re.fullmatch(r"step 0 +Step +SUCCEEDED +1 +0", step)  # attempt 1, result 0


def test_the_trace_of_a_failed_run_stands_after_the_events():
    ended = durable_async("run", "workflows:fail", "--skip-time", traced=True)
    lines = ended.err.splitlines()
    events = [at for at, line in enumerate(lines) if re.match(r"\d+ +\d{4}-", line)]
    (failed,) = [at for at, line in enumerate(lines) if line.endswith(" failed")]
    trace = [at for at, line in enumerate(lines) if line.startswith("  File ")]
    assert trace and min(trace) > failed > max(events)
    assert lines[-1].startswith("FAILED")


def test_stop_says_what_is_not_run():
    assert "no compensation" in durable_async("stop", "--help").out


def test_an_endpoint_without_a_scheme_is_told_to_be_a_url():
    refused = durable_async("list", "--endpoint", "localhost:8700")
    assert refused.code == Exit.USAGE
    assert "the address of a service is a URL: write http://localhost:8700, not localhost:8700" in refused.err
