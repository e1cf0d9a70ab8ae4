"""When and how spans leave the process."""

import asyncio
import time
from datetime import timedelta

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from durable_async import RetryStrategy, StepConfig, current_step, durable_execution
from durable_async.otel import Traces
from durable_async.plugins import DurablePlugin
from tests.otlp_receiver import receiving, spans_in
from tests.world import World

from .exported import VIEWS, Exported, traced

TWICE = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=2))


async def flaky():
    if current_step().attempt == 1:
        raise ValueError("busy")


async def order(event, ctx):
    async def child(ctx):
        await ctx.step(flaky, name="charge", config=TWICE)

    await ctx.run_in_child_context(child, name="payment")
    await ctx.wait(timedelta(days=1), name="pause")


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
async def test_a_collector_gets_what_an_exporter_in_memory_got(view, tmp_path):
    file = tmp_path / "spans"
    file.touch()
    exported = Exported()
    with receiving(file) as url:
        exported.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
        await traced(order, view, exported)
        received = spans_in(file)  # each invocation was flushed before its answer
        exported.provider.shutdown()

    def in_memory(span):
        parent = None if span.parent is None else f"{span.parent.span_id:016x}"
        return (
            (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", parent),
            (span.name, span.kind.name, span.status.status_code.name, span.status.description or ""),
            (span.start_time, span.end_time),
            tuple(sorted(span.attributes.items())),
            tuple(f"{link.context.span_id:016x}" for link in span.links),
            tuple(event.attributes["exception.message"] for event in span.events),
        )

    def over_the_wire(span):
        return (
            (span["trace_id"], span["span_id"], span["parent_span_id"]),
            (span["name"], span["kind"], span["status"], span["message"]),
            (span["start_time"], span["end_time"]),
            tuple(sorted(span["attributes"].items())),
            tuple(link["span_id"] for link in span["links"]),
            tuple(event["attributes"]["exception.message"] for event in span["events"]),
        )

    assert sorted(map(over_the_wire, received), key=repr) == sorted(map(in_memory, exported.spans), key=repr)
    assert len(received) > 8


class Flushes(SpanProcessor):
    """Notes what had ended when a flush was asked for, and takes its time if told to."""

    def __init__(self, seconds=0.0, error=None):
        self.ended, self.flushed = [], []
        self.seconds, self.error = seconds, error

    def on_end(self, span):
        self.ended.append(span.name)

    def force_flush(self, timeout_millis=30000):
        self.flushed.append([*self.ended])
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        return True


async def fails(event, ctx):
    raise ValueError("no")


async def exits(event, ctx):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize("workflow", [order, fails])
async def test_all_spans_of_an_invocation_are_flushed_before_its_answer_whatever_that_is(workflow):
    exported, flushes = Exported(), Flushes()
    exported.provider.add_span_processor(flushes)
    await traced(workflow, exported=exported)
    assert len(flushes.flushed) == flushes.ended.count("Invocation")
    assert flushes.flushed[-1] == flushes.ended
    assert flushes.ended[-1] == "Workflow"


async def test_an_invocation_that_breaks_off_is_flushed_and_has_no_workflow():
    exported, flushes = Exported(), Flushes()
    exported.provider.add_span_processor(flushes)
    handler = durable_execution(plugins=[Traces(tracer_provider=exported.provider)])(exits)
    async with World() as world:
        await world.start(handler)
        while not flushes.flushed:
            await asyncio.sleep(0.01)
        handler.workflow = order
    assert flushes.flushed[0][-1] == "Invocation"
    invocation = exported.named("Invocation")[0]
    assert (invocation.attributes["durable.invocation.status"], invocation.status.status_code.name) == (
        "RETRYING",
        "UNSET",
    )
    assert "Workflow" not in flushes.flushed[0]


async def test_a_slow_exporter_costs_its_limit_and_the_loop_goes_on(caplog):
    exported = Exported()
    exported.provider.add_span_processor(Flushes(seconds=30))
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    counting = asyncio.create_task(count())

    async def workflow(event, ctx): ...

    exported = await traced(workflow, exported=exported, flush_timeout=timedelta(seconds=0.1))
    counting.cancel()
    assert exported.closed.status == "SUCCEEDED"
    assert turns > 10
    assert "is not exported after 0.1 s" in caplog.text


async def test_an_exporter_that_raises_changes_no_answer(caplog):
    exported = Exported()
    exported.provider.add_span_processor(Flushes(error=OSError("no route")))

    async def workflow(event, ctx):
        return 1

    assert (await traced(workflow, exported=exported)).closed.result == "1"
    assert "no route" in caplog.text


async def test_a_plugin_that_flushes_for_ever_is_cancelled_before_the_function_times_out(caplog):
    class Stuck(DurablePlugin):
        async def flush(self, info):
            await asyncio.Future()

    class Context:
        aws_request_id = "r"
        trace_header = None

        def get_remaining_time_in_millis(self):
            return 600

    @durable_execution(plugins=[Stuck()])
    async def workflow(event, ctx):
        return 1

    answer = await workflow.run(ENVELOPE, client=Nobody(), lambda_context=Context())
    assert answer == {"Status": "SUCCEEDED", "Result": "1"}
    assert "Stuck.flush, which did not end in time" in caplog.text


class Nobody:
    """A service that is never asked."""


ENVELOPE = {
    "DurableExecutionArn": "arn:aws:lambda:us-east-1:1:function:f:$LATEST/durable-execution/n/i",
    "CheckpointToken": "t",
    "InitialExecutionState": {
        "Operations": [
            {
                "Id": "i",
                "Type": "EXECUTION",
                "Status": "STARTED",
                "StartTimestamp": 1_700_000_000.0,
                "ExecutionDetails": {"InputPayload": "{}"},
            }
        ]
    },
}


async def test_without_an_sdk_the_workflow_runs_and_it_is_said_once(caplog):
    plugin = Traces()  # there is no global provider
    handler = durable_execution(plugins=[plugin])(order)
    async with World() as world:
        assert (await world.run(handler)).status == "SUCCEEDED"
    assert caplog.text.count("Executions are not traced") == 1


async def test_a_provider_that_is_set_late_is_found():
    provider = TracerProvider()
    plugin = Traces()
    assert plugin.tracer_of_today() is None
    plugin.tracer_provider = provider
    assert plugin.tracer_of_today()[0] is provider


def test_a_handler_has_one_view():
    with pytest.raises(TypeError, match="may have one Traces"):
        durable_execution(plugins=[Traces(view="invocation"), Traces(view="execution")])(order)
    with pytest.raises(ValueError, match="view must be"):
        Traces(view="both")


async def test_other_tracers_of_the_provider_keep_their_ids_and_their_sampler():
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    exported = Exported(sampler=ALWAYS_OFF)
    Traces(tracer_provider=exported.provider).tracer_of_today()
    assert not exported.provider.get_tracer("app").start_span("s").is_recording()
