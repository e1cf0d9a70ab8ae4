"""The page in a real browser: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import boto3
import pytest

from tests.cli.command import environment

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SCREENSHOTS = Path(os.environ.get("DURABLE_ASYNC_SCREENSHOTS") or REPOSITORY / "build" / "screenshots")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"]
SIZE = {"width": 1280, "height": 800}


@attrs.frozen
class Server:
    """A process that serves the page, and a caller of the service that it shows.

    :ivar page: the page's URL
    :ivar api: a boto3 client
    """

    page: str
    api: Any

    def start(self, function: str, name: str, payload: str = "{}", *, tags: str | None = None) -> str:
        """:param tags: a query, such as ``customer=17&region=eu``"""

        def add_tags(params: Any, **_: Any) -> None:
            params["headers"]["X-Durable-Execution-Tags"] = tags

        if tags is not None:
            self.api.meta.events.register("before-call.lambda.Invoke", add_tags, unique_id="tags")
        started = self.api.invoke(
            FunctionName=function,
            Qualifier="$LATEST",
            InvocationType="Event",
            DurableExecutionName=name,
            Payload=payload.encode(),
        )
        if tags is not None:
            self.api.meta.events.unregister("before-call.lambda.Invoke", unique_id="tags")
        return started["DurableExecutionArn"]

    def status(self, arn: str) -> str:
        return self.api.get_durable_execution(DurableExecutionArn=arn)["Status"]


@contextmanager
def command(*arguments: str, **variables: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run ``durable-async`` with these arguments until the exit. The value is the process and the line it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "durable_async.cli", *arguments],
        cwd=HERE,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert "http" in line, process.communicate(timeout=20)
        yield process, line
    finally:
        process.terminate()
        process.communicate(timeout=20)


def client(url: str, key: str = "any") -> Any:
    return boto3.client(
        "lambda", endpoint_url=url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key="any"
    )


@contextmanager
def serving(*arguments: str, port: int = 0, token: str | None = None) -> Generator[Server]:
    """``durable-async serve --ui`` with the workflows of this folder."""
    variables = {} if token is None else {"DURABLE_ASYNC_TOKEN": token}
    with command(
        *("serve", "--ui", "--functions", "workflows", "--in-process", "--port", str(port)),
        *("--execution-timeout", "86400", *arguments),
        **variables,
    ) as (_, line):
        url, page = re.findall(r"http://[^\s,]+", line)
        yield Server(page, client(url, token or "any"))


@pytest.fixture(scope="session")
def server() -> Generator[Server]:
    """One server for all tests, each of which uses execution names of its own."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    """Chromium, closed with the module: while Playwright is open, no test in this process can run a loop of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need the package playwright")
    if CHROMIUM is None:
        pytest.skip("the page's tests need Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, **options: Any) -> Generator[Any]:
    """A new page of a new session. At the exit, nothing may have been written to its console."""
    options = {"viewport": SIZE, "locale": "en-GB", "timezone_id": "UTC", **options}
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page
        assert [line for line in said if "Failed to load resource" not in line] == []
    finally:
        context.close()


@pytest.fixture
def page(browser: Any) -> Generator[Any]:
    with opened(browser) as page:
        yield page


def find_nothing_serious(page: Any, what: str) -> None:
    """Let axe-core look at the page.

    :param what: names it
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the package axe-playwright-python")
    serious = [
        f"{what}: {each['id']} at {[node['target'] for node in each['nodes']][:3]}"
        for each in axe.Axe().run(page).response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
    assert serious == []


@pytest.fixture
def shoot(request: pytest.FixtureRequest):
    """Write a screenshot of the page, as build output."""

    def shot(page: Any, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return shot
