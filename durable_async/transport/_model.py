"""The part of Lambda's API that an invocation uses: two operations, in botocore's model format.

botocore's own model of Lambda has a hundred operations, and a client walks its shapes member by member on every
request and answer. Here everything below the parameters of a call is a *document*: plain JSON, which botocore does not
touch. So a client reads no file, ``json.dumps`` alone serializes an update, and an answer is what ``json.loads``
returned. Timestamps stay numbers, and a member may be null.

The tests compare it with botocore's model: the same requests, the same answers, the same errors.
"""

from __future__ import annotations

from typing import Final

from durable_async._wire.text import JsonObject

_EXECUTION = "/2025-12-01/durable-executions/{DurableExecutionArn}"
_IN_PATH = {"shape": "String", "location": "uri", "locationName": "DurableExecutionArn"}


def _in_query(name: str, shape: str = "String") -> dict[str, str]:
    return {"shape": shape, "location": "querystring", "locationName": name}


SERVICE_MODEL: Final[JsonObject] = {
    "version": "2.0",
    "metadata": {
        "apiVersion": "2015-03-31",
        "auth": ["aws.auth#sigv4"],
        "endpointPrefix": "lambda",
        "protocol": "rest-json",
        "protocols": ["rest-json"],
        "serviceFullName": "AWS Lambda",
        "serviceId": "Lambda",
        "signatureVersion": "v4",
        "signingName": "lambda",
        "uid": "lambda-2015-03-31",
    },
    "operations": {
        "CheckpointDurableExecution": {
            "name": "CheckpointDurableExecution",
            "http": {"method": "POST", "requestUri": f"{_EXECUTION}/checkpoint", "responseCode": 200},
            "input": {"shape": "CheckpointRequest"},
            "output": {"shape": "Document"},
            "idempotent": True,
        },
        "GetDurableExecutionState": {
            "name": "GetDurableExecutionState",
            "http": {"method": "GET", "requestUri": f"{_EXECUTION}/state", "responseCode": 200},
            "input": {"shape": "StateRequest"},
            "output": {"shape": "Document"},
            "readonly": True,
        },
    },
    "shapes": {
        "CheckpointRequest": {
            "type": "structure",
            "required": ["DurableExecutionArn", "CheckpointToken"],
            "members": {
                "DurableExecutionArn": _IN_PATH,
                "CheckpointToken": {"shape": "String"},
                "Updates": {"shape": "Document"},
                "ClientToken": {"shape": "String", "idempotencyToken": True},
            },
        },
        "StateRequest": {
            "type": "structure",
            "required": ["DurableExecutionArn", "CheckpointToken"],
            "members": {
                "DurableExecutionArn": _IN_PATH,
                "CheckpointToken": _in_query("CheckpointToken"),
                "Marker": _in_query("Marker"),
                "MaxItems": _in_query("MaxItems", "Integer"),
            },
        },
        "Document": {"type": "structure", "document": True, "members": {}},
        "Integer": {"type": "integer"},
        "String": {"type": "string"},
    },
}
