"""``--store``: the file of a service that does not run, and of one that does."""

import json
import re
import sqlite3
import subprocess
from contextlib import contextmanager

import pytest

from durable_async.cli.exits import Exit

from .command import COMMAND, HERE, durable_async, environment


@contextmanager
def running(store, *arguments):
    """A process that has the store, waiting for something."""
    process = subprocess.Popen(
        [*COMMAND, "run", "--store", store, *arguments],
        cwd=HERE,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "InvocationCompleted" not in process.stderr.readline():
            pass
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """With one execution that is done, and one that waits for a callback."""
    store = tmp_path_factory.mktemp("store") / "orders.db"
    with running(store, "workflows:ask", "--name", "asked"):
        pass
    assert durable_async("run", "workflows:fulfil", "--store", store, "--name", "done", "--skip-time").code == 0
    return store


def test_it_is_read(store):
    assert durable_async("list", "fulfil", "--store", store).lines[1].split()[0] == "SUCCEEDED"
    assert durable_async("show", "fulfil/done", "--store", store, "--json").json["Result"] == "42"
    assert durable_async("history", "fulfil/done", "--store", store).lines[-1].endswith("42")
    refused = durable_async("list", "nobody", "--store", store)
    assert (refused.code, refused.out) == (Exit.REFUSED, "")


def test_reading_changes_nothing(store):
    before = store.read_bytes()
    assert durable_async("history", "ask/asked", "--store", store).code == 0
    assert store.read_bytes() == before


def test_a_callback_is_answered_while_nothing_runs_and_the_workflow_goes_on_later(store):
    callback_id = re.search(
        r"CallbackStarted +approval +(\S+)", durable_async("history", "ask/asked", "--store", store).out
    )
    ended = durable_async("callback", "succeed", callback_id[1], "--text", "yes", "--store", store)
    assert (ended.code, ended.out) == (0, "succeeded\n")
    assert durable_async("show", "ask/asked", "--store", store, "--json").json["Status"] == "RUNNING"
    went_on = durable_async("run", "workflows:ask", "--store", store, "--name", "asked")
    assert (went_on.code, went_on.json) == (0, "yes")


def test_a_store_in_use_is_read_and_not_written(tmp_path):
    store = tmp_path / "orders.db"
    with running(store, "workflows:hang", "--name", "one") as process:
        assert durable_async("list", "hang", "--store", store).lines[1].split()[0] == "RUNNING"
        ended = durable_async("stop", "hang/one", "--store", store)
        doctor = durable_async("doctor", "--store", store)
    assert ended.code == Exit.UNREACHABLE
    assert f"in use by process {process.pid}" in ended.err
    assert "--endpoint" in ended.err
    assert f"ok    writer      process {process.pid}" in doctor.lines
    assert "ok    open        hang (1): they continue where these functions are registered" in doctor.lines
    assert durable_async("stop", "hang/one", "--store", store).code == 0
    assert durable_async("show", "hang/one", "--store", store, "--json").json["Status"] == "STOPPED"


def test_doctor_on_a_store_that_is_well(store):
    ended = durable_async("doctor", "--store", store, "--json")
    found = {each["subject"]: each for each in map(json.loads, ended.lines)}
    assert ended.code == 0
    assert {each["health"] for each in found.values()} == {"ok"}
    assert found["integrity"]["found"] == "ok"
    assert found["writer"]["found"] == "none"
    assert re.fullmatch(r"(\d [A-Z]+(, )?)+", found["executions"]["found"])


def test_doctor_names_what_is_in_quarantine(store, tmp_path):
    copy = tmp_path / "copy.db"
    with sqlite3.connect(store) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute(
            "UPDATE executions SET status = 'PAUSED', ended_ms = NULL, pause_reason = ?", (b"Quarantined: x",)
        )
    source.close(), target.close()
    ended = durable_async("doctor", "--store", copy)
    (line,) = [line for line in ended.lines if "quarantine" in line]
    assert line.startswith("warn  quarantine  ask/asked, fulfil/done: ")
    assert ended.code == 0


def test_doctor_on_a_damaged_store(store, tmp_path):
    damaged = tmp_path / "damaged.db"
    content = bytearray(store.read_bytes())
    content[4096 * 2 :: 7] = b"x" * len(content[4096 * 2 :: 7])
    damaged.write_bytes(content)
    ended = durable_async("doctor", "--store", damaged)
    assert ended.code == Exit.FAILED
    assert re.search(r"^fail  (store|integrity) ", ended.out, re.MULTILINE)
