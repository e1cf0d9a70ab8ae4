"""What the API answers, as values: the inverse of ``service.http.rendering``."""

from __future__ import annotations

from datetime import datetime

from durable_async._wire.text import JsonMembers
from durable_async.service.machine import ExecutionStatus
from durable_async.service.model.history import time_of
from durable_async.service.runtime.views import (
    Closed,
    ExecutionDescription,
    ExecutionSummary,
    OpenCallback,
    PauseDetails,
)

Shown = JsonMembers


def description(shown: Shown) -> ExecutionDescription:
    """Read an answer of ``GetDurableExecution``."""
    config: Shown = shown.get("DurableConfig") or {}
    return ExecutionDescription(
        arn=shown["DurableExecutionArn"],
        name=shown["DurableExecutionName"],
        function_arn=shown["FunctionArn"],
        version=shown.get("Version"),
        status=ExecutionStatus(shown["Status"]),
        started=_time(shown["StartTimestamp"]),
        execution_timeout=config.get("ExecutionTimeout"),
        retention_days=config.get("RetentionPeriodInDays"),
        times_out=_time_or_none(shown.get("ExpectedExecutionTimeoutTimestamp")),
        input=shown.get("InputPayload") or "",
        result=shown.get("Result"),
        error=shown.get("Error"),
        ended=_time_or_none(shown.get("EndTimestamp")),
        pause=_pause(shown.get("PauseDetails")),
        tags=shown.get("Tags") or {},
    )


def closed(shown: Shown) -> Closed:
    """Read how an execution ended from an answer of ``GetDurableExecution``."""
    return Closed(ExecutionStatus(shown["Status"]), shown.get("Result"), shown.get("Error"))


def summary(shown: Shown) -> ExecutionSummary:
    """Read one execution of an answer of ``ListDurableExecutionsByFunction``."""
    return ExecutionSummary(
        arn=shown["DurableExecutionArn"],
        name=shown["DurableExecutionName"],
        function_arn=shown["FunctionArn"],
        status=ExecutionStatus(shown["Status"]),
        started=_time(shown["StartTimestamp"]),
        ended=_time_or_none(shown.get("EndTimestamp")),
        tags=shown.get("Tags") or {},
    )


def callback(shown: Shown) -> OpenCallback:
    """Read one callback of an answer of ``ListDurableExecutionCallbacks``."""
    return OpenCallback(
        id=shown["CallbackId"],
        name=shown["Name"],
        started=_time(shown["StartTimestamp"]),
        times_out=_time_or_none(shown.get("TimeoutTimestamp")),
        answer_schema=shown.get("AnswerSchema"),
    )


def _pause(shown: Shown | None) -> PauseDetails | None:
    if not shown:
        return None
    return PauseDetails(
        _time(shown["PauseRequestTimestamp"]), bool(shown.get("ExecutionTimeoutPaused")), shown.get("Reason")
    )


def _time(seconds: float) -> datetime:
    return time_of(round(seconds * 1_000_000))


def _time_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
