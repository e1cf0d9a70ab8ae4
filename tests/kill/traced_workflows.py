"""The functions of ``traced``. Every span is exported at once, so that a kill cannot take along what has ended."""

import os
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from durable_async import durable_execution
from durable_async.otel import Traces
from tests.kill.traced import CHILDREN, FOLDER, IN_CHILD, STEPS, Victims

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
victims = Victims(Path(os.environ.get(FOLDER, ".")))


async def thirty_operations(event, ctx):
    execution = ctx.execution_arn.split("/")[-2]

    async def step(ctx, name):
        return await ctx.step(victims.die_if_chosen, execution, name, name=name)

    async def child(ctx, number):
        for inner in range(IN_CHILD):
            await step(ctx, f"inner {number} {inner}")

    for number in range(STEPS):
        await step(ctx, f"step {number}")
        if number % (STEPS // CHILDREN) == 3:
            nth = number // (STEPS // CHILDREN)
            await ctx.run_in_child_context(child, nth, name=f"child {nth}")


HANDLERS = {
    view: durable_execution(plugins=[Traces(view=view, tracer_provider=provider)])(thirty_operations)
    for view in ("invocation", "execution")
}
