"""Which trace an execution belongs to, and whether it is recorded."""

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, TraceIdRatioBased

from durable_async import durable_execution
from durable_async.otel import Remote, Traces, read_header
from durable_async.otel._identity import operation_span_id, write_header
from durable_async.plugins import DurablePlugin
from tests.world import World

from .exported import ROOT, VIEWS, Exported, traced

HEADER = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
TRACE, PARENT = 0x5759E988BD862E3FE1BE46A994272793, 0x53995C3F42CD8AD8


@pytest.mark.parametrize(
    ("header", "read"),
    [
        (HEADER, Remote(TRACE, PARENT, sampled=True)),
        ("Sampled=0; Parent=53995c3f42cd8ad8;Lineage=a:1|b:0", Remote(None, PARENT, sampled=False)),
        ("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=short;Sampled=?", Remote(TRACE, None, None)),
        ("Root=1-00000000-000000000000000000000000;Parent=0000000000000000", Remote()),
        ("Root=2-5759e988-bd862e3fe1be46a994272793", Remote()),
        ("nonsense", Remote()),
        (None, Remote()),
    ],
)
def test_each_part_of_a_header_is_judged_on_its_own(header, read):
    assert read_header(header) == read


def test_a_header_is_read_as_it_was_written():
    assert read_header(write_header(TRACE, PARENT, sampled=False)) == Remote(TRACE, PARENT, sampled=False)


async def steps(event, ctx):
    await ctx.step(lambda: None, name="step")


@pytest.mark.parametrize("view", VIEWS)
async def test_with_a_header_there_is_no_anchor_and_the_callers_span_is_the_parent(view):
    exported = await traced(steps, view, extractor=lambda info: read_header(HEADER))
    assert exported.named(ROOT) == []
    assert {span.context.trace_id for span in exported.spans} == {TRACE}
    assert {exported.one(name).parent.span_id for name in ("Workflow", "Invocation")} == {PARENT}


@pytest.mark.parametrize("view", VIEWS)
async def test_an_execution_that_is_not_sampled_exports_nothing_and_tells_its_targets(view):
    asked = []

    class Asked(DurablePlugin):
        def trace_header(self, info):
            asked.append(info)

    exported = Exported()
    plugin = Traces(
        view=view, tracer_provider=exported.provider, extractor=lambda info: Remote(TRACE, PARENT, sampled=False)
    )

    @durable_execution(plugins=[plugin])
    async def caller(event, ctx):
        await ctx.invoke("target:$LATEST", name="t")

    @durable_execution
    async def target(event, ctx):
        headers.append(ctx.lambda_context.trace_header)

    headers = []
    async with World() as world:
        world.register(target, "target")
        await world.run(caller)
    assert exported.spans == ()
    [header] = headers
    assert (read_header(header).trace_id, read_header(header).sampled) == (TRACE, False)


async def test_a_target_goes_on_from_the_operation_that_invoked_it():
    exported = Exported()
    plugin = Traces(tracer_provider=exported.provider)

    @durable_execution(plugins=[plugin])
    async def caller(event, ctx):
        await ctx.invoke("target:$LATEST", name="call")

    @durable_execution(plugins=[plugin])
    async def target(event, ctx): ...

    async with World() as world:
        world.register(target, "target")
        await world.run(caller)
    first = min(exported.named("call"), key=lambda span: span.start_time)
    assert first.context.span_id == operation_span_id(
        first.attributes["durable.execution.arn"], first.attributes["durable.operation.id"]
    )
    parents = {span.parent.span_id for span in exported.named("Workflow")}
    assert first.context.span_id in parents
    assert len({span.context.trace_id for span in exported.spans}) == 1


async def test_the_providers_sampler_decides_where_no_caller_does_and_alike_in_all_invocations():
    exported = Exported(sampler=ALWAYS_OFF)
    await traced(steps, exported=exported)
    assert exported.spans == ()
    for _ in range(10):
        exported = Exported(sampler=TraceIdRatioBased(0.5))
        await traced(steps, exported=exported)
        assert len(exported.named("Invocation")) == len(exported.named("Workflow")) <= 1


async def test_spans_never_end_before_they_start_and_children_lie_within_their_parents():
    async def workflow(event, ctx):
        async def item(ctx, number):
            await ctx.step(lambda: number, name=f"step {number}")

        await ctx.map(item, range(5), name="all")

    for view in VIEWS:
        exported = await traced(workflow, view)
        by_id = {span.context.span_id: span for span in exported.spans if span.name != ROOT}
        for span in by_id.values():
            assert span.start_time < span.end_time
            parent = by_id.get(span.parent.span_id)
            if parent is not None:
                assert parent.start_time <= span.start_time
                assert span.end_time <= parent.end_time
