"""The pictures and the dashboard of the page on observability are what the code produces.

``DURABLE_ASYNC_DRAW=1`` draws the pictures anew.
"""

import json
import os
import re
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from durable_async.embedded.cache import ExecutionCache
from durable_async.otel import Metrics, ServiceTelemetry, Traces
from tests.world import World

from .pages import DOCS, EXAMPLES

UNITS = {"s": "seconds", "By": "bytes"}


@pytest.mark.parametrize("view", ["execution", "invocation"])
async def test_the_picture_of_the_order_is_drawn_from_its_trace(view, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in ("order", "virtual_time", "trace_picture"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from order import fulfil
    from trace_picture import svg
    from virtual_time import run

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    event = json.loads((EXAMPLES / "order.json").read_text())
    assert (await run(fulfil.with_plugin(Traces(view=view, tracer_provider=provider)), event)).status == "SUCCEEDED"
    picture = DOCS / "guide" / f"trace-{view}-view.svg"
    drawn = svg(exporter.get_finished_spans())
    if os.environ.get("DURABLE_ASYNC_DRAW"):
        picture.write_text(drawn)
    assert picture.read_text() == drawn


async def test_the_dashboard_asks_for_metrics_that_exist():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    telemetry = ServiceTelemetry(None, provider, ExecutionCache(0, 0))
    async with World(observer=telemetry) as world:
        from datetime import timedelta

        from durable_async import RetryStrategy, StepConfig, current_step, durable_execution

        twice = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=2))

        def flaky():
            if current_step().attempt == 1:
                raise ValueError("busy")

        @durable_execution(plugins=[Metrics(meter_provider=provider)])
        async def workflow(event, ctx):
            await ctx.step(flaky, config=twice)

        await world.run(workflow)
    metrics = {
        metric.name: metric
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    known = set()
    for name, metric in metrics.items():
        base = "_".join(filter(None, [name.replace(".", "_"), UNITS.get(metric.unit)]))
        kind = type(metric.data).__name__
        if kind == "Histogram":
            known |= {f"{base}_{suffix}" for suffix in ("bucket", "sum", "count")}
        else:
            known.add(f"{base}_total" if getattr(metric.data, "is_monotonic", False) else base)
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"durable_\w+", re.sub(r"\{[^}]*\}|by \([^)]*\)", "", target["expr"]))
    }
    assert len(asked) >= 10
    assert asked - known == set()
    page = (DOCS / "guide" / "observability.md").read_text()
    assert [name for name in metrics if f"`{name}`" not in page] == []
