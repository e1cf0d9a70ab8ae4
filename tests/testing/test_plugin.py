"""The pytest plugin, in pytest runs of its own: under anyio's plugin and under pytest-asyncio in both modes."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WORKFLOW = """
import json
from datetime import timedelta

import pytest

from durable_async import DurableContext, durable_execution
from durable_async.testing import run


async def work() -> str:
    return "done"


@durable_execution
async def waiting(event: dict, ctx: DurableContext) -> str:
    await ctx.wait(timedelta(days=1))
    return await ctx.step(work)


@durable_execution
async def quick(event: dict, ctx: DurableContext) -> str:
    return await ctx.step(work)
"""

TESTS = """
async def test_virtual_time(durable_test_service):
    async with durable_test_service(waiting) as service:
        assert await (await service.start({})).finish() == "done"


async def test_a_file(durable_file_service, tmp_path):
    async with durable_file_service(quick) as service:
        assert await (await service.start(quick, {}, name="one")).result() == "done"
    async with durable_file_service(quick) as service:
        assert await (await service.find(quick, "one")).result() == "done"


async def test_a_server(durable_http_server):
    from aiobotocore.session import get_session

    access = {"region_name": "us-east-1", "aws_access_key_id": "local", "aws_secret_access_key": "local"}
    async with durable_http_server(quick) as url:
        async with get_session().create_client("lambda", endpoint_url=url, **access) as client:
            answer = await client.invoke(FunctionName="quick", Qualifier="$LATEST", Payload=b"{}")
            assert json.loads(await answer["Payload"].read()) == "done"


async def test_golden(durable_test_service, golden_history):
    async with durable_test_service(waiting) as service:
        execution = await service.start({})
        await execution.finish()
        await golden_history(execution)


def test_sync():
    assert run(waiting, {}).result == "done"
"""


PLUGIN = "durable_async.testing.plugin"
BESIDE_ASYNCIO = find_spec("pytest_asyncio") is not None
INSTALLED = any(each.value == PLUGIN for each in entry_points(group="pytest11"))


def pytest_run(directory, *options):
    """Run pytest with all plugins that are installed, as a user's project does."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(() if INSTALLED else ("-p", PLUGIN)), *options, "."],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


MODES = {
    "anyio": ([], "@pytest.mark.anyio"),
    "pytest-asyncio strict": (["--asyncio-mode=strict"], "@pytest.mark.asyncio"),
    "pytest-asyncio auto": (["--asyncio-mode=auto"], ""),
}
BACKEND = "anyio_backend = pytest.fixture(lambda: 'asyncio')"


def module_of(mark):
    return f"{WORKFLOW}\n{BACKEND}\n{TESTS}".replace("async def test", f"{mark}\nasync def test")


@pytest.mark.parametrize("mode", MODES)
def test_the_fixtures_work_under(mode, tmp_path):
    options, mark = MODES[mode]
    if mode != "anyio" and not BESIDE_ASYNCIO:
        pytest.skip("nox -s plugin has pytest-asyncio, which would take over this suite's tests")
    (tmp_path / "test_it.py").write_text(module_of(mark))
    scope = "asyncio_default_fixture_loop_scope = function" if BESIDE_ASYNCIO else ""
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{scope}\n")
    recorded = pytest_run(tmp_path, "--record-histories", *options)
    assert "5 passed" in recorded.stdout, recorded.stdout
    assert (tmp_path / "histories" / "test_it" / "test_golden.json").exists()
    assert "5 passed" in pytest_run(tmp_path, *options).stdout


def test_a_golden_history_shows_what_today_s_code_does_differently(tmp_path):
    options, mark = MODES["anyio"]
    options = [*options, "-k", "golden"]
    module = tmp_path / "test_it.py"
    module.write_text(module_of(mark))
    assert "run pytest once with --record-histories" in pytest_run(tmp_path, *options).stdout
    pytest_run(tmp_path, "--record-histories", *options)
    assert "1 passed" in pytest_run(tmp_path, *options).stdout
    module.write_text(
        module_of(mark).replace("return await ctx.step(work)", 'return await ctx.step(work, name="toil")')
    )
    renamed = pytest_run(tmp_path, *options).stdout
    assert "today's code does not replay" in renamed
    assert "Step 'work' is recorded" in renamed or "toil" in renamed
    module.write_text(module_of(mark).replace("days=1", "days=2"))
    longer = pytest_run(tmp_path, *options).stdout
    assert "a new execution does something else" in longer
    assert "- 1d 00:00:00  WaitSucceeded" in longer
    assert "+ 2d 00:00:00  WaitSucceeded" in longer


FAILING = """
@pytest.mark.anyio
async def test_that_fails(durable_test_service):
    async with durable_test_service(failing) as service:
        await (await service.start({})).finish()


@pytest.mark.anyio
async def test_that_is_stuck(durable_test_service):
    async with durable_test_service(waiting) as service:
        await (await service.start({})).until_callback("approval")


@pytest.mark.anyio
async def test_that_misspells(durable_test_service):
    async with durable_test_service(quick) as service:
        execution = await service.start({})
        await execution.finish()
        execution.step("werk")


@durable_execution
async def failing(event: dict, ctx: DurableContext) -> str:
    raise ValueError("the order has no items")
"""


def test_a_test_that_fails_shows_its_own_lines_and_none_of_the_testing_kit(tmp_path):
    (tmp_path / "test_it.py").write_text(f"{WORKFLOW}\n{BACKEND}\n{FAILING}")
    shown = pytest_run(tmp_path).stdout
    assert "3 failed" in shown and "ValueError: the order has no items" in shown
    assert re.search(r"^> +await \(await service\.start\(\{\}\)\)\.finish\(\)$", shown, re.MULTILINE)
    assert re.findall(r"durable_async/\S+\.py", shown) == []


def test_the_plugin_is_light_because_pytest_imports_it_in_each_run():
    code = "import sys, durable_async.testing.plugin; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "durable_async.testing.plugin" in loaded
    assert not {"aiohttp", "aiobotocore", "sqlite3", "durable_async.embedded", "durable_async.testing.service"} & {
        *loaded
    }
