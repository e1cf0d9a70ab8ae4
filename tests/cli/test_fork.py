"""Executions with the record of another: of a service, or of an exported history."""

import json

import pytest

from durable_async.cli.exits import Exit

from .command import durable_async


@pytest.fixture(scope="module")
def ended(service):
    """An execution that has succeeded, and the file of its history."""
    arn = service.start("fulfil", "forked", '{"seconds": 1, "number": 4}')
    service.until(arn, "ExecutionSucceeded")
    return arn


def test_an_execution_is_forked_with_another_event(service, ended):
    forked = service("fork", "fulfil/forked", "--before", "last", "--name", "again", "--input", '{"number": 5}')
    arn = forked.lines[0]
    assert "/durable-execution/again/" in arn
    closed = service.until(arn, "ExecutionSucceeded")
    assert closed["ExecutionSucceededDetails"]["Result"]["Payload"] == "10"
    events = [json.loads(line) for line in service("history", arn, "--json").lines]
    assert [event["Name"] for event in events if event["EventType"] == "StepStarted"].count("last") == 1
    assert service("fork", ended, "--before", "nothing").code == Exit.REFUSED


def test_an_exported_history_is_continued_in_a_service_and_in_this_process(service, ended, tmp_path):
    file = tmp_path / "history.json"
    file.write_text(service("history", ended, "--json").out)
    forked = service("fork", "--history", file, "--function", "fulfil", "--replace", "last=7", "--json")
    closed = service.until(forked.json["DurableExecutionArn"], "ExecutionSucceeded")
    assert closed["ExecutionSucceededDetails"]["Result"]["Payload"] == "7"
    (tmp_path / "result.json").write_text("9")
    ran = durable_async("run", "workflows:fulfil", "--fork", file, "--replace", f"last={tmp_path / 'result.json'}")
    assert ran.out == "9\n"
    assert "doubling" not in ran.err
    ran = durable_async("run", "workflows:fulfil", "--fork", file, "--before", "last", "--input", '{"number": 1}')
    assert (ran.out, ran.err.count("doubling")) == ("2\n", 1)


def test_what_makes_no_sense_is_a_usage_error(tmp_path):
    assert "give either an EXECUTION or --history" in durable_async("fork").err
    file = tmp_path / "history.json"
    file.write_text("[]")
    assert "belong together" in durable_async("fork", "--history", file).err
    assert "are for --fork" in durable_async("run", "workflows:fulfil", "--before", "last").err
    assert "give OPERATION=JSON" in durable_async("fork", "a/b", "--replace", "last").err
