"""Each refusal of a checkpoint's updates, with its exact message, and that it changes nothing."""

from __future__ import annotations

import pytest

from durable_async._wire.operations import Action, OperationType
from durable_async.service.machine import Limits, Parent
from durable_async.service.machine.batch import RULES
from durable_async.service.model.errors import InvalidParameterValueError
from tests.service.machine.machine_driver import Driver, callback, context, invoke, step, update, wait

ERROR = {"ErrorType": "Boom"}
SMALL = Limits(payload_bytes=10, error_bytes=30, execution_bytes=20, child_execution_bytes=15)


def execution_update(action="SUCCEED", **members):
    return update("result", "EXECUTION", action, **members)


def populated(**options) -> Driver:
    """A running execution that has one operation of each kind and status that a handler can meet."""
    d = Driver(**options)
    d.checkpoint(
        step("START", "ready"),
        step("RETRY", "ready", delay=1),
        wait(1, "ended-wait"),
        context("START", "ended-context"),
        context("SUCCEED", "ended-context"),
        step("START", "ended-step"),
        step("SUCCEED", "ended-step"),
    )
    d.advance(1)
    d.checkpoint(
        step("START", "started", Name="n", SubType="Step"),
        step("START", "pending"),
        step("RETRY", "pending", delay=60),
        context("START", "x"),
        wait(60, "wait"),
        callback("callback"),
        invoke(operation_id="invoke"),
    )
    return d


REFUSED = [
    ("two executions", [execution_update(), execution_update()], "Cannot checkpoint multiple EXECUTION updates."),
    ("execution first", [execution_update(), step("START")], "EXECUTION checkpoint must be the last update."),
    ("id twice", [step("START"), step("START")], "Cannot checkpoint multiple operations with the same ID."),
    ("ended and started", [step("SUCCEED"), step("START")], "Cannot checkpoint multiple operations with the same ID."),
    (
        "three of an id",
        [step("START"), step("RETRY", delay=1), step("SUCCEED")],
        "Cannot checkpoint multiple operations with the same ID.",
    ),
    (
        "ended twice",
        [step("RETRY", delay=1), step("SUCCEED")],
        "Cannot checkpoint multiple operations with the same ID.",
    ),
    ("wait twice", [wait(), update("w", "WAIT", "CANCEL")], "Cannot checkpoint multiple operations with the same ID."),
    ("unknown parent", [step("START", ParentId="nobody")], "Invalid parent operation id."),
    ("parent is no context", [step("START", ParentId="started")], "Invalid parent operation id."),
    (
        "parent is a step of the batch",
        [step("START"), step("START", "t", ParentId="s")],
        "Invalid parent operation id.",
    ),
    (
        "parent only ends in the batch",
        [context("SUCCEED", "y"), step("START", ParentId="y")],
        "Invalid parent operation id.",
    ),
    ("parent started later", [step("START", ParentId="y"), context("START", "y")], "Invalid parent operation id."),
    ("parent is itself", [context("START", "y", ParentId="y")], "Invalid parent operation id."),
    ("other type", [context("SUCCEED", "started")], "Inconsistent operation type."),
    ("the execution's id", [step("START", "e1")], "Inconsistent operation type."),
    ("other subtype", [step("SUCCEED", "started", SubType="Other")], "Inconsistent operation subtype."),
    ("other name", [step("SUCCEED", "started", Name="m")], "Inconsistent operation name."),
    ("name came later", [step("SUCCEED", "ready", Name="m")], "Inconsistent operation name."),
    ("other parent", [step("SUCCEED", "started", ParentId="x")], "Inconsistent parent operation id."),
    ("other name in a batch", [step("START", Name="a"), step("SUCCEED", Name="b")], "Inconsistent operation name."),
    ("step started again", [step("START", "started")], "Invalid current STEP state to start."),
    ("pending step started", [step("START", "pending")], "Invalid current STEP state to start."),
    ("ended step started", [step("START", "ended-step")], "Invalid current STEP state to start."),
    ("pending step ended", [step("SUCCEED", "pending")], "Invalid current STEP state to close."),
    ("ended step failed", [step("FAIL", "ended-step")], "Invalid current STEP state to close."),
    ("pending step retried", [step("RETRY", "pending", delay=1)], "Invalid current STEP state to re-attempt."),
    ("ended step retried", [step("RETRY", "ended-step", delay=1)], "Invalid current STEP state to re-attempt."),
    ("context again", [context("START")], "Cannot start a CONTEXT that already exist."),
    ("context ended again", [context("FAIL", "ended-context")], "Invalid current CONTEXT state to close."),
    ("wait again", [wait(1, "wait")], "Cannot start a WAIT that already exist."),
    ("callback again", [callback("callback")], "Cannot start a CALLBACK that already exist."),
    (
        "invoke again",
        [invoke(operation_id="invoke")],
        "Cannot start a CHAINED_INVOKE operation that already exists.",
    ),
    (
        "ended wait cancelled",
        [update("ended-wait", "WAIT", "CANCEL")],
        "Cannot cancel a WAIT that does not exist or has already completed.",
    ),
    (
        "no wait cancelled",
        [update("new", "WAIT", "CANCEL")],
        "Cannot cancel a WAIT that does not exist or has already completed.",
    ),
    ("fail with payload", [step("FAIL", Payload="1")], "Cannot provide a Payload for FAIL action."),
    ("succeed with error", [context("SUCCEED", Error={})], "Cannot provide an Error for SUCCEED action."),
    ("execution with error", [execution_update(Error=ERROR)], "Cannot provide an Error for SUCCEED action."),
    (
        "retry with both",
        [step("RETRY", delay=1, Payload="1", Error=ERROR)],
        "Cannot provide both error and payload to RETRY a STEP.",
    ),
    ("retry without options", [step("RETRY")], "Invalid StepOptions for the given action."),
    ("retry without delay", [step("RETRY", StepOptions={})], "Invalid StepOptions for the given action."),
    ("wait without options", [update("w", "WAIT", "START")], "Invalid WaitOptions for the given action."),
    (
        "invoke without options",
        [update("i", "CHAINED_INVOKE", "START")],
        "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.",
    ),
    (
        "invoke of nothing",
        [update("i", "CHAINED_INVOKE", "START", ChainedInvokeOptions={"TenantId": "a"})],
        "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.",
    ),
    ("bad target", [invoke("bad name")], "Invalid function ARN 'bad name'"),
    (
        "bad tenant",
        [update("i", "CHAINED_INVOKE", "START", ChainedInvokeOptions={"FunctionName": "echo", "TenantId": "a!"})],
        "TenantId must be 1 to 256 characters matching [a-zA-Z0-9._:/=+-@ ].",
    ),
    (
        "large step result",
        [step("SUCCEED", Payload="x" * 11)],
        "STEP output payload size must be less than or equal to 10 bytes.",
    ),
    (
        "large state, in bytes of UTF-8",
        [step("RETRY", delay=1, Payload="ä" * 6)],
        "STEP output payload size must be less than or equal to 10 bytes.",
    ),
    (
        "large context result",
        [context("SUCCEED", Payload="x" * 11)],
        "CONTEXT output payload size must be less than or equal to 10 bytes.",
    ),
    (
        "large input",
        [invoke(Payload="x" * 11)],
        "CHAINED_INVOKE input payload size must be less than or equal to 10 bytes.",
    ),
    (
        "large result",
        [execution_update(Payload="x" * 21)],
        "Execution output payload size must be less than or equal to 20 bytes.",
    ),
    ("large error", [step("FAIL", Error={"ErrorMessage": "x" * 30})], "Error object size must be less than 30 bytes."),
]


@pytest.mark.parametrize(("updates", "message"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_a_batch_is_refused_and_changes_nothing(updates, message):
    driver = populated(limits=SMALL)
    before, token = driver.snapshot(), driver.token
    with pytest.raises(InvalidParameterValueError) as refused:
        driver.checkpoint(step("SUCCEED", "fine"), *updates)
    assert refused.value.message == message
    assert driver.snapshot() == before
    driver.checkpoint(token=token)  # not consumed


@pytest.mark.parametrize("kind", OperationType)
@pytest.mark.parametrize("action", Action)
def test_an_action_that_its_type_does_not_have_is_refused(kind, action):
    if (kind, action) in RULES:
        return
    with pytest.raises(InvalidParameterValueError, match=r"Invalid action for the given operation type\."):
        Driver().checkpoint(update("o", str(kind), str(action), StepOptions={"NextAttemptDelaySeconds": 1}))


def test_the_result_of_a_chained_execution_has_a_limit_of_its_own():
    driver = Driver(limits=SMALL, parent=Parent("p", "i"))
    with pytest.raises(InvalidParameterValueError, match=r"Execution output payload size .* 15 bytes"):
        driver.checkpoint(execution_update(Payload="x" * 16))


ACCEPTED = [
    ("start and end of a step", [step("START"), step("SUCCEED")]),
    ("start and retry of a step", [step("START"), step("RETRY", delay=1)]),
    ("start and end of a context", [context("START", "y"), context("FAIL", "y")]),
    ("step ended without a start", [step("FAIL", Error=ERROR)]),
    ("step retried without a start", [step("RETRY", delay=31_622_400)]),
    ("context ended without a start", [context("SUCCEED", "y", ContextOptions={"ReplayChildren": False})]),
    ("ready step started", [step("START", "ready")]),
    ("ready step ended", [step("SUCCEED", "ready")]),
    ("ready step retried", [step("RETRY", "ready", delay=1)]),
    ("started step ended, its names repeated", [step("SUCCEED", "started", Name="n", SubType="Step")]),
    ("wait cancelled", [update("wait", "WAIT", "CANCEL")]),
    ("parent started in the batch", [context("START", "y", ParentId="x"), step("START", ParentId="y")]),
    ("below an ended context", [step("START", ParentId="ended-context")]),
    ("null members", [step("START", Name=None, ParentId=None, Payload=None, Error=None, StepOptions=None)]),
    ("unknown members", [step("START", Future={"x": 1})]),
    ("payload at its limit", [step("SUCCEED", Payload="ä" * 5)]),
    ("input at its limit", [invoke(Payload="ä" * 5)]),
    ("missing target", [invoke("nobody")]),
    ("execution", [step("SUCCEED"), execution_update("FAIL", Error=ERROR)]),
    ("execution, whatever its id", [step("SUCCEED"), update("s", "EXECUTION", "SUCCEED", ParentId="nobody")]),
    ("execution, by its own id", [update("e1", "EXECUTION", "SUCCEED")]),
]


@pytest.mark.parametrize("updates", [pytest.param(row[1], id=row[0]) for row in ACCEPTED])
def test_a_batch_is_accepted(updates):
    populated(limits=SMALL).checkpoint(*updates)
