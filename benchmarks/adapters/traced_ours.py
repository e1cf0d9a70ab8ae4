"""This project, with its plugin of traces and an exporter in memory."""

from __future__ import annotations

import gc

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.adapters import stopwatch
from benchmarks.adapters.ours import handler
from durable_async.otel import Traces

if __name__ == "__main__":
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def forget() -> None:
        exporter.clear()
        gc.collect()

    gc.freeze()  # the spans that are kept provoke collections, which need not look at the modules
    stopwatch.compare(
        {
            "none": handler,
            "invocation": handler.with_plugin(Traces(view="invocation", tracer_provider=provider)),
            "execution": handler.with_plugin(Traces(view="execution", tracer_provider=provider)),
        },
        forget,
    )
