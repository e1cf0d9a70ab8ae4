"""``durable-async replay``, on histories from wherever they come."""

import asyncio
import json
import os
import shlex
from pathlib import Path

import pytest

from durable_async.cli.replay import replay_history
from durable_async.embedded import DurableService

from . import workflows
from .command import durable_async, on_a_terminal


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A store with an execution in it, and its history as JSON lines."""
    store = tmp_path_factory.mktemp("replay") / "orders.db"
    ended = durable_async("run", "workflows:fulfil", "--store", store, "--name", "order-1017", "--skip-time")
    assert ended.code == 0, ended.err
    history = durable_async("history", "fulfil/order-1017", "--store", store, "--json")
    return store, history.out


def test_of_a_store(recorded):
    store, _ = recorded
    ended = durable_async("replay", "workflows:fulfil", "--execution", "fulfil/order-1017", "--store", store)
    assert ended.code == 0, ended.err
    assert ended.lines == ["replays: the same operations, the same end", "on record: 7 operations, reached: 3"]
    assert "doubling" not in ended.out + ended.err


def test_of_what_history_prints(recorded, tmp_path):
    _, history = recorded
    file = tmp_path / "order-1017.jsonl"
    file.write_text(history)
    for arguments, stdin in [((file,), ""), (("-",), history)]:
        ended = durable_async("replay", "workflows:fulfil", *arguments, stdin=stdin)
        assert (ended.code, ended.lines[0]) == (0, "replays: the same operations, the same end"), ended.err


def test_of_what_the_aws_cli_prints(recorded):
    events = [json.loads(line) for line in recorded[1].splitlines()]
    printed = json.dumps({"Events": events}, indent=4)
    assert durable_async("replay", "workflows:fulfil", "-", stdin=printed).code == 0


def test_of_a_service(service):
    arn = service.start("ask", "replayed")
    service.until(arn, "InvocationCompleted")
    ended = service("replay", "workflows:ask", "--execution", arn)
    assert (ended.code, ended.lines) == (
        0,
        ["continues", "on record: 1 operations, reached: 1", "waiting: Callback 'approval'"],
    )


def test_other_code_exits_with_1(recorded):
    ended = durable_async("replay", "workflows:ask", "-", stdin=recorded[1])
    assert ended.code == 1
    assert ended.lines[0].startswith("diverges: workflows.py:")
    assert "the code calls Callback 'approval', but Map 'each' is recorded in its place" in ended.lines[0]


def test_json(recorded):
    store, history = recorded
    shown = durable_async("replay", "workflows:ask", "-", "--json", stdin=history)
    assert (shown.code, shown.json["Finding"], shown.json["Passed"]) == (1, "Diverges", False)
    assert shown.json["Requested"] == {"Type": "CALLBACK", "SubType": "Callback", "Name": "approval"}
    fetched = durable_async(
        "replay", "workflows:fulfil", "--execution", "fulfil/order-1017", "--store", store, "--json"
    )
    assert fetched.json["Finding"] == "Replays"
    assert "/durable-execution/order-1017/" in fetched.json["DurableExecutionArn"]


def test_the_arn_is_checked(recorded):
    ended = durable_async("replay", "workflows:fulfil", "-", "--arn", "a/durable-execution/b/c", stdin=recorded[1])
    assert ended.code == 2
    assert "not of a/durable-execution/b/c" in ended.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "complaint"),
    [
        pytest.param([], "", "give either a HISTORY, --execution or --open", id="neither"),
        pytest.param(["-", "--execution", "a/b"], "[]", "give either a HISTORY, --execution or --open", id="both"),
        pytest.param(["--execution", "a/b", "--arn", "c"], "", "--arn is for a HISTORY", id="two names"),
        pytest.param(["-"], "a history", "the history is not JSON", id="no JSON"),
        pytest.param(["-"], "{}", "is not a list of JSON objects", id="no history"),
        pytest.param(["no-such-file.json"], "", "no-such-file.json", id="no file"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments, stdin, complaint):
    ended = durable_async("replay", "workflows:fulfil", *arguments, stdin=stdin)
    assert (ended.code, ended.out) == (2, "")
    assert complaint in ended.err


def test_a_history_without_data_is_refused(service):
    arn = service.start("count", "without-data", "1")
    service.until(arn, "ExecutionSucceeded")
    history = service("history", arn, "--json", "--no-data").out
    ended = durable_async("replay", "workflows:count", "-", stdin=history)
    assert ended.code == 2
    assert "IncludeExecutionData" in ended.err


def test_an_unknown_execution_is_refused(service):
    assert service("replay", "workflows:ask", "--execution", "ask/no-such").code == 3


def test_what_is_recorded_cannot_change_the_terminal(recorded, service):
    arn = service.start("fail", "coloured")
    service.until(arn, "ExecutionFailed")
    history = service("history", arn, "--json").out
    ended = durable_async("replay", "workflows:hang", "-", stdin=history)
    assert ended.code == 1
    assert "\x1b" not in ended.out


def test_on_a_terminal_the_finding_has_a_colour(recorded):
    store, _ = recorded
    code, written = on_a_terminal("replay", "workflows:fulfil", "--execution", "fulfil/order-1017", "--store", store)
    assert code == 0
    assert "\x1b[32mreplays\x1b[0m" in written


def test_the_examples_parse(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "order-1017.json").write_text("[]")
    for example in replay_history.examples:
        _, _, words = example.rpartition("replay ")
        with replay_history.make_context("replay", shlex.split(words)) as context:
            assert context.params["handler"] == "orders:fulfil"


@pytest.fixture(scope="module")
def open_orders(tmp_path_factory):
    """A store with three open executions of ``ask``."""
    file = tmp_path_factory.mktemp("open") / "orders.db"

    async def fill():
        async with DurableService(file) as service:
            service.register(workflows.ask)
            for number in range(3):
                await service.start(workflows.ask, {}, name=f"order-{number}")
            await service.api.idle()

    asyncio.run(fill())
    return file


def test_every_open_execution_of_the_handlers_of_a_module_is_replayed(open_orders):
    ended = durable_async("replay", "workflows", "--open", "--store", open_orders)
    assert ended.code == 0, ended.err
    assert ended.lines[-1] == "3 open executions replayed, 0 would break"
    assert ended.lines[0].startswith("not known to the service: ")
    assert "fulfil" in ended.lines[0]


def test_the_open_executions_of_a_file_are_replayed_without_a_call_over_http(open_orders, tmp_path):
    (tmp_path / "aiobotocore.py").write_text("raise RuntimeError('a call is about to be made')")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    ended = durable_async("replay", "workflows:ask", "--open", "--store", open_orders, PYTHONPATH=path)
    assert ended.code == 0, ended.err
    assert ended.lines[-1] == "3 open executions replayed, 0 would break"


def test_a_function_that_the_service_does_not_know_is_refused_if_it_is_named(open_orders):
    ended = durable_async("replay", "workflows:fulfil", "--open", "--store", open_orders)
    assert ended.code == 3
    assert "has no function fulfil" in ended.err


def test_the_open_executions_that_would_break_are_listed_and_the_exit_code_is_1(open_orders):
    ended = durable_async("replay", "workflows:count", "--open", "--function", "ask", "--store", open_orders)
    assert ended.code == 1
    assert ended.lines[-1] == "3 open executions replayed, 3 would break"
    assert [line.split()[:2] for line in ended.lines[1:4]] == [["ask", f"order-{number}"] for number in (2, 1, 0)]
    assert all("fails at once: durable_async.errors.EventError" in line for line in ended.lines[1:4])
    shown = durable_async(
        "replay", "workflows:ask_twice", "--open", "--function", "ask", "--store", open_orders, "--json"
    )
    assert shown.code == 1
    assert (shown.json["Passed"], shown.json["Replayed"]) == (False, {"ask": 3})
    assert {each["Finding"] for each in shown.json["Broken"]} == {"Skips"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("workflows:ask", "--open", "--execution", "ask/x"), "give either a HISTORY, --execution or --open"),
        (("workflows:ask", "--execution", "ask/x", "--function", "y"), "--function is for --open"),
        (("workflows", "--open", "--function", "y"), "--function names the function of one handler"),
        (("workflows:ask", "--open", "--arn", "y"), "--open finds the executions itself"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, complaint):
    ended = durable_async("replay", *arguments)
    assert ended.code == 2
    assert complaint in " ".join(ended.err.split())
