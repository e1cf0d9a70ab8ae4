"""What a fork takes from the record beside the history, and which results can be replaced."""

from __future__ import annotations

import pytest

from durable_async._wire.cancellation import CANCELLATION
from durable_async.service import machine
from durable_async.service.machine import NewExecution, Source
from durable_async.service.model.errors import InvalidParameterValueError
from tests.service.machine.machine_driver import FUNCTION, Driver, context, step, wait


def forked(driver: Driver, before: str | None, **replaced: str) -> machine.Execution:
    source = Source.of("arn", driver.execution.by_id, driver.events)
    function = f"{FUNCTION}:orders:$LATEST"
    new = NewExecution("e2", f"{function}/durable-execution/order-2/e2", "order-2", "orders", function, "1", "{}", 60)
    return machine.fork(source, new, before, replaced, driver.at)


@pytest.mark.parametrize("replays", [True, False])
@pytest.mark.parametrize(
    ("before", "replaced", "status", "kept"),
    [
        pytest.param("later", {}, "SUCCEEDED", True, id="as it was recorded"),
        pytest.param("later", {"x": "1"}, "SUCCEEDED", False, id="its result is replaced"),
        pytest.param("a", {}, "STARTED", False, id="it is open again"),
    ],
)
def test_whether_the_children_of_a_context_are_replayed(before, replaced, status, kept, replays):
    driver = Driver()
    for update in (
        context("START"),
        step("SUCCEED", "a", ParentId="x", Payload="1"),
        context("SUCCEED", Payload='"a summary"', ContextOptions={"ReplayChildren": replays}),
        step("SUCCEED", "later", Payload="2"),
    ):
        driver.checkpoint(update)
    made = forked(driver, before, **replaced).by_id["x"]
    assert (made.status, made.replay_children) == (status, kept and replays)


@pytest.mark.parametrize("place", ["w", CANCELLATION])
def test_what_has_no_result_of_the_workflow_cannot_be_replaced(place):
    driver = Driver()
    driver.checkpoint(step("SUCCEED", "s"), wait(1))
    driver.do(machine.cancel, None)
    with pytest.raises(InvalidParameterValueError, match="whose result cannot be replaced"):
        forked(driver, "s", **{place: "1"})


def test_a_batch_that_failed_without_a_failed_item_is_decided_anew():
    driver = Driver()
    for update in (
        context("START", "m", SubType="Map"),
        step("SUCCEED", "a", ParentId="m", Payload="1"),
        context("FAIL", "m", Error={"ErrorType": "ValueError"}),
    ):
        driver.checkpoint(update)
    trace = ["ChildContextError: operation id m\n"]
    driver.answer({"Status": "FAILED", "Error": {"ErrorType": "ChildContextError", "StackTrace": trace}})
    made = forked(driver, None)
    assert {operation.id: operation.status for operation in made.operations[1:]} == {"m": "STARTED", "a": "SUCCEEDED"}
