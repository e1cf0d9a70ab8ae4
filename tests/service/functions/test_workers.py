"""Functions in worker processes. All processes are real."""

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from durable_async import service
from durable_async.service.functions.base import InvocationFailed, InvocationRequest
from durable_async.service.functions.output import json_lines
from durable_async.service.functions.worker_process import LoadError, Target
from durable_async.service.functions.workers import WorkerPool, worker_environment
from tests.service.functions import functions_for_serve

MODULE = "functions_for_serve"
HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def _in_this_folder(monkeypatch):
    monkeypatch.chdir(HERE)


@pytest.fixture
def lines():
    return []


@pytest.fixture
async def pool(lines):
    environment = worker_environment("http://127.0.0.1:9", os.environ)
    async with WorkerPool(environment, max_workers=2, sink=lambda *line: lines.append(line)) as pool:
        yield pool


def request_of(name="f", **members):
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}:$LATEST"
    return InvocationRequest("request-1", name, arn, **members)


async def invoke(pool, attribute, event=None, **members):
    return await pool.invoke(Target(MODULE, attribute), event, request_of(attribute, **members))


async def error_of(pool, attribute, event=None, **members):
    with pytest.raises(InvocationFailed) as failed:
        await invoke(pool, attribute, event or {}, **members)
    return failed.value.error


EVENT = {"id": 17, "name": "Zoë", "nested": [None, 1.5, {"a": []}]}


@pytest.mark.parametrize("attribute", ["echo", "echo_later"])
async def test_sync_and_async_functions_get_the_event_and_return_a_result(pool, attribute):
    assert await invoke(pool, attribute, EVENT) == EVENT


async def test_the_context_says_what_the_request_says(pool):
    context = await invoke(pool, "describe_context", tenant_id="tenant", deadline_ms=int(time.time() * 1000) + 60_000)
    assert context == {
        "request_id": "request-1",
        "name": "describe_context",
        "arn": "arn:aws:lambda:us-east-1:000000000000:function:describe_context:$LATEST",
        "tenant": "tenant",
        "remaining": True,
        "main_thread": True,
    }


async def test_a_large_event_and_a_large_result_pass(pool):
    event = "ä" * 3_000_000
    assert await invoke(pool, "echo", event) == event


async def test_an_idle_worker_is_used_again_and_no_more_are_started_than_allowed(pool):
    first = await invoke(pool, "count")
    second = await invoke(pool, "count")
    assert (second["pid"], second["count"]) == (first["pid"], 2)
    pids = {answer["pid"] for answer in await asyncio.gather(*(invoke(pool, "count") for _ in range(6)))}
    assert len(pids) <= 2
    assert os.getpid() not in pids


async def test_a_worker_that_loaded_the_module_is_preferred(pool):
    await asyncio.gather(
        pool.invoke(Target("functions_for_serve", "echo"), 1, request_of()),
        pool.invoke(Target("json", "dumps"), 1, request_of()),  # fails, but json is loaded
        return_exceptions=True,
    )
    first = await invoke(pool, "count")
    second = await invoke(pool, "count")
    assert second == {"pid": first["pid"], "count": 2}


async def test_an_exception_is_the_failure(pool):
    error = await error_of(pool, "fail", {"message": "no order"})
    stack = error.pop("StackTrace")
    assert error == {"ErrorType": "LookupError", "ErrorMessage": "no order"}
    assert "in fail" in stack[-1]


@pytest.mark.parametrize(
    ("attribute", "event", "message"),
    [
        pytest.param("leave", {"status": 3}, "Runtime exited with error: exit status 3", id="os._exit"),
        pytest.param("leave", {"status": 0}, "Runtime exited without providing a reason", id="status 0"),
        pytest.param("leave_by_sys_exit", {}, "Runtime exited with error: exit status 7", id="sys.exit"),
        pytest.param("be_killed", {}, "Runtime exited with error: signal: killed", id="a signal"),
    ],
)
async def test_a_dead_worker_is_an_exit_error_and_is_replaced(pool, attribute, event, message):
    assert await error_of(pool, attribute, event) == {
        "ErrorType": "Runtime.ExitError",
        "ErrorMessage": f"RequestId: request-1 Error: {message}",
    }
    assert await invoke(pool, "echo", 5) == 5


async def test_a_worker_that_cannot_be_started_is_a_failure_of_the_invocation(pool, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/no/such/python")
        assert (await error_of(pool, "echo"))["ErrorType"] == "ServiceException"  # it is no crash
    assert pool._slots._value == 2


async def test_what_a_function_started_ends_with_its_worker(pool, lines):
    async with asyncio.timeout(20):  # the child holds channel and output open, and would do so for longer
        error = await error_of(pool, "leave_a_child_behind")
    assert error["ErrorMessage"].endswith("exit status 4")
    ((_, child),) = lines
    while _runs(child):
        await asyncio.sleep(0.01)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


async def test_a_worker_that_died_while_idle_is_not_used(pool):
    pid = (await invoke(pool, "count"))["pid"]
    os.kill(pid, 9)
    await pool._idle[0]._exit
    assert await invoke(pool, "echo", 5) == 5


async def test_a_function_that_runs_too_long_is_killed(pool, lines):
    deadline = int(time.time() * 1000) + 300
    error = await error_of(pool, "hang", deadline_ms=deadline)
    assert error["ErrorType"] == "Sandbox.Timedout"
    assert error["ErrorMessage"].startswith("RequestId: request-1 Error: Task timed out after 0.")
    assert await invoke(pool, "echo", 5) == 5


async def test_a_cancelled_invocation_ends_its_worker(pool, lines):
    call = asyncio.ensure_future(invoke(pool, "hang"))
    while not lines:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool._idle == []


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ("unserializable", "Object of type object is not JSON serializable"),
        ("not_a_number", "Out of range float values are not JSON compliant"),
        ("lone_surrogate", "surrogates not allowed"),
    ],
)
async def test_a_result_that_is_no_json_is_a_marshal_error(pool, attribute, reason):
    error = await error_of(pool, attribute)
    assert error["ErrorType"] == "Runtime.MarshalError"
    assert reason in error["ErrorMessage"]


async def test_an_error_whose_text_is_no_unicode_is_still_told(pool):
    assert (await error_of(pool, "fail_with_lone_surrogate"))["ErrorMessage"] == "?"


@pytest.mark.parametrize(
    ("target", "error_type"),
    [
        (Target("no_such_module", "f"), "Runtime.ImportModuleError"),
        (Target("module_that_raises", "f"), "Runtime.ImportModuleError"),
        (Target(MODULE, "no_such_function"), "Runtime.HandlerNotFound"),
        (Target(MODULE, "HANDLERS", "no such key"), "Runtime.HandlerNotFound"),
    ],
    ids=str,
)
async def test_a_function_that_is_not_there_is_a_failure_of_the_invocation(pool, target, error_type):
    with pytest.raises(InvocationFailed) as failed:
        await pool.invoke(target, {}, request_of())
    assert failed.value.error["ErrorType"] == error_type


async def test_every_line_is_there_in_order_when_the_invocation_ends(pool, lines):
    await invoke(pool, "write_lines")
    assert {function for function, _ in lines} == {"write_lines"}
    texts = [line for _, line in lines]
    assert texts[:3] == ["to stdout", "to stderr", '{"plugin": "raw"}']
    charged, declined = (json.loads(line) for line in texts[3:5])
    assert charged.pop("card").startswith("<function main_thread")
    assert charged.pop("timestamp").endswith("Z")
    assert charged == {
        "level": "INFO",
        "message": "charged 5",
        "logger": "orders",
        "executionArn": "arn:1",
        "amount": 5,
    }
    assert (declined["level"], declined["errorType"], declined["errorMessage"]) == (
        "ERROR",
        "LookupError",
        "no such card",
    )
    assert texts[5:] == ["no end of line"]


async def test_lines_of_a_worker_that_dies_are_kept(pool, lines):
    await error_of(pool, "leave")
    assert lines == [("leave", "leaving")]


async def test_more_lines_than_a_pipe_holds_are_complete(pool, lines):
    await invoke(pool, "write_many_lines", {"lines": 5000})
    assert [line for _, line in lines] == [f"{number} {'x' * 200}" for number in range(5000)]


async def test_lines_of_threads_are_not_mixed(pool, lines):
    await invoke(pool, "write_from_threads")
    assert sorted(line for _, line in lines) == [letter * 50 for letter in "abcd" for _ in range(200)]


async def test_functions_of_a_mapping_are_told_apart(pool):
    functions = await pool.functions_of(Target(MODULE, "HANDLERS"))
    assert {name: function.durable for name, function in functions.items()} == {
        name: name in ("1-2", "hang-durably") for name in functions_for_serve.HANDLERS
    }
    assert await functions["1-1"].invoke(5, request_of()) == 5
    assert (await pool.function(Target(MODULE, "durable"))).durable
    assert not (await pool.function(Target(MODULE, "echo"))).durable


@pytest.mark.parametrize(
    ("module", "attribute", "message"),
    [
        ("no_such_module", "HANDLERS", "Unable to import module 'no_such_module': ModuleNotFoundError"),
        ("module_that_raises", "HANDLERS", "ValueError: wrong configuration"),
        ("module_that_exits", "HANDLERS", "exit status 5"),
        (MODULE, "NOTHING", "There is no functions_for_serve:NOTHING"),
        (MODULE, "MIXED", "functions_for_serve:MIXED['bad'] is not a function, it is 5"),
        (MODULE, "echo", "functions_for_serve:echo is not a mapping of functions"),
        (MODULE, "NO_FUNCTION", "functions_for_serve:NO_FUNCTION is not a mapping"),
    ],
)
async def test_what_cannot_be_loaded_is_refused_with_the_reason(pool, module, attribute, message):
    with pytest.raises(LoadError) as refused:
        await pool.functions_of(Target(module, attribute))
    assert message in refused.value.args[1]


async def test_a_mapping_is_no_function(pool):
    with pytest.raises(LoadError, match="functions_for_serve:HANDLERS is not a function"):
        await pool.function(Target(MODULE, "HANDLERS"))


async def test_a_module_that_was_broken_and_is_mended_is_loaded_as_it_is_now(pool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "shop"
    package.mkdir()
    (package / "prices.py").write_text("PRICE = 1\n")
    (package / "__init__.py").write_text("from shop import prices\nraise ValueError\n")
    target = Target("shop", "price")
    with pytest.raises(InvocationFailed) as failed:
        await pool.invoke(target, {}, request_of())
    assert failed.value.error["ErrorType"] == "Runtime.ImportModuleError"
    (package / "prices.py").write_text("PRICE = 22\n")
    (package / "__init__.py").write_text("from shop import prices\ndef price(event, context): return prices.PRICE\n")
    assert await pool.invoke(target, {}, request_of()) == 22


async def test_what_botocore_says_is_not_heard_unless_it_is_a_warning_or_asked_for(pool, lines):
    await invoke(pool, "log_as_botocore")
    assert [json.loads(line)["message"] for _, line in lines] == ["a warning", "asked for"]


async def test_what_a_module_prints_at_start_is_of_no_function(pool, lines):
    with pytest.raises(LoadError):
        await pool.function(Target("module_that_raises", "f"))
    assert lines[0] == (None, "importing")
    assert any("wrong configuration" in line for _, line in lines)


def test_a_worker_loads_nothing_of_the_service_that_it_does_not_need():
    code = "import sys, durable_async.service.functions.worker_process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {each for each in loaded if each.startswith("durable_async.service")} == {
        "durable_async.service",
        "durable_async.service.clock",
        "durable_async.service.functions",
        "durable_async.service.functions.base",
        "durable_async.service.functions.modules",
        "durable_async.service.functions.worker_process",
    }
    assert not {"aiohttp", "anyio", "botocore", "sqlite3"} & {*loaded}


@pytest.mark.parametrize("name", service.__all__)
def test_the_names_of_the_package_are_there_when_they_are_asked_for(name):
    assert getattr(service, name).__name__ == name


def test_no_other_names_are_there():
    with pytest.raises(AttributeError, match=r"durable_async\.service.* has no attribute 'nothing'"):
        service.nothing
    assert sorted(service._LATER) == sorted(service.__all__)


def test_the_log_file_has_one_object_per_line():
    file = io.StringIO()
    json_lines(file, clock=lambda: 1700000000.1234)("f", 'a "quoted" ü')
    assert json.loads(file.getvalue()) == {"timestamp": 1700000000123, "function": "f", "message": 'a "quoted" ü'}


@pytest.mark.parametrize(
    ("before", "token", "after"),
    [
        pytest.param({}, None, {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "unused"}, id="a stand-in"),
        pytest.param({"AWS_ACCESS_KEY_ID": "mine"}, None, {"AWS_ACCESS_KEY_ID": "mine"}, id="own key"),
        pytest.param({"AWS_PROFILE": "mine"}, None, {"AWS_PROFILE": "mine"}, id="own profile"),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "mine", "AWS_SESSION_TOKEN": "mine"},
            "secret",
            {"AWS_ACCESS_KEY_ID": "secret", "AWS_SECRET_ACCESS_KEY": "unused"},
            id="the token",
        ),
        pytest.param(
            {"AWS_LAMBDA_FUNCTION_NAME": "f", "OTEL_SERVICE_NAME": "s", "AWS_PROFILE": "p"},
            None,
            {"OTEL_SERVICE_NAME": "s", "AWS_PROFILE": "p"},
            id="passed on, but for Lambda's own",
        ),
    ],
)
def test_the_environment_of_a_worker(before, token, after):
    assert worker_environment("http://127.0.0.1:8700", before, region="eu-west-1", token=token) == {
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:8700",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **after,
    }
