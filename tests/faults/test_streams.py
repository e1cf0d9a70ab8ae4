"""Output whose reader goes away, and terminals that know ASCII alone."""

import json
import os
import subprocess

import pytest

from durable_async.cli.exits import Exit
from tests.cli.command import COMMAND, HERE, durable_async, environment, on_a_terminal

TEXT = "Grüße 🎁 …"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """With an execution of some hundred events, and one whose input is in no ASCII."""
    store = tmp_path_factory.mktemp("streams") / "orders.db"
    for arguments in (
        ("workflows:count", "--name", "long", "--input", "150"),
        (
            "workflows:fulfil",
            "--name",
            "text",
            "--skip-time",
            "--input",
            json.dumps({"text": TEXT}, ensure_ascii=False),
        ),
    ):
        assert durable_async("run", *arguments, "--store", store, PYTHONUTF8="1").code == 0
    return store


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "count/long"),
        ("history", "count/long", "--full"),
        ("history", "count/long", "--json"),
        ("show", "count/long"),
        ("list", "count"),
        ("list",),
    ],
    ids=" ".join,
)
def test_a_reader_that_ends_first_is_no_failure_and_has_a_code_of_its_own(store, arguments):
    readable, writable = os.pipe()
    os.close(readable)
    try:
        ended = subprocess.run(
            [*COMMAND, *arguments, "--store", store],
            cwd=HERE,
            env=environment(),
            stdout=writable,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writable)
    assert (ended.returncode, ended.stderr) == (Exit.PIPE_CLOSED, "")


def test_help_is_quiet_too():
    readable, writable = os.pipe()
    os.close(readable)
    try:
        ended = subprocess.run(
            [*COMMAND, "--help"], env=environment(), stdout=writable, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writable)
    assert (ended.returncode, ended.stderr) == (Exit.PIPE_CLOSED, "")


@pytest.mark.parametrize("command", ["show", "history"])
def test_a_terminal_that_knows_ascii_alone_gets_ascii(store, command):
    arguments = (command, "fulfil/text", "--store", store)
    code, written = on_a_terminal(*arguments, columns=40, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert code == 0
    assert "Traceback" not in written
    assert "Gr\\u00fc\\u00dfe" in on_a_terminal(*arguments, columns=300, PYTHONUTF8="0", PYTHONIOENCODING="ascii")[1]


def test_json_on_a_narrow_stream_means_the_same(store):
    narrow = environment(PYTHONUTF8="0", PYTHONIOENCODING="latin-1")
    command = [*COMMAND, "show", "fulfil/text", "--json", "--store", store]
    told = json.loads(
        subprocess.run(command, cwd=HERE, env=narrow, capture_output=True, check=True).stdout.decode("latin-1")
    )
    assert json.loads(told["InputPayload"]) == {"text": TEXT}
    assert "ResponseMetadata" not in told  # what the client notes of HTTP is no part of the execution


def test_what_comes_in_is_utf8_whatever_the_locale():
    arguments = ("run", "workflows:fulfil", "--skip-time", "--json", "--input")
    given = json.dumps({"text": TEXT}, ensure_ascii=False)
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    for value, stdin in ((given, b""), ("-", given.encode())):
        ended = subprocess.run(
            [*COMMAND, *arguments, value],
            input=stdin,
            cwd=HERE,
            env=environment(**ascii_only),
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert json.loads(json.loads(ended.stdout)["InputPayload"]) == {"text": TEXT}
