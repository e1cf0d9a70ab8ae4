"""The page for everyone: screen readers, both colour schemes, small and large screens."""

import json

import pytest

from .browser import expect
from .conftest import find_nothing_serious, opened

SIZES = {"phone": (360, 740), "tablet": (820, 1180), "desktop": (1440, 900), "4k": (3840, 2160)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, server, scheme, shoot):
    server.start("failing", f"axe-failed-{scheme}")
    server.start("gated", f"axe-open-{scheme}")
    with opened(browser, color_scheme=scheme) as page:
        page.goto(server.page)
        expect(page.get_by_role("row").filter(has_text=f"axe-open-{scheme}")).to_contain_text("callback")
        page.get_by_label(f"Select axe-open-{scheme}").check()
        find_nothing_serious(page, "the list")
        shoot(page, f"list-{scheme}")
        page.get_by_role("button", name="Stop (1)").click()
        find_nothing_serious(page, "a preview")
        page.keyboard.press("Escape")
        page.get_by_role("link", name=f"axe-open-{scheme}").click()
        page.get_by_role("button", name="Answer gate 1").click()
        expect(page.get_by_role("complementary").get_by_text("callback started")).to_be_visible()
        find_nothing_serious(page, "an execution")
        shoot(page, f"execution-{scheme}")
        page.goto(server.page)
        page.get_by_role("link", name=f"axe-failed-{scheme}").click()
        page.get_by_role("button", name="charge").click()
        expect(page.get_by_role("complementary").get_by_text("step failed")).to_be_visible()
        find_nothing_serious(page, "a failure")


@pytest.mark.parametrize("name", SIZES)
def test_nothing_is_cut_off_on_any_screen(browser, server, name, shoot):
    server.start("fulfil", "sized", json.dumps({"id": 1}))  # once for all sizes
    width, height = SIZES[name]
    with opened(browser, viewport={"width": width, "height": height}) as page:
        page.goto(f"{server.page}#/executions?name=sized")
        expect(page.get_by_role("row").filter(has_text="sized")).to_contain_text("callback approval")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shoot(page, f"list-{name}")
        page.get_by_role("link", name="sized").click()
        expect(page.get_by_text("waits for callback approval")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="reserve stock")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("button", name="Answer approval").click()
        send = page.get_by_role("button", name="Send the result")
        send.scroll_into_view_if_needed()
        box = send.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
        shoot(page, f"execution-{name}")


def test_times_are_of_the_viewers_zone_and_in_utc_on_hover(browser, server):
    server.start("failing", "zoned")
    with opened(browser, timezone_id="Asia/Tokyo") as page:
        page.goto(f"{server.page}#/executions?name=zoned")
        shown = page.get_by_role("row").filter(has_text="zoned").locator("time")
        utc = shown.get_attribute("title")
        assert utc.endswith("Z")
        hour = (int(utc[11:13]) + 9) % 24
        assert f"{hour:02}:{utc[14:16]}" in shown.inner_text()
