"""Which operation a request names.

Each path has one parameter, an ARN, an id or a function's name, and clients encode its slashes: a path is split before
it is decoded.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import unquote

import attrs


class Operation(StrEnum):
    INVOKE = "Invoke"
    CHECKPOINT = "CheckpointDurableExecution"
    GET_STATE = "GetDurableExecutionState"
    GET = "GetDurableExecution"
    GET_HISTORY = "GetDurableExecutionHistory"
    LIST = "ListDurableExecutionsByFunction"
    STOP = "StopDurableExecution"
    PAUSE = "PauseDurableExecution"
    RESUME = "ResumeDurableExecution"
    DELETE = "DeleteDurableExecution"
    CALLBACK_SUCCESS = "SendDurableExecutionCallbackSuccess"
    CALLBACK_FAILURE = "SendDurableExecutionCallbackFailure"
    CALLBACK_HEARTBEAT = "SendDurableExecutionCallbackHeartbeat"


@attrs.frozen
class Route:
    operation: Operation
    parameter: str


_EXECUTIONS = "2025-12-01/durable-executions"
_CALLBACKS = "2025-12-01/durable-execution-callbacks"
_TABLE = {
    ("POST", "2015-03-31/functions", "invocations"): Operation.INVOKE,
    ("GET", "2025-12-01/functions", "durable-executions"): Operation.LIST,
    ("GET", _EXECUTIONS, ""): Operation.GET,
    ("DELETE", _EXECUTIONS, ""): Operation.DELETE,
    ("POST", _EXECUTIONS, "checkpoint"): Operation.CHECKPOINT,
    ("GET", _EXECUTIONS, "state"): Operation.GET_STATE,
    ("GET", _EXECUTIONS, "history"): Operation.GET_HISTORY,
    ("POST", _EXECUTIONS, "stop"): Operation.STOP,
    ("POST", _EXECUTIONS, "pause"): Operation.PAUSE,
    ("POST", _EXECUTIONS, "resume"): Operation.RESUME,
    ("POST", _CALLBACKS, "succeed"): Operation.CALLBACK_SUCCESS,
    ("POST", _CALLBACKS, "fail"): Operation.CALLBACK_FAILURE,
    ("POST", _CALLBACKS, "heartbeat"): Operation.CALLBACK_HEARTBEAT,
}


def route(method: str, raw_path: str) -> Route | None:
    """:param raw_path: as it came, percent-encoded, without the query"""
    root, version, *rest = [*raw_path.split("/"), "", ""][:7]
    collection, encoded, verb, *further = [*rest, "", ""]
    operation = _TABLE.get((method, f"{version}/{collection}", verb))
    if operation is None or root or any(further) or not encoded:
        return None
    try:
        return Route(operation, unquote(encoded, errors="strict"))
    except UnicodeDecodeError:
        return None
