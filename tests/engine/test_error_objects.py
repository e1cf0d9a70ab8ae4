import json

import pytest

from durable_async._engine.error_objects import error_object
from durable_async._wire.limits import ERROR_BYTES
from durable_async.errors import StepError


class Oops(Exception):
    class Inner(Exception):
        pass


@pytest.mark.parametrize(
    ("error", "type_"),
    [
        pytest.param(ValueError("boom"), "ValueError", id="builtin"),
        pytest.param(Oops("boom"), f"{__name__}.Oops", id="with its module"),
        pytest.param(Oops.Inner("boom"), f"{__name__}.Oops.Inner", id="nested"),
    ],
)
def test_an_error_is_recorded_with_type_and_message(error, type_):
    assert error_object(error, of="Step 'x'") == {"ErrorType": type_, "ErrorMessage": "boom"}


def test_the_stack_trace_is_recorded():
    def fail():
        raise ValueError("boom")

    with pytest.raises(ValueError) as caught:
        fail()
    assert "in fail" in error_object(caught.value, of="Step 'x'")["StackTrace"][-1]


def test_an_operations_error_keeps_what_was_recorded():
    error = StepError("boom", "ValueError", "data", ("line 1", "line 2"))
    assert error_object(error, of="the execution") == {
        "ErrorType": "ValueError",
        "ErrorMessage": "boom",
        "ErrorData": "data",
        "StackTrace": ["line 1", "line 2"],
    }


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("x" * 2_000_000), id="long message"),
        pytest.param(ValueError("é" * 100_000), id="long message, not ASCII"),
        pytest.param(StepError("x" * 20_000, "E", "d" * 20_000), id="long message and data"),
        pytest.param(StepError("boom", "E", None, ("frame " * 1000,) * 100), id="long stack trace"),
    ],
)
def test_an_error_over_the_limit_is_cut(error):
    cut = error_object(error, of="Step 'charge'")
    assert len(json.dumps(cut)) < ERROR_BYTES
    if len(error.args[0]) > 100:
        size = len(json.dumps(error_object(error, of="")["ErrorMessage"]))
        assert size > ERROR_BYTES // 8
        assert "Step 'charge' has " in cut["ErrorMessage"] and f"accepts {ERROR_BYTES}]" in cut["ErrorMessage"]
    else:
        assert cut["ErrorMessage"] == "boom" and cut["StackTrace"]
