"""What a service of this package shows of itself: a span for each execution, and metrics of its work."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from durable_async.otel._identity import read_header, service_span_id, trace_id_of, write_header
from durable_async.otel._instruments import Instruments
from durable_async.otel._tracing import is_sampled, private_tracer, sdk_provider

if TYPE_CHECKING:
    from durable_async.service.machine import Changes, Execution
    from durable_async.service.machine.operation import OperationRecord
    from durable_async.service.model.history import HistoryEvent

_SCOPE = "durable_async.service"
_MICROSECONDS = 1_000_000


class Cache(Protocol):
    """Executions that wait in memory."""

    evictions: int

    def size(self) -> int: ...


class ServiceTelemetry:
    """Observes a service: what ``LambdaApi(observer=...)`` takes.

    A span of the service stands between a caller and what its execution does. It is the parent of ``Workflow`` and
    ``Invocation`` and shows how the execution ended, also by a timeout or a stop, which no handler sees.

    :param tracer_provider: of OpenTelemetry's SDK; None: the service makes no spans, and hands its callers' trace
        headers on as they are
    :param meter_provider: None: nothing is measured
    :param cache: of suspended executions, if there is one
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._traces = None if tracer_provider is None else _Traces(tracer_provider)
        self._metrics = None if meter_provider is None else _Metrics(meter_provider, cache)

    def trace_header(self, execution: Execution) -> str | None:
        return execution.trace_header if self._traces is None else self._traces.header(execution)

    def found(self, count: int) -> None:
        if self._metrics is not None:
            self._metrics.open.add(count)

    def stored(self, execution: Execution, changes: Changes, duration: float) -> None:
        if self._metrics is not None:
            self._metrics.stored(execution, changes, duration)
        if self._traces is not None and any(event.type.is_end_of_execution() for event in changes.events):
            self._traces.closed(execution)

    def invoked(self, waited: float) -> None:
        if self._metrics is not None:
            self._metrics.queue.record(waited)

    def timers_fired(self, lag: float) -> None:
        if self._metrics is not None:
            self._metrics.lag.record(lag)


class _Traces:
    def __init__(self, provider: trace.TracerProvider) -> None:
        self._provider = sdk_provider(provider)
        self._tracer = self._provider.get_tracer(_SCOPE)

    def header(self, execution: Execution) -> str:
        trace_id, sampled = self._trace_of(execution)
        return write_header(trace_id, service_span_id(execution.arn), sampled=sampled)

    def closed(self, execution: Execution) -> None:
        trace_id, sampled = self._trace_of(execution)
        if not sampled:
            return
        caller = read_header(execution.trace_header)
        context = otel_context.Context()
        if caller.trace_id is not None and caller.span_id is not None:
            above = SpanContext(trace_id, caller.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            context = trace.set_span_in_context(NonRecordingSpan(above), context)
        attributes = {
            "faas.invoked_name": execution.function_name,
            "faas.invocation_id": execution.arn,
            "aws.lambda.invoked_arn": execution.function_arn,
        }
        started = execution.operations[0].start_us
        tracer, ids = private_tracer(self._tracer, trace_id)
        ids.span_id = service_span_id(execution.arn)
        span = tracer.start_span(
            execution.function_name, context, SpanKind.SERVER, attributes, start_time=started * 1000
        )
        if execution.status == "SUCCEEDED":
            span.set_status(Status(StatusCode.OK))
        else:
            error = execution.error or {}
            span.set_attribute("error.type", error.get("ErrorType") or str(execution.status))
            span.set_status(Status(StatusCode.ERROR, error.get("ErrorMessage") or str(execution.status)))
        ended = (execution.ended_ms or execution.started_ms) * 1000 + 999
        span.end(max(ended, started + 1) * 1000)

    def _trace_of(self, execution: Execution) -> tuple[int, bool]:
        caller = read_header(execution.trace_header)
        started = datetime.fromtimestamp(execution.started_ms / 1000, UTC)
        trace_id = caller.trace_id or trace_id_of(execution.arn, started)
        if caller.sampled is not None:
            return trace_id, caller.sampled
        return trace_id, is_sampled(self._provider, trace_id, execution.function_name)


class _Metrics:
    def __init__(self, provider: metrics.MeterProvider, cache: Cache | None) -> None:
        meter = provider.get_meter(_SCOPE)
        self._of_executions = Instruments(meter)
        self.open = meter.create_up_down_counter(
            "durable.service.executions.open", "{execution}", "Executions that have not ended"
        )
        self.queue = meter.create_histogram(
            "durable.service.queue.duration", "s", "How long an invocation waited for its turn"
        )
        self.lag = meter.create_histogram("durable.service.timer.lag", "s", "How late timers were carried out")
        self._commit = meter.create_histogram(
            "durable.service.store.commit.duration", "s", "How long it took to store what a command changed"
        )
        if cache is not None:
            self._observe(meter, cache)

    def _observe(self, meter: metrics.Meter, cache: Cache) -> None:
        def size(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(cache.size())]

        def evictions(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(cache.evictions)]

        meter.create_observable_gauge(
            "durable.service.cache.executions", [size], "{execution}", "Suspended executions kept in memory"
        )
        meter.create_observable_counter(
            "durable.service.cache.evictions", [evictions], "{execution}", "Suspended executions that left memory"
        )

    def stored(self, execution: Execution, changes: Changes, duration: float) -> None:
        self._commit.record(duration)
        for event in changes.events:
            self._event(execution, event)
        for operation in changes.operations.values():
            if operation.ended and operation.sequence > 0:
                self._ended(operation)

    def _event(self, execution: Execution, event: HistoryEvent) -> None:
        of = self._of_executions
        if event.type == "ExecutionStarted":
            self.open.add(1)
        elif event.type.is_end_of_execution():
            self.open.add(-1)
            seconds = event.at_us / _MICROSECONDS - execution.started_ms / 1000
            of.execution(seconds, str(execution.status), _error_type(execution.error))
        elif event.type == "InvocationCompleted":
            seconds = (event.details["EndTimestamp"] - event.details["StartTimestamp"]) / 1000
            of.invocation(seconds, error_type=_error_type(event.details.get("Error")))
        elif "NextAttemptDelaySeconds" in (event.details.get("RetryDetails") or {}):
            of.retry(event.sub_type, _error_type(event.details.get("Error")))

    def _ended(self, operation: OperationRecord) -> None:
        seconds = ((operation.end_us or operation.start_us) - operation.start_us) / _MICROSECONDS
        kind, status = str(operation.type), str(operation.status)
        self._of_executions.operation(seconds, kind, operation.sub_type, status, _error_type(operation.error))


def _error_type(error: Any) -> str | None:
    return error.get("ErrorType") if error else None
