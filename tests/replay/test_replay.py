"""A recorded history against the code of today: nothing runs, and what differs is told."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from durable_async import (
    BatchStatus,
    ChildConfig,
    CompletionConfig,
    DurableContext,
    MapConfig,
    RetryStrategy,
    StepConfig,
    StepSemantics,
    WaitDecision,
    durable_execution,
)
from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from durable_async.errors import HistoryError, OperationLabel
from durable_async.replay import (
    Continues,
    Diverges,
    EndsDifferently,
    NextAction,
    ReplayReport,
    Replays,
    Skips,
    replay,
)
from durable_async.service.http.rendering import history_json
from durable_async.service.runtime.views import Closed
from tests.programs.execution import Conditions, ProgramRun, in_virtual_time, races
from tests.programs.generation import programs
from tests.programs.interpreter import Interpreter, Place
from tests.programs.meaning import Returned, meaning
from tests.programs.program import Program, Step, walk
from tests.property_runs import examples
from tests.world import World

DAY = timedelta(days=1)
LARGE = CONTEXT_RESULT_BYTES + 1


def handler_of(workflow):
    """The workflow as a handler whose event may be anything."""
    return durable_execution(workflow)


async def recorded(workflow, *, until=None, event=b"{}", callback=None, **options) -> tuple[str, list[dict[str, Any]]]:
    """The ARN and the history of an execution.

    :param until: seconds after which to look, if it is not to be run to its end
    """
    async with World(**options) as world:
        arn = await world.start(handler_of(workflow), event)
        if until is None:
            await world.finish(arn)
        else:
            await world.settle()
            world.clock.move_by(until)
            await world.service.fire_due()
            await world.settle()
        return arn, await world.events(arn)


async def replayed(workflow, recording, **options) -> ReplayReport:
    arn, events = recording
    return await replay(handler_of(workflow), events, execution_arn=arn, **options)


def body(ran=None):
    if ran is not None:
        ran.append(1)
    return 1


# --- the same code ---


async def steps(event, ctx: DurableContext, ran=None):
    first = await ctx.step(body, ran, name="first")
    await ctx.wait(DAY, name="a day")
    retried = StepConfig(retry_strategy=RetryStrategy.fixed(delay=timedelta(seconds=5), max_attempts=2))
    try:
        await ctx.step(lambda: body(ran) / 0, name="fails", config=retried)
    except Exception as error:
        return [first, str(error), str(ctx.now()), str(ctx.uuid()), ctx.random().random()]


async def contexts(event, ctx: DurableContext, ran=None):
    async def child(ctx, size):
        await ctx.step(body, ran, name="inside")
        return "x" * size

    small = await ctx.run_in_child_context(child, 1, name="small")
    large = await ctx.run_in_child_context(child, LARGE, name="large")
    told = await ctx.run_in_child_context(
        child, LARGE, name="told", config=ChildConfig(summary=lambda text: f"{len(text)} characters")
    )
    async with ctx.timeout(DAY, name="in time"):
        await ctx.step(body, ran, name="quick")
    try:
        async with ctx.timeout(DAY, name="too late"):
            await ctx.wait(2 * DAY)
    except TimeoutError:
        return [small, len(large), len(told)]


async def batches(event, ctx: DurableContext, ran=None):
    async def item(ctx, number):
        await ctx.step(body, ran, name="inside")
        if number == 1:
            raise LookupError("no such item")
        return "x" * event.get("size", 1)

    async def at_once(ctx):
        return 1

    enough = MapConfig(completion=CompletionConfig(min_successful=2), max_concurrency=1)
    mapped = await ctx.map(item, [0, 1, 2, 3], name="mapped", config=enough)
    await ctx.race(("this", at_once), ("that", at_once))  # both end in one checkpoint, and the batch looks at one
    first = await ctx.race(
        ("quick", lambda ctx: ctx.step(body, ran, name="quick")), ("slow", lambda ctx: ctx.wait(DAY)), name="race"
    )
    return [[str(each.status) for each in mapped.items], first]


async def outside(event, ctx: DurableContext, ran=None):
    def strategy(state, attempt):
        return WaitDecision.stop() if attempt == 3 else WaitDecision.continue_after(timedelta(seconds=1))

    checked = await ctx.wait_for_condition(lambda state: body(ran) + state, 0, strategy, name="poll")
    with suppress(TimeoutError):
        await ctx.wait_for_callback(lambda callback_id: body(ran), name="ask", timeout=DAY)
    try:
        await ctx.invoke("nobody", {"n": 1}, name="call")
    except Exception as error:
        return [checked, type(error).__name__]


async def gathered(event, ctx: DurableContext, ran=None):
    async def branch(number):
        await asyncio.sleep(0)
        one = await ctx.step(body, ran, name=f"one {number}")
        await ctx.wait(DAY, name=f"wait {number}")
        return one + await ctx.step(body, ran, name=f"two {number}")

    return await asyncio.gather(*(branch(number) for number in range(3)))


async def raising(event, ctx: DurableContext, ran=None):
    await ctx.step(body, ran, name="first")
    raise LookupError("no such order")


SHAPES = [steps, contexts, batches, outside, gathered, raising]


@pytest.mark.parametrize("workflow", SHAPES, ids=lambda each: each.__name__)
async def test_the_same_code_replays_and_nothing_runs(workflow):
    recording = await recorded(workflow)
    ran: list[int] = []
    report = await replayed(partial(workflow, ran=ran), recording)
    assert report.finding == Replays(), report
    assert report.passed and report.skipped == report.next_operations == ()
    assert ran == []


@pytest.mark.parametrize("workflow", SHAPES, ids=lambda each: each.__name__)
async def test_the_history_up_to_any_event_is_gone_on_with(workflow):
    arn, events = await recorded(workflow)
    ran: list[int] = []
    for count in range(1, len(events)):
        report = await replayed(partial(workflow, ran=ran), (arn, events[:count]))
        assert isinstance(report.finding, Continues), f"{events[count - 1]}\n{report}"
        assert report.skipped == ()
        assert report.next_operations or report.finding.ends or report.finding.waits_for
    assert ran == []


async def test_a_batch_that_was_too_large_to_record_is_made_anew():
    small, large = [
        await replayed(batches, await recorded(batches, event=event)) for event in (b"{}", b'{"size": 200000}')
    ]
    assert small.finding == large.finding == Replays()
    assert (small.reached, large.reached) == (3, 6)  # with the items


async def test_a_result_that_was_too_large_for_the_answer_is_compared():
    async def large(event, ctx):
        return [""] * 1_100_000  # as JSON within JSON it is half as long again

    recording = await recorded(large)
    assert (await replayed(large, recording)).finding == Replays()

    async def larger(event, ctx):
        return ["", *await large(event, ctx)]

    assert isinstance((await replayed(larger, recording)).finding, EndsDifferently)


async def test_no_plugin_is_told_and_no_line_of_a_replay_is_logged(caplog):
    async def logs(event, ctx):
        ctx.logger.warning("before")
        await ctx.step(body, name="first")

    class Nobody:
        def __call__(self):
            raise AssertionError("a plugin was made")

    recording = await recorded(logs)
    caplog.clear()
    handler = durable_execution(plugins=[Nobody()])(logs)
    with caplog.at_level(logging.DEBUG):
        report = await replay(handler, recording[1], execution_arn=recording[0])
    assert report.finding == Replays()
    assert caplog.records == []


async def test_a_stay_is_not_stayed():
    async def waits(event, ctx):
        await ctx.wait(timedelta(hours=1))

    recording = await recorded(waits, until=0)
    handler = durable_execution(max_inline_wait=DAY)(waits)
    async with asyncio.timeout(5):
        report = await replay(handler, recording[1])
    assert isinstance(report.finding, Continues)


# --- other code ---


async def original(event, ctx: DurableContext):
    await ctx.step(body, name="reserve")
    await ctx.step(body, name="charge")
    return "done"


async def test_a_renamed_step_diverges():
    async def renamed(event, ctx):
        await ctx.step(body, name="reserve")
        await ctx.step(body, name="pay")  # here
        return "done"

    report = await replayed(renamed, await recorded(original))
    line = renamed.__code__.co_firstlineno + 2
    assert not report.passed
    assert attrs.evolve(report.finding, operation_id="") == Diverges(
        operation_id="",
        recorded=OperationLabel("STEP", "Step", "charge"),
        requested=OperationLabel("STEP", "Step", "pay"),
        within=(),
        where=f"test_replay.py:{line}",
    )
    assert str(report).startswith(
        f"diverges: test_replay.py:{line}: the code calls Step 'pay', but Step 'charge' is recorded in its place\n"
    )


async def test_a_divergence_in_a_context_says_where_that_is():
    def workflow(name):
        async def outer(event, ctx):
            await ctx.map(inner, ["only"], name="orders")

        async def inner(ctx, item):
            await ctx.step(body, name=name)
            await ctx.wait(DAY)

        return outer

    report = await replayed(workflow("new"), await recorded(workflow("old"), until=0))
    assert isinstance(report.finding, Diverges)
    assert [str(each) for each in report.finding.within] == ["MapIteration 'map-item-0'", "Map 'orders'"]


async def test_a_divergence_that_the_code_catches_is_one():
    async def catches(event, ctx):
        try:
            await ctx.step(body, name="other")
        except Exception:
            return "done"

    assert isinstance((await replayed(catches, await recorded(original))).finding, Diverges)


async def test_a_further_step_does_not_end_as_it_did():
    async def further(event, ctx):
        result = await original(event, ctx)
        await ctx.step(body, name="ship")
        return result

    report = await replayed(further, await recorded(original))
    assert report.finding == EndsDifferently(Closed("SUCCEEDED", '"done"'), None)
    assert [str(each) for each in report.next_operations] == ["starts Step 'ship'"]


async def test_a_step_that_is_gone_is_omitted():
    async def shorter(event, ctx):
        await ctx.step(body, name="reserve")
        return "done"

    report = await replayed(shorter, await recorded(original))
    assert report.finding == Skips()
    assert [str(operation) for operation in report.skipped] == ["Step 'charge'"]
    assert "not called any more: Step 'charge'" in str(report)
    assert not report.passed


async def test_a_step_that_is_gone_from_an_open_execution_is_omitted():
    async def waits(event, ctx):
        await original(event, ctx)
        await ctx.wait(DAY, name="a day")

    async def shorter(event, ctx):
        await ctx.step(body, name="reserve")
        return "done"

    report = await replayed(shorter, await recorded(waits, until=0))
    assert report.finding == Skips(Closed("SUCCEEDED", result='"done"'))
    assert [str(operation) for operation in report.skipped] == ["Step 'charge'", "Wait 'a day'"]


@pytest.mark.parametrize(
    ("result", "end"),
    [
        pytest.param("sent", Closed("SUCCEEDED", '"sent"'), id="another result"),
        pytest.param(LookupError("no"), None, id="it fails"),
    ],
)
async def test_another_end_is_told(result, end):
    async def other(event, ctx):
        await original(event, ctx)
        if isinstance(result, Exception):
            raise result
        return result

    report = await replayed(other, await recorded(original))
    assert isinstance(report.finding, EndsDifferently)
    assert report.finding.recorded == Closed("SUCCEEDED", '"done"')
    if end is not None:
        assert report.finding.now == end
    else:
        assert report.finding.now.error["ErrorMessage"] == "no"


async def test_a_failure_that_was_mended_is_another_end():
    async def mended(event, ctx):
        await ctx.step(body, name="first")
        return "found"

    report = await replayed(mended, await recorded(raising))
    assert report.finding.recorded.error["ErrorType"] == "LookupError"
    assert report.finding.now == Closed("SUCCEEDED", '"found"')
    assert "now it is SUCCEEDED" in str(report)


async def test_another_message_is_another_end():
    async def other(event, ctx):
        await ctx.step(body, name="first")
        raise LookupError("no such invoice")

    assert isinstance((await replayed(other, await recorded(raising))).finding, EndsDifferently)


# --- executions that did not end by themselves ---


async def test_an_open_execution_waits():
    async def waits(event, ctx):
        await ctx.step(body, name="first")
        callback = await ctx.create_callback(name="approval")
        await ctx.wait(DAY, name="a day")
        await callback.result()

    report = await replayed(waits, await recorded(waits, until=0))
    assert report.finding.ends is None
    assert [str(each) for each in report.finding.waits_for] == ["Callback 'approval'", "Wait 'a day'"]
    assert report.next_operations == ()
    assert report.passed


async def test_what_begins_in_a_context_that_begins_is_left_out():
    async def child(ctx):
        await ctx.step(body, name="inside")

    async def longer(event, ctx):
        await original(event, ctx)
        await ctx.run_in_child_context(child, name="new")

    arn, events = await recorded(original)
    report = await replayed(longer, (arn, events[:5]))
    assert [str(each) for each in report.next_operations] == ["starts RunInChildContext 'new'"]


@pytest.mark.parametrize("semantics", StepSemantics)
async def test_an_attempt_that_was_interrupted_is_not_made(semantics):
    async def interrupted(event, ctx, ran=None):
        await ctx.step(body, ran, name="once", config=StepConfig(semantics=semantics))

    arn, events = await recorded(interrupted)
    ran: list[int] = []
    report = await replayed(partial(interrupted, ran=ran), (arn, events[:2]))
    action = NextAction.ENDS if semantics is StepSemantics.AT_MOST_ONCE_PER_RETRY else NextAction.ATTEMPTS
    assert [each.action for each in report.next_operations] == [action]
    assert ran == []


async def test_one_that_was_stopped_goes_on():
    async def waits(event, ctx):
        await ctx.wait(DAY, name="a day")

    async with World() as world:
        arn = await world.start(durable_execution(waits))
        await world.settle()
        await world.service.stop(arn)
        report = await replayed(waits, (arn, await world.events(arn)))
    assert isinstance(report.finding, Continues)


async def test_what_a_context_left_behind_is_not_omitted():
    """A batch that had enough: the item that waits was given up."""

    async def item(ctx, number):
        if number == 0:
            await ctx.step(body, name="quick")
        else:
            await ctx.wait(DAY, name="slow")

    async def workflow(event, ctx):
        first = CompletionConfig(custom=lambda progress: BatchStatus.SUCCEEDED if progress.completed else None)
        await ctx.map(item, [0, 1], name="some", config=MapConfig(completion=first))
        await ctx.wait(2 * DAY)

    assert (await replayed(workflow, await recorded(workflow))).finding == Replays()


async def test_the_timer_of_a_deadline_that_was_met_is_not_omitted():
    """It may be due just before the end of its block is on record."""

    async def workflow(event, ctx):
        async with ctx.timeout(DAY, name="in time"):
            await ctx.step(body, name="quick")

    arn, events = await recorded(workflow)
    started = next(event for event in events if event["EventType"] == "WaitStarted")
    due = started | {"EventType": "WaitSucceeded", "WaitSucceededDetails": {"Duration": 86_400}}
    end = next(place for place, event in enumerate(events) if event["EventType"] == "ContextSucceeded")
    history = [*events[:end], due, *events[end:]]
    report = await replayed(workflow, (arn, [event | {"EventId": n} for n, event in enumerate(history, 1)]))
    assert report.finding == Replays()


# --- the history ---


async def test_the_values_that_derive_from_the_arn_need_it():
    async def derives(event, ctx):
        await ctx.step(body, name="first")
        return str(ctx.uuid())

    arn, events = await recorded(derives)
    handler = durable_execution(derives)
    assert (await replay(handler, events, execution_arn=arn)).finding == Replays()
    assert (await replay(handler, {"DurableExecutionArn": arn, "Events": events})).finding == Replays()
    unknown = await replay(handler, events)
    assert isinstance(unknown.finding, EndsDifferently)
    assert "the ARN is not known" in str(unknown)
    with pytest.raises(HistoryError, match="not of"):
        await replay(handler, events, execution_arn=f"{arn}0")


async def test_what_the_aws_cli_prints():
    def as_printed(value, member=""):
        if isinstance(value, dict):
            return {name: as_printed(each, name) for name, each in value.items()}
        return datetime.fromtimestamp(value, UTC).isoformat() if member.endswith("Timestamp") else value

    arn, events = await recorded(steps)
    printed = json.dumps({"Events": [as_printed(event) for event in events]}, indent=4)
    report = await replay(durable_execution(steps), json.loads(printed), execution_arn=arn)
    assert report.finding == Replays()


async def test_a_history_without_data_is_refused():
    async with World() as world:
        arn = await world.start(durable_execution(original))
        await world.finish(arn)
        history = history_json(await world.service.get_history(arn), include_data=False)
    with pytest.raises(HistoryError, match="IncludeExecutionData"):
        await replay(durable_execution(original), history, execution_arn=arn)


async def test_the_lambda_context_is_handed_on():
    async def asks(event, ctx):
        return getattr(ctx.lambda_context, "function_name", None)

    recording = await recorded(asks)

    class LambdaContext:
        function_name = "workflow"

    assert (await replayed(asks, recording, lambda_context=LambdaContext())).finding == Replays()


async def test_the_input_is_the_recorded_one():
    async def echoes(event, ctx):
        return event

    assert (await replayed(echoes, await recorded(echoes, event=b'{"order": 17}'))).finding == Replays()


# --- for programs ---


async def test_as_json():
    arn, events = await recorded(original)
    shown = (await replayed(raising, (arn, events))).as_json()
    assert shown.pop("Where").startswith("test_replay.py:")
    assert shown == {
        "Finding": "Diverges",
        "Passed": False,
        "DurableExecutionArn": arn,
        "RecordedOperations": 2,
        "ReachedOperations": 0,
        "Id": events[1]["Id"],
        "Recorded": {"Type": "STEP", "SubType": "Step", "Name": "reserve"},
        "Requested": {"Type": "STEP", "SubType": "Step", "Name": "first"},
    }
    shown = (await replayed(original, (arn, events[:2]))).as_json()
    assert shown["Finding"] == "Continues"
    [following] = shown["NextOperations"]
    assert (following["Action"], following["Name"], following["Within"]) == ("attempts", "reserve", [])


# --- any program ---


class Recording(ProgramRun):
    """A run that is kept, to be replayed on the same loop."""

    async def _replay(self, execution, outcome) -> None:
        self.arn = execution.arn
        self.history = [history_json(await self.service.get_history(self.arn, max_items=1000))]
        while marker := self.history[-1].get("NextMarker"):
            self.history.append(history_json(await self.service.get_history(self.arn, max_items=1000, marker=marker)))

    @property
    def events(self):
        return [event for page in self.history for event in page["Events"]]

    async def replayed(self, program: Program, events=None, *, interpreter=Interpreter) -> ReplayReport:
        rng = Random(self.conditions.seed + 1)
        handler = interpreter(rng, Silent(self), self.conditions.seed).handler(program, timedelta(0))
        return await replay(handler, self.history if events is None else events, execution_arn=self.arn)


@attrs.frozen
class Silent:
    """The interpreter's observer in a replay: nothing may begin."""

    run: Recording

    def began(self, here, *, at_most_once):
        self.run.wrong.append(f"the body of {here.name} ran")

    def handed_out(self, callback_id, place, answer, after):
        self.run.wrong.append(f"{place.name} handed out a callback")

    def saw(self, place, value):
        self.run.saw(place, value)


class Renamed(Interpreter):
    """The same programs, whose operations have other names."""

    def handler(self, program, max_inline_wait):
        @durable_execution(max_inline_wait=max_inline_wait)
        async def workflow(event, ctx):
            return await self._block(ctx, program.body, Place("other"))

        return workflow


EXAMPLES = settings(max_examples=examples(40), deadline=None, suppress_health_check=[*HealthCheck])
no_noise = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@no_noise
@EXAMPLES
@given(programs(), st.integers(0, 2**32))
def test_any_program_replays(program, seed):
    assume(not races(program))

    async def check(clock):
        run = Recording(program, Conditions(seed))
        await run.report(clock)
        report = await run.replayed(program)
        assert report.finding == Replays(), f"{report}\n{program}"
        assert run.wrong == []

    in_virtual_time(check)


@no_noise
@EXAMPLES
@given(programs(), st.integers(0, 2**32))
def test_the_beginning_of_any_history_is_gone_on_with(program, seed):
    assume(not races(program))

    async def check(clock):
        run = Recording(program, Conditions(seed))
        await run.report(clock)
        rng, events = Random(seed), run.events
        for _ in range(8):
            count = rng.randint(1, len(events) - 1)
            report = await run.replayed(program, events[:count])
            assert isinstance(report.finding, Continues), f"after {count} events: {report}\n{program}"
        assert run.wrong == []

    in_virtual_time(check)


@no_noise
@EXAMPLES
@given(programs(), st.integers(0, 2**32))
def test_a_program_with_other_names_diverges(program, seed):
    is_keyed = any(getattr(statement, "keyed", False) for statement in walk(program.body))

    async def check(clock):
        run = Recording(program, Conditions(seed))
        await run.report(clock)
        assume(run.execution.operations[1:])
        report = await run.replayed(program, interpreter=Renamed)
        # What has another key is another operation, and not the same by another name.
        assert isinstance(report.finding, Diverges) or (is_keyed and not report.passed), f"{report}\n{program}"
        assert [line for line in run.wrong if "body" in line] == []

    in_virtual_time(check)


@no_noise
@EXAMPLES
@given(programs(), st.integers(0, 2**32), st.booleans())
def test_a_program_with_another_end_does_not_replay(program, seed, longer):
    other = Program((*program.body, Step()) if longer else program.body[:-1])
    assume(not races(program) and isinstance(meaning(program), Returned))

    async def check(clock):
        run = Recording(program, Conditions(seed))
        await run.report(clock)
        report = await run.replayed(other)
        assert isinstance(report.finding, EndsDifferently), f"{report}\n{program}"
        assert (report.finding.now is None) == longer == bool(report.next_operations)
        assert run.wrong == []

    in_virtual_time(check)
