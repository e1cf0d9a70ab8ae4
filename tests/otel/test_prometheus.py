"""Metrics as Prometheus fetches them, with the real exporter."""

import asyncio
import json
import re
import socket
from pathlib import Path
from urllib.request import urlopen

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, start_http_server

from durable_async import durable_execution
from durable_async.embedded import DurableService
from durable_async.otel import Metrics
from tests.service.serving.serve_support import ended, finished, serving, start

DASHBOARD = Path(__file__).parents[2] / "docs" / "examples" / "grafana-dashboard.json"


SHOP = """
from durable_async import durable_execution
@durable_execution
async def keep(event, ctx):
    return await ctx.step(lambda: event, name="keep")
"""


def names_in(text):
    return set(re.findall(r"^(durable_\w+)", text, re.MULTILINE))


def asked_for():
    """What the dashboard asks for, without what only a retry, a failure or an eviction makes."""
    expressions = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]
    ]
    names = {
        name for each in expressions for name in re.findall(r"durable_\w+", re.sub(r"\{[^}]*\}|by \([^)]*\)", "", each))
    }
    return {name for name in names if "retries" not in name}


async def test_prometheus_gets_from_a_program_what_the_dashboard_shows():
    registry = CollectorRegistry()
    provider = MeterProvider([PrometheusMetricReader(registry=registry)])
    server, thread = start_http_server(0, "127.0.0.1", registry)

    @durable_execution(plugins=[Metrics(meter_provider=provider)])
    async def workflow(event, ctx):
        await ctx.step(lambda: event, name="keep")
        await ctx.step(lambda: event, name="keep again")

    try:
        async with DurableService(meter_provider=provider) as service:
            service.register(workflow)
            await (await service.start(workflow, 17)).result()
            text = await asyncio.to_thread(fetched, server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        provider.shutdown()
    assert asked_for() - names_in(text) == {"durable_service_timer_lag_seconds_bucket"}


def fetched(port):
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_serve_lets_prometheus_fetch_its_metrics(tmp_path):
    port = free_port()
    variables = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    (tmp_path / "shop.py").write_text(SHOP)
    functions = ["--function", "keep=shop:keep"]
    with serving(
        "--in-process", *functions, errors=".*", folder=tmp_path, OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1", **variables
    ) as server:
        client = server.client()
        finished(client, start(client, "keep", 17))
        text = fetched(port)
        client.close()
        other = ended(*functions, folder=tmp_path, OTEL_EXPORTER_PROMETHEUS_HOST="127.0.0.1", **variables)
    assert "durable_service_store_commit_duration_seconds_count" in text
    assert 'durable_execution_duration_seconds_count{durable_execution_status="' in text
    assert f"The metrics cannot be served at 127.0.0.1:{port}: Address already in use" in other.stderr
    assert other.returncode == 1
