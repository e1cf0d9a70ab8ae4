"""The same done to many executions, which filters choose."""

import json
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest

from durable_async.cli.exits import Exit

from .command import durable_async, on_a_terminal, serving
from .test_terminal import visible


def ask(service, method, path, headers=None):
    """What the API answers, without a process for it."""
    request = Request(service.url + path, b"{}" if method == "POST" else None, headers or {}, method=method)
    with urlopen(request) as response:
        return response.headers, response.read()


@pytest.fixture
def orders(service):
    """Return a function that starts executions which wait for an answer, and returns the tag that they have."""
    name = f"bulk-{uuid4().hex[:8]}"

    def start(count):
        for number in range(count):
            headers = {
                "X-Amz-Invocation-Type": "Event",
                "X-Amz-Durable-Execution-Name": f"{name}-{number}",
                "X-Durable-Execution-Tags": f"test={name}&n={number}",
            }
            started, _ = ask(service, "POST", "/2015-03-31/functions/ask:$LATEST/invocations", headers)
            service.until(started["X-Amz-Durable-Execution-Arn"], "CallbackStarted")
        return f"test={name}"

    yield start
    for function in service.client.list_durable_executions_by_function(FunctionName="ask")["DurableExecutions"]:
        if name in function["DurableExecutionName"]:
            service.client.stop_durable_execution(DurableExecutionArn=function["DurableExecutionArn"])


def counted(service, tag):
    _, body = ask(service, "GET", f"/2025-12-01/durable-execution-counts?Tags={tag}")
    return {each["FunctionName"]: each["Executions"] for each in json.loads(body)["Functions"]}


def test_what_filters_choose_is_stopped_and_deleted(service, orders):
    tag = orders(3)
    assert counted(service, tag) == {"ask": {"RUNNING": 3}}
    stopped = service("stop", "--tag", tag, "--tag", "n=1", "--yes")
    assert stopped.lines == ["stopped: 1"]
    assert counted(service, tag) == {"ask": {"RUNNING": 2, "STOPPED": 1}}
    each = [json.loads(line) for line in service("stop", "--tag", tag, "--yes", "--json").lines]
    assert [told["Error"] for told in each] == [None, None]
    assert service("delete", "--function", "ask", "--tag", tag, "--yes").lines == ["deletion requested: 3"]
    assert counted(service, tag) == {}


def test_nothing_is_changed_without_a_yes(service, orders):
    tag = orders(2)
    preview = service("cancel", "--tag", tag, "--dry-run")
    assert [line.split()[0] for line in preview.lines] == ["FUNCTION", "ask", "ask"]
    asked = service("cancel", "--tag", tag)
    assert asked.code == Exit.USAGE
    assert "2 executions are chosen: give --yes to cancel them without a question" in asked.err
    assert counted(service, tag) == {"ask": {"RUNNING": 2}}


def test_on_a_terminal_the_question_shows_what_is_chosen(service, orders):
    tag = orders(2)
    code, written = on_a_terminal("stop", "--tag", tag, "--endpoint", service.url, typed="n\n")
    assert code == Exit.FAILED
    assert "stop these 2 executions? [y/N]" in "\n".join(visible(written))
    assert counted(service, tag) == {"ask": {"RUNNING": 2}}
    code, written = on_a_terminal("stop", "--tag", tag, "--endpoint", service.url, typed="y\n")
    assert code == Exit.OK
    assert "stopped: 2" in "\n".join(visible(written))
    assert "100%" in written
    assert counted(service, tag) == {"ask": {"STOPPED": 2}}


def test_what_the_service_refuses_is_named_and_the_rest_is_done(service, orders):
    tag = orders(2)
    assert service("redrive", "--tag", tag, "--yes").lines == ["no execution fits"]  # both are open
    service("stop", "--tag", tag, "--yes")
    redriven = service("redrive", "--tag", tag, "--from", "nothing", "--yes")
    assert redriven.code == Exit.FAILED
    assert redriven.lines == ["redriven: 0, refused: 2"]
    assert redriven.err.count("has no operation with the id or the name 'nothing'") == 2


def test_a_choice_that_makes_no_sense_is_a_usage_error(service):
    assert "give an EXECUTION, or choose executions" in service("stop").err
    assert "exclude each other" in service("stop", "ask/a", "--status", "RUNNING").err
    assert "delete is not possible for RUNNING" in service("delete", "--status", "RUNNING", "--yes").err
    assert "AWS Lambda cannot filter by it" in durable_async("list", "--tag", "a=b").err
    assert "AWS Lambda has no tags" in durable_async("start", "ask", "--tag", "a=b").err


def test_executions_of_all_functions_are_listed_with_their_tags(service, orders):
    tag = orders(2)
    name = tag.partition("=")[2]
    other = service("start", "count", "--input", "1", "--tag", tag, "--tag", "a=b c").lines[0]
    service.until(other, "ExecutionSucceeded")
    listed = service("list", "--tag", tag).lines
    assert [line.split()[0] for line in listed] == ["FUNCTION", "count", "ask", "ask"]
    assert f"{tag} a=b c" in listed[1]
    assert f"tags       {tag} a=b c" in service("show", other).out
    assert len(service("list", "ask", "--name-prefix", name, "--limit", "1").lines) == 2
    told = service("list", "--count", "--name-prefix", name, "--json").json
    assert told == {"FunctionName": "ask", "Executions": {"RUNNING": 2}, "Complete": True}


def test_a_file_of_a_service_that_is_not_running_is_worked_on_too(tmp_path):
    with serving("--store", str(tmp_path / "orders.db")) as service:
        for number in range(3):
            service.until(service.start("ask", f"order-{number}"), "CallbackStarted")
    store = ("--store", tmp_path / "orders.db")
    assert durable_async("list", *store).lines[1].split() == ["ask", "3", "3", "RUNNING"]
    assert durable_async("stop", "--function", "ask", "--yes", *store).lines == ["stopped: 3"]
    assert durable_async("delete", "--name-prefix", "order-", "--yes", *store).lines == ["deletion requested: 3"]
    assert durable_async("list", *store).lines == []
