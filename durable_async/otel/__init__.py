"""Traces and metrics of durable executions with OpenTelemetry.

``durable_execution(plugins=[Traces(), Metrics()])``. Needs the extra ``otel``, which brings OpenTelemetry's API. The
SDK and the exporters are the application's to choose and to configure. Without an SDK both do nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import attrs
from opentelemetry import metrics, trace

from durable_async.otel._identity import Remote, read_header
from durable_async.otel._metrics import Measuring, Meters
from durable_async.otel._plugin import Tracing
from durable_async.otel._service import ServiceTelemetry
from durable_async.otel._tracing import header_of_current_span, sdk_provider
from durable_async.plugins import InvocationStartInfo

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Metrics", "Remote", "ServiceTelemetry", "Traces", "header_of_current_span", "read_header"]

logger: logging.Logger = logging.getLogger("durable_async.otel")

View = Literal["invocation", "execution"]


def _from_header(info: InvocationStartInfo) -> Remote:
    return read_header(info.trace_header)


def _view(_: object, __: object, value: object) -> None:
    if value not in get_args(View):
        raise ValueError(f'view must be "invocation" or "execution", not {value!r}')


def _not_negative(_: object, attribute: attrs.Attribute[timedelta], value: timedelta) -> None:
    if value < timedelta(0):
        raise ValueError(f"{attribute.name} must not be negative, not {value}")


@attrs.define(kw_only=True, eq=False)
class Traces:
    """Traces the executions of a handler: one trace for each, however many invocations it takes.

    :param view: ``"invocation"`` shows what each invocation did: an operation has one span in each invocation in which
        it was open. ``"execution"`` shows what the execution did: an operation has one span, exported when it has ended
    :param tracer_provider: of OpenTelemetry's SDK; None: the global one, as it is when an invocation starts
    :param extractor: says which trace an invocation belongs to; by default its X-Ray trace header does
    :param tracer_name: the instrumentation scope of the spans
    :param workflow_name: of the span of the whole execution
    :param log_correlation: whether log records get ``traceId``, ``spanId`` and ``otelTraceSampled``
    :param flush_timeout: how long an invocation's answer waits for the export of its spans, at most. Zero: the answer
        does not wait, which is right if the process continues after it
    :raises ValueError: ``view`` is neither, or ``flush_timeout`` is negative
    """

    view: View = attrs.field(default="invocation", validator=_view)
    tracer_provider: trace.TracerProvider | None = None
    extractor: Callable[[InvocationStartInfo], Remote] = _from_header
    tracer_name: str = "durable_async"
    workflow_name: str = "Workflow"
    log_correlation: bool = True
    flush_timeout: timedelta = attrs.field(default=timedelta(seconds=5), validator=_not_negative)
    _tracer: tuple[TracerProvider, trace.Tracer] | None = attrs.field(default=None, init=False, repr=False)
    _complained: bool = attrs.field(default=False, init=False, repr=False)

    once_per_handler: ClassVar[bool] = True

    def __call__(self) -> Tracing:
        return Tracing(self)

    def tracer_of_today(self) -> tuple[TracerProvider, trace.Tracer] | None:
        """Return the provider and its tracer; None if there is no SDK. A Lambda layer may install one late."""
        provider = self.tracer_provider or trace.get_tracer_provider()
        if self._tracer is None or self._tracer[0] is not provider:
            try:
                usable = sdk_provider(provider)
            except TypeError as error:
                self._complain(f"{error}. Pass Traces(tracer_provider=...), or call set_tracer_provider() before")
                return None
            self._tracer = usable, usable.get_tracer(self.tracer_name)
        return self._tracer

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            logger.warning("Executions are not traced: %s", reason)


@attrs.define(kw_only=True, eq=False)
class Metrics:
    """Measures the executions of a handler.

    Do not use it where a service measures the same executions, as ``DurableService(meter_provider=...)`` does.

    :param meter_provider: None: the global one, as it is when an invocation starts
    :param flush_timeout: how long an invocation's answer waits for the export, at most. Zero: it does not wait, which
        is right if the process continues after it
    :raises ValueError: ``flush_timeout`` is negative
    """

    meter_provider: metrics.MeterProvider | None = None
    flush_timeout: timedelta = attrs.field(default=timedelta(seconds=5), validator=_not_negative)
    _meters: tuple[metrics.MeterProvider, Meters] | None = attrs.field(default=None, init=False, repr=False)

    once_per_handler: ClassVar[bool] = True

    def __call__(self) -> Measuring:
        return Measuring(self)

    def meters_of(self, provider: metrics.MeterProvider) -> Meters:
        if self._meters is None or self._meters[0] is not provider:
            self._meters = provider, Meters(provider.get_meter("durable_async"))
        return self._meters[1]
