"""What a command line may say, and what it may not."""

import pytest
from click.testing import CliRunner

from durable_async.cli import connect
from durable_async.cli.commands import durable_async
from durable_async.cli.exits import Exit
from durable_async.cli.running import CommandRunner
from durable_async.client import DurableClient
from durable_async.client.connection import Endpoint


@pytest.fixture
def parse(monkeypatch):
    """The exit code and output of a command line, with nothing done; and what would have been called."""
    calls = []

    def run(command):
        calls.append({**command.cr_frame.f_locals})
        command.close()
        return Exit.OK

    for name in ("DURABLE_ASYNC_ENDPOINT", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL", "DURABLE_ASYNC_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def parse(*arguments, stdin=None, **variables):
        ended = CliRunner().invoke(durable_async, arguments, input=stdin, env=variables, obj=CommandRunner(run))
        return ended.exit_code, ended.output, calls[-1] if calls else None

    return parse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start"], "Missing argument 'FUNCTION'"),
        (["start", "f", "--input", "{not json"], "neither JSON ("),
        (["start", "f", "--input", "NaN"], "NaN is not JSON"),
        (["start", "f", "--input", "no-such-file.json"], "nor a JSON file"),
        (["start", "f", "--input", "."], "nor a file that can be read"),
        (["start", "f", "--input", "a\0b"], "nor a JSON file"),
        (["start", "f", "--input", "[" * 100_000], "nested too deeply"),
        (["fork", "f/n", "--replace", "s=" + "[" * 100_000], "nested too deeply"),
        (["replay", "counted.py", "binary"], "the history is not UTF-8 text"),
        (["replay", "counted.py", "deep.json"], "the history is not JSON: it is nested too deeply"),
        (["fork", "--history", "binary", "--function", "f"], "the history is not UTF-8 text"),
        (["run", "a:b", "--store", "file:orders.db"], "is a URI. Give the plain path of a file"),
        (["serve", "a:b", "--store", "file:orders.db"], "is a URI. Give the plain path of a file"),
        (["run", ":fulfil"], "the module is missing"),
        (["run", "a..b"], "there is no module a..b"),
        (["explore", ""], "the module is missing"),
        (["start", "f", "--store", "orders.db"], "run --store"),
        (["list", "f", "--status", "DREAMING"], "'DREAMING' is not one of"),
        (["list", "f", "--since", "yesterday"], "is not a time: use ISO 8601"),
        (["list", "f", "--since", "999999999999d"], "is not a time: use ISO 8601"),
        (["list", "f", "--limit", "0"], "0 is not in the range"),
        (["history", "f/n", "--follow", "--reverse"], "exclude each other"),
        (["history", "f/n", "--store", "no.db"], "does not exist"),
        (["callback", "succeed", "id", "--result", "1", "--text", "x"], "exclude each other"),
        (["show", "f/n", "--endpoint", "http://127.0.0.1:1", "--store", "orders.db"], "exclude each other"),
        (["list", "--endpoint", "localhost:9000"], "'localhost:9000' is not the URL of a service"),
        (
            ["list", "--endpoint", "http://127.0.0.1:99999"],
            "is not the URL of a service, such as http://127.0.0.1:9000",
        ),
        (["show", "f/n", "--endpoint", "http://[::1"], "is not the URL of a service"),
        (["doctor", "--endpoint", ""], "'' is not the URL of a service"),
        (["run", "orders", "--timeout", "0"], "0 is not in the range"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_what_is_refused(parse, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.db").write_text("")
    (tmp_path / "binary").write_bytes(b"SQLite format 3\0\xff\xfe")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "counted.py").write_text(
        "from durable_async import durable_execution\n\n@durable_execution\nasync def count(event, ctx): ...\n"
    )
    code, output, _ = parse(*arguments)
    assert code == Exit.USAGE
    assert message in " ".join(output.split())


@pytest.mark.parametrize(
    ("value", "payload"),
    [
        ('{"n": 1.10}', '{"n": 1.10}'),
        ("17", "17"),
        ("event.json", '{"from": "a file"}'),
        ("-", "[2]"),
    ],
)
def test_where_json_comes_from(parse, value, payload, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "event.json").write_text('{"from": "a file"}\n')
    (tmp_path / "17").write_text("what looks like JSON is no file")
    code, output, call = parse("start", "f", "--input", value, stdin="[2]\n")
    assert code == 0, output
    assert call["payload"] == payload


def test_stdin_must_be_json(parse):
    code, output, _ = parse("start", "f", "--input", "-", stdin="oops")
    assert code == Exit.USAGE
    assert "stdin is not JSON" in output


def test_an_empty_event_without_one(parse):
    assert parse("start", "f")[2]["payload"] == "{}"


def test_a_callback_may_be_answered_with_text(parse):
    assert parse("callback", "succeed", "id", "--text", "yes")[2]["parameters"] == {"Result": b"yes"}
    assert parse("callback", "succeed", "id", "--result", "[1]")[2]["parameters"] == {"Result": b"[1]"}
    assert parse("callback", "succeed", "id")[2]["parameters"] == {}


@pytest.mark.parametrize(
    ("value", "epoch"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600),
    ],
)
def test_a_moment(parse, value, epoch):
    assert parse("list", "f", "--since", value)[2]["filters"]["StartedAfter"] == epoch


def test_so_long_ago(parse):
    hours = [parse("list", "f", "--until", ago)[2]["filters"]["StartedBefore"] for ago in ("1h", "60m", "0.5h")]
    assert hours[1] - hours[0] < 60
    assert 1_700 < hours[2] - hours[0] < 1_900


@pytest.mark.parametrize("variable", ["DURABLE_ASYNC_ENDPOINT", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"])
def test_an_endpoint_of_the_environment(parse, variable, tmp_path):
    endpoint = "http://127.0.0.1:1"
    target = parse("list", "f", **{variable: endpoint})[2]["target"]
    assert target == connect.Target(endpoint=endpoint)
    store = tmp_path / "orders.db"
    store.write_text("")
    target = parse("list", "f", "--store", str(store), **{variable: endpoint})[2]["target"]
    assert target == connect.Target(store=store)


def test_the_rest_of_a_target(parse):
    target = parse("list", "f", "--region", "eu-west-1", "--profile", "p", DURABLE_ASYNC_TOKEN="t")[2]["target"]
    assert target == connect.Target(token="t", region="eu-west-1", profile="p")
    assert str(target) == "AWS Lambda"


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        (None, False),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://localhost", True),
        ("https://lambda.eu-west-1.amazonaws.com", False),
    ],
)
def test_what_is_on_this_machine(endpoint, local):
    assert Endpoint(endpoint).is_local is local


@pytest.mark.parametrize("url", ["nonsense", "http://[::1", "ftp://127.0.0.1", "http://:80", "http://a:99999"])
def test_an_endpoint_that_is_no_url_is_refused_where_it_is_given(url):
    with pytest.raises(ValueError, match="is not the URL of a service, such as http"):
        DurableClient(url)


@pytest.mark.parametrize(
    ("target", "variables", "key"),
    [
        (connect.Target(endpoint="http://127.0.0.1:1"), {}, "local"),
        (connect.Target(endpoint="http://127.0.0.1:1", token="t"), {"AWS_ACCESS_KEY_ID": "mine"}, "t"),
        (connect.Target(endpoint="http://127.0.0.1:1"), {"AWS_ACCESS_KEY_ID": "mine"}, "mine"),
        (connect.Target(endpoint="https://example.org"), {"AWS_ACCESS_KEY_ID": "mine"}, "mine"),
        (connect.Target(), {"AWS_ACCESS_KEY_ID": "mine"}, "mine"),
    ],
)
async def test_whose_credentials_are_shown(target, variables, key, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**variables, "AWS_SECRET_ACCESS_KEY": "s", "AWS_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    session = target.service.open_session()
    assert (await session.get_credentials()).access_key == key


@pytest.mark.parametrize(
    ("target", "variables", "region"),
    [
        (connect.Target(region="eu-west-1"), {"AWS_REGION": "eu-west-2"}, "eu-west-1"),
        (connect.Target(), {"AWS_REGION": "eu-west-2"}, "eu-west-2"),
        (connect.Target(), {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        (connect.Target(endpoint="http://127.0.0.1:1"), {}, "us-east-1"),
        (connect.Target(), {}, None),
    ],
)
def test_which_region(target, variables, region, monkeypatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**variables, "AWS_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    assert target.service.region_of(target.service.open_session()) == region


def test_an_interruption_has_an_exit_code_of_its_own():
    def interrupt(command):
        command.close()
        raise KeyboardInterrupt

    invoked = CliRunner().invoke(durable_async, ["show", "f/n"], obj=CommandRunner(interrupt))
    assert invoked.exit_code == Exit.INTERRUPTED
