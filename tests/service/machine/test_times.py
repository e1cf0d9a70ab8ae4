"""When operations start and end: in microseconds, in an order that is never lost."""

from __future__ import annotations

import json
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from durable_async._wire.operations import OperationType
from durable_async._wire.timestamps import end_microseconds, start_microseconds
from durable_async.service.machine import OperationRecord
from tests.property_runs import examples
from tests.service.machine.machine_driver import START_MS, Driver, callback, step, wait


def ends(driver: Driver) -> dict[str, int]:
    return {each.id: each.end_us for each in driver.execution.operations if each.end_us is not None}


def grows(times) -> bool:
    return all(earlier < later for earlier, later in pairwise(times))


def test_operations_of_one_checkpoint_end_one_after_the_other():
    driver = Driver()
    driver.checkpoint(*(step("SUCCEED", name) for name in "cab"))
    assert [*ends(driver)] == ["c", "a", "b"]
    assert grows(ends(driver).values())


def test_operations_of_two_checkpoints_in_one_millisecond_end_one_after_the_other():
    driver = Driver()
    driver.checkpoint(step("START", "first"), step("START", "second"))
    driver.checkpoint(step("SUCCEED", "second"))
    driver.checkpoint(step("SUCCEED", "first"))
    assert ends(driver)["second"] < ends(driver)["first"]


def test_a_wait_that_is_due_ends_before_what_the_checkpoint_that_meets_it_records():
    driver = Driver()
    driver.checkpoint(wait(1, "w"), step("START"))
    driver.now_ms += 1000
    driver.checkpoint(step("SUCCEED"))
    assert driver.execution.by_id["w"].due_ms == START_MS + 1000
    assert ends(driver)["w"] < ends(driver)["s"]


def test_two_timers_of_one_moment_end_one_after_the_other():
    driver = Driver()
    driver.checkpoint(wait(2, "later"), wait(1, "sooner"), callback(timeout=1))
    driver.advance(3)
    assert ends(driver)["sooner"] < ends(driver)["c"] < ends(driver)["later"]


def test_times_grow_although_the_clock_is_put_back_and_timers_keep_to_the_clock():
    driver = Driver()
    driver.checkpoint(step("SUCCEED", "before"))
    driver.now_ms -= 3_600_000
    driver.checkpoint(step("SUCCEED", "after"), wait(5))
    assert grows(event.at_us for event in driver.events)
    assert ends(driver)["before"] < ends(driver)["after"]
    assert driver.execution.by_id["w"].due_ms == driver.now_ms + 5000


def test_an_envelope_has_whole_milliseconds_and_what_is_below_them_apart():
    operation = OperationRecord("s", OperationType.STEP, 1, 1_700_000_000_123_456, end_us=1_700_000_000_124_000)
    shown = operation.in_milliseconds()
    assert (shown["StartTimestamp"], shown["EndTimestamp"]) == (1_700_000_000_123, 1_700_000_000_124)
    assert shown["StartMicroseconds"] == 456
    assert "EndMicroseconds" not in shown
    assert operation.in_seconds()["StartTimestamp"] == 1_700_000_000.123456


MICROSECONDS = st.integers(1_000_000_000_000_000, 4_000_000_000_000_000)


@settings(max_examples=examples(300))
@given(started=MICROSECONDS, ended=MICROSECONDS)
def test_both_encodings_say_the_same_microsecond(started, ended):
    operation = OperationRecord("s", OperationType.STEP, 1, started, end_us=ended)
    for shown in (operation.in_milliseconds(), operation.in_seconds()):
        read = json.loads(json.dumps(shown))
        assert (start_microseconds(read), end_microseconds(read)) == (started, ended)


def test_what_has_not_ended_has_no_end():
    operation = OperationRecord("s", OperationType.STEP, 1, 1_700_000_000_123_456)
    assert end_microseconds(operation.in_milliseconds()) is end_microseconds(operation.in_seconds()) is None
