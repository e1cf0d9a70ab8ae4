"""Which operations a handler is given, and in which pages. See protocol.md, "Envelope" and "Pages"."""

from __future__ import annotations

import pytest

from durable_async.service import machine
from durable_async.service.machine import Limits, state_page
from durable_async.service.model.errors import InvalidParameterValueError
from tests.service.machine.machine_driver import Driver, context, step, wait

REPLAY = {"ContextOptions": {"ReplayChildren": True}}


def envelope_of(driver: Driver) -> dict:
    """The envelope of a further invocation."""
    driver.crash()
    return driver.invocations[-1].event["InitialExecutionState"]


def ids(page) -> list[str]:
    return [operation["Id"] for operation in page["Operations"]]


def test_children_of_a_completed_context_are_left_out():
    driver = Driver()
    driver.checkpoint(context("START", "open"), step("START", "a", ParentId="open"))
    driver.checkpoint(context("START", "done"), step("START", "b", ParentId="done"), context("SUCCEED", "done"))
    driver.checkpoint(context("START", "failed"), step("START", "c", ParentId="failed"), context("FAIL", "failed"))
    assert ids(envelope_of(driver)) == ["e1", "open", "a", "done", "failed"]


def test_unless_it_was_completed_with_replay_children():
    driver = Driver()
    driver.checkpoint(context("START"), step("START", ParentId="x"), context("SUCCEED", **REPLAY))
    assert ids(envelope_of(driver)) == ["e1", "x", "s"]


@pytest.mark.parametrize(
    ("outer", "inner", "shown"),
    [
        pytest.param({}, REPLAY, ["o"], id="the outer one hides all"),
        pytest.param(REPLAY, {}, ["o", "i"], id="the inner one hides its own"),
        pytest.param(REPLAY, REPLAY, ["o", "i", "s"], id="both are replayed"),
    ],
)
def test_nested_contexts(outer, inner, shown):
    driver = Driver()
    driver.checkpoint(context("START", "o"), context("START", "i", ParentId="o"), step("SUCCEED", ParentId="i"))
    driver.checkpoint(context("SUCCEED", "i", **inner), context("SUCCEED", "o", **outer))
    assert ids(envelope_of(driver)) == ["e1", *shown]


@pytest.mark.parametrize(
    ("steps_before", "shown"),
    [
        pytest.param(1, ["e1", "0", "cancellation"], id="in its place"),
        pytest.param(9, ["e1", "0", "1", "cancellation"], id="after the first page"),
    ],
)
def test_the_cancellation_is_in_the_first_page_once(steps_before, shown):
    driver = Driver(limits=Limits(page_operations=3))
    driver.checkpoint(*(step("SUCCEED", str(n)) for n in range(steps_before)))
    driver.do(machine.cancel, None)
    driver.checkpoint(*(step("SUCCEED", f"after-{n}") for n in range(9)))
    assert ids(envelope_of(driver)) == shown


def all_pages(driver: Driver, count: int) -> list[list[str]]:
    page = envelope_of(driver)
    pages = [ids(page)]
    while page["NextMarker"]:
        page = state_page(driver.execution, driver.token, page["NextMarker"], count, driver.limits)
        pages.append(ids(page))
    return pages


def test_pages_are_bounded_by_count():
    driver = Driver(limits=Limits(page_operations=3))
    driver.checkpoint(*(step("SUCCEED", f"s{n}") for n in range(5)))
    assert all_pages(driver, 2) == [["e1", "s0", "s1"], ["s2", "s3"], ["s4"]]


def test_pages_are_bounded_by_bytes_and_have_one_operation_at_least():
    driver = Driver(limits=Limits(page_bytes=2000))
    sizes = {"a": 10, "b": 10, "c": 5000, "d": 10}
    driver.checkpoint(*(step("SUCCEED", name, Payload="x" * size) for name, size in sizes.items()))
    assert all_pages(driver, 100) == [["e1", "a", "b"], ["c"], ["d"]]


def test_a_marker_stays_good_over_a_checkpoint():
    driver = Driver(limits=Limits(page_operations=2))
    driver.checkpoint(*(step("SUCCEED", f"s{n}") for n in range(3)))
    marker = envelope_of(driver)["NextMarker"]
    driver.checkpoint(wait())
    assert ids(state_page(driver.execution, driver.token, marker, 100, Limits())) == ["s1", "s2", "w"]


def test_a_first_page_can_be_asked_for_and_has_seconds():
    driver = Driver()
    page = state_page(driver.execution, driver.token, None, 100, Limits())
    assert page["Operations"][0]["StartTimestamp"] == driver.execution.started_ms / 1000


@pytest.mark.parametrize("marker", ["x", "-1", "1.5", "99", "٣"])
def test_a_bad_marker_is_refused(marker):
    driver = Driver()
    with pytest.raises(InvalidParameterValueError, match="Invalid marker"):
        state_page(driver.execution, driver.token, marker, 100, Limits())


def test_a_stale_token_is_refused():
    driver = Driver()
    token = driver.token
    driver.checkpoint()
    with pytest.raises(InvalidParameterValueError, match="Invalid checkpoint token"):
        state_page(driver.execution, token, None, 100, Limits())
