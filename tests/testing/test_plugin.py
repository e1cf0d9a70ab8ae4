"""The pytest plugin, in pytest runs of its own: under anyio's plugin and under pytest-asyncio in both modes."""

import importlib.util
import os
import subprocess
import sys
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


def pytest_run(directory, *options):
    asyncio_plugin = os.environ.get("PYTEST_ASYNCIO_PATH", "")
    path = os.pathsep.join(filter(None, [str(ROOT), asyncio_plugin]))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "durable_async.testing.plugin", *options, "."],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def has_pytest_asyncio():
    path = os.environ.get("PYTEST_ASYNCIO_PATH")
    return importlib.util.find_spec("pytest_asyncio") is not None or bool(
        path and (Path(path) / "pytest_asyncio").exists()
    )


MODES = {
    "anyio": (
        ["-p", "anyio.pytest_plugin"],
        "pytestmark = pytest.mark.anyio\nanyio_backend = pytest.fixture(lambda: 'asyncio')",
    ),
    "asyncio strict": (["-p", "pytest_asyncio.plugin", "--asyncio-mode=strict"], "pytestmark = pytest.mark.asyncio"),
    "asyncio auto": (["-p", "pytest_asyncio.plugin", "--asyncio-mode=auto"], ""),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_fixtures_work_under(mode, tmp_path):
    options, mark = MODES[mode]
    if mode != "anyio" and not has_pytest_asyncio():
        pytest.skip("pytest-asyncio is not installed")
    (tmp_path / "test_it.py").write_text(f"{WORKFLOW}\n{mark}\n{TESTS}")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    recorded = pytest_run(tmp_path, "--record-histories", *options)
    assert "5 passed" in recorded.stdout, recorded.stdout
    assert (tmp_path / "histories" / "test_it" / "test_golden.json").exists()


def test_a_golden_history_shows_what_today_s_code_does_differently(tmp_path):
    options, mark = MODES["anyio"]
    options = [*options, "-k", "golden"]
    module = tmp_path / "test_it.py"
    module.write_text(f"{WORKFLOW}\n{mark}\n{TESTS}")
    assert "run pytest once with --record-histories" in pytest_run(tmp_path, *options).stdout
    pytest_run(tmp_path, "--record-histories", *options)
    assert "1 passed" in pytest_run(tmp_path, *options).stdout
    module.write_text(
        f"{WORKFLOW}\n{mark}\n{TESTS}".replace(
            "return await ctx.step(work)", 'return await ctx.step(work, name="toil")'
        )
    )
    renamed = pytest_run(tmp_path, *options).stdout
    assert "today's code does not replay" in renamed
    assert "Step 'work' is recorded" in renamed or "toil" in renamed
    module.write_text(f"{WORKFLOW}\n{mark}\n{TESTS}".replace("days=1", "days=2"))
    longer = pytest_run(tmp_path, *options).stdout
    assert "a new execution does something else" in longer
    assert "- 1d 00:00:00  WaitSucceeded" in longer
    assert "+ 2d 00:00:00  WaitSucceeded" in longer


def test_the_plugin_is_light_because_pytest_imports_it_in_each_run():
    code = "import sys, durable_async.testing.plugin; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "durable_async.testing.plugin" in loaded
    assert not {"aiohttp", "aiobotocore", "sqlite3", "durable_async.embedded", "durable_async.testing.service"} & {
        *loaded
    }
