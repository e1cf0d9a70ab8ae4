"""Which span is current in the code that an execution runs."""

import asyncio
from datetime import timedelta

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import SpanProcessor

from durable_async import ChildConfig, durable_execution
from durable_async.embedded import DurableService
from durable_async.otel import Traces

from .exported import VIEWS, Exported, traced

BODY = {"invocation": "Invocation", "execution": "Workflow"}


def marking(exported):
    """What a library does that traces its calls."""
    tracer = exported.provider.get_tracer("a library")

    def mark(name):
        with tracer.start_as_current_span(name):
            pass

    return mark


@pytest.mark.parametrize("view", VIEWS)
async def test_what_code_traces_lies_in_the_span_of_the_operation_that_runs_it(view):
    exported = Exported()
    mark = marking(exported)

    async def on_the_loop():
        mark("in step")

    def in_a_thread():
        mark("in thread")

    async def child(ctx):
        mark("in child")
        await ctx.step(in_a_thread, name="threaded")
        mark("in child again")

    async def virtual(ctx):
        mark("in virtual")

    async def workflow(event, ctx):
        mark("in body")
        await ctx.step(on_the_loop, name="step")
        mark("in body again")
        await ctx.run_in_child_context(child, name="child")
        await ctx.run_in_child_context(virtual, name="virtual", config=ChildConfig(virtual=True))
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.step(on_the_loop, name="in task"))
            mark("beside the task")

    await traced(workflow, view, exported)
    parents = {
        span.name: exported.parent_of(span) for span in exported.spans if span.name.startswith(("in ", "beside"))
    }
    steps = sorted(exported.parent_of(span) for span in exported.named("in step"))
    assert steps == ["in task attempt 1", "step attempt 1"]
    assert parents["in thread"] == "threaded attempt 1"
    assert parents["in child"] == parents["in child again"] == "child"
    assert parents["in virtual"] == "virtual"
    for place in ("in body", "in body again", "beside the task"):
        assert parents[place] == BODY[view]


@pytest.mark.parametrize("view", VIEWS)
async def test_branches_side_by_side_do_not_see_each_others_spans(view):
    exported = Exported()
    mark = marking(exported)

    def branch(number):
        async def run(ctx):
            for turn in range(3):
                mark(f"{number} in branch")
                await ctx.step(lambda: mark(f"{number} in step"), name=f"step {number}-{turn}")

        return f"branch {number}", run

    async def workflow(event, ctx):
        await ctx.parallel([branch(number) for number in range(5)], name="all")

    await traced(workflow, view, exported)
    for number in range(5):
        assert {exported.parent_of(each) for each in exported.named(f"{number} in branch")} == {f"branch {number}"}
        assert sorted(exported.parent_of(each) for each in exported.named(f"{number} in step")) == [
            f"step {number}-{turn} attempt 1" for turn in range(3)
        ]


async def test_baggage_stays_and_nothing_stays_current_after_the_invocation():
    exported, seen = Exported(), []

    async def workflow(event, ctx):
        seen.append(baggage.get_baggage("tenant"))
        await ctx.step(lambda: seen.append(baggage.get_baggage("tenant")))

    handler = durable_execution(plugins=[Traces(tracer_provider=exported.provider)])(workflow)
    token = otel_context.attach(baggage.set_baggage("tenant", "blue"))
    try:
        async with DurableService() as service:
            service.register(handler)
            await (await service.start(handler, {})).result()
    finally:
        otel_context.detach(token)
    assert seen == ["blue", "blue"]
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_an_execution_that_a_step_sets_off_is_not_in_the_spans_of_that_step_unless_it_was_started_there():
    """A callback that a step of one execution answers makes another one go on: not within that step."""
    exported = Exported()
    mark = marking(exported)
    ids = asyncio.Queue()

    @durable_execution
    async def waiting(event, ctx):
        callback = await ctx.create_callback(name="answer")
        ids.put_nowait(callback.callback_id)
        await callback.result()
        await ctx.step(lambda: mark("after the answer"), name="after")

    @durable_execution
    async def answering(event, ctx):
        async def answer():
            await service.succeed_callback(event)
            await service_idle()

        await ctx.step(answer, name="answer it")

    async def service_idle():
        await asyncio.sleep(0)

    async with DurableService(tracer_provider=exported.provider) as service:
        service.register(waiting)
        service.register(answering)
        with exported.provider.get_tracer("app").start_as_current_span("request"):
            first = await service.start(waiting, {})
        second = await service.start(answering, await ids.get())
        await second.result()
        await first.result()
    request, after = exported.one("request"), exported.one("after the answer")
    assert after.context.trace_id == request.context.trace_id
    assert exported.parent_of(after) == "after attempt 1"
    assert exported.one("answer it").context.trace_id != request.context.trace_id
    served = next(span for span in exported.named("waiting"))
    assert served.parent.span_id == request.context.span_id
    assert {exported.parent_of(span) for span in exported.named("Workflow")} == {"waiting", "answering"}


async def test_an_execution_goes_on_in_its_trace_after_days():
    async def workflow(event, ctx):
        for day in range(3):
            await ctx.wait(timedelta(days=1), name=f"day {day}")

    for view in VIEWS:
        exported = await traced(workflow, view)
        assert len({span.context.trace_id for span in exported.spans}) == 1
        assert exported.repeated() == []


@pytest.mark.parametrize("view", VIEWS)
async def test_a_span_processor_can_read_the_parent_of_an_attempt(view):
    class Parents(SpanProcessor):
        read = None

        def on_start(self, span, parent_context=None):
            if span.name == "step attempt 1":
                parent = trace.get_current_span(parent_context)
                self.read = parent.name, parent.kind, parent.attributes["durable.operation.name"]

    exported, parents = Exported(), Parents()
    exported.provider.add_span_processor(parents)

    async def workflow(event, ctx):
        await ctx.step(lambda: None, name="step")

    await traced(workflow, view, exported)
    assert parents.read == ("step", trace.SpanKind.INTERNAL, "step")
