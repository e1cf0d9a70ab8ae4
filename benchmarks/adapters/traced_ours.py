"""This project, with its plugin of traces and an exporter in memory."""

from __future__ import annotations

import gc
import json
import sys
from io import StringIO

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.adapters import stopwatch
from benchmarks.adapters.ours import handler
from durable_async.otel import Traces

if __name__ == "__main__":
    task = json.load(sys.stdin)
    sys.stdin = StringIO(json.dumps(task))
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    view = task["view"]
    traced = handler if view == "none" else handler.with_plugin(Traces(view=view, tracer_provider=provider))
    gc.freeze()  # the spans that are kept provoke collections, which need not look at the modules
    stopwatch.measure(traced)
