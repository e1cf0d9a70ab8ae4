"""Tokens, lost answers, and what an answer shows. See protocol.md, "Checkpoints"."""

from __future__ import annotations

import pytest

from durable_async.service import machine
from durable_async.service.model.errors import InvalidParameterValueError
from tests.service.machine.machine_driver import Driver, callback, context, step, wait


def stale():
    return pytest.raises(InvalidParameterValueError, match=r"^Invalid checkpoint token$")


def ids(result) -> list[str]:
    return [operation["Id"] for operation in result["NewExecutionState"]["Operations"]]


def test_each_checkpoint_consumes_its_token_and_gives_the_next():
    driver = Driver()
    seed = driver.token
    following = driver.checkpoint()["CheckpointToken"]
    assert following != seed
    with stale():
        driver.checkpoint(token=seed)
    driver.checkpoint(token=following)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda d: d.suspend(), id="suspended"),
        pytest.param(lambda d: d.succeed(), id="succeeded"),
        pytest.param(lambda d: d.crash(), id="crashed and invoked again"),
        pytest.param(lambda d: d.crash("ValueError"), id="waits for its retry"),
        pytest.param(lambda d: d.advance(86_400), id="execution timed out"),
    ],
)
def test_a_token_dies_with_its_invocation(end):
    driver = Driver()
    driver.checkpoint(callback())
    token = driver.token
    end(driver)
    with stale():
        driver.checkpoint(token=token)


def test_an_execution_update_closes_and_gives_no_token():
    driver = Driver()
    token = driver.token
    result = driver.checkpoint(step("SUCCEED"), {"Id": "r", "Type": "EXECUTION", "Action": "SUCCEED", "Payload": "1"})
    assert "CheckpointToken" not in result
    assert driver.status == "SUCCEEDED"
    assert driver.execution.result == "1"
    with stale():
        driver.checkpoint(token=token)


def test_a_repeated_call_gets_the_first_answer_and_happens_once():
    driver = Driver()
    token = driver.token
    first = driver.checkpoint(wait(5), client_token="a")
    count = len(driver.events)
    assert driver.checkpoint(wait(5), token=token, client_token="a") == first
    assert len(driver.events) == count
    with stale():
        driver.checkpoint(token=token, client_token="b")
    driver.advance(15 * 60)
    assert driver.checkpoint(token=token, client_token="a") == first
    driver.advance(1)
    with stale():
        driver.checkpoint(token=token, client_token="a")


def test_only_the_last_answer_is_repeated():
    driver = Driver()
    token = driver.token
    driver.checkpoint(client_token="a")
    driver.checkpoint(client_token="b")
    with stale():
        driver.checkpoint(token=token, client_token="a")


def test_the_answer_to_a_closing_checkpoint_can_be_repeated():
    driver = Driver()
    token = driver.token
    closing = {"Id": "r", "Type": "EXECUTION", "Action": "SUCCEED"}
    first = driver.checkpoint(closing, client_token="a")
    assert driver.checkpoint(closing, token=token, client_token="a") == first


def test_an_answer_shows_what_changed_in_the_order_in_which_it_began():
    driver = Driver()
    assert ids(driver.checkpoint(wait(1, "b"), step("START", "a"))) == ["b", "a"]
    assert ids(driver.checkpoint()) == []
    driver.advance(1)
    assert ids(driver.checkpoint(step("SUCCEED", "a"), context("START"))) == ["b", "a", "x"]


def test_a_refresh_completes_what_is_due_without_the_timer_having_fired():
    driver = Driver()
    driver.checkpoint(wait(1), step("RETRY", delay=1), callback(timeout=1))
    driver.now_ms += 1000
    result = driver.checkpoint()["NewExecutionState"]["Operations"]
    assert {o["Id"]: o["Status"] for o in result} == {"w": "SUCCEEDED", "s": "READY", "c": "TIMED_OUT"}


def test_what_was_due_stays_done_when_the_updates_are_refused():
    driver = Driver()
    driver.checkpoint(wait(1))
    driver.now_ms += 1000
    with pytest.raises(InvalidParameterValueError):
        driver.checkpoint(wait(1))
    assert driver.statuses() == {"w": "SUCCEEDED"}


def test_changes_are_handed_over_with_the_command_that_made_them():
    driver = Driver()
    for number in range(300):
        driver.checkpoint(step("SUCCEED", f"s{number}"))
    assert driver.execution.unseen == {}
    assert driver.execution.changes.operations == {}
    assert driver.execution.changes.events == []


def test_a_heartbeat_is_handed_over_too():
    driver = Driver()
    driver.checkpoint(callback(heartbeat=10))
    machine.callback_heartbeat(driver.execution, driver.callback_id("c"), driver.at)
    changes = driver.execution.take_changes()
    assert (changes.operations.keys(), changes.events) == ({"c"}, [])
