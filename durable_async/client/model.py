"""The part of Lambda's API that callers use, in botocore's model format.

Its answers are documents, as those of the transport's model: plain JSON with epoch seconds. It has the operations that
the botocore which aiobotocore requires may not know yet: PauseDurableExecution, ResumeDurableExecution and
DeleteDurableExecution. Only the service of this package has ListDurableExecutions, CountDurableExecutions,
ListDurableExecutionCallbacks, CancelDurableExecution, RedriveDurableExecution, ForkDurableExecution and
ForkDurableExecutionHistory, tags, prefixes of names, IncludeWaitingFor, which makes a list say what open executions
wait for, and WaitSeconds, the time that an answer may be held back for news: of a list, until its page is another one
than that of KnownDigest.
"""

from __future__ import annotations

from typing import Final

from durable_async._wire.text import JsonObject
from durable_async.transport._model import SERVICE_MODEL

_EXECUTION = "/2025-12-01/durable-executions/{DurableExecutionArn}"
_CALLBACK = "/2025-12-01/durable-execution-callbacks/{CallbackId}"
_FUNCTION = "{FunctionName}"

_TEXT = {"shape": "String"}
_ERROR = {"ErrorType": _TEXT, "ErrorMessage": _TEXT, "ErrorData": _TEXT, "StackTrace": {"shape": "Strings"}}
_CLIENT_TOKEN = {"shape": "String", "idempotencyToken": True}
_PAGE = {
    "Marker": {"shape": "String", "location": "querystring", "locationName": "Marker"},
    "MaxItems": {"shape": "Integer", "location": "querystring", "locationName": "MaxItems"},
}


def _at(location: str, name: str, shape: str = "String") -> dict[str, str]:
    return {"shape": shape, "location": location, "locationName": name}


_FILTERS = {
    "DurableExecutionName": _at("querystring", "DurableExecutionName"),
    "NamePrefix": _at("querystring", "NamePrefix"),
    "Statuses": _at("querystring", "Statuses", "Strings"),
    "Tags": _at("querystring", "Tags", "Strings"),
    "StartedAfter": _at("querystring", "StartedAfter", "Timestamp"),
    "StartedBefore": _at("querystring", "StartedBefore", "Timestamp"),
}
_FORK = {
    "Before": _TEXT,
    "DurableExecutionName": _TEXT,
    "Input": _TEXT,
    "Replace": {"shape": "Texts"},
    "Tags": {"shape": "Texts"},
}
_LIST = {
    **_FILTERS,
    "ReverseOrder": _at("querystring", "ReverseOrder", "Boolean"),
    "IncludeWaitingFor": _at("querystring", "IncludeWaitingFor", "Boolean"),
    "WaitSeconds": _at("querystring", "WaitSeconds", "Integer"),
    "KnownDigest": _at("querystring", "KnownDigest"),
    **_PAGE,
}


def _operation(name: str, method: str, uri: str, *, output: str = "Document") -> dict[str, object]:
    return {
        "name": name,
        "http": {"method": method, "requestUri": uri},
        "input": {"shape": f"{name}Request"},
        "output": {"shape": output},
    }


def _request(required: str, members: JsonObject, **more: object) -> dict[str, object]:
    """Return the shape of a request. ``required`` is the member in the path."""
    return {
        "type": "structure",
        "required": [required],
        "members": {required: _at("uri", required), **members},
        **more,
    }


LAMBDA_MODEL: Final[JsonObject] = {
    "version": "2.0",
    "metadata": SERVICE_MODEL["metadata"],
    "operations": {
        operation["name"]: operation
        for operation in (
            _operation("Invoke", "POST", f"/2015-03-31/functions/{_FUNCTION}/invocations", output="Invoked"),
            _operation("ListFunctions", "GET", "/2015-03-31/functions"),
            _operation(
                "ListDurableExecutionsByFunction", "GET", f"/2025-12-01/functions/{_FUNCTION}/durable-executions"
            ),
            _operation("ListDurableExecutions", "GET", "/2025-12-01/durable-executions"),
            _operation("CountDurableExecutions", "GET", "/2025-12-01/durable-execution-counts"),
            _operation("GetDurableExecution", "GET", _EXECUTION),
            _operation("GetDurableExecutionHistory", "GET", f"{_EXECUTION}/history"),
            _operation("DeleteDurableExecution", "DELETE", _EXECUTION),
            _operation("ListDurableExecutionCallbacks", "GET", f"{_EXECUTION}/callbacks"),
            _operation("StopDurableExecution", "POST", f"{_EXECUTION}/stop"),
            _operation("PauseDurableExecution", "POST", f"{_EXECUTION}/pause"),
            _operation("ResumeDurableExecution", "POST", f"{_EXECUTION}/resume"),
            _operation("CancelDurableExecution", "POST", f"{_EXECUTION}/cancel"),
            _operation("RedriveDurableExecution", "POST", f"{_EXECUTION}/redrive"),
            _operation("ForkDurableExecution", "POST", f"{_EXECUTION}/fork"),
            _operation("ForkDurableExecutionHistory", "POST", f"/2025-12-01/functions/{_FUNCTION}/durable-executions"),
            _operation("SendDurableExecutionCallbackSuccess", "POST", f"{_CALLBACK}/succeed"),
            _operation("SendDurableExecutionCallbackFailure", "POST", f"{_CALLBACK}/fail"),
            _operation("SendDurableExecutionCallbackHeartbeat", "POST", f"{_CALLBACK}/heartbeat"),
        )
    },
    "shapes": {
        "InvokeRequest": _request(
            "FunctionName",
            {
                "InvocationType": _at("header", "X-Amz-Invocation-Type"),
                "DurableExecutionName": _at("header", "X-Amz-Durable-Execution-Name"),
                "Tags": _at("header", "X-Durable-Execution-Tags"),
                "Qualifier": _at("querystring", "Qualifier"),
                "TraceHeader": _at("header", "X-Amzn-Trace-Id"),
                "Payload": {"shape": "Blob"},
            },
            payload="Payload",
        ),
        "Invoked": {
            "type": "structure",
            "members": {
                "DurableExecutionArn": _at("header", "X-Amz-Durable-Execution-Arn"),
                "ExecutedVersion": _at("header", "X-Amz-Executed-Version"),
            },
        },
        "ListFunctionsRequest": {"type": "structure", "members": _PAGE},
        "ListDurableExecutionsByFunctionRequest": _request(
            "FunctionName", {"Qualifier": _at("querystring", "Qualifier"), **_LIST}
        ),
        "ListDurableExecutionsRequest": {"type": "structure", "members": _LIST},
        "CountDurableExecutionsRequest": {
            "type": "structure",
            "members": {"FunctionName": _at("querystring", "FunctionName"), **_FILTERS},
        },
        "GetDurableExecutionRequest": _request(
            "DurableExecutionArn",
            {
                "IncludeExecutionData": _at("querystring", "IncludeExecutionData", "Boolean"),
                "WaitSeconds": _at("querystring", "WaitSeconds", "Integer"),
            },
        ),
        "GetDurableExecutionHistoryRequest": _request(
            "DurableExecutionArn",
            {
                "IncludeExecutionData": _at("querystring", "IncludeExecutionData", "Boolean"),
                "ReverseOrder": _at("querystring", "ReverseOrder", "Boolean"),
                "WaitSeconds": _at("querystring", "WaitSeconds", "Integer"),
                **_PAGE,
            },
        ),
        "ListDurableExecutionCallbacksRequest": _request("DurableExecutionArn", {}),
        "DeleteDurableExecutionRequest": _request("DurableExecutionArn", {}),
        # An error object is the whole body, so its members can stand in the request itself.
        "StopDurableExecutionRequest": _request("DurableExecutionArn", _ERROR),
        "PauseDurableExecutionRequest": _request(
            "DurableExecutionArn",
            {"Reason": _TEXT, "ExecutionTimeoutPaused": {"shape": "Boolean"}, "ClientToken": _CLIENT_TOKEN},
        ),
        "ResumeDurableExecutionRequest": _request(
            "DurableExecutionArn", {"Reason": _TEXT, "ClientToken": _CLIENT_TOKEN}
        ),
        "CancelDurableExecutionRequest": _request("DurableExecutionArn", {"Reason": _TEXT}),
        "RedriveDurableExecutionRequest": _request("DurableExecutionArn", {"From": _TEXT}),
        "ForkDurableExecutionRequest": _request("DurableExecutionArn", _FORK),
        "ForkDurableExecutionHistoryRequest": _request("FunctionName", {"History": {"shape": "Document"}, **_FORK}),
        "SendDurableExecutionCallbackSuccessRequest": _request(
            "CallbackId", {"Result": {"shape": "Blob"}}, payload="Result"
        ),
        "SendDurableExecutionCallbackFailureRequest": _request("CallbackId", _ERROR),
        "SendDurableExecutionCallbackHeartbeatRequest": _request("CallbackId", {}),
        "Document": {"type": "structure", "document": True, "members": {}},
        "Blob": {"type": "blob"},
        "Boolean": {"type": "boolean"},
        "Integer": {"type": "integer"},
        "String": {"type": "string"},
        "Texts": {"type": "map", "key": {"shape": "String"}, "value": {"shape": "String"}},
        "Strings": {"type": "list", "member": {"shape": "String"}},
        "Timestamp": {"type": "timestamp"},
    },
}
