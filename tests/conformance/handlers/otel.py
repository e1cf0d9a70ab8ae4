"""The OTel suites: both views of the same scenarios, which the input names."""

import os
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from durable_async import (
    ChildConfig,
    ChildContextError,
    DurableContext,
    MapConfig,
    ParallelConfig,
    RetryDecision,
    RetryStrategy,
    StepConfig,
    StepError,
    WaitDecision,
    current_step,
    durable_execution,
)
from durable_async.otel import Traces

from .common import A_SECOND, FAILS_AT_ONCE, TWO_ATTEMPTS, do_nothing, fail, same

provider = TracerProvider()
if "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ:
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("conformance")

ONE_AT_A_TIME = 1


def mark(name):
    """Make a span wherever the code is."""
    with tracer.start_as_current_span(f"conformance.{name}", attributes={"conformance.callback": name}):
        pass


async def success(event, ctx):
    await ctx.step(do_nothing, name="otel-success")


async def wait_resume(event, ctx):
    await ctx.wait(A_SECOND, name="otel-wait")
    await ctx.step(do_nothing, name="otel-after-resume")


async def flaky():
    if current_step().attempt == 1:
        await fail()


async def retry(event, ctx):
    await ctx.step(flaky, name="otel-retry", config=StepConfig(retry_strategy=TWO_ATTEMPTS))


async def terminal_failure(event, ctx):
    await ctx.step(fail, name="otel-terminal-failure", config=FAILS_AT_ONCE)


async def child_context(event, ctx):
    async def child(ctx: DurableContext):
        await ctx.step(do_nothing, name="otel-child-step")

    await ctx.run_in_child_context(child, name="otel-child-context")


async def parallel_hierarchy(event, ctx):
    def branch(letter):
        async def run(ctx: DurableContext):
            await ctx.step(do_nothing, name=f"otel-parallel-step-{letter}")

        return f"otel-parallel-branch-{letter}", run

    config = ParallelConfig(max_concurrency=ONE_AT_A_TIME)
    await ctx.parallel([branch("a"), branch("b")], name="otel-parallel", config=config)


async def map_hierarchy(event, ctx):
    async def iteration(ctx: DurableContext, item):
        await ctx.step(do_nothing, name=f"otel-map-step-{item}")

    config = MapConfig(max_concurrency=ONE_AT_A_TIME, item_namer=lambda item, index: f"otel-map-iteration-{index}")
    await ctx.map(iteration, [0, 1], name="otel-map", config=config)


async def handled_failure(event, ctx):
    try:
        await ctx.step(fail, name="otel-handled-failure", config=FAILS_AT_ONCE)
    except StepError:
        await ctx.step(do_nothing, name="otel-recovery-step")


def twice(state, attempt):
    return WaitDecision.stop() if state >= 2 else WaitDecision.continue_after(A_SECOND)


async def wait_for_condition(event, ctx):
    async def check(state):
        return state + 1

    return await ctx.wait_for_condition(check, 0, twice, name="otel-condition")


async def wait_for_callback(event, ctx):
    return await ctx.wait_for_callback(same, name="otel-callback", returns=str)


async def chained_invoke(event, ctx):
    await ctx.invoke(target_of(ctx), {"scenario": "success-without-steps"}, name="otel-invoke")


async def child_context_failure(event, ctx):
    async def child(ctx: DurableContext):
        await fail()

    await ctx.run_in_child_context(child, name="otel-failed-child-context")


async def parallel_failure(event, ctx):
    async def branch(ctx: DurableContext):
        await fail()

    batch = await ctx.parallel([("otel-failed-parallel-branch", branch)], name="otel-failed-parallel")
    return batch.results()


async def map_failure(event, ctx):
    async def iteration(ctx: DurableContext, item):
        await fail()

    config = MapConfig(item_namer=lambda item, index: f"otel-failed-map-iteration-{index}")
    batch = await ctx.map(iteration, [0], name="otel-failed-map", config=config)
    return batch.results()


async def wait_interrupted(event, ctx):
    await ctx.wait(timedelta(seconds=60), name="otel-interrupted-wait")


async def wait_for_condition_failure(event, ctx):
    async def check(state):
        await fail()

    await ctx.wait_for_condition(check, 0, twice, name="otel-failed-condition")


async def wait_for_callback_failure(event, ctx):
    await ctx.wait_for_callback(same, name="otel-failed-callback")


async def chained_invoke_failure(event, ctx):
    await ctx.invoke(target_of(ctx), {"scenario": "execution-failure"}, name="otel-failed-invoke")


async def execution_failure(event, ctx):
    await fail()


async def virtual_context(event, ctx):
    async def child(ctx: DurableContext):
        return "virtual-complete"

    return await ctx.run_in_child_context(child, name="otel-virtual-context", config=ChildConfig(virtual=True))


async def completed_step_replay(event, ctx):
    before = await ctx.step(same, "before", name="otel-before-wait")
    await ctx.wait(A_SECOND, name="otel-replay-wait")
    return f"{before}-{await ctx.step(same, 'after', name='otel-after-wait')}"


async def marking(name):
    mark(name)


async def user_function_context(event, ctx):
    async def child(ctx: DurableContext):
        mark("child")
        await ctx.step(marking, "child-step", name="otel-context-child-step")
        mark("child-restored")

    def branch(letter):
        async def run(ctx: DurableContext):
            mark(f"parallel-{letter}")
            await ctx.step(marking, f"parallel-step-{letter}", name=f"otel-context-branch-step-{letter}")

        return f"otel-context-branch-{letter}", run

    async def iteration(ctx: DurableContext, item):
        mark(f"map-{item}")
        await ctx.step(marking, f"map-step-{item}", name=f"otel-context-map-step-{item}")

    mark("handler")
    await ctx.step(marking, "step", name="otel-context-step")
    await ctx.run_in_child_context(child, name="otel-context-child")
    await ctx.parallel([branch("a"), branch("b")], name="otel-context-parallel")
    config = MapConfig(item_namer=lambda item, index: f"otel-context-iteration-{index}")
    await ctx.map(iteration, [0, 1], name="otel-context-map", config=config)
    mark("handler-restored")
    await ctx.wait(A_SECOND, name="otel-context-wait")
    mark("handler-after-resume")
    return "context-complete"


async def callback_function_context(event, ctx):
    async def attempt():
        mark(f"retry-attempt-{current_step().attempt}")
        await flaky()

    async def check(state):
        mark(f"condition-check-{current_step().attempt}")
        return state + 1

    async def body(ctx: DurableContext):
        mark("with-retry-body")
        await fail()

    def strategy(error, attempt):
        mark("with-retry-strategy")
        return RetryDecision.do_not_retry()

    async def virtual(ctx: DurableContext):
        mark("virtual-child")

    retried = StepConfig(retry_strategy=RetryStrategy.fixed(delay=A_SECOND, max_attempts=2))
    await ctx.step(attempt, name="otel-context-retry-step", config=retried)
    await ctx.wait_for_condition(check, 0, twice, name="otel-context-condition")
    await ctx.wait_for_callback(lambda _: mark("callback-submitter"), name="otel-context-callback")
    with suppress(ChildContextError):
        await ctx.with_retry(body, strategy=strategy, name="otel-context-with-retry")
    await ctx.run_in_child_context(virtual, name="otel-context-virtual", config=ChildConfig(virtual=True))
    return "callback-context-complete"


async def invocation_retry_status(event, ctx):
    marker = Path(tempfile.gettempdir(), str(ctx.uuid()))
    await ctx.step(do_nothing, name="otel-before-invocation-retry")
    if not marker.exists():
        marker.touch()
        raise SystemExit(1)  # the invocation breaks off, and the execution goes on in another one
    marker.unlink()
    return "retry-complete"


async def external_callback_completion_replay(event, ctx):
    callback = await ctx.create_callback(name="otel-external-target", returns=str)
    target = await callback.result()
    await ctx.step(do_nothing, name="otel-external-target-observed")
    one = await ctx.wait_for_callback(same, name="otel-external-barrier-one", returns=str)
    two = await ctx.wait_for_callback(same, name="otel-external-barrier-two", returns=str)
    return f"{target}/{one}/{two}"


async def long_wait(event, ctx):
    await ctx.wait(delay_of(event), name="otel-long-wait")
    await ctx.step(do_nothing, name="otel-after-long-wait")


async def long_retry(event, ctx):
    strategy = RetryStrategy.fixed(delay=delay_of(event), max_attempts=2)
    await ctx.step(flaky, name="otel-long-retry", config=StepConfig(retry_strategy=strategy))


async def long_callback(event, ctx):
    await ctx.wait_for_callback(same, name="otel-long-callback", returns=str)


async def long_chained_invoke(event, ctx):
    payload = {"scenario": "long-target", "delay_seconds": event["delay_seconds"]}
    await ctx.invoke(target_of(ctx), payload, name="otel-long-invoke")


async def long_target(event, ctx):
    await ctx.wait(delay_of(event), name="otel-long-invoke-target-wait")


async def success_without_steps(event, ctx):
    return None


def delay_of(event):
    return timedelta(seconds=int(event["delay_seconds"]))


def target_of(ctx):
    """The target with the same view: its name is part of the caller's ARN."""
    function = ctx.execution_arn.split(":function:")[1].split(":")[0]
    view = "execution" if "execution" in function else "invocation"
    return f"target-otel-{view}:$LATEST"


SCENARIOS = {
    name.replace("_", "-"): workflow
    for name, workflow in list(globals().items())
    if getattr(workflow, "__module__", "") == __name__ and getattr(workflow, "__code__", None) is not None
}


async def scenario(event, ctx: DurableContext):
    return await SCENARIOS[event["scenario"]](event, ctx)


by_invocation = durable_execution(plugins=[Traces(view="invocation", tracer_provider=provider)])(scenario)
by_execution = durable_execution(plugins=[Traces(view="execution", tracer_provider=provider)])(scenario)

HANDLERS = {
    **{f"otel-invocation-{number}": by_invocation for number in range(1, 27)},
    **{f"otel-execution-{number}": by_execution for number in range(1, 27)},
    **{f"otel-long-running-{number}": by_invocation for number in range(1, 5)},
    **{f"otel-long-running-{number}-execution": by_execution for number in range(1, 5)},
    "target-otel-invocation": by_invocation,
    "target-otel-execution": by_execution,
}
