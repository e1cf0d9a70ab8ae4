"""What ``durable-async serve`` exports of its own work, by OpenTelemetry's standard variables."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import click

from durable_async.embedded.cache import ExecutionCache

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from durable_async.otel import ServiceTelemetry

logger: logging.Logger = logging.getLogger("durable_async.service")

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_METRICS_EXPORTER = "OTEL_METRICS_EXPORTER"
_PROMETHEUS_HOST = "OTEL_EXPORTER_PROMETHEUS_HOST"
_PROMETHEUS_PORT = "OTEL_EXPORTER_PROMETHEUS_PORT"


@contextmanager
def telemetry(environment: Mapping[str, str], cache: ExecutionCache) -> Generator[ServiceTelemetry | None]:
    """Yield what observes the server, and export the rest at the end. None: the variables ask for no export.

    Spans are exported to OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. Metrics are exported to
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, or to the common endpoint if OTEL_METRICS_EXPORTER is ``otlp``. If it is
    ``prometheus``, they are served for Prometheus to fetch.
    """
    traced = environment.get(_TRACES) or environment.get(_ENDPOINT)
    exporter = environment.get(_METRICS_EXPORTER, "")
    pushed = environment.get(_METRICS) or (exporter == "otlp" and environment.get(_ENDPOINT))
    measured = pushed or exporter == "prometheus"
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or not (traced or measured):
        yield None
        return
    with ExitStack() as closing:
        try:
            tracers = _tracers(closing) if traced else None
            meters = _meters(environment, closing) if measured else None
        except ImportError as missing:
            logger.warning("The server exports no traces and metrics of its own: %s is not installed", missing.name)
            observer = None
        else:
            from durable_async.otel import ServiceTelemetry

            observer = ServiceTelemetry(tracers, meters, cache)
        yield observer


def _tracers(closing: ExitStack) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    closing.callback(provider.shutdown)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _meters(environment: Mapping[str, str], closing: ExitStack) -> MeterProvider:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    if environment.get(_METRICS_EXPORTER) == "prometheus":
        from opentelemetry.exporter.prometheus import PrometheusMetricReader

        provider = MeterProvider([PrometheusMetricReader()])
        _serve_metrics(environment, closing)
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    closing.callback(provider.shutdown)
    return provider


def _serve_metrics(environment: Mapping[str, str], closing: ExitStack) -> None:
    """Serve what was measured at OTEL_EXPORTER_PROMETHEUS_HOST and OTEL_EXPORTER_PROMETHEUS_PORT.

    :raises click.ClickException: the port is not a number, or the address cannot be used
    """
    from prometheus_client import start_http_server

    host = environment.get(_PROMETHEUS_HOST, "localhost")
    port = environment.get(_PROMETHEUS_PORT, "9464")
    try:
        server, thread = start_http_server(int(port), host)
    except (ValueError, OverflowError) as error:
        raise click.ClickException(f"{_PROMETHEUS_PORT} must be a port, not {port!r}") from error
    except OSError as error:
        raise click.ClickException(f"The metrics cannot be served at {host}:{port}: {error.strerror}") from error
    closing.callback(server.server_close)
    closing.callback(thread.join)
    closing.callback(server.shutdown)
    logger.info("Prometheus finds the metrics at http://%s:%d/metrics", host, server.server_port)
