"""AWS's own SDK, with its plugin of traces and an exporter in memory."""

from __future__ import annotations

import gc

from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python_otel import (
    ExecutionOtelPluginFactory,
    InvocationOtelPluginFactory,
    OtelPluginConfig,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.adapters import stopwatch
from benchmarks.adapters.official import work


def workflow(event, context):
    total = 0
    for number in range(event["steps"]):
        total += context.step(work(number, event["body_seconds"]))
    stopwatch.workflow_returns()
    return total


def invoke(plugins):
    handler = durable_execution(workflow, plugins=plugins)
    return lambda envelope: handler(envelope, None)


if __name__ == "__main__":
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def forget():
        exporter.clear()
        gc.collect()

    gc.freeze()  # the spans that are kept provoke collections, which need not look at the modules
    stopwatch.compare(
        {
            "none": invoke(None),
            "invocation": invoke([InvocationOtelPluginFactory(OtelPluginConfig(tracer_provider=provider))]),
            "execution": invoke([ExecutionOtelPluginFactory(OtelPluginConfig(tracer_provider=provider))]),
        },
        forget,
    )
