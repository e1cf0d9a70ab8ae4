"""Suite ``plugin``: what instrumentation plugins are told, and when."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from durable_async import (
    DurableContext,
    ParallelConfig,
    StepConfig,
    current_step,
    durable_execution,
)
from durable_async.plugins import (
    DurablePlugin,
    InvocationStatus,
    OperationInfo,
)

from .common import FAILS_AT_ONCE, TWO_ATTEMPTS, fail, same

TWO_SECONDS = timedelta(seconds=2)
NAMES = {
    "operation_id": "id",
    "operation_type": "type",
    "start_time": "startTimestamp",
    "end_time": "endTimestamp",
    "is_replayed": "isReplay",
    "is_replay_children": "isReplayingChildren",
    "execution_start_time": "executionStartTimestamp",
}


class Printing(DurablePlugin):
    """Prints one JSON object a line, with the execution's ARN as the start of the invocation told it."""

    label = "CONFPLUGIN"
    execution_arn = ""

    def on_invocation_start(self, info):
        self.execution_arn = info.execution_arn

    def emit(self, hook: str, **fields: object) -> None:
        record = {"plugin": self.label, "hook": hook, **fields, "durableExecutionArn": self.execution_arn}
        print(json.dumps(record), flush=True)


def dump(info: object) -> dict[str, object]:
    """The set fields of an info in the cases' names: mappings as counts, times as ISO 8601, errors as messages."""
    dumped = {}
    for field in attrs.fields(type(info)):
        value = getattr(info, field.name)
        first, *rest = field.name.split("_")
        name = NAMES.get(field.name, first + "".join(part.title() for part in rest))
        match value:
            case None:
                continue
            case _ if callable(value):
                continue
            case timedelta():
                value = value.total_seconds()
            case Mapping():
                name, value = f"{name}Count", len(value)
            case datetime():
                value = value.isoformat()
            case BaseException():
                value = str(value)
        dumped[name] = value
    return dumped


class InvocationLifecycle(Printing):
    def on_invocation_start(self, info):
        super().on_invocation_start(info)
        self.emit("invocation-start", first=info.is_first_invocation)

    def on_invocation_end(self, info):
        self.emit("invocation-end", status=info.status)


class PluginA(InvocationLifecycle):
    label = "CONFPLUGIN-A"


class PluginB(InvocationLifecycle):
    label = "CONFPLUGIN-B"


class Attempts(Printing):
    def on_attempt_start(self, info):
        self.emit("attempt-start", n=info.attempt, op=info.operation_id)

    def on_attempt_end(self, info):
        self.emit("attempt-end", n=info.attempt, outcome=info.outcome, op=info.operation_id)


class StepEnds(Printing):
    def on_operation_end(self, info):
        if info.operation_type == "STEP":
            self.emit("operation-end", op=info.operation_id, status=info.status)


class StepLifecycle(StepEnds):
    def on_operation_start(self, info):
        if info.operation_type == "STEP":
            self.emit("operation-start", op=info.operation_id)


class AttemptsAndStepEnds(Attempts, StepEnds):
    """Prints both."""


class Faulty(Printing):
    label = "CONFPLUGIN-FAULTY"

    def on_invocation_start(self, info):
        super().on_invocation_start(info)
        self.raise_in("invocation-start")

    def on_invocation_end(self, info):
        self.raise_in("invocation-end")

    def on_operation_start(self, info):
        self.raise_in("operation-start")

    def on_operation_end(self, info):
        self.raise_in("operation-end")

    def on_attempt_start(self, info):
        self.raise_in("attempt-start")

    def on_attempt_end(self, info):
        self.raise_in("attempt-end")

    def raise_in(self, hook):
        self.emit(hook)
        raise RuntimeError(f"{hook} fails")


class StepChanges(Printing):
    def on_operation_change(self, info):
        for operation_id, item in info.updated_operations.items():
            if item.operation_type == "STEP":
                in_full_map = operation_id in info.operations
                self.emit("operation-change", op=operation_id, status=item.status, in_full_map=in_full_map)


class UpdatedWaits(Printing):
    def on_invocation_start(self, info):
        super().on_invocation_start(info)
        for operation_id, item in info.updated_operations.items():
            if item.operation_type == "WAIT":
                first = info.is_first_invocation
                self.emit("updated-on-invoke", op=operation_id, status=item.status, first=first)


class WaitOperations(Printing):
    def on_operation_start(self, info):
        if info.operation_type == "WAIT":
            self.emit("operation-start", op=info.operation_id, type=info.operation_type)

    def on_operation_end(self, info):
        if info.operation_type == "WAIT":
            self.emit("operation-end", op=info.operation_id, type=info.operation_type, status=info.status)


class NamedWaits(Printing):
    def on_operation_start(self, info: OperationInfo):
        if info.operation_type == "WAIT":
            pending = info.end_time is None
            self.emit("operation-start", type="WAIT", name=info.name, replay=info.is_replayed, pending=pending)

    def on_operation_end(self, info: OperationInfo):
        if info.operation_type == "WAIT":
            self.emit("operation-end", type="WAIT", name=info.name, status=info.status)


class InvocationShape(Printing):
    def on_invocation_start(self, info):
        super().on_invocation_start(info)
        self.emit("invocation-start", **dump(info))

    def on_invocation_end(self, info):
        terminal = info.status in (InvocationStatus.SUCCEEDED, InvocationStatus.FAILED)
        fields = dump(info)
        if "error" in fields:
            fields["executionError"] = fields.pop("error")
        self.emit("invocation-end", terminal=terminal, **fields)


class StepShape(Printing):
    def on_operation_start(self, info):
        if info.operation_type == "STEP":
            self.emit("operation-start", **dump(info))

    def on_operation_end(self, info):
        if info.operation_type == "STEP":
            self.emit("operation-end", **dump(info))


class AttemptShape(Printing):
    def on_attempt_start(self, info):
        self.emit("attempt-start", **dump(info))

    def on_attempt_end(self, info):
        self.emit("attempt-end", **dump(info))


class ChangeShape(Printing):
    def on_operation_change(self, info):
        about = dump(info)
        for operation_id, item in info.updated_operations.items():
            if item.operation_type == "STEP":
                self.emit("operation-change", **about | dump(item), inFullMap=operation_id in info.operations)


class ContextShape(Printing):
    def on_operation_start(self, info):
        if info.operation_type == "CONTEXT":
            self.emit("operation-start", **dump(info))

    def on_user_function_start(self, info):
        if info.operation_type == "CONTEXT":
            self.emit("fn-start", **dump(info))


def greeting(*plugins):
    @durable_execution(plugins=plugins)
    async def greet_in_a_step(event, ctx: DurableContext):
        async def greet(name):
            current_step().logger.info("Greeting step running for: %s", name)
            return f"Hello, {name}!"

        return await ctx.step(greet, event)

    return greet_in_a_step


def waiting(*plugins):
    @durable_execution(plugins=plugins)
    async def wait(event, ctx: DurableContext):
        await ctx.wait(TWO_SECONDS)

    return wait


def named_greeting(*plugins):
    @durable_execution(plugins=plugins)
    async def named_step(event, ctx: DurableContext):
        return await ctx.step(same, "task-a", name="greet")

    return named_step


def succeeding_at_the_second_attempt(*plugins, name: str, result: str):
    @durable_execution(plugins=plugins)
    async def flaky_step(event, ctx: DurableContext):
        async def flaky():
            if current_step().attempt == 1:
                raise ConnectionError("the first attempt fails")
            return result

        return await ctx.step(flaky, name=name, config=StepConfig(retry_strategy=TWO_ATTEMPTS))

    return flaky_step


@durable_execution(plugins=[AttemptsAndStepEnds])
async def retries_exhausted(event, ctx: DurableContext):
    await ctx.step(fail, config=StepConfig(retry_strategy=TWO_ATTEMPTS))


@durable_execution(plugins=[InvocationLifecycle])
async def failing_step(event, ctx: DurableContext):
    await ctx.step(fail, config=FAILS_AT_ONCE)


@durable_execution(plugins=[NamedWaits])
async def waits_in_parallel(event, ctx: DurableContext):
    async def short(ctx: DurableContext):
        await ctx.wait(TWO_SECONDS, name="short")
        return "short-done"

    async def long(ctx: DurableContext):
        await ctx.wait(timedelta(seconds=8), name="long")
        return "long-done"

    batch = await ctx.parallel([short, long], name="waits", config=ParallelConfig(max_concurrency=2))
    return batch.results()


@durable_execution(plugins=[InvocationShape])
async def done_after_a_wait(event, ctx: DurableContext):
    await ctx.wait(TWO_SECONDS)
    return f"done-{event}"


@durable_execution(plugins=[ContextShape])
async def contexts(event, ctx: DurableContext):
    async def branch_a(ctx: DurableContext):
        await ctx.step(same, "x", name="inner")
        await ctx.wait(TWO_SECONDS)
        return "a-done"

    async def branch_b(ctx: DurableContext):
        return "b-done"

    branches = [("branch-a", branch_a), ("branch-b", branch_b)]
    batch = await ctx.parallel(branches, name="ctx", config=ParallelConfig(max_concurrency=1))
    return batch.results()


HANDLERS = {
    "10-1": greeting(InvocationLifecycle),
    "10-2": greeting(StepLifecycle),
    "10-3": succeeding_at_the_second_attempt(Attempts, name="unreliable_func", result="Operation succeeded"),
    "10-4": greeting(Faulty),
    "10-5": greeting(PluginA, PluginB),
    "10-6": waiting(InvocationLifecycle),
    "10-7": failing_step,
    "10-8": greeting(StepChanges),
    "10-9": waiting(UpdatedWaits),
    "10-10": waiting(WaitOperations),
    "10-15": retries_exhausted,
    "10-18": waits_in_parallel,
    "10-19": done_after_a_wait,
    "10-20": named_greeting(StepShape),
    "10-21": succeeding_at_the_second_attempt(AttemptShape, name="flaky", result="ok"),
    "10-22": named_greeting(ChangeShape),
    "10-23": contexts,
}
