"""Every command has help, examples that parse, and a place in the reference."""

import re
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from durable_async.cli.commands import Commands, durable_async
from durable_async.cli.exits import Exit
from tests.docs.pages import DOCS

from .command import COMMAND, environment

REFERENCE = DOCS / "reference" / "cli.md"


def commands(group=durable_async, path=()):
    """(name, command) of each, and of those in groups."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())
OURS = {name: command for name, command in ALL.items() if name not in ("serve", "replay", "callback")}


@pytest.mark.parametrize("name", ALL)
def test_each_has_help_for_itself_and_its_options(name):
    assert ALL[name].help
    for parameter in ALL[name].params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


@pytest.mark.parametrize("name", ALL)
def test_each_stands_in_the_reference(name):
    assert f"durable-async {name}" in re.findall(r"^#+ `(.*)`$", REFERENCE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ALL)
def test_each_option_stands_in_the_reference(name):
    page = REFERENCE.read_text()
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert f"`{max(parameter.opts, key=len)}" in page, parameter.name


@pytest.mark.parametrize("name", OURS)
def test_each_has_examples_that_parse(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("order.json", "orders.db", "token.txt"):
        (tmp_path / file).write_text("{}")
    assert ALL[name].examples
    for example in ALL[name].examples:
        ours, *_ = re.split(r" [|>] ", example)
        words = shlex.split(ours)[len(name.split()) :]
        assert example.startswith(name)
        assert ALL[name].make_context(name, words)


def test_help_shows_the_examples():
    shown = CliRunner().invoke(durable_async, ["history", "--help"], prog_name="durable-async").output
    assert "  durable-async history fulfil/order-1017 --follow\n" in shown


@pytest.mark.parametrize("name", [name for name in ALL if " " not in name])
def test_the_list_says_what_the_commands_say_of_themselves(name):
    shown = CliRunner().invoke(durable_async, ["--help"], terminal_width=200).output
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == [name]]
    first_word = line.split()[1]
    assert ALL[name].help.startswith(first_word)


def test_all_exit_codes_are_told():
    shown = CliRunner().invoke(durable_async, ["--help"]).output
    for code in Exit:
        assert re.search(rf"^  {int(code)} ", shown, re.MULTILINE)
        assert f"| {int(code)} |" in REFERENCE.read_text()


def test_an_unknown_command_is_a_usage_error():
    ended = CliRunner().invoke(durable_async, ["no-such"])
    assert ended.exit_code == Exit.USAGE
    assert "no-such" in ended.output


def test_the_group_finds_no_command_that_is_none():
    assert Commands().get_command(click.Context(durable_async), "x") is None


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("durable_async(['--help'], standalone_mode=False)", {"durable_async.service"}),
        ("durable_async(['history', '--help'], standalone_mode=False)", {"durable_async.service.runtime.api"}),
        (
            "[durable_async.get_command(None, name) for name in ('list', 'callback', 'show')]",
            {"durable_async.embedded"},
        ),
    ],
)
def test_what_nobody_needs_is_not_imported(statement, unwanted):
    unwanted = unwanted | {"aiohttp", "aiobotocore", "botocore", "rich", "sqlite3"}
    code = (
        "import sys\n"
        "from durable_async.cli.commands import durable_async\n"
        f"{statement}\n"
        f"print('loaded:', *sorted({unwanted} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize(
    ("instruction", "words", "expected"),
    [
        ("bash_source", "", "_DURABLE_ASYNC_COMPLETE=bash_complete"),
        ("bash_complete", "durable-async hi", "plain,history"),
    ],
)
def test_a_shell_can_complete(instruction, words, expected):
    variables = environment(_DURABLE_ASYNC_COMPLETE=instruction, COMP_WORDS=words, COMP_CWORD="1")
    ended = subprocess.run(COMMAND, env=variables, capture_output=True, text=True, check=False, timeout=30)
    assert expected in ended.stdout
