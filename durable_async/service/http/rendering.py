"""Writes the service's values as Lambda's JSON: the API's member names, times in epoch seconds.

Source: protocol.md, "API", "History" and "Timestamps".
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_async._wire.text import JsonObject
from durable_async.service.model.history import PAYLOADS, HistoryEvent
from durable_async.service.runtime.views import (
    Counts,
    ExecutionDescription,
    ExecutionSummary,
    FunctionDescription,
    OpenCallback,
    Page,
    PauseDetails,
    WaitingFor,
)


def execution_json(execution: ExecutionDescription, *, include_data: bool = True) -> JsonObject:
    """Return the answer of ``GetDurableExecution``.

    :param include_data: True: include input, result and error. False: leave them out
    """
    answer: JsonObject = {
        "DurableExecutionArn": execution.arn,
        "DurableExecutionName": execution.name,
        "FunctionArn": execution.function_arn,
        "StartTimestamp": execution.started.timestamp(),
        "Status": str(execution.status),
        "Version": execution.version,
        "ExecutionDataIncluded": include_data,
        "DurableConfig": _durable_config(execution.execution_timeout, execution.retention_days),
    }
    if execution.tags:
        answer["Tags"] = {**execution.tags}
    if include_data:
        data = {"InputPayload": execution.input, "Result": execution.result, "Error": execution.error}
        answer.update({member: value for member, value in data.items() if value is not None})
    times = {"EndTimestamp": execution.ended, "ExpectedExecutionTimeoutTimestamp": execution.times_out}
    answer.update({member: time.timestamp() for member, time in times.items() if time is not None})
    if execution.pause is not None:
        answer["PauseDetails"] = _pause(execution.pause)
    return answer


def history_json(page: Page[HistoryEvent], *, include_data: bool = True) -> JsonObject:
    """Return the answer of ``GetDurableExecutionHistory``."""
    return _page("Events", [event_json(event, include_data=include_data) for event in page.items], page.next_marker)


def event_json(event: HistoryEvent, *, include_data: bool = True) -> JsonObject:
    """Return the event as ``GetDurableExecutionHistory`` shows it.

    Its payload members are always there. With ``include_data=True`` they are ``{"Payload": ..., "Truncated": false}``,
    without ``Payload`` if there is none; with ``include_data=False`` they are ``{"Truncated": true}``.
    """
    shown: JsonObject = {
        "EventType": str(event.type),
        "EventId": event.id,
        "EventTimestamp": event.at_us / 1_000_000,
    }
    place = {"Id": event.operation_id, "Name": event.name, "SubType": event.sub_type, "ParentId": event.parent_id}
    shown.update({member: value for member, value in place.items() if value is not None})
    shown[f"{event.type}Details"] = {
        member: _payload(value, include_data=include_data) if member in PAYLOADS else _detail(member, value)
        for member, value in event.details.items()
    }
    return shown


def list_json(page: Page[ExecutionSummary]) -> JsonObject:
    """Return the answer of ``ListDurableExecutionsByFunction``."""
    answer = _page("DurableExecutions", [_summary(execution) for execution in page.items], page.next_marker)
    if page.digest is not None:
        answer["PageDigest"] = page.digest
    return answer


def counts_json(counts: Counts) -> JsonObject:
    """Return the answer of ``CountDurableExecutions``."""
    return {
        "Functions": [
            {"FunctionName": name, "Executions": {str(status): number for status, number in of_function.items()}}
            for name, of_function in counts.items()
        ]
    }


def callbacks_json(callbacks: Sequence[OpenCallback]) -> JsonObject:
    """Return the answer of ``ListDurableExecutionCallbacks``."""
    return {"Callbacks": [_callback(callback) for callback in callbacks]}


def functions_json(functions: Sequence[FunctionDescription]) -> JsonObject:
    """Return the answer of ``ListFunctions``. Only functions that are durable have a ``DurableConfig``."""
    return {"Functions": [_function(function) for function in functions]}


def _page(member: str, items: list[JsonObject], next_marker: str | None) -> JsonObject:
    return {member: items} if next_marker is None else {member: items, "NextMarker": next_marker}


def _payload(value: object, *, include_data: bool) -> JsonObject:
    if not include_data:
        return {"Truncated": True}
    return {"Truncated": False} if value is None else {"Payload": value, "Truncated": False}


def _detail(member: str, value: object) -> object:
    return value / 1000 if member.endswith("Timestamp") and isinstance(value, int) else value


def _summary(execution: ExecutionSummary) -> JsonObject:
    shown: JsonObject = {
        "DurableExecutionArn": execution.arn,
        "DurableExecutionName": execution.name,
        "FunctionArn": execution.function_arn,
        "Status": str(execution.status),
        "StartTimestamp": execution.started.timestamp(),
    }
    if execution.ended is not None:
        shown["EndTimestamp"] = execution.ended.timestamp()
    if execution.tags:
        shown["Tags"] = {**execution.tags}
    if (details := execution.details) is not None:
        shown["WaitingFor"] = {} if details.waiting_for is None else _waiting_for(details.waiting_for)
        if details.cancelled:
            shown["CancellationRequested"] = True
        if details.pause is not None:
            shown["PauseDetails"] = _pause(details.pause)
    return shown


def _waiting_for(waiting: WaitingFor) -> JsonObject:
    shown = {
        "Id": waiting.operation_id,
        "Type": waiting.type,
        "SubType": waiting.sub_type,
        "Name": waiting.name,
        "Status": waiting.status,
        "DueTimestamp": None if waiting.due is None else waiting.due.timestamp(),
        "Attempts": waiting.attempts,
        "FunctionName": waiting.function_name,
        "Others": waiting.others,
    }
    return {member: value for member, value in shown.items() if value is not None}


def _pause(pause: PauseDetails) -> JsonObject:
    shown: JsonObject = {
        "PauseRequestTimestamp": pause.requested.timestamp(),
        "ExecutionTimeoutPaused": pause.timeout_paused,
    }
    if pause.reason is not None:
        shown["Reason"] = pause.reason
    return shown


def _callback(callback: OpenCallback) -> JsonObject:
    shown: JsonObject = {
        "CallbackId": callback.id,
        "Name": callback.name,
        "StartTimestamp": callback.started.timestamp(),
    }
    if callback.times_out is not None:
        shown["TimeoutTimestamp"] = callback.times_out.timestamp()
    if callback.answer_schema is not None:
        shown["AnswerSchema"] = callback.answer_schema
    return shown


def _function(function: FunctionDescription) -> JsonObject:
    shown: JsonObject = {"FunctionName": function.name, "FunctionArn": function.arn}
    if function.execution_timeout is not None:
        shown["DurableConfig"] = _durable_config(function.execution_timeout, function.retention_days)
    return shown


def _durable_config(execution_timeout: int | None, retention_days: int | None) -> JsonObject:
    return {"ExecutionTimeout": execution_timeout, "RetentionPeriodInDays": retention_days}
