from __future__ import annotations

import re

import pytest

from durable_async.service.model import arns
from durable_async.service.model.arns import ExecutionReference, FunctionReference

MODEL = re.compile(
    r"arn:([a-zA-Z0-9-]+):lambda:([a-zA-Z0-9-]+):(\d{12}):function:([a-zA-Z0-9_-]+):(\$LATEST(?:\.PUBLISHED)?|[0-9]+)"
    r"/durable-execution/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)"
)
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("orders", FunctionReference("orders")),
        ("5-1", FunctionReference("5-1")),
        ("orders:$LATEST", FunctionReference("orders", "$LATEST")),
        ("orders:$LATEST.PUBLISHED", FunctionReference("orders", "$LATEST.PUBLISHED")),
        ("orders:7", FunctionReference("orders", "7")),
        ("123456789012:orders", FunctionReference("orders", None, "123456789012")),
        ("123456789012:function:orders:7", FunctionReference("orders", "7", "123456789012")),
        ("function:orders", FunctionReference("orders")),
        (FUNCTION, FunctionReference("orders", None, "123456789012", "eu-west-1")),
        (f"{FUNCTION}:prod", FunctionReference("orders", "prod", "123456789012", "eu-west-1")),
        ("", None),
        ("a b", None),
        ("orders:", None),
        ("orders:$OLDEST", None),
        ("orders\n", None),
        ("x" * 257, None),
        ("arn:aws:s3:::orders", None),
    ],
)
def test_a_function_reference(text, reference):
    assert arns.parse_function(text) == reference


def test_an_executions_arn_is_of_the_models_form_and_can_be_read_again():
    arn = arns.execution_arn(arns.function_arn("eu-west-1", "123456789012", "orders", "$LATEST"), "order-1", "ab-12")
    assert MODEL.fullmatch(arn)
    assert arns.parse_execution(arn) == ExecutionReference(f"{FUNCTION}:$LATEST", "order-1", "ab-12")


@pytest.mark.parametrize(
    "text", ["", FUNCTION, f"{FUNCTION}/durable-execution/n/i", f"{FUNCTION}:prod/durable-execution/n/i"]
)
def test_what_is_no_executions_arn(text):
    assert arns.parse_execution(text) is None
