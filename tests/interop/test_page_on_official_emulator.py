"""The page of ``durable-async ui`` over the API of the official SDK's emulator, in a real browser."""

from __future__ import annotations

import re

import pytest
from anyio import to_thread

from tests.ui.browser import expect, playwright
from tests.ui.conftest import ARGUMENTS, CHROMIUM, command, opened

from .environments import Environment
from .services import OfficialEmulator


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
async def test_an_execution_is_found_followed_and_its_callback_answered(official: Environment, tmp_path):
    async with OfficialEmulator.running(tmp_path / "log") as emulator:
        arn = await emulator.start("asking", {"timeout": 300})
        await emulator.caller.callback_id(arn)
        await to_thread.run_sync(_drive, emulator.url)
        assert (await emulator.caller.closed(arn)).status == "SUCCEEDED"


def _drive(url: str) -> None:
    with playwright.sync_playwright() as driver, command("ui", "--endpoint", url, "--port", "0") as (_, line):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with opened(browser) as page:
            page.goto(re.findall(r"http://\S+", line)[-1])
            row = page.get_by_role("row").filter(has_text="asking")
            expect(row).to_contain_text("callback")
            row.get_by_role("link").click()
            expect(page.get_by_text("waits for callback")).to_be_visible()
            page.get_by_role("button", name=re.compile("^Answer ")).click()
            detail = page.get_by_role("complementary")
            detail.get_by_label("Result").fill('{"approved": true}')
            detail.get_by_role("button", name="Send the result").click()
            expect(page.get_by_text(re.compile("^succeeded after"))).to_be_visible()
        browser.close()
