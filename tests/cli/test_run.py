"""``run``: a workflow in one process, from input to result."""

import json
import re
import signal
import subprocess
import sys
from datetime import datetime

import pytest
from click.testing import CliRunner

from durable_async.cli.commands import durable_async as durable_async_command
from durable_async.cli.exits import Exit

from .command import COMMAND, HERE, durable_async, environment


def test_the_result_is_on_stdout_and_the_rest_on_stderr():
    ended = durable_async("run", "workflows:fulfil", "--input", '{"number": 4}', "--skip-time")
    assert (ended.code, ended.out) == (0, "8\n")
    *lines, verdict = ended.err.splitlines()
    assert ["ID", "TIME", "EVENT", "NAME", "ABOUT"] in [line.split() for line in lines]
    assert verdict.startswith("SUCCEEDED after 1")
    assert "doubling 4" in lines  # what the workflow prints
    events = [line.split()[2] for line in lines if line[0].isdigit()]
    assert events[0] == "ExecutionStarted"
    assert events[-1] == "ExecutionSucceeded"
    assert "\x1b" not in ended.err


def test_a_month_takes_no_time_and_the_other_handlers_are_there():
    ended = durable_async("run", "workflows.py:sleep_long", "--skip-time", "--history", "--json")
    told = ended.json
    assert (told["Status"], told["Result"]) == ("SUCCEEDED", '"awake"')
    assert (datetime.fromisoformat(told["EndTimestamp"]) - datetime.fromisoformat(told["StartTimestamp"])).days == 30
    kinds = [event["EventType"] for event in told["Events"]]
    assert kinds[-1] == "ExecutionSucceeded"
    assert "ChainedInvokeSucceeded" in kinds


def test_time_passes_unless_it_is_skipped():
    ended = durable_async("run", "workflows:fulfil")
    assert ended.out == "42\n"
    times = [datetime.fromisoformat(line.split()[1]) for line in ended.err.splitlines() if line[0].isdigit()]
    assert (times[-1] - times[0]).total_seconds() >= 1


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        (["workflows:fail", "--skip-time"], "FAILED after 1s: LookupError: no such \\x1b[31morder\\n\\u202e"),
        (["workflows:fulfil", "--skip-time", "--timeout", "1", "--input", '{"seconds": 5}'], "TIMED_OUT after 1s"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_without_a_result_the_exit_code_says_so(arguments, verdict):
    ended = durable_async("run", *arguments, traced=True)
    assert (ended.code, ended.out) == (Exit.FAILED, "")
    assert ended.err.splitlines()[-1].startswith(verdict)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("workflows:nothing", "workflows has no nothing; its handlers: ask, ask_twice, be_killed_once, "),
        ("workflows", "say which handler of workflows: ask, "),
        ("workflows:not_a_handler", "make it one with @durable_execution"),
        ("no_such.module:f", "there is no module no_such.module"),
        ("broken.py:f", "broken.py cannot be imported: ZeroDivisionError"),
        ("missing.py:f", "missing.py cannot be imported: ModuleNotFoundError"),
    ],
)
def test_which_handler_is_meant(place, message, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("workflow = 1 / 0\n")
    (tmp_path / "missing.py").write_text("import no_such_module\n")
    monkeypatch.chdir(tmp_path if ".py" in place else HERE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    ended = CliRunner().invoke(durable_async_command, ["run", place])
    assert ended.exit_code == Exit.USAGE
    assert message in " ".join(ended.output.split())


def test_the_only_handler_of_a_module_need_not_be_named(tmp_path):
    (tmp_path / "only.py").write_text(
        "from durable_async import durable_execution\n@durable_execution\nasync def f(event, ctx): return event\n"
    )
    assert durable_async("run", "only", "--input", "[1]", cwd=tmp_path).json == [1]


def test_it_goes_on_where_it_was_killed(tmp_path):
    store, mark = tmp_path / "orders.db", tmp_path / "mark"
    command = ["run", "workflows:be_killed_once", "--store", store, "--name", "one", "--input", json.dumps(str(mark))]
    assert durable_async(*command).code == -signal.SIGKILL
    ended = durable_async(*command, "--json", "--history")
    assert (ended.code, ended.json["Result"]) == (0, '"after"')
    started = [event["Name"] for event in ended.json["Events"] if event["EventType"] == "StepStarted"]
    assert sorted(started) == ["after", "before"]  # and not before twice
    again = durable_async(*command[:-1], "[]")
    assert again.code == Exit.REFUSED
    assert "another payload" in again.err


def test_ctrl_c_ends_it_and_leaves_the_execution_in_its_store(tmp_path):
    store = tmp_path / "orders.db"
    process = subprocess.Popen(
        [*COMMAND, "run", "workflows:hang", "--store", store, "--name", "one"],
        cwd=HERE,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "WaitStarted" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (Exit.INTERRUPTED, "")
    assert "Traceback" not in err
    assert durable_async("show", "hang/one", "--store", store, "--json").json["Status"] == "RUNNING"


def test_an_execution_in_quarantine_is_not_waited_for():
    ended = durable_async("run", "workflows:crash", "--skip-time", "--json")
    assert (ended.code, ended.json["Status"]) == (Exit.FAILED, "PAUSED")
    assert "Quarantined: the handler crashed" in ended.err.splitlines()[-1]


def test_a_handler_that_always_raises_is_not_tried_for_ever():
    ended = durable_async("run", "workflows:give_up", "--skip-time")
    assert ended.code == Exit.FAILED
    assert re.fullmatch(
        r"FAILED after \d+m\d\ds: LookupError: no such \\x1b\[31mconfiguration", ended.err.splitlines()[-1]
    )


def test_a_store_that_is_none(tmp_path):
    file = tmp_path / "orders.txt"
    file.write_text("lamp, bulb\n" * 100)
    ended = durable_async("run", "workflows:hang", "--store", file)
    assert ended.code == Exit.UNREACHABLE
    assert f"{file} is not an SQLite file" in ended.err
    assert file.stat().st_size == 1100
