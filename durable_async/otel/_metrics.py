"""Measures a handler: what its invocations, operations, attempts and checkpoints take."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from opentelemetry import metrics

from durable_async._raised import type_name
from durable_async.errors import OperationError
from durable_async.otel._flush import flush
from durable_async.otel._instruments import SECONDS, Instruments, known
from durable_async.plugins import (
    CheckpointInfo,
    DurablePlugin,
    InvocationEndInfo,
    InvocationStartInfo,
    InvocationStatus,
    OperationInfo,
    UserFunctionEndInfo,
    UserFunctionInfo,
    UserFunctionOutcome,
)

if TYPE_CHECKING:
    from durable_async.otel import Metrics


class Meters:
    """The instruments of a handler."""

    def __init__(self, meter: metrics.Meter) -> None:
        self.common: Instruments = Instruments(meter)
        self.active: metrics.UpDownCounter = meter.create_up_down_counter(
            "durable.invocation.active", "{invocation}", "Handlers that run"
        )
        self.replays: metrics.Counter = meter.create_counter(
            "durable.invocation.replayed", "{operation}", "Operations on record when an invocation began"
        )
        self.attempts: metrics.Histogram = meter.create_histogram(
            "durable.attempt.duration",
            "s",
            "How long a step's or condition's function ran",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.checkpoints: metrics.Histogram = meter.create_histogram(
            "durable.checkpoint.duration",
            "s",
            "How long the service took to answer a checkpoint",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.checkpoint_bytes: metrics.Histogram = meter.create_histogram(
            "durable.checkpoint.size", "By", "Size of what a checkpoint sent, approximately"
        )


class Measuring(DurablePlugin):
    """Measures one invocation.

    :param settings: of the handler
    """

    def __init__(self, settings: Metrics) -> None:
        self._timeout = settings.flush_timeout
        self._provider = settings.meter_provider or metrics.get_meter_provider()
        self._meters = settings.meters_of(self._provider)
        self._began: datetime | None = None
        self._started: set[str] = set()
        self._uncounted: set[str] = set()  # contexts whose end was counted before, or is on no record

    def on_invocation_start(self, info: InvocationStartInfo) -> None:
        self._began = info.start_time
        self._meters.active.add(1)
        self._meters.replays.add(len(info.operations) - 1)  # without that of the execution itself

    def on_invocation_end(self, info: InvocationEndInfo) -> None:
        self._meters.active.add(-1)
        kind = _type_of(info.error)
        status = "RETRYING" if info.status is InvocationStatus.RETRY else info.status.value
        seconds = (info.end_time - self._began).total_seconds() if self._began else 0.0
        self._meters.common.invocation(seconds, status=status, first=info.is_first_invocation, error_type=kind)
        ended = info.status in (InvocationStatus.SUCCEEDED, InvocationStatus.FAILED)
        if ended and info.execution_start_time is not None:
            seconds = (info.end_time - info.execution_start_time).total_seconds()
            self._meters.common.execution(seconds, status, kind)

    async def flush(self, info: InvocationEndInfo) -> None:
        del info
        force_flush = getattr(self._provider, "force_flush", None)  # which the API's own provider does not have
        if self._timeout and force_flush is not None:
            await flush(force_flush, self._timeout)

    def on_operation_start(self, info: OperationInfo) -> None:
        self._started.add(info.operation_id)

    def on_user_function_start(self, info: UserFunctionInfo) -> None:
        if info.attempt is None and (info.is_replay_children or info.operation_id not in self._started):
            self._uncounted.add(info.operation_id)

    def on_operation_end(self, info: OperationInfo) -> None:
        if info.operation_id in self._uncounted or info.start_time is None or info.end_time is None:
            return
        seconds = (info.end_time - info.start_time).total_seconds()
        self._meters.common.operation(seconds, info.operation_type, info.sub_type, info.status, _type_of(info.error))

    def on_attempt_start(self, info: UserFunctionInfo) -> None:
        if info.attempt is not None and info.attempt > 1:
            self._meters.common.retry(info.sub_type, None)

    def on_attempt_end(self, info: UserFunctionEndInfo) -> None:
        if info.start_time is None or info.end_time is None or info.outcome is UserFunctionOutcome.INCOMPLETE:
            return
        attributes = {
            "durable.operation.subtype": info.sub_type,
            "durable.attempt.outcome": info.outcome.value,
            "error.type": _type_of(info.error),
        }
        self._meters.attempts.record((info.end_time - info.start_time).total_seconds(), known(attributes))

    def on_checkpoint(self, info: CheckpointInfo) -> None:
        self._meters.checkpoints.record(info.duration.total_seconds(), known({"error.type": _type_of(info.error)}))
        self._meters.checkpoint_bytes.record(info.size)


def _type_of(error: BaseException | None) -> str | None:
    if isinstance(error, OperationError):
        return error.error_type
    return None if error is None else type_name(type(error))
