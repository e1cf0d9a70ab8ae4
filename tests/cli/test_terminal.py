"""What a person sees: the same on a terminal, laid out and coloured."""

import re

import pytest

from .command import on_a_terminal

pytestmark = pytest.mark.skipif("sys.platform == 'win32'", reason="pseudo-terminals")

_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def visible(written):
    return [line.rstrip() for line in _CODES.sub("", written).replace("\r", "").splitlines()]


def test_run_shows_the_operations_and_then_the_history():
    code, written = on_a_terminal("run", "workflows:fulfil", "--history", "--skip-time")
    assert code == 0
    assert "\x1b[32mSUCCEEDED\x1b[0m" in written
    lines = visible(written)
    assert lines[-1].startswith("SUCCEEDED after 1")
    assert lines[-2] == "42"
    title = max(index for index, line in enumerate(lines) if "AFTER  EVENT" in line)
    history = lines[title + 1 : -2]
    assert history[0].split()[:3] == ["1", "0ms", "ExecutionStarted"]
    assert history[-1].split()[2:] == ["ExecutionSucceeded", "42"]
    before = lines[:title]
    assert any(re.match(r"cooling off +Wait +SUCCEEDED ", line) for line in before)
    assert any(re.match(r"    double +Step +SUCCEEDED +1 ", line) for line in before)
    assert "doubling 21\r\n" in written  # what the workflow prints stands above


def test_nothing_is_wider_than_the_screen(service):
    arn = service.start("fulfil", "narrow", '{"text": "' + "x" * 500 + '"}')
    service.until(arn, "ExecutionSucceeded")
    for command in ("history", "list"):
        code, written = on_a_terminal(command, arn if command == "history" else "fulfil", "--endpoint", service.url)
        assert code == 0
        assert all(len(line) <= 100 for line in visible(written))
    assert "…" in on_a_terminal("history", arn, "--endpoint", service.url)[1]
    full = "".join(visible(on_a_terminal("history", arn, "--full", "--endpoint", service.url)[1]))
    assert full.count("x") >= 500


def test_untrusted_text_moves_no_cursor(service):
    arn = service.start("fail", "on-a-terminal")
    service.until(arn, "ExecutionFailed")
    for command in ("history", "show"):
        _, written = on_a_terminal(command, arn, "--endpoint", service.url)
        assert "\\x1b[31morder\\n\\u202e" in written
        assert "\x1b[31morder" not in written
        assert "\u202e" not in written


def test_without_colours_where_nobody_wants_them(service):
    arn = service.start("count", "colourless", "1")
    service.until(arn, "ExecutionSucceeded")
    code, written = on_a_terminal("history", arn, "--follow", "--endpoint", service.url, NO_COLOR="1")
    assert code == 0
    assert "ExecutionSucceeded" in written
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", written)


def test_doctor(service):
    code, written = on_a_terminal("doctor", "--endpoint", service.url)
    assert code == 0
    assert "\x1b[32mok" in written
