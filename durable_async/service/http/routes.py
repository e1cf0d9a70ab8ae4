"""Finds the operation of a request.

A path has at most one parameter (an ARN, an id or a function's name) between a fixed beginning and a fixed end. Clients
encode slashes in it; if a proxy has decoded them, the parameter is still found.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import unquote

import attrs


class Operation(StrEnum):
    INVOKE = "Invoke"
    LIST_FUNCTIONS = "ListFunctions"
    CHECKPOINT = "CheckpointDurableExecution"
    GET_STATE = "GetDurableExecutionState"
    GET = "GetDurableExecution"
    GET_HISTORY = "GetDurableExecutionHistory"
    LIST = "ListDurableExecutionsByFunction"
    LIST_ALL = "ListDurableExecutions"
    COUNT = "CountDurableExecutions"
    STOP = "StopDurableExecution"
    PAUSE = "PauseDurableExecution"
    RESUME = "ResumeDurableExecution"
    CANCEL = "CancelDurableExecution"
    REDRIVE = "RedriveDurableExecution"
    FORK = "ForkDurableExecution"
    FORK_HISTORY = "ForkDurableExecutionHistory"
    DELETE = "DeleteDurableExecution"
    LIST_CALLBACKS = "ListDurableExecutionCallbacks"
    CALLBACK_SUCCESS = "SendDurableExecutionCallbackSuccess"
    CALLBACK_FAILURE = "SendDurableExecutionCallbackFailure"
    CALLBACK_HEARTBEAT = "SendDurableExecutionCallbackHeartbeat"


@attrs.frozen
class Route:
    operation: Operation
    parameter: str


_EXECUTIONS = "2025-12-01/durable-executions"
_CALLBACKS = "2025-12-01/durable-execution-callbacks"
_WITHOUT_PARAMETER = {
    ("GET", "/2015-03-31/functions"): Operation.LIST_FUNCTIONS,
    ("GET", f"/{_EXECUTIONS}"): Operation.LIST_ALL,
    ("GET", "/2025-12-01/durable-execution-counts"): Operation.COUNT,
}
_TABLE = {
    ("POST", "2015-03-31/functions", "invocations"): Operation.INVOKE,
    ("GET", "2025-12-01/functions", "durable-executions"): Operation.LIST,
    ("GET", _EXECUTIONS, None): Operation.GET,
    ("DELETE", _EXECUTIONS, None): Operation.DELETE,
    ("POST", _EXECUTIONS, "checkpoint"): Operation.CHECKPOINT,
    ("GET", _EXECUTIONS, "state"): Operation.GET_STATE,
    ("GET", _EXECUTIONS, "history"): Operation.GET_HISTORY,
    ("GET", _EXECUTIONS, "callbacks"): Operation.LIST_CALLBACKS,
    ("POST", _EXECUTIONS, "stop"): Operation.STOP,
    ("POST", _EXECUTIONS, "pause"): Operation.PAUSE,
    ("POST", _EXECUTIONS, "resume"): Operation.RESUME,
    ("POST", _EXECUTIONS, "cancel"): Operation.CANCEL,
    ("POST", _EXECUTIONS, "redrive"): Operation.REDRIVE,
    ("POST", _EXECUTIONS, "fork"): Operation.FORK,
    ("POST", "2025-12-01/functions", "durable-executions"): Operation.FORK_HISTORY,
    ("POST", _CALLBACKS, "succeed"): Operation.CALLBACK_SUCCESS,
    ("POST", _CALLBACKS, "fail"): Operation.CALLBACK_FAILURE,
    ("POST", _CALLBACKS, "heartbeat"): Operation.CALLBACK_HEARTBEAT,
}
_VERBS = "|".join(sorted({verb for _, _, verb in _TABLE if verb}))
_PATH = re.compile(rf"/([^/]+/[^/]+)/(.+?)(?:/({_VERBS}))?/?")


def route(method: str, path: str) -> Route | None:
    """Return the operation and its parameter; None if there is none.

    :param path: percent-encoded, without the query
    """
    if (known := _WITHOUT_PARAMETER.get((method, path.rstrip("/")))) is not None:
        return Route(known, "")
    found = _PATH.fullmatch(path)
    operation = found and _TABLE.get((method, found[1], found[3]))
    if not (found and operation):
        return None
    try:
        return Route(operation, unquote(found[2], errors="strict"))
    except UnicodeDecodeError:
        return None
