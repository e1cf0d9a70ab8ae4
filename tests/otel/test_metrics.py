"""What handlers and services measure."""

import asyncio
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from durable_async import RetryStrategy, StepConfig, current_step, durable_execution
from durable_async.embedded import DurableService
from durable_async.otel import Metrics, ServiceTelemetry
from tests.world import World

TWICE = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=1), max_attempts=2))


class Measured:
    """A meter provider, and what came out of it."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])

    def points(self, name):
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics if m.name == name]
        return [point for metric in metrics for point in metric.data.data_points]

    def all_points(self):
        data = self.reader.get_metrics_data()
        return [
            p for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics for p in m.data.data_points
        ]


async def flaky():
    if current_step().attempt == 1:
        raise ValueError("busy")


async def order(event, ctx):
    async def child(ctx):
        await ctx.step(flaky, name="charge", config=TWICE)

    await ctx.run_in_child_context(child, name="payment")
    await ctx.wait(timedelta(days=1), name="pause")


def by(points, key):
    return {point.attributes.get(key): point for point in points}


async def test_a_handler_is_measured():
    measured = Measured()
    async with World() as world:
        await world.run(durable_execution(plugins=[Metrics(meter_provider=measured.provider)])(order))
    [execution] = measured.points("durable.execution.duration")
    assert dict(execution.attributes) == {"durable.execution.status": "SUCCEEDED"}
    assert (execution.count, execution.sum) == (1, pytest.approx(86_401, abs=0.01))
    invocations = sorted(
        (point.attributes["durable.invocation.status"], point.attributes["durable.invocation.first"], point.count)
        for point in measured.points("durable.invocation.duration")
    )
    assert invocations == [("PENDING", False, 1), ("PENDING", True, 1), ("SUCCEEDED", False, 1)]
    assert [point.value for point in measured.points("durable.invocation.active")] == [0]
    operations = by(measured.points("durable.operation.duration"), "durable.operation.subtype")
    assert {subtype: point.count for subtype, point in operations.items()} == {
        "Step": 1,
        "RunInChildContext": 1,
        "Wait": 1,
    }
    assert operations["Wait"].sum == pytest.approx(86_400, abs=0.01)
    attempts = by(measured.points("durable.attempt.duration"), "durable.attempt.outcome")
    assert {outcome: point.count for outcome, point in attempts.items()} == {"SUCCEEDED": 1, "FAILED": 1}
    assert attempts["FAILED"].attributes["error.type"] == "ValueError"
    [retries] = measured.points("durable.operation.retries")
    assert (retries.value, retries.attributes["durable.operation.subtype"]) == (1, "Step")
    assert sum(point.count for point in measured.points("durable.checkpoint.duration")) == len(world.calls)
    assert sum(point.sum for point in measured.points("durable.checkpoint.size")) > 100


async def test_the_end_of_a_context_is_counted_once_however_often_it_is_replayed():
    async def workflow(event, ctx):
        async def large(ctx):
            await ctx.step(lambda: None, name="inside")
            return "x" * 300_000

        await ctx.run_in_child_context(large, name="large")
        for _ in range(3):
            await ctx.wait(timedelta(days=1))

    measured = Measured()
    async with World() as world:
        await world.run(durable_execution(plugins=[Metrics(meter_provider=measured.provider)])(workflow))
    operations = by(measured.points("durable.operation.duration"), "durable.operation.subtype")
    assert {subtype: point.count for subtype, point in operations.items()} == {
        "Step": 1,
        "RunInChildContext": 1,
        "Wait": 3,
    }


async def test_a_service_is_measured():
    measured = Measured()
    async with World(observer=ServiceTelemetry(None, measured.provider)) as world:
        await world.run(durable_execution(order))
    [execution] = measured.points("durable.execution.duration")
    assert (execution.count, execution.sum) == (1, pytest.approx(86_401, abs=0.01))
    operations = by(measured.points("durable.operation.duration"), "durable.operation.subtype")
    assert {subtype: point.count for subtype, point in operations.items()} == {
        "Step": 1,
        "RunInChildContext": 1,
        "Wait": 1,
    }
    assert [point.value for point in measured.points("durable.operation.retries")] == [1]
    assert [point.value for point in measured.points("durable.service.executions.open")] == [0]
    assert [point.count for point in measured.points("durable.invocation.duration")] == [3]
    assert [point.count for point in measured.points("durable.service.queue.duration")] == [3]
    [lag] = measured.points("durable.service.timer.lag")
    assert lag.count >= 2
    [commits] = measured.points("durable.service.store.commit.duration")
    assert commits.count > 6


async def test_an_embedded_service_measures_what_it_keeps_in_memory_and_what_leaves_it(tmp_path):
    measured = Measured()
    reached = asyncio.Queue()

    @durable_execution
    async def waiting(event, ctx):
        callback = await ctx.create_callback()
        reached.put_nowait(callback.callback_id)
        await callback.result()

    async with DurableService(tmp_path / "file", meter_provider=measured.provider, max_cached_executions=2) as service:
        service.register(waiting)
        executions = [await service.start(waiting, {}) for _ in range(3)]
        ids = [await reached.get() for _ in executions]
        await service.api.idle()
        assert [point.value for point in measured.points("durable.service.executions.open")] == [3]
        assert [point.value for point in measured.points("durable.service.cache.executions")] == [2]
        assert [point.value for point in measured.points("durable.service.cache.evictions")] == [1]
        for callback_id in ids:
            await service.succeed_callback(callback_id)
        for execution in executions:
            await execution.result()
    assert [point.value for point in measured.points("durable.service.executions.open")] == [0]


async def test_no_attribute_holds_an_id_an_arn_or_a_name():
    measured = Measured()
    plugin = Metrics(meter_provider=measured.provider)
    async with World(observer=ServiceTelemetry(None, measured.provider)) as world:
        await world.run(durable_execution(plugins=[plugin])(order))
    values = {str(value) for point in measured.all_points() for value in point.attributes.values()}
    assert not any("arn:" in value or value in {"charge", "payment", "pause", "workflow"} for value in values)
