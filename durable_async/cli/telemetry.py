"""What ``durable-async serve`` exports of its own work, by OpenTelemetry's standard variables."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from durable_async.embedded.cache import ExecutionCache

if TYPE_CHECKING:
    from durable_async.otel import ServiceTelemetry

logger: logging.Logger = logging.getLogger("durable_async.service")

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


@contextmanager
def telemetry(environment: Mapping[str, str], cache: ExecutionCache) -> Generator[ServiceTelemetry | None]:
    """Yield what observes the server, and export the rest at the end. None: the variables ask for no export.

    Spans are exported to OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. Metrics are exported to
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, or to the common endpoint if OTEL_METRICS_EXPORTER is ``otlp``.
    """
    traced = environment.get(_TRACES) or environment.get(_ENDPOINT)
    asked = environment.get("OTEL_METRICS_EXPORTER", "") == "otlp" and environment.get(_ENDPOINT)
    measured = environment.get(_METRICS) or asked
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or not (traced or measured):
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        logger.warning("The server exports no traces and metrics of its own: %s is not installed", missing.name)
        yield None
        return
    from durable_async.otel import ServiceTelemetry

    tracers = meters = None
    if traced:
        tracers = TracerProvider()
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if measured:
        meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    try:
        yield ServiceTelemetry(tracers, meters, cache)
    finally:
        for provider in (tracers, meters):
            if provider is not None:
                provider.shutdown()
