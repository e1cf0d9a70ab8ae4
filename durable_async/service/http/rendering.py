"""What the service tells about executions, in the API's member names and epoch seconds.

Source: protocol.md, "API" and "Timestamps".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service.machine import Execution, ExecutionStatus
from durable_async.service.model.errors import InvalidParameterValueError
from durable_async.service.model.history import Event, render
from durable_async.service.store import Summary

_PAGE_BYTES = 5 * 1024 * 1024


@attrs.frozen
class Started:
    """Invoke's answer. ``execution_arn`` is that of the new execution, or of the one found under the same name."""

    execution_arn: str
    executed_version: str


@attrs.frozen
class Closed:
    """How an execution ended: SUCCEEDED (``result``, if any), FAILED, TIMED_OUT or STOPPED (``error``, if any)."""

    status: str
    result: str | None = None
    error: ErrorObject | None = None

    @classmethod
    def of(cls, execution: Execution) -> Closed:
        return cls(str(execution.status), execution.result, execution.error)


def functions_answer(
    arns: Mapping[str, str], timeouts: Mapping[str, int | None], retention_days: int
) -> dict[str, Any]:
    """
    :param arns: of the functions, by name
    :param timeouts: seconds, of the executions of each; None: it is not durable
    """
    functions: list[dict[str, Any]] = []
    for name, arn in arns.items():
        function: dict[str, Any] = {"FunctionName": name, "FunctionArn": arn}
        if timeouts[name] is not None:
            function["DurableConfig"] = {
                "ExecutionTimeout": timeouts[name],
                "RetentionPeriodInDays": retention_days,
            }
        functions.append(function)
    return {"Functions": functions}


def page_length(max_items: int) -> int:
    """:raises InvalidParameterValueError: ``max_items`` is not between 0 (the default, 100) and 1000"""
    if not 0 <= max_items <= 1000:
        raise InvalidParameterValueError("MaxItems must be between 0 and 1000.")
    return max_items or 100


def page_start(marker: str | None) -> int | None:
    """:raises InvalidParameterValueError: the marker was not given out here"""
    if not marker:
        return None
    if not (marker.isascii() and marker.isdecimal() and len(marker) <= 18):  # what a store's integers hold
        raise InvalidParameterValueError("Invalid marker")
    return int(marker)


def known_statuses(statuses: Sequence[str]) -> frozenset[str]:
    """:raises InvalidParameterValueError: one of them is no status of an execution"""
    for status in statuses:
        if status not in [*ExecutionStatus]:
            raise InvalidParameterValueError(f"{status!r} is no status of an execution: {', '.join(ExecutionStatus)}")
    return frozenset(statuses)


def execution_answer(execution: Execution, retention_days: int, *, include_data: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "DurableExecutionArn": execution.arn,
        "DurableExecutionName": execution.name,
        "FunctionArn": execution.function_arn,
        "StartTimestamp": execution.started_ms / 1000,
        "Status": str(execution.status),
        "Version": execution.version,
        "ExecutionDataIncluded": include_data,
        "DurableConfig": {
            "ExecutionTimeout": execution.timeout_seconds,
            "RetentionPeriodInDays": retention_days,
        },
    }
    if include_data:
        answer["InputPayload"] = execution.input
        if execution.result is not None:
            answer["Result"] = execution.result
        if execution.error is not None:
            answer["Error"] = execution.error
    if execution.ended_ms is not None:
        answer["EndTimestamp"] = execution.ended_ms / 1000
    else:
        answer["ExpectedExecutionTimeoutTimestamp"] = execution.timeout_ms / 1000
    if execution.status in (ExecutionStatus.PAUSING, ExecutionStatus.PAUSED) and execution.pause is not None:
        answer["PauseDetails"] = {
            "PauseRequestTimestamp": execution.pause.requested_ms / 1000,
            "ExecutionTimeoutPaused": execution.pause.timeout_paused,
        } | ({} if execution.pause.reason is None else {"Reason": execution.pause.reason})
    return answer


def history_answer(events: Sequence[Event], count: int, *, include_data: bool) -> dict[str, Any]:
    """A page of at most ``count`` of ``events``, which hold one more if more follow, and of some 5 MiB."""
    shown: list[dict[str, Any]] = []
    used = 0
    for event in events:
        used += event.size if include_data else 0
        if len(shown) == count or (shown and used > _PAGE_BYTES):
            return {"Events": shown, "NextMarker": str(event.id)}
        shown.append(render(event, include_data=include_data))
    return {"Events": shown}


def list_answer(found: Sequence[Summary], count: int) -> dict[str, Any]:
    """A page of at most ``count`` of ``found``, which hold one more if more follow."""
    answer: dict[str, Any] = {"DurableExecutions": [_item(summary) for summary in found[:count]]}
    if len(found) > count:
        answer["NextMarker"] = str(found[count - 1].position)
    return answer


def _item(summary: Summary) -> dict[str, Any]:
    item: dict[str, Any] = {
        "DurableExecutionArn": summary.arn,
        "DurableExecutionName": summary.name,
        "FunctionArn": summary.function_arn,
        "Status": summary.status,
        "StartTimestamp": summary.started_ms / 1000,
    }
    if summary.ended_ms is not None:
        item["EndTimestamp"] = summary.ended_ms / 1000
    return item
