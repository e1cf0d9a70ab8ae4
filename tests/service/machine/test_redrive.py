"""What a redrive does again, as its event says it, and that a handler sees nothing else of it."""

from __future__ import annotations

import pytest

from durable_async._wire import cancellation
from durable_async._wire.cancellation import CANCELLATION
from durable_async.service import machine
from durable_async.service.machine.derive import derive
from durable_async.service.model.errors import InvalidParameterValueError, ResourceConflictError
from tests.service.machine.machine_driver import Driver, callback, context, invoke, step, wait
from tests.service.machine.test_machine_stateful import fields, restored

BATCH_ERROR = "durable_async.errors.BatchCompletionError"


def played(script) -> Driver:
    """An execution after updates, each in a checkpoint of its own, and what happened between them."""
    driver = Driver()
    for act in script:
        if callable(act):
            act(driver)
        else:
            driver.checkpoint(act)
    return driver


def failed(*named, kind="ValueError"):
    """The workflow fails because of the operations with these ids."""
    trace = [f"StepError: operation id {place}\n" for place in named]
    error = {"ErrorType": kind, "ErrorMessage": "no", "StackTrace": trace}
    return lambda driver: driver.answer({"Status": "FAILED", "Error": error})


def stopped(driver: Driver) -> None:
    driver.do(machine.stop, None)


def redriven(driver: Driver, start: str | None = None) -> tuple[list[str], list[str]]:
    """What was cleared and what was opened again."""
    driver.do(machine.redrive, start)
    event = driver.events[-1]
    assert event.type == "ExecutionRedriven"
    cleared, reopened = event.details["Cleared"], event.details["Reopened"]
    shown = driver.invocations[-1].event["InitialExecutionState"]["Operations"]
    assert all(operation["Status"] != "CLEARED" and operation["Id"] not in cleared for operation in shown)
    for operation in shown:
        if operation["Id"] in (*reopened, "e1"):
            assert (operation["Status"], operation.get("EndTimestamp")) == ("STARTED", None)
            assert operation.get("ContextDetails", {}) == {}
    assert driver.invocations[-1].event["UpdatedOperationIds"] == []
    assert all(driver.execution.by_id[f"{each}.{event.id}"].status == "CLEARED" for each in cleared)
    assert (driver.execution.result, driver.execution.error) == (None, None)
    told = derive(driver.events)
    assert (told.status, told.ended_ms, told.answered) == ("RUNNING", None, False)
    assert [*map(fields, told.operations)] == [*map(fields, driver.execution.operations)]
    return cleared, reopened


def item(number: int, *ends: str):
    """An item of the batch ``m`` with a step for each end."""
    steps = [step(end, f"{number}{letter}", ParentId=f"i{number}") for letter, end in zip("abc", ends, strict=False)]
    return [context("START", f"i{number}", SubType="MapIteration", ParentId="m"), *steps]


BATCH = [
    context("START", "m", SubType="Map"),
    *item(0, "SUCCEED", "FAIL"),
    context("FAIL", "i0"),
    *item(1, "FAIL"),
    context("FAIL", "i1"),
    *item(2, "SUCCEED"),
    context("SUCCEED", "i2"),
    *item(3, "START"),
]
HANDED_OUT = [
    context("START", "x", SubType="WaitForCallback"),
    callback("c", ParentId="x"),
    step("SUCCEED", "submit", ParentId="x"),
    lambda d: d.callback_fails("c"),
    context("FAIL", "x"),
]
CHILD = [
    context("START", "x"),
    step("SUCCEED", "a", ParentId="x"),
    step("FAIL", "b", ParentId="x"),
    context("FAIL", "x", Error={"ErrorType": "Boom"}),
]


@pytest.mark.parametrize(
    ("script", "cleared", "reopened"),
    [
        pytest.param([step("SUCCEED", "a"), failed()], [], [], id="the workflow's own code"),
        pytest.param([step("SUCCEED", "a"), stopped], [], [], id="it was stopped"),
        pytest.param([step("FAIL", "a"), lambda d: d.answer({"Status": "FAILED"})], [], [], id="without an error"),
        pytest.param([step("SUCCEED", "a"), step("FAIL", "b"), failed("b")], ["b"], [], id="a step"),
        pytest.param(
            [step("FAIL", "handled"), step("SUCCEED", "a"), step("FAIL", "b"), failed("b")],
            ["b"],
            [],
            id="a failure that was handled stays",
        ),
        pytest.param(
            [step("FAIL", "b"), wait(1, "w"), lambda d: d.advance(1), failed("b")],
            ["b", "w"],
            [],
            id="what started after the failure",
        ),
        pytest.param(
            [step("FAIL", "b"), step("FAIL", "later"), failed("b")], ["b", "later"], [], id="what failed after it"
        ),
        pytest.param(
            [step("START", "b"), step("START", "beside"), step("FAIL", "b"), step("SUCCEED", "beside"), failed("b")],
            ["b"],
            [],
            id="what started before the failure stays",
        ),
        pytest.param([*CHILD, failed("b", "x")], ["b"], ["x"], id="a step in a context"),
        pytest.param([*CHILD, failed("b", "a", "x", "gone")], ["b"], ["x"], id="only what failed of what is named"),
        pytest.param(
            [context("START"), step("FAIL", "handled", ParentId="x"), *CHILD[1:], failed("b")],
            ["b"],
            ["x"],
            id="a failure in the same context that was handled stays",
        ),
        pytest.param([*CHILD, wait(9), failed("b")], ["b", "w"], ["x"], id="what started after the context around it"),
        pytest.param(
            [context("START"), *CHILD[1:2], context("FAIL"), failed("x")], [], ["x"], id="a context's own code"
        ),
        pytest.param(
            [context("START"), step("FAIL", "handled", ParentId="x"), context("FAIL"), failed("x")],
            [],
            ["x"],
            id="a context's own code, after a failure in it that was handled",
        ),
        pytest.param(
            [context("START"), context("FAIL"), wait(9), failed("x")], ["w"], ["x"], id="what started after a context"
        ),
        pytest.param(
            [*HANDED_OUT, failed("c")], ["c", "submit"], ["x"], id="a callback and the step that hands it out"
        ),
        pytest.param([*HANDED_OUT, failed("x")], ["c", "submit"], ["x"], id="the context of a callback"),
        pytest.param(
            [*BATCH, context("FAIL", "m"), failed("1a")],
            ["0b", "1a"],
            ["i0", "i1", "m"],
            id="every item that failed, and none that succeeded later",
        ),
        pytest.param(
            [
                *BATCH,
                context("SUCCEED", "m", Payload="{}", ContextOptions={"ReplayChildren": True}),
                failed(kind=BATCH_ERROR),
            ],
            ["0b", "1a"],
            ["i0", "i1", "m"],
            id="a batch of which too many failed",
        ),
        pytest.param([*BATCH, context("SUCCEED", "m"), failed()], [], [], id="a batch that was handled stays"),
        pytest.param(
            [*BATCH, context("SUCCEED", "m"), wait(1), lambda d: d.advance(1), failed(kind=BATCH_ERROR)],
            ["0b", "1a", "w"],
            ["i0", "i1", "m"],
            id="the last batch, although a wait has ended since",
        ),
        pytest.param([*BATCH, failed(kind=BATCH_ERROR)], [], [], id="a batch that has not ended is no cause"),
        pytest.param([failed(kind=BATCH_ERROR)], [], [], id="there was no batch"),
        pytest.param(
            [context("START", "m", SubType="Map"), *item(0, "SUCCEED"), context("FAIL", "m"), failed("m")],
            [],
            ["m"],
            id="a batch of which no item failed",
        ),
        pytest.param(
            [
                context("START", "old", SubType="Parallel"),
                step("FAIL", "o", ParentId="old"),
                context("SUCCEED", "old"),
                *BATCH,
                context("SUCCEED", "m"),
                failed(kind=BATCH_ERROR),
            ],
            ["0b", "1a"],
            ["i0", "i1", "m"],
            id="of several batches the last",
        ),
        pytest.param(
            [invoke(operation_id="i"), lambda d: d.suspend(), lambda d: d.chained_ends("i", FAILED), failed("i")],
            ["i"],
            [],
            id="an invoke",
        ),
        pytest.param(
            [lambda d: d.do(machine.cancel, None), stopped],
            [CANCELLATION],
            [],
            id="a cancellation that nobody received",
        ),
        pytest.param(
            [
                step("SUCCEED", "a"),
                wait(9, "before"),
                lambda d: d.do(machine.cancel, None),
                step("SUCCEED", CANCELLATION, Payload="null"),
                wait(9, "after"),
                failed(kind=cancellation.ERROR_TYPE),
            ],
            ["after", CANCELLATION],
            [],
            id="a cancellation, and what started after the workflow received it",
        ),
    ],
)
def test_what_is_done_again_after_a_failure(script, cleared, reopened):
    assert redriven(played(script)) == (sorted(cleared), reopened)


FAILED = machine.ChainedOutcome("FAILED", error={"ErrorType": "Boom"})


@pytest.mark.parametrize(
    ("start", "cleared", "reopened"),
    [
        pytest.param("first", ["a", "b", "f", "l", "x"], [], id="everything from the first on"),
        pytest.param("x", ["a", "b", "l", "x"], [], id="a context, with all that is in it"),
        pytest.param("a", ["a", "b", "l"], ["x"], id="a part of a context"),
        pytest.param("last", ["l"], [], id="the last"),
    ],
)
def test_what_is_done_again_from_an_operation_on(start, cleared, reopened):
    script = [step("SUCCEED", "f", Name="first"), *CHILD, step("SUCCEED", "l", Name="last"), stopped]
    assert redriven(played(script), start) == (cleared, reopened)


@pytest.mark.parametrize("end", [Driver.suspend, Driver.succeed], ids=["open", "succeeded"])
def test_only_an_execution_that_ended_without_success_is_redriven(end):
    driver = played([callback(), end])
    snapshot = driver.snapshot()
    with pytest.raises(ResourceConflictError, match="cannot be redriven"):
        driver.do(machine.redrive, None)
    assert driver.snapshot() == snapshot


def test_a_redriven_execution_has_its_whole_time_again():
    driver = played([callback(), Driver.suspend, lambda d: d.advance(86_400)])
    assert driver.status == "TIMED_OUT"
    redriven(driver)
    driver.advance(86_399)
    assert driver.status == "RUNNING"
    driver.advance(1)
    assert driver.status == "TIMED_OUT"


def test_a_context_that_is_open_is_not_opened_again_and_what_is_beside_it_stays():
    assert redriven(played([*CHILD[:-1], step("SUCCEED", "beside"), stopped]), "b") == (["b"], [])


def test_a_redrive_takes_a_cancellation_back_wherever_it_begins():
    cancelled = [step("SUCCEED", "a"), lambda d: d.do(machine.cancel, None), step("SUCCEED", "last"), stopped]
    assert redriven(played(cancelled), "last") == (sorted([CANCELLATION, "last"]), [])


def test_a_name_that_several_have_is_refused_with_their_ids():
    driver = played([step("SUCCEED", "a", Name="pay"), step("SUCCEED", "b", Name="pay"), stopped])
    with pytest.raises(InvalidParameterValueError, match=r"2 operations are named 'pay'.*: a, b"):
        redriven(driver, "pay")
    assert redriven(driver, "b") == (["b"], [])


@pytest.mark.parametrize("start", ["e1", "order-1", "nobody"])
def test_only_an_operation_can_be_named(start):
    with pytest.raises(InvalidParameterValueError, match="no operation with the id or the name"):
        redriven(played([step("SUCCEED"), stopped]), start)


@pytest.mark.parametrize(
    "place", [pytest.param({}, id="beside it"), pytest.param({"ParentId": "x"}, id="in a context")]
)
def test_what_succeeded_after_the_failure_is_not_done_again_unless_an_operation_is_named(place):
    driver = played(
        [
            context("START", "x"),
            step("FAIL", "a", **place),
            step("SUCCEED", "u", Name="undo", **place),
            step("SUCCEED", "v", **place),
            failed("a"),
        ]
    )
    with pytest.raises(ResourceConflictError, match=r"^'undo', 'v' succeeded after the failure"):
        driver.do(machine.redrive, None)
    assert driver.status == "FAILED"
    assert redriven(driver, "undo") == (["u", "v"], [])


def test_what_was_cleared_is_no_operation_any_more():
    driver = played([step("FAIL", "a", Name="pay"), failed("a")])
    assert redriven(driver) == (["a"], [])
    driver.checkpoint(step("FAIL", "a", Name="pay"))
    failed("a")(driver)
    assert redriven(driver, "pay") == (["a"], [])
    stopped(driver)
    with pytest.raises(InvalidParameterValueError, match="no operation with the id or the name 'pay'"):
        driver.do(machine.redrive, "pay")


def test_what_a_redrive_changed_is_handed_over():
    driver = played([*CHILD, step("SUCCEED", "kept"), stopped])
    machine.redrive(driver.execution, "b", driver.at)
    event, changed = driver.execution.event_count, driver.execution.take_changes().operations
    assert changed.keys() == {"e1", f"b.{event}", "x", f"kept.{event}"}
    assert all(operation.id == number for number, operation in changed.items())


def test_what_was_held_when_the_execution_closed_is_held_again():
    driver = played([invoke(operation_id="i"), lambda d: d.chained_ends("i"), stopped])
    redriven(driver)
    driver.suspend()
    assert driver.statuses() == {"i": "SUCCEEDED"}
    assert len(driver.chained) == 1


def test_the_target_of_a_cleared_invoke_is_asked_by_its_successor_alone():
    driver = played([invoke(operation_id="i"), stopped])
    redriven(driver, "i")
    driver.checkpoint(callback("other"))
    driver.suspend()
    assert not driver.execution.active
    assert not restored(driver.execution).active
    driver.callback_succeeds("other")
    assert len(driver.chained) == 1
    driver.checkpoint(invoke(operation_id="i"))
    driver.suspend()
    driver.chained_ends("i")
    driver.checkpoint(callback())
    driver.suspend()
    assert len(driver.chained) == 2
    assert not driver.execution.active


def test_only_what_was_not_cleared_is_waited_for_again():
    driver = played([wait(5, "kept"), wait(5, "again"), Driver.suspend, stopped])
    redriven(driver, "again")
    driver.suspend()
    assert len(driver.invocations) == 2
    driver.advance(5)
    assert (driver.statuses()["kept"], len(driver.invocations)) == ("SUCCEEDED", 3)
    for _ in range(3):
        driver.suspend()
    assert driver.status == "FAILED"


@pytest.mark.parametrize("end", [Driver.suspend, lambda d: d.crash("ValueError")], ids=["idle answers", "failures"])
def test_what_was_counted_before_counts_no_more(end):
    driver = played([end, lambda d: d.advance(1), end, stopped])
    redriven(driver)
    before = len(driver.invocations)
    for number in (1, 2):
        end(driver)
        driver.advance(number)  # the delays of the first failures
        assert (driver.status, len(driver.invocations)) == ("RUNNING", before + number)
