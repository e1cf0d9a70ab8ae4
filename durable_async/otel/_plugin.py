"""Traces one invocation: the spans around its operations, which span is current, and the flush before the answer."""

from __future__ import annotations

from contextvars import Token
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

from durable_async.otel._flush import flush
from durable_async.otel._identity import operation_span_id, workflow_id, write_header
from durable_async.otel._logs import correlate, uncorrelate
from durable_async.otel._tracing import ARN, OK, Placeholder, Spans, Ticks, Traced, find_trace, record_error
from durable_async.otel._views import ExecutionView, InvocationView
from durable_async.plugins import (
    DurablePlugin,
    InvocationEndInfo,
    InvocationStartInfo,
    InvocationStatus,
    InvokeInfo,
    OperationInfo,
    UserFunctionEndInfo,
    UserFunctionInfo,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from durable_async.otel import Traces

Attached = Token[otel_context.Context]


class Tracing(DurablePlugin):
    """Makes and exports the spans of one invocation.

    :param settings: of the handler
    """

    _provider: TracerProvider | None = None
    _traced: Traced | None = None  # None: there is nothing to trace with
    _view: InvocationView | ExecutionView | None = None  # None: no span is made

    def __init__(self, settings: Traces) -> None:
        self._settings = settings
        self._functions: dict[tuple[str, int | None], Attached] = {}
        self._around: list[Attached] = []

    # --- the invocation ---

    def on_invocation_start(self, info: InvocationStartInfo) -> None:
        found = self._settings.tracer_of_today()
        started = info.execution_start_time
        if found is None or started is None:
            return
        self._provider, tracer = found
        self._traced = find_trace(info, started, self._settings.extractor(info), self._provider)
        self._spans = Spans.of(tracer, self._traced, Ticks(info.clock))
        self._workflow = Placeholder(
            self._traced.context(workflow_id(info.execution_arn)), self._settings.workflow_name, {}
        )
        if self._traced.sampled:
            self._begin(info, self._traced)
        else:
            self._enter(self._workflow)  # so that what the workflow calls knows that it is not sampled

    def _begin(self, info: InvocationStartInfo, traced: Traced) -> None:
        if traced.has_anchor:
            self._spans.anchor()
        self._invocation = self._spans.start(
            "Invocation",
            traced.ancestor if traced.around is None else traced.around,
            {ARN: traced.arn, "durable.invocation.first": info.is_first_invocation},
        )
        if self._settings.view == "invocation":
            self._view = InvocationView(self._spans, self._invocation, self._workflow)
        else:
            ended = {each: known for each, known in info.updated_operations.items() if known.end_time is not None}
            self._view = ExecutionView(self._spans, self._invocation, self._workflow, ended)
        self._enter(self._view.body)
        if self._settings.log_correlation:
            correlate(self._invocation, self._view.body)

    def _enter(self, span: Span) -> None:
        self._around.append(otel_context.attach(trace.set_span_in_context(span)))

    def on_invocation_end(self, info: InvocationEndInfo) -> None:
        while self._around:
            otel_context.detach(self._around.pop())
        if self._view is None:
            return
        uncorrelate()
        self._view.close()
        at = self._spans.ticks.now()
        retries = info.status is InvocationStatus.RETRY
        self._invocation.set_attribute("durable.invocation.status", "RETRYING" if retries else info.status.value)
        _set_status(self._invocation, info, at)
        self._invocation.end(at)
        if info.status in (InvocationStatus.SUCCEEDED, InvocationStatus.FAILED):
            self._end_workflow(info, self._view, at)

    def _end_workflow(self, info: InvocationEndInfo, view: InvocationView | ExecutionView, at: int) -> None:
        first, last = self._spans.traced.started, at
        if isinstance(view, ExecutionView):
            first, last = min(first, view.execution.first), max(last, view.execution.last)
        span = self._spans.start(
            self._settings.workflow_name,
            self._spans.traced.ancestor,
            {ARN: info.execution_arn, "durable.execution.status": info.status.value},
            span_id=self._workflow.get_span_context().span_id,
            at=first,
        )
        _set_status(span, info, at)
        span.end(max(last, first + 1000))

    async def flush(self, info: InvocationEndInfo) -> None:
        del info
        if self._view is not None and self._provider is not None and self._settings.flush_timeout:
            await flush(self._provider.force_flush, self._settings.flush_timeout)

    # --- operations ---

    def on_operation_start(self, info: OperationInfo) -> None:
        if self._view is not None:
            self._view.started(info)

    def on_operation_end(self, info: OperationInfo) -> None:
        if self._view is not None:
            self._view.ended(info)

    def on_user_function_start(self, info: UserFunctionInfo) -> None:
        if self._view is not None:
            span = self._view.entered(info) if info.attempt is None else self._view.attempt(info)
            attached = otel_context.attach(trace.set_span_in_context(span))
            self._functions[info.operation_id, info.attempt] = attached

    def on_user_function_end(self, info: UserFunctionEndInfo) -> None:
        if self._view is not None:
            otel_context.detach(self._functions.pop((info.operation_id, info.attempt)))
            if info.attempt is not None:
                self._view.attempt_ended(info)

    def trace_header(self, info: InvokeInfo) -> str | None:
        if self._traced is None:
            return None
        span_id = operation_span_id(info.execution_arn, info.operation_id)
        return write_header(self._traced.trace_id, span_id, sampled=self._traced.sampled)


def _set_status(span: Span, info: InvocationEndInfo, at: int) -> None:
    match info.status:
        case InvocationStatus.SUCCEEDED | InvocationStatus.PENDING:
            span.set_status(OK)
        case InvocationStatus.FAILED if info.error is not None:
            record_error(span, info.error, at, with_event=False)
        case InvocationStatus.FAILED:
            span.set_status(Status(StatusCode.ERROR))
        case InvocationStatus.RETRY:
            pass
