"""The same page for each place that has executions: a server, a file, AWS, an application."""

import re
from urllib.parse import urlsplit

import pytest

from .browser import expect
from .conftest import client, command, find_nothing_serious, opened, serving
from .signed import KEY, REGION, SECRET, stand_in
from .test_page import answer


def url_in(line):
    return re.findall(r"http://127.0.0.1\S+", line)[-1]


def base(page_url):
    return f"{urlsplit(page_url).scheme}://{urlsplit(page_url).netloc}"


def test_of_a_server_elsewhere(browser, server):
    server.start("gated", "from-elsewhere")
    with command("ui", "--endpoint", base(server.page), "--port", "0") as (_, line), opened(browser) as page:
        page.goto(url_in(line))
        page.get_by_role("link", name="from-elsewhere", exact=True).click()
        answer(page, "gate 1")
        expect(page.get_by_text("waits for callback gate 2")).to_be_visible()
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text(f"--endpoint {base(server.page)}")
        page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_text(re.compile("^was stopped after"))).to_be_visible()


def test_of_aws_whose_calls_the_command_signs(browser, server, tmp_path, shoot):
    server.start("gated", "on-aws")
    server.start("crowded", "long-on-aws", "120")
    with stand_in(base(server.page)) as (aws, seen):
        config, credentials = tmp_path / "config", tmp_path / "credentials"
        config.write_text(f"[profile orders]\nregion = {REGION}\nendpoint_url = {aws}\n")
        credentials.write_text(f"[orders]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        files = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
        with command("ui", "--profile", "orders", "--port", "0", **files) as (_, line), opened(browser) as page:
            sent = []
            page.on("response", lambda response: sent.append(response))  # noqa: PLW0108 - it must be a Python function
            page.goto(url_in(line))
            expect(page.get_by_text("of AWS Lambda")).to_be_visible()
            expect(page.get_by_label("Tags")).to_have_count(0)
            page.get_by_label("Name").fill("long-on-aws")
            page.get_by_label("Name").press("Enter")
            expect(page.get_by_role("row").filter(has_text="long-on-aws")).to_contain_text("callback the first")
            page.get_by_label("Name").fill("on-aws")
            page.get_by_label("Name").press("Enter")
            page.get_by_role("link", name="on-aws", exact=True).click()
            expect(page.get_by_role("button", name="Pause")).to_be_visible()
            expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
            answer(page, "gate 1")
            expect(page.get_by_text("waits for callback gate 2")).to_be_visible()
            page.get_by_role("button", name="Fork", exact=True).click()
            expect(page.get_by_text("durable-async run MODULE:HANDLER --fork history.jsonl")).to_be_visible()
            page.get_by_role("dialog").get_by_role("button", name="Close").click()
            shoot(page, "aws")
            page.get_by_role("button", name="Stop", exact=True).click()
            page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()
            expect(page.get_by_text(re.compile("^was stopped after"))).to_be_visible()
            for response in sent:
                assert SECRET not in str(response.request.headers) + response.request.url
                assert KEY not in str(response.request.headers) + response.request.url
    assert "without a signature" not in seen
    assert any(call.startswith("POST") and call.endswith("/succeed") for call in seen)


@pytest.mark.parametrize("key", ["AKIDOTHER", KEY])
def test_the_stand_in_refuses_what_is_not_signed_with_its_secret(server, key):
    from botocore.exceptions import ClientError

    with stand_in(base(server.page)) as (aws, _), pytest.raises(ClientError, match="signature"):
        client(aws, key).list_functions()


def test_of_a_file_that_can_only_be_looked_at(browser, tmp_path):
    store = str(tmp_path / "orders.db")
    with serving("--store", store) as server:
        server.start("gated", "in-a-file")
        with command("ui", "--store", store, "--port", "0") as (_, line), opened(browser) as page:
            page.goto(url_in(line))
            page.get_by_role("link", name="in-a-file").click()
            expect(page.get_by_text("waits for callback gate 1")).to_be_visible()
            expect(page.get_by_text("nothing can be changed")).to_be_visible()
            page.get_by_role("button", name="Answer gate 1").click()
            expect(page.get_by_label("Answer the callback")).to_have_count(0)


@pytest.mark.parametrize("code", ["workflows", "changed"])
def test_an_execution_is_compared_with_its_replay_on_todays_code(browser, server, shoot, code):
    server.start("gated", f"replayed-{code}")
    arguments = ("ui", "--endpoint", base(server.page), "--code", f"tests.ui.{code}", "--port", "0")
    with command(*arguments) as (_, line), opened(browser) as page:
        page.goto(url_in(line))
        page.get_by_role("link", name=f"replayed-{code}", exact=True).click()
        answer(page, "gate 1")
        expect(page.get_by_text("waits for callback gate 2")).to_be_visible()
        page.get_by_role("link", name="Replay on today's code").click()
        if code == "workflows":
            expect(page.get_by_text(re.compile(r"^Continues\."))).to_be_visible()
            expect(page.locator(".pair.differs")).to_have_count(0)
        else:
            expect(page.get_by_text("The first difference is at step 1")).to_be_visible()
            expect(page.locator(".pair.first")).to_contain_text("the code calls wait cooling off here")
            find_nothing_serious(page, "a replay")
        expect(page.get_by_role("row").filter(has_text="gate 1").first).to_be_visible()
        shoot(page, f"replay-{code}")
