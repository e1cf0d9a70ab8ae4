"""The commands that talk to a service, on one that runs."""

import json
import re
import signal
import subprocess
from datetime import datetime

import pytest

from durable_async.cli.exits import Exit

from .command import COMMAND, HERE, Ended, durable_async, environment, serving

NO_SUCH = "arn:aws:lambda:us-east-1:000000000000:function:ask:$LATEST/durable-execution/none/none"


@pytest.fixture(scope="module")
def done(service):
    """The ARN of an execution that succeeded."""
    arn = service.start("fulfil", "done")
    service.until(arn, "ExecutionSucceeded")
    return arn


@pytest.fixture(scope="module")
def failed(service, done):
    ended = service("start", "fail", "--name", "failed", "--wait")
    assert ended.code == Exit.FAILED
    assert ended.out == ""
    arn, verdict = ended.err.splitlines()
    assert re.fullmatch(r"FAILED after [12]\.?\d?s: LookupError: no such \\x1b\[31morder\\n\\u202e", verdict)
    return arn


def test_start_prints_the_arn_and_a_name_finds_it_again(service, done):
    assert re.fullmatch(r"arn:aws:lambda:\S+:function:fulfil:\$LATEST/durable-execution/done/\S+", done)
    assert service("start", "fulfil:$LATEST", "--name", "done").lines == [done]
    assert service("start", "fulfil", "--name", "done", "--json").json == {"DurableExecutionArn": done}


def test_start_and_wait_for_the_result(service, done):
    ended = service("start", "fulfil", "--name", "done", "--wait")
    assert (ended.code, ended.json) == (0, 42)
    assert ended.err.splitlines()[0] == done
    told = service("start", "fulfil", "--name", "done", "--wait", "--json").json
    assert (told["Status"], told["Result"]) == ("SUCCEEDED", "42")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["start", "fulfil", "--name", "done", "--input", "[1]"], Exit.REFUSED, "AlreadyStarted"),
        (["start", "plain"], Exit.REFUSED, "plain was invoked, but it is not durable"),
        (["list", "nobody"], Exit.REFUSED, "Function not found"),
        (["show", "fulfil/none"], Exit.REFUSED, "the function fulfil has no execution named none"),
        (["show", "none\x1b"], Exit.REFUSED, "'none\\x1b' is not an execution: give its ARN, or FUNCTION/NAME"),
        (["history", NO_SUCH], Exit.REFUSED, "Durable execution not found"),
        (["pause", "fulfil/done"], Exit.REFUSED, "ResourceConflictException"),
        (["callback", "heartbeat", "nonsense"], Exit.REFUSED, "Invalid callback id"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_refusal_is_one_line_and_a_code(service, done, arguments, code, message):
    ended = service(*arguments)
    assert (ended.code, ended.out) == (code, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_nobody_is_there():
    ended = durable_async("list", "f", "--endpoint", "http://127.0.0.1:9")
    assert ended.code == Exit.UNREACHABLE
    assert ended.err.startswith('Error: Could not connect to the endpoint URL: "http://127.0.0.1:9/')
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"), [([], "no AWS region"), (["--region", "eu-west-1"], "no AWS credentials")]
)
def test_aws_without_what_it_needs(arguments, message):
    ended = durable_async("list", "f", *arguments)
    assert ended.code == Exit.UNREACHABLE
    assert message in ended.err


def test_a_token():
    with serving("--token", "s3cret") as service:
        assert service("list", "fulfil", DURABLE_ASYNC_TOKEN="s3cret").code == 0
        ended = service("list", "fulfil", "--token", "other")
    assert ended.code == Exit.REFUSED
    assert "AccessDenied" in ended.err


def test_a_history_has_aligned_lines(service, done):
    title, *lines = service("history", "fulfil/done").lines
    assert title.split() == ["ID", "TIME", "EVENT", "NAME", "ABOUT"]
    assert [line.split()[0] for line in lines] == [str(number) for number in range(1, len(lines) + 1)]
    kinds = [line[title.index("EVENT") :].split()[0] for line in lines]
    assert kinds[0] == "ExecutionStarted"
    assert kinds[-1] == "ExecutionSucceeded"
    names = [line[title.index("NAME") : title.index("ABOUT")].rstrip() for line in lines]
    assert "each" in names and "    double" in names
    assert lines[-1].endswith(" 42")
    times = [datetime.fromisoformat(line[title.index("TIME") :].split()[0]) for line in lines]
    assert times == sorted(times) and times[0].tzinfo
    assert "\x1b" not in "".join(lines)


def test_a_history_as_json_is_the_apis_with_iso_times(service, done):
    events = [json.loads(line) for line in service("history", done, "--json").lines]
    assert [event["EventId"] for event in events] == [*range(1, len(events) + 1)]
    assert events[0]["ExecutionStartedDetails"]["Input"] == {"Payload": "{}", "Truncated": False}
    (wait,) = [event["WaitStartedDetails"] for event in events if event["EventType"] == "WaitStarted"]
    assert datetime.fromisoformat(wait["ScheduledEndTimestamp"]) > datetime.fromisoformat(events[0]["EventTimestamp"])


def test_a_history_backwards_and_without_data(service, done):
    events = [json.loads(line) for line in service("history", done, "--json", "--reverse", "--no-data").lines]
    assert events[0]["ExecutionSucceededDetails"] == {"Result": {"Truncated": True}}
    assert events[-1]["EventId"] == 1
    first = service("history", done, "--reverse", "--no-data").lines[1]
    assert first.endswith("ExecutionSucceeded")


def test_long_payloads_are_cut_unless_they_are_asked_for(service):
    payload = json.dumps({"text": "x" * 3000, "number": 1})
    arn = service.start("fulfil", "long", payload)
    for command in ("history", "show"):
        cut = service(command, arn).out
        assert payload[:50] in cut
        assert payload not in cut
        assert payload in service(command, arn, "--full").out


def test_following_ends_with_the_execution(service):
    arn = service.start("fulfil", "followed", '{"number": 5}')
    followed = service("history", arn, "--follow", "--json").lines
    assert json.loads(followed[-1])["EventType"] == "ExecutionSucceeded"
    assert followed == service("history", arn, "--json").lines


def test_more_than_a_page_is_read_to_its_end(service):
    arn = service.start("count", "pages", "600")
    for options in (["--follow"], []):
        events = [json.loads(line) for line in service("history", arn, "--json", *options).lines]
        assert [event["EventId"] for event in events] == [*range(1, 1204)]


def test_show_says_everything(service, done, failed):
    lines = service("show", "fulfil/done").lines
    fields = dict(line.split("  ", 1) for line in lines[: lines.index("")])
    assert fields["status"].strip() == "SUCCEEDED"
    assert fields["arn"].strip() == done
    assert fields["result"].strip() == "42"
    operations = lines[lines.index("") + 1 :]
    assert operations[0].split() == ["OPERATION", "TYPE", "STATUS", "ATTEMPT", "TIME", "ABOUT"]
    assert operations[-1].split()[:4] == ["last", "Step", "SUCCEEDED", "1"]
    shown = service("show", failed)
    assert "no such \\x1b[31morder\\n\\u202e" in shown.out
    assert "workflows.py" in shown.out
    assert "\x1b" not in shown.out


def test_show_as_json(service, failed):
    function_arn = failed.partition(":$LATEST")[0]
    told = service("show", f"{function_arn}/failed", "--json").json
    assert told["DurableExecutionArn"] == failed
    assert told["Status"] == "FAILED"
    assert told["Error"]["ErrorMessage"] == "no such \x1b[31morder\n\u202e"
    assert datetime.fromisoformat(told["EndTimestamp"])


def test_list_filters_and_pages(service, done, failed):
    for number in range(4):
        service.start("count", f"listed-{number}", str(number))
    title, *lines = service("list", "count", "--limit", "3").lines
    assert title.split() == ["STATUS", "STARTED", "TOOK", "NAME", "TAGS", "ARN"]
    assert [line.split()[3] for line in lines] == ["listed-3", "listed-2", "listed-1"]
    oldest = [json.loads(line) for line in service("list", "count", "--json", "--oldest-first", "--since", "1h").lines]
    assert [item["DurableExecutionName"] for item in oldest][-1] == "listed-3"
    assert service("list", "fail", "--status", "failed", "--name", "failed", "--json").json["Status"] == "FAILED"
    assert service("list", "fulfil", "--status", "STOPPED", "--until", "1h") == Ended(0, "", "")


def test_a_callback_is_answered_by_the_id_in_the_history(service):
    asked = service.start("ask", "asked")
    service.until(asked, "CallbackStarted")
    callback_id = re.search(r"CallbackStarted +approval +(\S+)", service("history", asked).out)[1]
    assert service("callback", "heartbeat", callback_id).lines == ["alive"]
    assert service("callback", "succeed", callback_id, "--text", "yes").lines == ["succeeded"]
    result = service.until(asked, "ExecutionSucceeded")["ExecutionSucceededDetails"]["Result"]
    assert json.loads(result["Payload"]) == "yes"
    assert service("callback", "succeed", callback_id).code == Exit.REFUSED


def test_a_callback_is_refused(service):
    asked = service.start("ask", "refused")
    callback_id = service.until(asked, "CallbackStarted")["CallbackStartedDetails"]["CallbackId"]
    assert service("callback", "fail", callback_id, "--type", "No", "--message", "too dear").lines == ["failed"]
    error = service.until(asked, "CallbackFailed")["CallbackFailedDetails"]["Error"]["Payload"]
    assert error == {"ErrorType": "No", "ErrorMessage": "too dear"}


def test_pausing_resuming_and_stopping(service):
    arn = service.start("fulfil", "held", '{"seconds": 600}')
    assert service("pause", "fulfil/held", "--reason", "strike").lines == ["pause requested"]
    assert re.search(r"\d strike$", service("show", arn).out, re.MULTILINE)
    assert service("resume", arn, "--json").json == {"DurableExecutionArn": arn}
    stopped = service("stop", "fulfil/held", "--error-type", "Fraud", "--error-message", "stolen")
    assert re.fullmatch(r"stopped at \S+\n", stopped.out)
    told = service("show", arn, "--json").json
    assert (told["Status"], told["Error"]) == ("STOPPED", {"ErrorType": "Fraud", "ErrorMessage": "stolen"})
    assert service("stop", arn, "--json").json["StopTimestamp"] == told["EndTimestamp"]


def test_stopping_what_has_ended_says_how_it_ended(service):
    arn = service.start("count", "ended", "1")
    service.until(arn, "ExecutionSucceeded")
    assert re.fullmatch(r"not stopped, because it was SUCCEEDED already, at \S+\n", service("stop", arn).out)


def test_ctrl_c_while_following(service):
    arn = service.start("fulfil", "endless", '{"seconds": 600}')
    process = subprocess.Popen(
        [*COMMAND, "history", arn, "--follow"],
        cwd=HERE,
        env=environment(DURABLE_ASYNC_ENDPOINT=service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while "WaitStarted" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == Exit.INTERRUPTED


def test_a_reader_that_goes_away_is_no_error(service, done):
    process = subprocess.Popen(
        [*COMMAND, "history", done, "--json"],
        cwd=HERE,
        env=environment(DURABLE_ASYNC_ENDPOINT=service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=20)
