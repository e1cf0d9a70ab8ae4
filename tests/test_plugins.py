"""Plugins: what each hook is told, when, and that nobody else notices."""

import asyncio
import contextvars
import gc
import json
import logging
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest

from durable_async import (
    ChildConfig,
    ChildContextError,
    DurableTimeoutError,
    EngineLimits,
    NestingType,
    OperationError,
    ParallelConfig,
    RetryStrategy,
    StepConfig,
    StepError,
    StepSemantics,
    WaitDecision,
    current_step,
    durable_execution,
)
from durable_async._engine import invocation
from durable_async.plugins import (
    DurablePlugin,
    InvocationStatus,
    UserFunctionOutcome,
)
from durable_async.service import Limits
from durable_async.testing.virtual_time import START
from tests.ids import stable

from . import world as worlds
from .world import NO_START_BEFORE_ITS_END, Crash

World = partial(worlds.World, engine=NO_START_BEFORE_ITS_END)

HOOKS = [name for name in vars(DurablePlugin) if not name.startswith("_") and name not in ("flush", "on_checkpoint")]
MINUTE = timedelta(minutes=1)
TWO_ATTEMPTS = StepConfig(retry_strategy=RetryStrategy.fixed(delay=MINUTE, max_attempts=2))


class Recorder(DurablePlugin):
    """Keeps what it is told, in order."""

    def __init__(self):
        self.told = []

    def infos(self, hook):
        return [info for each, info in self.told if each == hook]

    def story(self, *hooks, of=None):
        """What was told by some hooks, a line each: the hook, whose, and what there is to say."""
        lines = [_line(hook, info) for hook, info in self.told if not hooks or hook in hooks]
        return lines if of is None else [line for line in lines if line.split()[1] == of]


def _line(hook, info):
    words = [hook.removeprefix("on_"), getattr(info, "name", "-") or "-"]
    match hook:
        case "on_operation_start":
            words.append("replayed" if info.is_replayed else "new")
        case "on_operation_end":
            words.append(info.status)
        case "on_operation_change":
            words += sorted(f"{each.name}={each.status}" for each in info.updated_operations.values())
        case "on_user_function_start" | "on_attempt_start" if info.attempt:
            words.append(str(info.attempt))
        case "on_user_function_end" | "on_attempt_end":
            words.append(info.outcome)
        case "on_invocation_end":
            words.append(info.status)
    return " ".join(words)


def _keep(hook):
    def keep(self, info):
        self.told.append((hook, info))

    return keep


for _hook in HOOKS:
    setattr(Recorder, _hook, _keep(_hook))

STARTS_AND_ENDS = ("on_operation_start", "on_operation_end")
FUNCTIONS = ("on_user_function_start", "on_user_function_end")


async def work():
    return "done"


async def fail():
    raise ValueError("never")


async def told_of(workflow, event=b"{}", **options):
    """Run a workflow to its end; what a plugin was told, and the world."""
    recorder = Recorder()
    async with World(**options) as world:
        closed = await world.run(durable_execution(plugins=[recorder])(workflow), event)
    recorder.closed = closed
    return recorder


class Noting:
    """A handler whose talk with the service is noted."""

    def __init__(self, handler):
        self.handler = handler
        self.updates = []

    async def run(self, event, *, client, lambda_context=None):
        self.client = client
        return await self.handler.run(event, client=self, lambda_context=lambda_context)

    async def checkpoint(self, arn, token, updates, client_token):
        self.updates += updates
        return await self.client.checkpoint(arn, token, updates, client_token)

    async def get_state(self, arn, token, marker):
        return await self.client.get_state(arn, token, marker)


# --- order ---


async def test_the_hooks_of_a_step_in_their_order():
    async def workflow(event, ctx):
        await ctx.step(work, name="a")
        recorder.told.append(("code goes on", None))

    recorder = Recorder()
    async with World() as world:
        await world.run(durable_execution(plugins=[recorder])(workflow))
    assert recorder.story() == [
        "invocation_start -",
        "operation_start a new",
        "attempt_start a 1",
        "user_function_start a 1",
        "user_function_end a SUCCEEDED",
        "attempt_end a SUCCEEDED",
        "operation_change - a=SUCCEEDED",
        "operation_end a SUCCEEDED",
        "code goes on -",
        "invocation_end - SUCCEEDED",
    ]


async def test_a_child_ends_before_its_parent():
    async def child(ctx):
        await ctx.step(work, name="inner")

    async def workflow(event, ctx):
        await ctx.run_in_child_context(child, name="outer")

    recorder = await told_of(workflow)
    assert recorder.story(*STARTS_AND_ENDS, *FUNCTIONS) == [
        "operation_start outer new",
        "user_function_start outer",
        "operation_start inner new",
        "user_function_start inner 1",
        "user_function_end inner SUCCEEDED",
        "operation_end inner SUCCEEDED",
        "user_function_end outer SUCCEEDED",
        "operation_end outer SUCCEEDED",
    ]
    [outer, inner] = recorder.infos("on_operation_start")
    assert (outer.parent_id, inner.parent_id) == (None, outer.operation_id)


async def test_ends_in_one_answer_are_told_children_first():
    """The context's end and its timer's come due together."""

    async def block(ctx):
        asyncio.ensure_future(ctx.wait(timedelta(seconds=5), name="inner"))
        await ctx.step(work, name="first")
        world.clock.move_by(5)

    async def workflow(event, ctx):
        await ctx.run_in_child_context(block, name="outer")

    recorder = Recorder()
    async with World() as world:
        await world.run(durable_execution(plugins=[recorder])(workflow))
    assert recorder.story("on_operation_end")[1:] == ["operation_end inner SUCCEEDED", "operation_end outer SUCCEEDED"]
    assert recorder.story("on_operation_change")[-1] == "operation_change - inner=SUCCEEDED outer=SUCCEEDED"


# --- operation start and end over several invocations ---


async def test_a_failed_attempt_is_no_end_and_the_next_one_a_start():
    async def flaky():
        if current_step().attempt == 1:
            raise ValueError("not yet")

    async def workflow(event, ctx):
        await ctx.step(flaky, name="a", config=TWO_ATTEMPTS)

    recorder = await told_of(workflow)
    assert recorder.story(*STARTS_AND_ENDS, "on_attempt_start", "on_attempt_end") == [
        "operation_start a new",
        "attempt_start a 1",
        "attempt_end a FAILED",
        "operation_start a replayed",
        "attempt_start a 2",
        "attempt_end a SUCCEEDED",
        "operation_end a SUCCEEDED",
    ]
    assert recorder.story("on_operation_change") == ["operation_change - a=PENDING", "operation_change - a=SUCCEEDED"]
    [failed, succeeded] = recorder.infos("on_attempt_end")
    assert (str(failed.error), succeeded.error) == ("not yet", None)


async def test_an_exhausted_step_ends_as_failed():
    async def workflow(event, ctx):
        await ctx.step(fail, name="a", config=TWO_ATTEMPTS)

    recorder = await told_of(workflow)
    assert recorder.story("on_operation_end") == ["operation_end a FAILED"]
    [info] = recorder.infos("on_operation_end")
    assert isinstance(info.error, OperationError)
    assert (info.error.error_type, str(info.error), info.attempt) == ("ValueError", "never", 2)


async def test_what_still_waits_starts_again_and_what_has_ended_is_not_told_again():
    async def workflow(event, ctx):
        await asyncio.gather(ctx.wait(MINUTE, name="short"), ctx.wait(2 * MINUTE, name="long"))
        await ctx.wait(MINUTE, name="last")

    recorder = await told_of(workflow)
    assert recorder.story(*STARTS_AND_ENDS, "on_invocation_start") == [
        "invocation_start -",
        "operation_start short new",
        "operation_start long new",
        "invocation_start -",
        "operation_end short SUCCEEDED",
        "operation_start long replayed",
        "invocation_start -",
        "operation_end long SUCCEEDED",
        "operation_start last new",
        "invocation_start -",
        "operation_end last SUCCEEDED",
    ]
    assert [info.status for info in recorder.infos("on_operation_start") if info.is_replayed] == ["STARTED"]
    updated = [
        sorted(each.name for each in info.updated_operations.values()) for info in recorder.infos("on_invocation_start")
    ]
    assert updated == [[], ["short"], ["long"], ["last"]]


async def test_a_step_that_waits_for_its_retry_is_told_once_an_invocation():
    async def workflow(event, ctx):
        await asyncio.gather(ctx.step(fail, name="a", config=TWO_ATTEMPTS), ctx.wait(timedelta(seconds=1)))

    recorder = await told_of(workflow)
    assert recorder.story("on_operation_start", of="a") == [
        "operation_start a new",
        "operation_start a replayed",  # PENDING, seen when the wait is over
        "operation_start a replayed",  # READY, when it is attempted
    ]
    pending, ready = (info for info in recorder.infos("on_operation_start") if info.is_replayed)
    assert [(info.status, info.attempt) for info in (pending, ready)] == [("PENDING", 1), ("READY", 2)]


async def test_what_the_service_says_again_is_no_change():
    class Repeating(Noting):
        said = ()

        async def checkpoint(self, arn, token, updates, client_token):
            result = await super().checkpoint(arn, token, updates, client_token)
            operations = result["NewExecutionState"]["Operations"]
            result["NewExecutionState"]["Operations"] = [*self.said, *operations]
            self.said = operations
            return result

    async def workflow(event, ctx):
        for name in "abc":
            await ctx.step(work, name=name)

    recorder = Recorder()
    async with World() as world:
        await world.run(Repeating(durable_execution(plugins=[recorder])(workflow)))
    assert recorder.story("on_operation_change", "on_operation_end") == [
        line for name in "abc" for line in (f"operation_change - {name}=SUCCEEDED", f"operation_end {name} SUCCEEDED")
    ]


async def test_a_timer_that_ends_within_the_invocation():
    async def workflow(event, ctx):
        async def long_work():
            while not recorder.infos("on_operation_change"):  # until the wait is on record
                await asyncio.sleep(0)
            world.clock.move_by(2)

        waiting = asyncio.ensure_future(ctx.wait(timedelta(seconds=1), name="w"))
        await ctx.step(long_work, name="a")
        await waiting

    recorder = Recorder()
    async with World() as world:
        await world.run(durable_execution(plugins=[recorder])(workflow))
        assert world.invocations == 1
    assert recorder.story(*STARTS_AND_ENDS, of="w") == ["operation_start w new", "operation_end w SUCCEEDED"]


async def test_what_ended_and_is_never_come_by_is_told_with_the_end_of_the_invocation():
    async def workflow(event, ctx):
        if not recorder.infos("on_invocation_end"):
            await ctx.wait(MINUTE, name="left alone")

    recorder = Recorder()
    async with World() as world:
        await world.run(durable_execution(plugins=[recorder])(workflow))
    assert recorder.story("on_operation_end", "on_invocation_end") == [
        "invocation_end - PENDING",
        "operation_end left alone SUCCEEDED",
        "invocation_end - SUCCEEDED",
    ]


async def test_a_callback_and_the_step_that_hands_it_out():
    ids = []

    async def workflow(event, ctx):
        await ctx.wait_for_callback(ids.append, name="approval")

    recorder = Recorder()
    async with World() as world:
        arn = await world.start(durable_execution(plugins=[recorder])(workflow))
        await world.settle()
        await world.service.callback_succeeded(ids[0], b"yes")
        await world.finish(arn)
    assert recorder.story(*STARTS_AND_ENDS) == [
        "operation_start approval new",
        "operation_start approval create callback id new",
        "operation_start approval submitter new",
        "operation_end approval submitter SUCCEEDED",
        "operation_start approval replayed",
        "operation_end approval create callback id SUCCEEDED",
        "operation_end approval SUCCEEDED",
    ]
    assert recorder.infos("on_operation_end")[-1].result == "yes"


async def test_an_attempt_cut_short_by_a_crash():
    async def workflow(event, ctx):
        await ctx.step(work, name="a", config=StepConfig(semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY))

    recorder = Recorder()
    async with World() as world:
        world.crash_after = 0
        await world.run(durable_execution(plugins=[recorder])(workflow))
    assert recorder.story(*STARTS_AND_ENDS, "on_attempt_start") == [
        "operation_start a new",
        "operation_start a replayed",
        "operation_end a FAILED",
    ]
    first, second = recorder.infos("on_invocation_end")
    assert (first.status, second.status) == (InvocationStatus.RETRY, InvocationStatus.FAILED)
    assert isinstance(first.error, Crash) and isinstance(second.error, StepError)


# --- user functions ---


async def test_a_suspended_body_is_incomplete_and_called_again():
    async def child(ctx):
        await ctx.wait(MINUTE)

    async def workflow(event, ctx):
        await ctx.run_in_child_context(child, name="c")

    recorder = await told_of(workflow)
    assert recorder.story(*FUNCTIONS) == [
        "user_function_start c",
        "user_function_end c INCOMPLETE",
        "user_function_start c",
        "user_function_end c SUCCEEDED",
    ]
    first, second = recorder.infos("on_user_function_start")
    assert (first.is_replayed, second.is_replayed) == (False, True)
    assert not second.is_replay_children and second.attempt is None
    assert recorder.infos("on_attempt_start") == []
    assert recorder.story("on_operation_end", of="c") == ["operation_end c SUCCEEDED"]


async def test_a_body_that_raises():
    async def child(ctx):
        raise ValueError("no")

    async def workflow(event, ctx):
        with pytest.raises(ChildContextError):
            await ctx.run_in_child_context(child, name="c")

    recorder = await told_of(workflow)
    [end] = recorder.infos("on_user_function_end")
    assert (end.outcome, type(end.error)) == (UserFunctionOutcome.FAILED, ValueError)
    assert end.start_time <= end.end_time


async def test_branches_are_user_functions():
    async def branch(ctx):
        await ctx.step(work, name="a step")

    async def workflow(event, ctx):
        await ctx.parallel([("left", branch), ("right", branch)], name="both")

    recorder = await told_of(workflow)
    for name in ("left", "right"):
        assert recorder.story(*STARTS_AND_ENDS, *FUNCTIONS, of=name) == [
            f"operation_start {name} new",
            f"user_function_start {name}",
            f"user_function_end {name} SUCCEEDED",
            f"operation_end {name} SUCCEEDED",
        ]
    assert {info.sub_type for info in recorder.infos("on_operation_start")} == {"Parallel", "ParallelBranch", "Step"}
    assert recorder.story("on_operation_end")[-1] == "operation_end both SUCCEEDED"


async def test_a_context_that_is_not_recorded_ends_with_its_function_in_each_invocation():
    async def branch(ctx):
        await ctx.step(work, name="s")

    async def workflow(event, ctx):
        config = ParallelConfig(nesting=NestingType.FLAT)
        await ctx.parallel([("left", branch)], name="both", config=config)

    recorder = await told_of(workflow)
    assert recorder.story(*STARTS_AND_ENDS, *FUNCTIONS, of="left") == [
        "user_function_start left",
        "user_function_end left SUCCEEDED",
        "operation_end left SUCCEEDED",
    ]


async def test_a_context_whose_result_is_made_anew_says_so():
    async def child(ctx):
        return "x" * 300_000

    async def workflow(event, ctx):
        await ctx.run_in_child_context(child, name="large")
        await ctx.wait(MINUTE)

    recorder = await told_of(workflow)
    assert recorder.story(*STARTS_AND_ENDS, *FUNCTIONS, of="large") == [
        "operation_start large new",
        "user_function_start large",
        "user_function_end large SUCCEEDED",
        "operation_end large SUCCEEDED",
        "user_function_start large",
        "user_function_end large SUCCEEDED",
        "operation_end large SUCCEEDED",
    ]
    assert [info.is_replay_children for info in recorder.infos("on_user_function_start")] == [False, True]


async def test_an_end_that_the_service_lists_as_new_is_told_once_in_an_invocation():
    """As after a pause, when the answer to what ended was withheld."""

    class Listing(Noting):
        async def run(self, event, **options):
            event["UpdatedOperationIds"] = [each["Id"] for each in event["InitialExecutionState"]["Operations"]]
            return await super().run(event, **options)

    async def child(ctx):
        return "x" * 300_000

    async def workflow(event, ctx):
        await ctx.step(work, name="a")
        await ctx.run_in_child_context(child, name="large")
        await ctx.wait(MINUTE, name="w")

    recorder = Recorder()
    async with World() as world:
        await world.run(Listing(durable_execution(plugins=[recorder])(workflow)))
    ends = ["operation_end a SUCCEEDED", "operation_end large SUCCEEDED"]
    assert recorder.story("on_operation_end", "on_invocation_end") == [
        *ends,
        "invocation_end - PENDING",
        *ends,
        "operation_end w SUCCEEDED",
        "invocation_end - SUCCEEDED",
    ]


async def test_a_block_with_a_deadline():
    async def workflow(event, ctx):
        async with ctx.timeout(2 * MINUTE, name="kept"):
            await ctx.wait(MINUTE, name="w")
        with pytest.raises(DurableTimeoutError):
            async with ctx.timeout(MINUTE, name="broken"):
                await ctx.wait(2 * MINUTE, name="v")

    recorder = await told_of(workflow)
    assert recorder.closed.status == "SUCCEEDED"
    outcomes = {
        name: [info.outcome for info in recorder.infos("on_user_function_end") if info.name == name]
        for name in ("kept", "broken")
    }
    assert outcomes["kept"] == ["INCOMPLETE", "SUCCEEDED", "SUCCEEDED"]  # the last: a replay goes through it again
    assert outcomes["broken"] == ["INCOMPLETE", "FAILED"]
    [broken] = [
        info
        for info in recorder.infos("on_operation_end")
        if info.name == "broken" and info.operation_type == "CONTEXT"
    ]
    assert broken.status == "FAILED"


async def test_the_checks_of_a_condition_are_attempts():
    async def workflow(event, ctx):
        def until_three(state, attempt):
            return WaitDecision.stop() if state >= 3 else WaitDecision.continue_after(MINUTE)

        await ctx.wait_for_condition(lambda state: state + 1, 0, until_three, name="c")

    recorder = await told_of(workflow)
    assert recorder.story("on_attempt_start", "on_attempt_end", "on_operation_end") == [
        "attempt_start c 1",
        "attempt_end c SUCCEEDED",
        "attempt_start c 2",
        "attempt_end c SUCCEEDED",
        "attempt_start c 3",
        "attempt_end c SUCCEEDED",
        "operation_end c SUCCEEDED",
    ]


@pytest.mark.parametrize("is_async", [True, False], ids=["coroutine", "worker thread"])
async def test_a_function_sees_the_context_variables_that_a_plugin_sets(is_async):
    span = contextvars.ContextVar("span", default="none")

    class Tracer(DurablePlugin):
        def on_user_function_start(self, info):
            span.set(f"{info.name} {info.attempt}")

    async def on_the_loop():
        return span.get()

    def in_a_thread():
        return span.get()

    @durable_execution(plugins=[Tracer])
    async def workflow(event, ctx):
        return await ctx.step(on_the_loop if is_async else in_a_thread, name="a")

    async with World() as world:
        assert json.loads((await world.run(workflow)).result) == "a 1"


# --- fields ---


async def test_the_fields_of_an_operation():
    async def workflow(event, ctx):
        await ctx.step(work, name="greet")

    recorder = await told_of(workflow)
    [start] = recorder.infos("on_operation_start")
    [end] = recorder.infos("on_operation_end")
    [invocation] = recorder.infos("on_invocation_start")
    for info in (start, end):
        assert info.execution_arn == invocation.execution_arn
        assert (info.operation_type, info.sub_type, info.name, info.parent_id) == ("STEP", "Step", "greet", None)
        assert (info.is_replayed, info.attempt, info.error) == (False, 1, None)
    assert start.operation_id == end.operation_id
    assert (start.status, start.start_time, start.end_time, start.result) == ("STARTED", None, None, None)
    assert (end.status, end.result) == ("SUCCEEDED", '"done"')
    started = START
    assert started < end.start_time < end.end_time < started + timedelta(milliseconds=1)
    assert end.start_time.utcoffset() == timedelta(0)


async def test_a_change_shows_what_changed_and_everything():
    async def workflow(event, ctx):
        await ctx.step(work, name="a")
        await ctx.step(work, name="b")

    recorder = await told_of(workflow)
    seen = []

    class Watch(DurablePlugin):
        def on_operation_change(self, info):
            seen.append(
                (
                    [each.name for each in info.updated_operations.values()],
                    [each.name for each in info.operations.values() if each.operation_type != "EXECUTION"],
                    set(info.updated_operations) <= set(info.operations),
                )
            )

    async with World() as world:
        await world.run(durable_execution(plugins=[Watch])(workflow))
    assert seen == [(["a"], ["a"], True), (["b"], ["a", "b"], True)]
    [first, _] = recorder.infos("on_operation_change")
    assert "unknown" not in first.operations and first.operations.get("unknown") is None
    assert len(first.operations) == 3  # read late, it shows what there is by now


async def test_the_fields_of_an_invocation():
    async def workflow(event, ctx):
        await ctx.wait(MINUTE)
        return event["n"]

    recorder = await told_of(workflow, b'{"n": 7}')
    starts, ends = recorder.infos("on_invocation_start"), recorder.infos("on_invocation_end")
    for info in (*starts, *ends):
        assert info.execution_input == '{"n": 7}'
        assert info.execution_start_time.timestamp() == START.timestamp()
        assert info.request_id
    assert [info.request_id for info in starts] == [info.request_id for info in ends]
    assert len({info.request_id for info in starts}) == 2
    assert [info.is_first_invocation for info in starts] == [info.is_first_invocation for info in ends] == [True, False]
    assert [(info.status, info.execution_result, info.error) for info in ends] == [
        (InvocationStatus.PENDING, None, None),
        (InvocationStatus.SUCCEEDED, "7", None),
    ]


async def test_an_execution_that_fails():
    async def workflow(event, ctx):
        raise ValueError("no")

    recorder = await told_of(workflow)
    [end] = recorder.infos("on_invocation_end")
    assert (end.status, type(end.error), end.execution_result) == (InvocationStatus.FAILED, ValueError, None)


async def test_a_result_that_is_on_record_and_not_in_the_answer():
    async def workflow(event, ctx):
        return "x" * (6 * 1024 * 1024 - 40)

    recorder = await told_of(workflow)
    [end] = recorder.infos("on_invocation_end")
    assert recorder.closed.status == "SUCCEEDED"
    assert (end.status, end.execution_result) == (InvocationStatus.SUCCEEDED, "")
    assert recorder.story(*STARTS_AND_ENDS, "on_operation_change") == []


async def test_an_invocation_that_is_cancelled_from_outside():
    async def workflow(event, ctx):
        await ctx.step(asyncio.Event().wait, name="a")

    recorder = Recorder()
    async with World() as world:
        await world.start(durable_execution(plugins=[recorder])(workflow))
        while not recorder.infos("on_attempt_start"):
            await asyncio.sleep(0)
    [end] = recorder.infos("on_invocation_end")
    assert (end.status, type(end.error)) == (InvocationStatus.RETRY, asyncio.CancelledError)
    assert recorder.story("on_attempt_end") == ["attempt_end a INCOMPLETE"]


async def test_the_start_is_told_when_all_pages_of_the_record_are_here():
    async def workflow(event, ctx):
        for _ in range(5):
            await ctx.step(work)
        await ctx.wait(MINUTE)

    sizes = []

    class Size(DurablePlugin):
        def on_invocation_start(self, info):
            sizes.append((info.is_first_invocation, len(info.operations)))

    async with World(limits=Limits(page_operations=2)) as world:
        await world.run(durable_execution(plugins=[Size])(workflow))
    assert sizes == [(True, 1), (False, 7)]


async def test_no_info_shows_what_the_execution_works_on():
    async def workflow(event, ctx):
        await ctx.step(lambda: "secret-result")
        return "secret-answer"

    recorder = await told_of(workflow, b'"secret-input"')
    assert len(recorder.told) > 8
    assert not any("secret" in repr(info) for _, info in recorder.told)


# --- harmless ---


class Raising(DurablePlugin):
    error = RuntimeError("a plugin's own")


def _raise(self, info):
    raise self.error


for _hook in HOOKS:
    setattr(Raising, _hook, _raise)


class Cancelling(Raising):
    error = asyncio.CancelledError()


@pytest.mark.parametrize("kind", [Raising, Cancelling])
async def test_a_plugin_that_raises_in_every_hook_changes_nothing(kind, caplog):
    async def child(ctx):
        return await ctx.step(work, name="a")

    async def workflow(event, ctx):
        await ctx.wait(MINUTE)
        return await ctx.run_in_child_context(child)

    async with World() as world:
        plain = await world.start(durable_execution(workflow))
        await world.finish(plain)
        expected = await world.event_types(plain)
    recorder = Recorder()
    with caplog.at_level(logging.ERROR, "durable_async"):
        async with World() as world:
            arn = await world.start(durable_execution(plugins=[kind, recorder])(workflow))
            closed = await world.finish(arn)
            assert await world.event_types(arn) == expected
    assert closed.result == '"done"'
    hooks = {hook for hook, _ in recorder.told}
    assert hooks == set(HOOKS) - {"trace_header"}
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == len(recorder.told)
    assert {message.split()[-2] for message in logged} == {f"{kind.__qualname__}.{hook}" for hook in hooks}


async def test_a_plugin_that_cannot_be_made_is_left_out(caplog):
    def broken():
        raise RuntimeError("no configuration")

    recorder = Recorder()

    @durable_execution(plugins=[broken, lambda: "no plugin", recorder])
    async def workflow(event, ctx):
        return await ctx.step(work)

    with caplog.at_level(logging.ERROR, "durable_async"):
        async with World() as world:
            assert (await world.run(workflow)).result == '"done"'
    assert len(caplog.records) == 2
    assert recorder.infos("on_invocation_end")


async def test_tasks_that_a_hook_starts_are_no_part_of_the_workflow():
    class Starting(DurablePlugin):
        def on_operation_start(self, info):
            tasks.append(asyncio.ensure_future(asyncio.Event().wait()))

        on_user_function_start = on_user_function_end = on_operation_start

    async def workflow(event, ctx):
        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(ctx.step(work, name=f"{n}"))
        await ctx.wait(MINUTE)

    tasks, ids = [], []
    for plugins in ([], [Starting]):
        async with World() as world:
            arn = await world.start(durable_execution(plugins=plugins)(workflow))
            assert (await world.finish(arn)).status == "SUCCEEDED"
            ids.append(
                {(each["Name"], each["Id"]) for each in await world.events(arn) if each["EventType"] == "StepStarted"}
            )
    assert len(tasks) > 6 and not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    assert ids[0] == ids[1]


async def test_what_an_abandoned_task_does_later_is_not_told():
    release = asyncio.Event()

    async def slow_to_go(ctx):
        try:
            await ctx.wait(MINUTE)
        finally:
            await release.wait()

    async def workflow(event, ctx):
        await ctx.run_in_child_context(slow_to_go)

    recorder = Recorder()
    async with World(engine=EngineLimits(clean_up=0.0)) as world:
        await world.start(durable_execution(plugins=[recorder])(workflow))
        await world.settle()
        [abandoned] = invocation._abandoned
        release.set()
        await asyncio.wait([abandoned])
        invocation._abandoned.clear()
    assert recorder.story()[-1] == "invocation_end - PENDING"


# --- registration ---


async def test_plugins_are_told_in_the_order_of_the_list():
    told = []

    class Named(DurablePlugin):
        def __init__(self, name):
            self.name = name

        def on_operation_end(self, info):
            told.append(self.name)

    @durable_execution(plugins=[Named("first"), partial(Named, "second"), Named("third")])
    async def workflow(event, ctx):
        await ctx.step(work)

    async with World() as world:
        await world.run(workflow)
    assert told == ["first", "second", "third"]


async def test_a_class_serves_one_invocation_and_an_object_all():
    class Counting(DurablePlugin):
        def __init__(self):
            self.invocations = 0

        def on_invocation_start(self, info):
            self.invocations += 1
            counts.append((self is shared, self.invocations))

    counts, shared = [], Counting()

    @durable_execution(plugins=[shared, Counting])
    async def workflow(event, ctx):
        await ctx.wait(MINUTE)

    async with World() as world:
        await world.run(workflow)
    assert counts == [(True, 1), (False, 1), (True, 2), (False, 1)]


async def greeting(event, ctx):
    return "hello"


@pytest.mark.parametrize("source", [object(), object, "a name", None], ids=stable)
def test_what_is_no_plugin_is_refused_where_it_is_registered(source):
    with pytest.raises(TypeError, match="derived from DurablePlugin"):
        durable_execution(plugins=[source])(greeting)


def test_a_hook_that_is_a_coroutine_function_is_refused():
    class Async(DurablePlugin):
        async def on_operation_end(self, info): ...

    for source in (Async, Async()):
        with pytest.raises(TypeError, match=r"Async\.on_operation_end must be a plain function"):
            durable_execution(plugins=[source])(greeting)


# --- concurrency ---


async def test_operations_at_once_and_executions_at_once_are_told_apart():
    recorder = Recorder()

    @durable_execution(plugins=[recorder])
    async def workflow(event, ctx):
        await asyncio.gather(*(ctx.step(work, name=f"s{n}", config=TWO_ATTEMPTS) for n in range(20)))

    async with World() as world:
        arns = [await world.start(workflow)]
        arns += [(await world.service.invoke("workflow:$LATEST", b"{}")).execution_arn for _ in range(2)]
        await asyncio.gather(*(world.finish(arn) for arn in arns))
    stories = {}
    for hook, info in recorder.told:
        if hasattr(info, "operation_id"):
            stories.setdefault((info.execution_arn, info.operation_id), []).append(_line(hook, info))
    assert len(stories) == 60
    for story in stories.values():
        name = story[0].split()[1]
        assert story == [
            f"operation_start {name} new",
            f"attempt_start {name} 1",
            f"user_function_start {name} 1",
            f"user_function_end {name} SUCCEEDED",
            f"attempt_end {name} SUCCEEDED",
            f"operation_end {name} SUCCEEDED",
        ]


# --- the trace header of an invoked function ---


@pytest.mark.parametrize(
    ("headers", "expected"), [(["Root=1", "Root=2"], "Root=1"), ([None, "Root=2"], "Root=2"), ([None], None)]
)
async def test_the_first_plugin_that_has_a_trace_header_gives_it_to_the_invoked_function(headers, expected):
    asked = []

    class Propagating(DurablePlugin):
        def __init__(self, header):
            self.header = header

        def trace_header(self, info):
            asked.append(info)
            return self.header

    @durable_execution(plugins=[Propagating(header) for header in headers])
    async def workflow(event, ctx):
        await ctx.invoke("target:$LATEST", name="t")

    @durable_execution
    async def target(event, ctx): ...

    noting = Noting(workflow)
    async with World() as world:
        world.register(target, "target")
        await world.run(noting)
    [start] = [update for update in noting.updates if update["Type"] == "CHAINED_INVOKE"]
    assert start["ChainedInvokeOptions"].get("XAmznTraceId") == expected
    assert {(info.target_function_name, info.operation_id) for info in asked} == {("target:$LATEST", start["Id"])}
    assert len(asked) == len(headers)


# --- without plugins ---


async def test_without_plugins_no_code_of_theirs_is_entered():
    entered = []

    def profile(frame, event, _):
        if event == "call":
            entered.append(frame.f_code.co_filename)

    async def child(ctx):
        await ctx.step(work)

    async def workflow(event, ctx):
        await asyncio.gather(*(ctx.step(work, name=f"{n}") for n in range(20)), ctx.run_in_child_context(child))

    async def calls(handler):
        entered.clear()
        async with World() as world:
            gc.collect()
            sys.setprofile(profile)
            try:
                await world.run(handler)
            finally:
                sys.setprofile(None)
        places = ("plugins.py", "plugin_infos.py", "plugin_sources.py", "instrumentation.py")
        return sum(each.endswith(places) and "durable_async" in each for each in entered)

    assert await calls(durable_execution(plugins=[Recorder])(workflow)) > 200
    assert await calls(durable_execution(workflow)) == 0


def test_without_plugins_their_modules_are_not_even_imported():
    code = (
        "import sys, durable_async\n"
        "@durable_async.durable_execution\n"
        "async def workflow(event, ctx): ...\n"
        "print([name for name in sys.modules if name.startswith('durable_async') and ('plugin' in name or 'instr' in name)])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


# --- the invocation's times, its trace header and its flush ---


async def test_a_context_variable_of_the_start_is_seen_by_the_workflow_its_tasks_and_its_steps():
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Setting(DurablePlugin):
        def on_invocation_start(self, info):
            self.token = variable.set("set")

        def on_invocation_end(self, info):
            seen.append(variable.get())
            variable.reset(self.token)  # which needs the same context

    async def workflow(event, ctx):
        seen.append(variable.get())
        await asyncio.gather(ctx.step(lambda: seen.append(variable.get()), name="a"))

    async with World() as world:
        await world.run(durable_execution(plugins=[Setting])(workflow))
    assert seen == ["set"] * 3


async def test_the_flush_is_the_last_and_the_answer_waits_for_it():
    told = []

    class Flushing(DurablePlugin):
        def on_invocation_end(self, info):
            told.append(("end", info.status))

        async def flush(self, info):
            await asyncio.sleep(0)
            told.append(("flush", info.status))

    async def workflow(event, ctx):
        await ctx.wait(MINUTE)

    async with World() as world:
        await world.run(durable_execution(plugins=[Flushing()])(workflow))
    assert told == [
        ("end", InvocationStatus.PENDING),
        ("flush", InvocationStatus.PENDING),
        ("end", InvocationStatus.SUCCEEDED),
        ("flush", InvocationStatus.SUCCEEDED),
    ]


async def test_a_flush_that_raises_is_logged_and_changes_nothing(caplog):
    class Broken(DurablePlugin):
        async def flush(self, info):
            raise OSError("no route")

    async def workflow(event, ctx):
        return 1

    async with World() as world:
        closed = await world.run(durable_execution(plugins=[Broken()])(workflow))
    assert closed.result == "1"
    assert "no route" in caplog.text


def test_a_flush_must_be_async_and_other_hooks_must_not():
    class Plain(DurablePlugin):
        def flush(self, info): ...

    async def two_parameters(event, ctx): ...

    with pytest.raises(TypeError, match=r"Plain\.flush must be an async function"):
        durable_execution(plugins=[Plain])(two_parameters)


async def test_the_infos_have_the_times_of_the_handlers_clock():
    infos = []

    class Timed(DurablePlugin):
        def on_invocation_start(self, info):
            infos.append(info)

        def on_invocation_end(self, info):
            infos.append(info)

    async def workflow(event, ctx):
        world.clock.move_by(7)

    async with World() as world:
        began = world.clock()
        await world.run(durable_execution(plugins=[Timed()])(workflow))
    start, end = infos
    assert (start.start_time.timestamp(), end.end_time.timestamp()) == (began, began + 7)
    assert start.clock() == world.clock()


async def test_checkpoints_are_told_with_what_they_sent():
    told = []

    class Counting(DurablePlugin):
        def on_checkpoint(self, info):
            told.append(info)

    async def workflow(event, ctx):
        await ctx.step(lambda: "x" * 1000, name="a")

    async with World() as world:
        await world.run(durable_execution(plugins=[Counting()])(workflow))
    assert [info.updates for info in told] == [len(call) for call in world.calls]
    assert told[0].size > 1000
    assert all(info.error is None and info.duration > timedelta(0) for info in told)


async def test_a_virtual_child_context_leaves_nothing_on_record_and_runs_in_every_invocation():
    entered = []

    async def child(ctx):
        entered.append(1)
        return await ctx.step(work, name="inner")

    async def workflow(event, ctx):
        first = await ctx.run_in_child_context(child, name="virtual", config=ChildConfig(virtual=True))
        await ctx.wait(MINUTE)
        return first

    async with World() as world:
        arn = await world.start(durable_execution(workflow))
        closed = await world.finish(arn)
        events = await world.events(arn)
    assert (closed.result, len(entered)) == ('"done"', 2)
    assert not [event for event in events if event["EventType"].startswith("Context")]
    [started] = [event for event in events if event["EventType"] == "StepStarted"]
    assert "ParentId" not in started


async def test_a_virtual_block_is_retried():
    async def block(ctx):
        return await ctx.step(flaky_once, name="inner")

    attempts = []

    async def flaky_once():
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return len(attempts)

    async def workflow(event, ctx):
        strategy = RetryStrategy.fixed(delay=MINUTE, max_attempts=2)
        return await ctx.with_retry(block, strategy=strategy, name="block", config=ChildConfig(virtual=True))

    async with World() as world:
        closed = await world.run(durable_execution(workflow))
    assert closed.result == "2"
