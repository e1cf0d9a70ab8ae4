"""What a person does with the page, in a real browser against a real server."""

import json
import re
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from .browser import expect
from .conftest import opened, serving
from .workflows import HOSTILE


def open_execution(page, server, name):
    page.goto(f"{server.page}#/executions?name={name}")
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def answer(page, callback, result="null"):
    page.get_by_role("button", name=f"Answer {callback}").click()
    detail = page.get_by_role("complementary")
    detail.get_by_label("Result").fill(result)
    detail.get_by_role("button", name="Send the result").click()


def names(page):
    return page.get_by_role("cell").get_by_role("link").all_inner_texts()


def test_from_the_list_to_the_answer_of_a_callback(page, server, shoot):
    server.start("fulfil", "order-1017", '{"id": 1017}')
    page.goto(server.page)
    row = page.get_by_role("row").filter(has_text="order-1017")
    expect(row).to_contain_text("callback approval")
    shoot(page, "list")
    row.get_by_role("link").click()
    expect(page.get_by_text("waits for callback approval")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="pack")).to_contain_text("12 succeeded")
    page.get_by_role("button", name="Answer approval").click()
    detail = page.get_by_role("complementary")
    detail.get_by_label("Result").fill('{"approved": true}')
    expect(detail.get_by_text("aws lambda send-durable-execution-callback-success")).to_be_visible()
    shoot(page, "callback")
    detail.get_by_role("button", name="Send the result").click()
    expect(page.get_by_text(re.compile("^succeeded after"))).to_be_visible()
    expect(page.get_by_label("Facts")).to_contain_text("1017")
    shoot(page, "timeline")


def test_filters_are_in_the_address_and_survive_a_reload(page, server, shoot):
    for number in (1, 2):
        server.start("failing", f"filtered-{number}")
    server.start("gated", "filtered-3")
    page.goto(server.page)
    page.get_by_label("Function").select_option("failing")
    page.get_by_role("checkbox", name="failed", exact=True).check()
    expect(page.get_by_role("link", name="filtered-2")).to_be_visible()
    assert {"filtered-1", "filtered-2"} <= set(names(page))
    assert "filtered-3" not in names(page)
    assert page.url.endswith("#/executions?function=failing&status=FAILED")
    shoot(page, "filters")
    page.reload()
    expect(page.get_by_role("checkbox", name="failed", exact=True)).to_be_checked()
    expect(page.get_by_role("link", name="filtered-1")).to_be_visible()
    page.get_by_label("Name").fill("filtered-1")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_role("link", name="filtered-2")).to_have_count(0)
    page.get_by_label("before", exact=True).fill("2020-01-01T00:00")
    expect(page.get_by_text("0 executions")).to_be_visible()


def row_of(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_the_list_changes_when_the_service_says_so(page, server):
    arn = server.start("gated", "lively-1")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.page}#/executions?name=lively&status=RUNNING")
    expect(row_of(page, "lively-1")).to_contain_text("callback gate 1")
    server.start("retrying", "lively-2")
    expect(row_of(page, "lively-2")).to_contain_text("retry 2 in")
    server.api.stop_durable_execution(DurableExecutionArn=arn)
    expect(row_of(page, "lively-1")).to_have_count(0)  # it is not running any more
    held = [url for url in asked if "KnownDigest=" in url]
    assert held and all("WaitSeconds=" in url for url in held)
    assert not [url for url in asked if "/history" in url]


def test_a_list_says_what_is_waited_for_however_long_the_history_is(page, server):
    server.start("crowded", "crowded", "120")
    page.goto(f"{server.page}#/executions?name=crowded")
    expect(row_of(page, "crowded")).to_contain_text("callback the first")


def test_a_row_far_down_the_list_changes_too(page, server):
    arn = server.start("gated", "deep-0")
    with ThreadPoolExecutor(4) as threads:
        [*threads.map(partial(server.start, "failing"), [f"deep-{number}" for number in range(1, 241)])]
    page.goto(f"{server.page}#/executions?name=deep-")
    rows = page.get_by_label("Rows")
    expect(page.get_by_text(re.compile("^The newest 200 executions"))).to_be_visible()
    for _ in range(2):  # the second half of the list is read on the way
        rows.evaluate("rows => rows.scrollTop = rows.scrollHeight")
        expect(page.get_by_text(re.compile("^241 executions"))).to_be_visible()
    expect(row_of(page, "deep-0")).to_contain_text("callback gate 1")
    server.api.stop_durable_execution(DurableExecutionArn=arn)
    expect(row_of(page, "deep-0")).to_contain_text("stopped")
    expect(page.get_by_text("241 executions")).to_be_visible()


def test_what_is_deleted_leaves_the_list(page, server):
    for number in (1, 2):
        server.start("failing", f"deleted-{number}")
    page.goto(f"{server.page}#/executions?name=deleted")
    page.get_by_label("Select deleted-1").check()
    page.get_by_role("button", name="Delete (1)").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("Delete: 1 of 1 done.")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.get_by_role("link", name="deleted-1")).to_have_count(0)
    expect(page.get_by_role("link", name="deleted-2")).to_be_visible()
    expect(page.get_by_text("executions selected")).to_have_count(0)


def test_an_execution_is_forked_before_an_operation_with_another_input(page, server, shoot):
    arn = server.start("fulfil", "forked", '{"id": 1}')
    open_execution(page, server, "forked")
    expect(page.get_by_text("waits for callback approval")).to_be_visible()
    page.get_by_role("button", name="cooling off").click()
    page.get_by_role("button", name="Fork before it").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("forked-again")
    dialog.get_by_label("Input").fill('{"id": 2')
    expect(dialog.get_by_role("button", name="Fork", exact=True)).to_be_disabled()
    dialog.get_by_label("Input").fill('{"id": 2}')
    expect(dialog.get_by_text(re.compile("durable-async fork .*--before .*--name forked-again"))).to_be_visible()
    shoot(page, "fork")
    dialog.get_by_role("button", name="Fork", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("forked-again")
    expect(page.get_by_label("Facts").get_by_role("link", name="forked", exact=True)).to_be_visible()
    answer(page, "approval", '"yes"')
    expect(page.get_by_text(re.compile("^succeeded after"))).to_be_visible()
    expect(page.get_by_label("Facts")).to_contain_text("order: 2")
    assert server.status(arn) == "RUNNING"


def test_a_failed_execution_is_redriven_from_an_operation(page, server):
    server.start("failing", "from-the-first")
    open_execution(page, server, "from-the-first")
    page.get_by_role("button", name="check").click()
    page.get_by_role("button", name="Redrive from it").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text(re.compile("durable-async redrive .*--from "))).to_be_visible()
    dialog.get_by_role("button", name="Redrive").click()
    expect(page.get_by_text("It continues from what succeeded.")).to_be_visible()
    expect(page.get_by_text(re.compile("^failed after"))).to_be_visible()
    expect(page.get_by_label("Facts")).to_contain_text("14 events")


def test_a_running_workflow_is_followed_to_its_end(page, server, shoot):
    server.start("gated", "followed")
    open_execution(page, server, "followed")
    for number in (1, 2, 3):
        expect(page.get_by_text(f"waits for callback gate {number}")).to_be_visible()
        assert page.get_by_text(f"step {number}", exact=False).count() == 0
        if number == 2:
            shoot(page, "live")
        answer(page, f"gate {number}")
        page.keyboard.press("Escape")
    expect(page.get_by_text(re.compile("^succeeded after"))).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="step 3")).to_be_visible()


def test_a_cancelled_execution_compensates_before_it_ends(page, server, shoot):
    arn = server.start("compensated", "cancelled-by-a-person")
    open_execution(page, server, "cancelled-by-a-person")
    expect(page.get_by_text("waits for callback confirmation")).to_be_visible()
    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("durable-async cancel")).to_be_visible()
    dialog.get_by_label("Reason").fill("the room is closed")
    shoot(page, "cancel")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_text("It was asked to end.")).to_be_visible()
    expect(page.get_by_text(re.compile("^was stopped after .*the room is closed"))).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="cancel the room")).to_be_visible()
    expect(page.get_by_role("button", name="Answer confirmation")).to_have_count(0)
    assert server.status(arn) == "STOPPED"


def test_a_failure_shows_its_causes_and_can_be_redriven(page, server, shoot):
    server.start("failing", "declined")
    open_execution(page, server, "declined")
    error = page.get_by_label("Error")
    expect(error).to_contain_text("the card was declined")
    expect(error.get_by_text("caused by KeyError: 'no such account'")).to_be_visible()
    expect(error).to_contain_text("Failed in charge")
    shoot(page, "failure")
    page.get_by_role("button", name="Redrive").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.get_by_text("It continues from what succeeded.")).to_be_visible()


def test_pause_and_resume_ask_once_and_say_what_happened(page, server):
    arn = server.start("gated", "paused")
    open_execution(page, server, "paused")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("stocktaking")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_text("is paused: stocktaking")).to_be_visible()
    assert server.status(arn) == "PAUSED"
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_text("waits for callback gate 1")).to_be_visible()


def test_a_refused_answer_says_why(page, server):
    arn = server.start("gated", "answered-twice")
    open_execution(page, server, "answered-twice")
    page.get_by_role("button", name="Answer gate 1").click()
    detail = page.get_by_role("complementary")
    expect(detail.get_by_role("button", name="Heartbeat")).to_be_visible()
    detail.get_by_label("Result").fill("{")
    expect(detail.get_by_text("This is not JSON.")).to_be_visible()
    expect(detail.get_by_role("button", name="Send the result")).to_be_disabled()
    detail.get_by_role("button", name="Heartbeat").click()
    expect(detail.get_by_text("The heartbeat was sent.")).to_be_visible()
    detail.get_by_label("with a failure").check()
    detail.get_by_label("Type").fill("Rejected")
    detail.get_by_label("Message").fill("too expensive")
    detail.get_by_role("button", name="Send the failure").click()
    expect(page.get_by_text(re.compile("^failed after .*: Rejected: too expensive"))).to_be_visible()
    assert server.status(arn) == "FAILED"


def test_a_retry_shows_its_attempt_and_when_the_next_is_due(page, server, shoot):
    server.start("retrying", "tried-again")
    open_execution(page, server, "tried-again")
    expect(page.get_by_text(re.compile(r"waits for retry 2 in \d+ s"))).to_be_visible()
    page.get_by_role("button", name="charge").click()
    detail = page.get_by_role("complementary")
    expect(detail.get_by_text("The next attempt follows after 1 m.")).to_be_visible()
    expect(detail.get_by_text("the card was declined", exact=True)).to_be_visible()
    expect(detail.get_by_text("Idempotency key")).to_be_visible()
    shoot(page, "detail")


def test_a_payload_full_of_html_is_text(page, server, shoot):
    server.start("hostile", "hostile", json.dumps({"html": HOSTILE}))
    open_execution(page, server, "hostile")
    facts = page.get_by_label("Facts")
    expect(facts.get_by_text("<b>bold</b>").first).to_be_visible()
    expect(facts.get_by_text(str(2**70))).to_be_visible()
    page.get_by_role("button", name="script").first.click()
    expect(page.get_by_role("complementary").get_by_text("</script>").first).to_be_visible()
    assert page.locator("b, img, script:not([src])").count() == 0
    assert "pwned" not in page.title()
    shoot(page, "hostile")
    facts.get_by_role("button", name="Show all, 4.9 KiB").click()
    expect(facts.get_by_text("x" * 5000)).to_be_visible()


def test_a_payload_is_searched_and_copied(browser, server):
    server.start("fulfil", "searched", '{"customer": {"name": "Ada", "tags": ["early", "regular"]}}')
    with opened(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        open_execution(page, server, "searched")
        page.get_by_text("Input").click()
        facts = page.get_by_label("Facts")
        facts.get_by_label("Search in Input").fill("regular")
        expect(facts.get_by_text('"regular"')).to_be_visible()
        expect(facts.get_by_text('"early"')).to_have_count(0)
        facts.get_by_role("button", name="Copy Input").click()
        assert '"Ada"' in page.evaluate("navigator.clipboard.readText()")


def test_ten_thousand_operations_scroll_with_few_rows_in_the_document(page, server, shoot):
    server.start("many", "ten-thousand", "10000")
    open_execution(page, server, "ten-thousand")
    expect(page.get_by_text(re.compile("^succeeded after"))).to_be_visible(timeout=60_000)
    expect(page.get_by_label("Facts")).to_contain_text(re.compile(r"Operations10,000,"), timeout=60_000)
    scroller = page.get_by_label("Rows of operations")
    scroller.evaluate("rows => rows.scrollTop = rows.scrollHeight")
    expect(page.get_by_role("button", name="step 9999")).to_be_visible()
    assert page.locator("[data-operation]").count() < 100
    shoot(page, "ten-thousand")
    page.get_by_label("Search operations").fill("step 77")
    expect(page.get_by_text("111 of 10000 rows")).to_be_visible()


def test_groups_fold_and_the_search_finds_operations(page, server):
    server.start("fulfil", "folded")
    open_execution(page, server, "folded")
    page.get_by_role("button", name="Open pack").click()
    expect(page.get_by_role("button", name="pack 11")).to_be_visible()
    page.get_by_role("button", name="Fold all").click()
    expect(page.get_by_role("button", name="pack 11")).to_have_count(0)
    page.get_by_role("button", name="Open all").click()
    page.get_by_label("Search operations").fill("pack 3")
    expect(page.get_by_role("row").filter(has_text="pack 3")).to_be_visible()
    assert page.locator("[data-operation]").count() == 1


def test_everything_is_reached_with_the_keyboard(page, server):
    for number in (1, 2, 3):
        server.start("gated", f"keys-{number}")
    page.goto(f"{server.page}#/executions?function=gated")
    expect(page.get_by_role("link", name="keys-3")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = names(page)[0]
    expect(page.get_by_role("link", name=first, exact=True)).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_text("1 execution selected")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(first)
    expect(page.get_by_text("waits for callback gate 1")).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("table", name="Executions")).to_be_visible()


def test_a_bulk_action_shows_what_it_will_change_and_then_what_it_did(page, server, shoot):
    arns = [server.start("retrying", f"bulk-{number}") for number in range(3)]
    page.goto(f"{server.page}#/executions?function=retrying")
    for number in range(3):
        page.get_by_label(f"Select bulk-{number}").check()
    page.get_by_role("button", name="Stop (3)").click()
    preview = page.get_by_role("dialog")
    expect(preview.get_by_role("listitem")).to_have_count(3)
    shoot(page, "bulk")
    preview.get_by_role("button", name="Stop", exact=True).click()
    expect(preview.get_by_text("Stop: 3 of 3 done.")).to_be_visible()
    assert {server.status(arn) for arn in arns} == {"STOPPED"}
    preview.get_by_role("button", name="Close").click()
    expect(page.get_by_role("row").filter(has_text="bulk-0")).to_contain_text("stopped")


def test_two_executions_are_compared_up_to_their_first_difference(page, server, shoot):
    server.start("gated", "compared-1")
    server.start("gated", "compared-2")
    open_execution(page, server, "compared-2")
    answer(page, "gate 1")
    expect(page.get_by_text("waits for callback gate 2")).to_be_visible()
    page.goto(f"{server.page}#/executions?function=gated")
    page.get_by_label("Select compared-1").check()
    page.get_by_label("Select compared-2").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The first difference is at")).to_contain_text("gate 1")
    expect(page.locator(".pair.first")).to_contain_text("status")
    shoot(page, "compare")
    page.keyboard.press("Escape")
    expect(page.get_by_role("table", name="Executions")).to_be_visible()


def test_a_lost_connection_is_shown_and_comes_back_by_itself(page, tmp_path, shoot):
    store = str(tmp_path / "lost.db")
    with serving("--store", store) as server:
        port = re.search(r":(\d+)/", server.page)[1]
        server.start("gated", "lost")
        open_execution(page, server, "lost")
        expect(page.get_by_text("waits for callback gate 1")).to_be_visible()
    expect(page.get_by_text("Connection lost")).to_be_visible()
    shoot(page, "connection-lost")
    with serving("--store", store, port=int(port)) as server:
        expect(page.get_by_text("Connection lost")).to_have_count(0)
        answer(page, "gate 1")
        expect(page.get_by_text("waits for callback gate 2")).to_be_visible()


def test_a_wrong_token_is_refused_and_the_right_one_stays_in_a_cookie_alone(browser, shoot):
    with serving(token="s3cret") as server, opened(browser) as page:
        server.start("gated", "with-token")
        page.goto(f"{server.page}#token=wrong")
        expect(page.get_by_text("This is not the token.")).to_be_visible()
        shoot(page, "sign-in")
        page.get_by_label("Token").fill("s3cret")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="with-token")).to_be_visible()
        assert "s3cret" not in page.url + page.content()
        assert page.evaluate("document.cookie") == ""
        [cookie] = page.context.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and "s3cret" not in cookie["value"]
        page.reload()
        expect(page.get_by_role("link", name="with-token")).to_be_visible()


def test_a_token_in_the_address_is_taken_out_of_it_at_once(browser):
    with serving(token="s3cret") as server, opened(browser) as page:
        server.start("gated", "by-address")
        page.goto(f"{server.page}#token=s3cret")
        expect(page.get_by_role("link", name="by-address")).to_be_visible()
        assert page.url.endswith("#/executions")


def test_the_timeline_is_saved_as_svg_and_printed(page, server):
    server.start("fulfil", "reported")
    open_execution(page, server, "reported")
    expect(page.get_by_text("waits for callback approval")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as SVG").click()
    assert download.value.suggested_filename == "reported.svg"
    root = ET.fromstring(Path(download.value.path()).read_text())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("fulfil/reported" in text for text in texts)
    assert any("12 SUCCEEDED" in text for text in texts)
    assert page.pdf()[:4] == b"%PDF"


def test_all_rows_are_printed_not_only_those_that_are_visible(page, server):
    server.start("many", "printed", "300")
    open_execution(page, server, "printed")
    expect(page.get_by_text(re.compile("^succeeded after"))).to_be_visible()
    rows = page.locator("[data-operation]")
    assert rows.count() < 100
    page.evaluate("window.print = () => 0; dispatchEvent(new Event('beforeprint'))")
    expect(rows).to_have_count(300)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.get_by_role("button", name="step 299")).to_have_count(0)


def test_the_type_that_waits_makes_the_form(page, server, shoot):
    server.start("typed", "typed")
    open_execution(page, server, "typed")
    page.get_by_role("button", name="Answer decision").click()
    detail = page.get_by_role("complementary")
    detail.get_by_label("approved").select_option("true")
    detail.get_by_label("limit").fill("500")
    detail.get_by_label("note (optional)").fill("be quick")
    shoot(page, "form")
    detail.get_by_role("button", name="Send the result").click()
    expect(page.get_by_label("Facts")).to_contain_text("True up to 500: be quick")


def test_executions_are_found_by_their_tags(page, server):
    server.start("gated", "tagged-1", tags="customer=17")
    server.start("gated", "tagged-2", tags="customer=18")
    page.goto(f"{server.page}#/executions?name=tagged")
    expect(page.get_by_role("link", name="tagged-1")).to_be_visible()
    page.get_by_label("Tags").fill("customer=18")
    page.get_by_label("Tags").press("Enter")
    expect(page.get_by_role("link", name="tagged-1")).to_have_count(0)
    expect(page.get_by_role("link", name="tagged-2")).to_be_visible()
    assert "tag=customer%3D18" in page.url
