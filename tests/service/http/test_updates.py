"""Each member of an update that breaks the service model, as a request has it, and the message of the refusal."""

from __future__ import annotations

import json

import pytest

from durable_async.service.http import shapes
from durable_async.service.model.errors import InvalidParameterValueError
from tests.service.machine.machine_driver import callback, context, step, update, wait


def read(*updates):
    return shapes.checkpoint(json.dumps({"CheckpointToken": "t", "Updates": updates}).encode())


SHAPES = [
    ("no id", {"Type": "STEP", "Action": "START"}, "'updates.1.member.id' failed .* must not be null"),
    ("id null", step("START", None), "'updates.1.member.id' failed .* must not be null"),
    ("no type", {"Id": "s", "Action": "START"}, "'updates.1.member.type' failed"),
    ("no action", {"Id": "s", "Type": "STEP"}, "'updates.1.member.action' failed"),
    ("unknown type", update("s", "LOOP", "START"), "enum value set: .EXECUTION, CONTEXT,"),
    ("type no text", update("s", ["STEP"], "START"), "enum value set"),
    ("unknown action", update("s", "STEP", "BEGIN"), "enum value set: .START, SUCCEED,"),
    ("id empty", step("START", ""), "length greater than or equal to 1"),
    ("id long", step("START", "x" * 65), "length less than or equal to 64"),
    ("id pattern", step("START", "a b"), "regular expression pattern"),
    ("parent pattern", step("START", ParentId="ä"), "'updates.1.member.parentId' failed .* pattern"),
    ("name not ASCII", step("START", Name="Grüße"), "'updates.1.member.name' failed .* pattern"),
    ("name long", step("START", Name="x" * 257), "length less than or equal to 256"),
    ("subtype long", step("START", SubType="x" * 33), "length less than or equal to 32"),
    ("subtype pattern", step("START", SubType="a b"), "regular expression pattern"),
    ("payload no text", step("SUCCEED", Payload={"a": 1}), "must be a string"),
    ("error no structure", step("FAIL", Error="boom"), "must be a structure"),
    ("error type no text", step("FAIL", Error={"ErrorType": 1}), "'updates.1.member.error.errorType' failed"),
    ("stack no list", step("FAIL", Error={"StackTrace": "x"}), "must be a list"),
    ("stack of numbers", step("FAIL", Error={"StackTrace": [1]}), "must be a list of strings"),
    ("delay zero", step("RETRY", delay=0), "nextAttemptDelaySeconds' failed .* greater than or equal to 1"),
    ("delay long", step("RETRY", delay=31_622_401), "less than or equal to 31622400"),
    ("delay no whole number", step("RETRY", delay=1.5), "must be an integer"),
    ("delay a flag", step("RETRY", delay=True), "must be an integer"),
    ("wait zero", wait(0), "'updates.1.member.waitOptions.waitSeconds' failed .* greater than or equal to 1"),
    ("timeout negative", callback(timeout=-1), "greater than or equal to 0"),
    ("heartbeat long", callback(heartbeat=100_000_000), "less than or equal to 99999999"),
    ("options no structure", step("RETRY", StepOptions=[]), "must be a structure"),
    ("flag no boolean", context("SUCCEED", ContextOptions={"ReplayChildren": "yes"}), "must be a boolean"),
]


@pytest.mark.parametrize(("bad", "message"), [pytest.param(*row[1:], id=row[0]) for row in SHAPES])
def test_a_member_that_breaks_the_model_is_refused(bad, message):
    with pytest.raises(InvalidParameterValueError, match=f"1 validation error detected: .*{message}"):
        read(bad)


def test_the_message_names_the_update():
    with pytest.raises(InvalidParameterValueError, match=r"'updates\.2\.member\.id' failed"):
        read(step("START"), step("START", "a b"))


def test_members_that_keep_to_the_model_and_unknown_ones_are_read_as_they_are():
    updates = [
        step("START", "s", Name="n", SubType="Step", ParentId="x", Future={"x": 1}),
        step("RETRY", "s", delay=31_622_400, Error={"ErrorType": "Boom", "StackTrace": ["line"]}),
        context("SUCCEED", ContextOptions={"ReplayChildren": True}, Payload="1"),
        wait(1),
        callback(timeout=99_999_999, heartbeat=0),
    ]
    assert read(*updates).updates == updates


def test_an_update_that_is_no_structure_is_refused():
    with pytest.raises(InvalidParameterValueError, match=r"^An update must be a JSON object\.$"):
        read("START")
