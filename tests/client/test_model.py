"""Our model of Lambda against botocore's: the same requests."""

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.serialize import RestJSONSerializer

from durable_async.client.model import LAMBDA_MODEL

OURS = ServiceModel(LAMBDA_MODEL, "lambda")
THEIRS = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST/durable-execution/n/1"
ERROR = {"ErrorType": "E", "ErrorMessage": "m", "ErrorData": "d"}


def request(model, operation, parameters):
    serialized = RestJSONSerializer().serialize_to_request(parameters, model.operation_model(operation))
    body = serialized["body"]
    return {**serialized, "body": body.encode() if isinstance(body, str) else body}


@pytest.mark.parametrize(
    ("operation", "parameters", "theirs"),
    [
        (
            "Invoke",
            {
                "FunctionName": "f/é",
                "InvocationType": "Event",
                "DurableExecutionName": "n",
                "Qualifier": "$LATEST",
                "Payload": b"{}",
            },
            None,
        ),
        (
            "ListDurableExecutionsByFunction",
            {
                "FunctionName": "f",
                "DurableExecutionName": "n",
                "Statuses": ["FAILED", "STOPPED"],
                "StartedAfter": 1_700_000_000.5,
                "ReverseOrder": True,
                "Marker": "m",
                "MaxItems": 7,
            },
            None,
        ),
        ("GetDurableExecution", {"DurableExecutionArn": ARN}, None),
        (
            "GetDurableExecutionHistory",
            {"DurableExecutionArn": ARN, "IncludeExecutionData": False, "ReverseOrder": True, "MaxItems": 5},
            None,
        ),
        ("StopDurableExecution", {"DurableExecutionArn": ARN, **ERROR}, {"DurableExecutionArn": ARN, "Error": ERROR}),
        ("StopDurableExecution", {"DurableExecutionArn": ARN}, None),
        ("SendDurableExecutionCallbackSuccess", {"CallbackId": "a+/=", "Result": b"\xff"}, None),
        ("SendDurableExecutionCallbackSuccess", {"CallbackId": "a+/="}, None),
        (
            "SendDurableExecutionCallbackFailure",
            {"CallbackId": "a", **ERROR},
            {"CallbackId": "a", "Error": ERROR},
        ),
        ("SendDurableExecutionCallbackHeartbeat", {"CallbackId": "a"}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_is_theirs(operation, parameters, theirs):
    ours = request(OURS, operation, parameters)
    expected = request(THEIRS, operation, theirs or parameters)
    for part in ("method", "url_path", "query_string", "body"):
        assert ours[part] == expected[part], part
    assert set(ours["headers"].items()) - {("Content-Type", "application/json")} == set(expected["headers"].items()) - {
        ("Content-Type", "application/json")
    }


def test_only_what_aws_lacks_or_adds_lately_may_be_unknown_to_botocore():
    unknown = {*OURS.operation_names} - {*THEIRS.operation_names}
    assert unknown <= {
        "PauseDurableExecution",
        "ResumeDurableExecution",
        "DeleteDurableExecution",
        "RedriveDurableExecution",
        "CancelDurableExecution",
        "ListDurableExecutionCallbacks",
        "ListDurableExecutions",
        "CountDurableExecutions",
        "ForkDurableExecution",
        "ForkDurableExecutionHistory",
    }
