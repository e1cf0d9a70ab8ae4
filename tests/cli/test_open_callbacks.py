"""Callbacks that are open: shown whole, and answered by the execution's name and their own."""

import json
import re
import shlex
import subprocess

import pytest

from durable_async.cli.exits import Exit

from .command import COMMAND, HERE, durable_async, environment, on_a_terminal


@pytest.fixture
def asked(service, request):
    name = re.sub(r"\W", "-", request.node.name)[:60]
    arn = service.start("ask_twice", name)
    while len(ids(service, arn)) < 2:
        pass
    return f"ask_twice/{name}"


def ids(service, execution):
    lines = service("show", execution).lines
    return [lines[at + 1] for at, line in enumerate(lines) if re.fullmatch(r"callback \w+ is open; its id:", line)]


def test_show_prints_their_ids_whole_also_on_a_terminal(service, asked):
    _, written = on_a_terminal("show", asked, "--endpoint", service.url, columns=60)
    for callback_id in ids(service, asked):
        assert len(callback_id) > 60
        assert f"\r\n{callback_id}\r\n" in written


def test_they_are_answered_by_name(service, asked):
    assert service("callback", "heartbeat", asked, "buyer").lines == ["alive"]
    assert service("callback", "succeed", asked, "buyer", "--text", "yes").lines == ["succeeded"]
    assert service("callback", "succeed", asked, "--text", "I too").lines == ["succeeded"]  # the only one left
    service.until(
        service("list", "ask_twice", "--name", asked.partition("/")[2], "--json").json["DurableExecutionArn"],
        "ExecutionSucceeded",
    )
    assert json.loads(service("show", asked, "--json").json["Result"]) == ["yes", "I too"]
    refused = service("callback", "succeed", asked)
    assert refused.code == Exit.REFUSED
    assert "has no open callback" in refused.err


def test_they_are_answered_by_id(service, asked):
    first, second = ids(service, asked)
    assert service("callback", "fail", first, "--type", "No").lines == ["failed"]
    assert ids(service, asked) in ([second], [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ([], "has 2 open callbacks (buyer, seller): give the name of one"),
        (["nobody"], "has no open callback named nobody; open are: buyer, seller"),
    ],
)
def test_which_one_is_meant_must_be_clear(service, asked, name, message):
    refused = service("callback", "succeed", asked, *name)
    assert (refused.code, refused.out) == (Exit.REFUSED, "")
    assert message in refused.err


def test_run_says_how_to_answer_and_goes_on(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "run", "workflows:ask", "--store", str(tmp_path / "orders.db")],
        cwd=HERE,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (found := re.search(r"Answer it from another shell: durable-async (.*)", process.stderr.readline())):
        assert process.poll() is None
    assert durable_async(*shlex.split(found[1])).lines == ["succeeded"]
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, '"yes"\n'), err


def test_what_is_refused_on_a_store_that_nobody_runs_leaves_no_trace(tmp_path):
    store = tmp_path / "orders.db"
    process = subprocess.Popen(
        [*COMMAND, "run", "workflows:ask", "--store", store, "--name", "one"],
        cwd=HERE,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "InvocationCompleted" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.communicate()

    def history():
        return [line.split()[2] for line in durable_async("history", "ask/one", "--store", store).lines[1:]]

    before = history()
    assert durable_async("callback", "succeed", "ask/one", "--text", "yes", "--store", store).code == 0
    answered = history()
    assert answered == [*before, "CallbackSucceeded"]
    for _ in range(2):
        assert durable_async("callback", "heartbeat", "ask/one", "approval", "--store", store).code == Exit.REFUSED
    assert history() == answered
    ended = durable_async("run", "workflows:ask", "--store", store, "--name", "one")
    assert (ended.code, ended.out) == (0, '"yes"\n')
